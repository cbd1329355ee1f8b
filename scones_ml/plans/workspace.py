"""Marker of a workspace, ``workspace.json`` at its root: it proves that the folder is ours and states its format.

Clean-up removes nothing from a folder without one. A new workspace is marked before anything is created in it; one of
0.1.0 has no marker until :func:`adopt_workspace` writes it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.errors import ConfigurationError
from scones_ml.formats import FORMAT, MADE_BY, newer_format

__all__ = ["adopt_workspace", "check_workspace", "is_marked", "mark_workspace"]

_MARKER: Final = "workspace.json"
_LONGEST_MARKER: Final = 100_000  # bytes; ours has 60
_CONTENTS: Final = ("ledger.jsonl", "buckets", "endpoints")
"""Names that clean-up reads and removes: a folder that holds one of them without a marker is not known to be ours."""


def check_workspace(folder: Path) -> None:
    """Refuse a workspace of a newer format; one without a marker is empty or was created by 0.1.0.

    Args:
        folder: the workspace, which need not exist.

    Raises:
        ConfigurationError: its format is newer, or its marker cannot be read.
    """
    refusal = newer_format(str(folder / _MARKER), _marker(folder))
    if refusal:
        raise ConfigurationError(refusal)


def is_marked(folder: int) -> bool:
    """Whether a folder holds a workspace's marker; a link does not count.

    Args:
        folder: the folder's descriptor.

    Raises:
        OSError: the marker exists, but cannot be read.
    """
    try:
        file = os.open(_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return False
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return False
        raise
    with os.fdopen(file, "rb") as marker:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_MARKER:
            return False
        return bool(_ours(marker.read(_LONGEST_MARKER)))


def mark_workspace(folder: Path) -> None:
    """Write the marker, before anything is created in the workspace.

    A folder that already holds names that clean-up would remove gets no marker, whatever their origin. A foreign file
    of the marker's name is left alone.

    Args:
        folder: the workspace; created when missing.

    Raises:
        ConfigurationError: its format is newer, or the marker can be neither read nor written.
    """
    check_workspace(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(os.path.lexists(folder / name) for name in _CONTENTS):
            _write_marker(folder)


def adopt_workspace(folder: Path) -> None:
    """Mark a folder as ours, whatever it holds.

    Args:
        folder: the workspace.

    Raises:
        ConfigurationError: its format is newer, or the marker can be neither read nor written.
    """
    check_workspace(folder)
    if folder.is_symlink():
        raise ConfigurationError(f"{folder} is a link: give the folder itself to --workspace")
    with _writing(folder):
        _write_marker(folder)
    if not _marker(folder):
        raise ConfigurationError(f"{folder / _MARKER} is not ours: move it away, then adopt the workspace")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = f"{folder / _MARKER} cannot be written: {exc.strerror}; choose another --workspace"
        raise ConfigurationError(reason) from exc


def _write_marker(folder: Path) -> None:
    path = folder / _MARKER
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        # Under a lock and only into an empty file: of two commands that start at once one writes, and what a
        # killed one left empty is filled by the next command.
        fcntl.flock(file, fcntl.LOCK_EX)
        if not os.fstat(file).st_size:
            os.write(file, json.dumps({"format": FORMAT, "made_by": MADE_BY}).encode() + b"\n")
            os.fsync(file)
    finally:
        os.close(file)


def _marker(folder: Path) -> Mapping[str, object]:
    """The marker's fields; none when there is no marker or the file is foreign."""
    try:
        return _ours(read_at_most(folder / _MARKER, _LONGEST_MARKER))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except OSError as exc:
        raise ConfigurationError(
            f"{folder / _MARKER} cannot be read: {exc.strerror}: move it away, or choose another --workspace"
        ) from exc


def _ours(data: bytes) -> Mapping[str, object]:
    try:
        document = strict_json.parse(data)
    except ValueError:
        return {}
    if not isinstance(document, dict) or not str(document.get("made_by", "")).startswith("scones_ml "):
        return {}
    return document
