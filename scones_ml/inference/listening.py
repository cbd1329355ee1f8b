"""A socket that listens before its server runs, so that its port can be told at once."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any, Final

from scones_ml.errors import DeploymentError
from scones_ml.printable import printable

__all__ = ["WAITING", "listen"]

WAITING: Final = 1_024
"""Connections that wait to be accepted; systems that allow fewer (``somaxconn``) take what they allow."""


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; connections wait until a server takes them.

    Args:
        host: an address or a name, ``"127.0.0.1"``; of a name with several addresses the first of IPv4 counts.
            ``"::"`` stands for those of IPv4, too.
        port: 0 takes any free one.

    Raises:
        DeploymentError: there is no such address here, or the port is taken or not ours to take.
    """
    family, address = _address(host, port)
    # asyncio switches Nagle's algorithm off only where the protocol is named: without it an answer takes 40 ms more.
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that has just been left is free
    if family == socket.AF_INET6:
        with contextlib.suppress(OSError):  # where IPv6 is alone
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind(address)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRNOTAVAIL:
            raise DeploymentError(f"{host} is no address of this machine: choose another --host") from exc
        raise DeploymentError(f"port {port} on {host} is not free ({exc.strerror}): choose another one") from exc
    listener.listen(WAITING)
    return listener


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        socket.socket(family).close()
    except (OSError, UnicodeError) as exc:
        reason = f" ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else ""
        raise DeploymentError(f"cannot listen on {printable(host)}{reason}: choose another --host") from exc
    return family, address
