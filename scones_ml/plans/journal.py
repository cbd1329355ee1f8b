"""Append-only JSON Lines, each line synced to disk before the writer continues.

Several processes may write at once, and one may die in the middle of a line: whole lines are never lost, and half a
line is skipped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from scones_ml import strict_json
from scones_ml.bounded import open_regular

__all__ = ["append", "read"]


def append(path: Path, document: Mapping[str, object]) -> None:
    """Write one line and wait until it is on disk.

    Args:
        path: the file; created with its folder when missing.
        document: data that JSON can hold.

    Raises:
        OSError: the line could not be written in full.
    """
    line = json.dumps(document, ensure_ascii=False).encode() + b"\n"
    fresh = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # No other writer between the look at the last byte and the line; closing the file unlocks it.
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # a writer died in the middle of its line
            line = b"\n" + line
        while line:  # a disk that fills up accepts a part, then refuses the rest
            line = line[os.write(file, line) :]
        os.fsync(file)
    finally:
        os.close(file)
    if fresh:
        _keep_name(path.parent)


def _keep_name(folder: Path) -> None:
    """Sync a new file's folder: only then is the file's name on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path, start: int = 0) -> tuple[list[object], int]:
    """Read the lines from an offset on, oldest first; none when there is no file.

    Args:
        path: the file.
        start: byte offset of a line: 0, or the offset that an earlier call returned.

    Returns:
        The document of each line, None where it is not JSON, and the offset after the last. A last line without a line
        end counts when it is whole JSON; otherwise it is left for the next call.

    Raises:
        OSError: the file exists, but cannot be read.
    """
    try:
        with open_regular(path) as file:
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    except ValueError as exc:  # a device or a pipe may never end
        raise OSError(errno.EINVAL, str(exc), str(path)) from exc
    *lines, last = data.split(b"\n")
    documents = [_parse(line) for line in lines if line.strip()]
    unfinished = _parse(last)
    if unfinished is None:
        return documents, start + len(data) - len(last)
    return [*documents, unfinished], start + len(data)


def _parse(line: bytes) -> object:
    try:
        return strict_json.parse(line)
    except ValueError:
        return None
