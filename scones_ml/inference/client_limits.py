"""What the endpoint's clients may take."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import Final

from scones_ml.limits import ENDPOINT_REQUEST_BYTES

__all__ = ["ACCEPTED_AT_ONCE", "Limits", "connection_limit"]

ACCEPTED_AT_ONCE: Final = 8
"""Connections that are taken before others have their turn."""

_TURNS_TO_CLOSE: Final = 3  # of asyncio's loop: accept, open, close
_OWN_DESCRIPTORS: Final = 24 + _TURNS_TO_CLOSE * ACCEPTED_AT_ONCE  # files, the loop's own, those that are one too many
_FEWEST: Final = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take.

    Attributes:
        connections: open at once.
        head_bytes: of a request line and its headers.
        headers: of a request.
        body_bytes: of one request.
        held_bytes: of all bodies that are held at once.
        head_seconds: from a request's first byte, or from the connection's start, to the end of its headers.
        body_seconds: from there to the end of its body.
        idle_seconds: from an answer to the next request.
        linger_seconds: for a client to take its answer, and to stop sending what was refused.
        stop_seconds: for requests that are under way when the server is stopped.
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
        """What a client is told."""
        return f"the headers are more than the {self.head_bytes:,} bytes or {self.headers} allowed"


def connection_limit(most: int) -> int:
    """How many connections this process can have: ``most``, or fewer where it may open fewer files.

    The process is allowed as many files as that takes, as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OWN_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return most
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems have a lower limit that they do not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        soft = files
    return max(_FEWEST, min(most, soft - _OWN_DESCRIPTORS))
