"""Listening sockets, opened before their server runs, so that the port is known."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any, Final

from scones_ml.errors import DeploymentError
from scones_ml.printable import printable

__all__ = ["WAITING", "listen"]

WAITING: Final = 1_024
"""Length of the accept queue; limited by the system's ``somaxconn``."""


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; connections wait until a server accepts them.

    Args:
        host: address or name, such as ``"127.0.0.1"``; for a name with several addresses, the first IPv4 one. ``"::"``
            includes IPv4.
        port: port; 0 for any free one.

    Raises:
        DeploymentError: the address does not exist, or the port is in use or not permitted.
    """
    family, address = _address(host, port)
    # asyncio disables Nagle's algorithm only for an explicit protocol; with it a response takes 40 ms more.
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allow a port in TIME_WAIT
    if family == socket.AF_INET6:
        with contextlib.suppress(OSError):  # without IPv4
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind(address)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRNOTAVAIL:
            raise DeploymentError(f"{host} is not an address of this machine: choose another --host") from exc
        raise DeploymentError(f"port {port} on {host} is not available ({exc.strerror}): choose another one") from exc
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
