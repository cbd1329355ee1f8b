"""Files from outside: read whole, but no more of them than is expected."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["read_at_most"]


def read_at_most(path: Path, limit: int) -> bytes:
    """The contents of a regular file; of a pipe, a device or a larger file not a byte is read.

    Args:
        path: of the file; a link is followed.
        limit: bytes.

    Raises:
        OSError: it is not there, or cannot be opened.
        ValueError: it is no regular file, or larger. The message goes on after the file's name.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no regular file")
        data = file.read(limit + 1) if status.st_size <= limit else None
    if data is None or len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe though nobody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)
