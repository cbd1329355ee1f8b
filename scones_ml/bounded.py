"""Files from outside: read whole, but no more of them than is expected.

Internal: may change without notice.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_at_most", "size_of"]


def read_at_most(path: Path, limit: int) -> bytes:
    """The contents of a regular file; of a larger one not a byte is read.

    Args:
        path: of the file; a link is followed.
        limit: bytes.

    Raises:
        OSError: it is not there, or cannot be opened.
        ValueError: it is no regular file, or larger. The message goes on after the file's name.
    """
    with open_regular(path) as file:
        size = size_of(file)
        data = file.read(size + 1) if size <= limit else None  # asked for more, Python sets as much aside
    if data is None or len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return data


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes; pipes and devices, which may never end, are refused at once.

    Raises:
        OSError, ValueError: as :func:`read_at_most`.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("is no regular file")
    return file


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe though nobody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)
