"""Size-limited reading of untrusted files.

Internal: may change without notice.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_at_most", "size_of"]


def read_at_most(path: Path, limit: int) -> bytes:
    """Read a regular file of limited size; a larger one is not read at all.

    Args:
        path: path of the file; links are followed.
        limit: maximum size in bytes.

    Raises:
        OSError: the file does not exist, or cannot be opened.
        ValueError: the file is not regular, or too large. The message continues after the file's name.
    """
    with open_regular(path) as file:
        size = size_of(file)
        data = file.read(size + 1) if size <= limit else None  # Python allocates as much as is requested
    if data is None or len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return data


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; pipes and devices, which may never end, are rejected.

    Raises:
        OSError, ValueError: as :func:`read_at_most`.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("is not a regular file")
    return file


def size_of(file: BinaryIO) -> int:
    """Size of an open file, in bytes."""
    return os.fstat(file.fileno()).st_size


def _without_waiting(path: str, flags: int) -> int:
    """Opener that does not block on a pipe without a writer."""
    return os.open(path, flags | os.O_NONBLOCK)
