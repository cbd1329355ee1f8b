"""Append-only JSON Lines: each line is on disk before the writer goes on.

Several processes may write at once, and one may die in the middle of a line: whole lines are never lost, and half a
line is passed over.
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
        path: of the file; made with its folder when it is not there.
        document: what JSON can hold.

    Raises:
        OSError: it could not be written, or not whole.
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
        while line:  # a disk that fills up takes a part, then refuses the rest
            line = line[os.write(file, line) :]
        os.fsync(file)
    finally:
        os.close(file)
    if fresh:
        _keep_name(path.parent)


def _keep_name(folder: Path) -> None:
    """A new file's name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path, start: int = 0) -> tuple[list[object], int]:
    """Every line from a byte on, oldest first; nothing when there is no file.

    Args:
        path: of the file.
        start: where a line begins: 0, or what an earlier call returned.

    Returns:
        What each line holds, None where it is no JSON; and the byte after the last of them. A last line without its
        end counts when it is whole; else it is left for the next call.

    Raises:
        OSError: it is there, and cannot be read.
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
