"""Resource limits for the endpoint's clients."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import Final

from scones_ml.limits import ENDPOINT_REQUEST_BYTES

__all__ = ["ACCEPTED_AT_ONCE", "Limits", "connection_limit"]

ACCEPTED_AT_ONCE: Final = 8
"""Connections accepted at once before other events are handled."""

_TURNS_TO_CLOSE: Final = 3  # iterations of asyncio's loop: accept, open, close
_OWN_DESCRIPTORS: Final = (
    24 + _TURNS_TO_CLOSE * ACCEPTED_AT_ONCE
)  # open files, the loop's own, and connections above the limit
_FEWEST: Final = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients.

    Attributes:
        connections: maximum number of open connections.
        head_bytes: maximum size of a request line with its headers.
        headers: maximum number of headers.
        body_bytes: maximum size of a request body.
        held_bytes: maximum total size of all bodies in memory.
        head_seconds: time from a request's first byte, or the connection's start, to the end of its headers.
        body_seconds: time from the end of the headers to the end of the body.
        idle_seconds: time from a response to the next request.
        linger_seconds: time for a client to receive its response, and to stop sending a rejected request.
        stop_seconds: time for requests in progress when the server is stopped.
    """

    connections: int = 1_000
    head_bytes: int = 32_768
    headers: int = 100
    body_bytes: int = ENDPOINT_REQUEST_BYTES
    held_bytes: int = 64_000_000
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 60.0
    linger_seconds: float = 2.0
    stop_seconds: float = 5.0

    @property
    def too_large_a_head(self) -> str:
        """Error text for too large a head."""
        return f"the headers exceed {self.head_bytes:,} bytes or {self.headers} in number"


def connection_limit(most: int) -> int:
    """Number of connections for this process: ``most``, or fewer if its limit of open files is lower.

    The limit of open files is raised as far as the system allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OWN_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems have a lower, undocumented limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        soft = files
    return max(_FEWEST, min(most, soft - _OWN_DESCRIPTORS))
