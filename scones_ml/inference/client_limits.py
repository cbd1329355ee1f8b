"""What the endpoint's clients may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

from scones_ml.limits import ENDPOINT_REQUEST_BYTES

__all__ = ["Limits", "connection_limit"]

_OWN_DESCRIPTORS: Final = 48  # files, the loop's own, captures and what is accepted at once
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
    """How many connections this process can have: ``most``, or fewer where it may open fewer files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else max(_FEWEST, min(most, files - _OWN_DESCRIPTORS))
