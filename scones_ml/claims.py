"""Ownership of unfinished work, proved by a marker in the folder, locked by the working process.

Clean-up removes the remains of killed commands, found by records that anyone may have written. So a record is not
sufficient: the folder must hold our marker, of the same workspace, and no process may hold its lock. A folder has a
temporary name, ``.NAME.0a1b2c3d.partial``, until its marker is written.

Internal: may change without notice.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from scones_ml import strict_json
from scones_ml.errors import ConfigurationError
from scones_ml.removal import ABSENT, names_in, open_folder

__all__ = ["MARKER", "Claim", "Standing", "claim_of", "claimed", "partial_folders", "partial_name"]

MARKER: Final = ".scones-unfinished"
"""Name of the marker."""

_SIGNATURE: Final = b"Signature: scones_ml unfinished work, version 1\n"
_COMMENT: Final = b"# A command works here, or was killed: `scones cleanup` removes what it left half-made.\n"
_LONGEST: Final = 10_000  # maximum bytes of a marker
_PATIENCE: Final = 5.0  # seconds, in which the child of a killed command ends


class Standing(Enum):
    """Status of unfinished work for a workspace's clean-up."""

    NOTHING = 0
    FOREIGN = 1
    LEFT = 2
    BUSY = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """Contents of a marker.

    Attributes:
        workspace: absolute path of the command's workspace; empty without one.
        busy: whether the command is still running.
        bare: whether the folder holds nothing else and the marker is empty, since the command was killed at once.
    """

    workspace: str = ""
    busy: bool = False
    bare: bool = False

    def standing(self, workspace: Path | None) -> Standing:
        """Status for a workspace; None for any."""
        if not (workspace is None or self.bare or self.workspace == str(workspace.resolve())):
            return Standing.FOREIGN
        return Standing.BUSY if self.busy else Standing.LEFT


@contextmanager
def claimed(folder: Path, workspace: Path | None, patience: float = _PATIENCE) -> Iterator[int]:
    """Mark a folder, and hold the marker's lock during the block; the marker stays.

    Args:
        folder: an existing folder.
        workspace: workspace that records the work; None without one.
        patience: seconds to wait for another process.

    Yields:
        Descriptor of the lock; a child that inherits it holds the lock, too.

    Raises:
        ConfigurationError: another process works there, or a file of that name is not ours.
        OSError: the marker cannot be written.
    """
    file = _locked(folder, patience)
    try:
        if _written(file) is None:
            raise ConfigurationError(
                f"{folder / MARKER} was not written by scones: move it away, or choose another folder"
            )
        owner = json.dumps("" if workspace is None else str(workspace.resolve())).encode()
        text = _SIGNATURE + _COMMENT + owner + b"\n"
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))
        yield file
    finally:
        os.close(file)


def claim_of(folder: int) -> Claim | None:
    """Read the marker of a folder; None if there is none of ours. Links do not count.

    Args:
        folder: descriptor of the folder.

    Raises:
        OSError: the marker cannot be read.
    """
    try:
        file = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as exc:
        if exc.errno in ABSENT:
            return None
        raise
    try:
        workspace = _written(file)
        if workspace is None:
            return None
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Claim(workspace or "", busy=True)
    finally:
        os.close(file)
    return Claim(workspace)


def partial_name(name: str) -> str:
    """Temporary name of a folder that will be renamed to this name."""
    return f".{name}.{secrets.token_hex(4)}.partial"


def partial_folders(target: Path, workspace: Path | None) -> Iterator[tuple[Path, Standing]]:
    """Folders beside a target with names of :func:`partial_name`, each with its status.

    Args:
        target: path of the folder.
        workspace: workspace for the status; None for any.

    Raises:
        OSError: one of them, or their parent, cannot be read.
    """
    pattern = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{8}[.]partial")
    try:
        with open_folder(target.parent) as parent:
            for name in filter(pattern.fullmatch, names_in(parent)):
                claim = _claim_within(parent, name)
                yield target.parent / name, claim.standing(workspace) if claim else Standing.FOREIGN
    except (FileNotFoundError, NotADirectoryError):
        return


def _claim_within(parent: int, name: str) -> Claim | None:
    try:
        with open_folder(name, parent) as folder:
            found = claim_of(folder)
            if set(names_in(folder)) <= {MARKER} and (found is None or not found.workspace):
                return Claim(busy=found is not None and found.busy, bare=True)
            return found
    except OSError as exc:
        if exc.errno in ABSENT:
            return None
        raise


def _locked(folder: Path, patience: float) -> int:
    until = time.monotonic() + patience
    while True:
        file = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(file)
            if time.monotonic() < until:
                time.sleep(0.02)
                continue
            raise ConfigurationError(f"another command is running in {folder}: wait until it has ended") from exc
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # the previous owner removed the marker before it was locked


def _written(file: int) -> str | None:
    """Workspace in a marker, empty if not yet written; None if the file is not a marker."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        return None
    data = os.pread(file, _LONGEST, 0)
    if not data.startswith(_SIGNATURE):
        return None if data else ""
    try:
        workspace = strict_json.parse_names(data.split(b"\n")[2])
    except (ValueError, IndexError):
        return ""
    return workspace if isinstance(workspace, str) else ""
