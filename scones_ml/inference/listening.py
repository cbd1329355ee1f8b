"""A socket that listens before its server runs, so that its port can be told at once."""

from __future__ import annotations

import socket

from scones_ml.errors import DeploymentError

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; connections wait until a server takes them.

    Args:
        host: the address, ``"127.0.0.1"``.
        port: 0 takes any free one.

    Raises:
        DeploymentError: the port is taken, or not ours to take.
    """
    # asyncio switches Nagle's algorithm off only where the protocol is named: without it an answer takes 40 ms more.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that has just been left is free
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise DeploymentError(f"port {port} on {host} is not free ({exc.strerror}): choose another one") from exc
    listener.listen(128)  # clients that wait while the model loads; older kernels take no more (somaxconn)
    return listener
