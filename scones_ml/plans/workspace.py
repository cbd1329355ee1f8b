"""The marker of a workspace, ``workspace.json`` at its root: proof that the folder is ours, and in which format."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.errors import ConfigurationError
from scones_ml.formats import FORMAT, MADE_BY, newer_format

__all__ = ["check_workspace", "mark_workspace"]

_MARKER: Final = "workspace.json"
_LONGEST_MARKER: Final = 100_000  # bytes; ours has 60


def check_workspace(folder: Path) -> None:
    """Refuse a workspace that only a newer version can read; one without a marker was made by 0.1.0, or is empty.

    Args:
        folder: the workspace, there or not.

    Raises:
        ConfigurationError: its format is newer, or its marker cannot be read.
    """
    refusal = newer_format(str(folder / _MARKER), _marker(folder))
    if refusal:
        raise ConfigurationError(refusal)


def mark_workspace(folder: Path) -> None:
    """Say whose folder it is, before the first thing is made there.

    A file of that name that somebody else wrote is left alone.

    Args:
        folder: the workspace; made when it is not there.

    Raises:
        ConfigurationError: its format is newer, or the marker can be neither read nor written.
    """
    check_workspace(folder)
    path = folder / _MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size:
            return
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Under a lock and only into an empty file: of two commands that start at once one writes, and what a
            # killed one left empty is filled by the next.
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file).st_size:
                os.write(file, json.dumps({"format": FORMAT, "made_by": MADE_BY}).encode() + b"\n")
                os.fsync(file)
        finally:
            os.close(file)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written: {exc.strerror}; choose another --workspace") from exc


def _marker(folder: Path) -> Mapping[str, object]:
    """The marker's fields; none when there is no marker, or when a file of that name is somebody else's."""
    try:
        document = strict_json.parse(read_at_most(folder / _MARKER, _LONGEST_MARKER))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except OSError as exc:
        raise ConfigurationError(f"{folder / _MARKER} cannot be read: {exc.strerror}") from exc
    if not isinstance(document, dict) or not str(document.get("made_by", "")).startswith("scones_ml "):
        return {}
    return document
