"""Unfinished work that proves whose it is: a marker in the folder that a command works in, locked while it lives.

Clean-up removes what a killed command left, and knows of it from a record that anybody may have written. So the record
alone removes nothing: the folder itself has to bear the marker, of the same workspace, and no living process may hold
its lock. A folder that is made with the marker in it has a name of its own until then: ``.NAME.0a1b2c3d.partial``.

Internal: may change without notice.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
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
_LONGEST: Final = 10_000  # bytes of a marker


class Standing(Enum):
    """What a workspace's clean-up may do about unfinished work, from what it does not see to what it waits for."""

    NOTHING = 0
    FOREIGN = 1
    LEFT = 2
    BUSY = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """What a marker says.

    Attributes:
        workspace: the absolute path of the workspace whose command works there; empty when there is none.
        busy: whether it still works.
        bare: whether there is nothing else yet, not even the name of the workspace: it was killed right away.
    """

    workspace: str = ""
    busy: bool = False
    bare: bool = False

    def standing(self, workspace: Path | None) -> Standing:
        """What a workspace, any when None, may do about it."""
        if not (workspace is None or self.bare or self.workspace == str(workspace.resolve())):
            return Standing.FOREIGN
        return Standing.BUSY if self.busy else Standing.LEFT


@contextmanager
def claimed(folder: Path, workspace: Path | None) -> Iterator[int]:
    """Mark a folder before the block works in it, and lock the marker while it does; the marker stays.

    Args:
        folder: it exists.
        workspace: that the work is on record in; None when it is in none.

    Yields:
        The descriptor that holds the lock: a child that is given it holds it, too.

    Raises:
        ConfigurationError: another process works there, or a file of that name is somebody else's.
        OSError: the marker cannot be written.
    """
    file = _locked(folder)
    try:
        if _written(file) is None:
            raise ConfigurationError(f"{folder / MARKER} is not ours: move it away, or choose another folder")
        owner = json.dumps("" if workspace is None else str(workspace.resolve())).encode()
        text = _SIGNATURE + _COMMENT + owner + b"\n"
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))
        yield file
    finally:
        os.close(file)


def claim_of(folder: int) -> Claim | None:
    """What the marker of a folder says; None when there is none of ours. A link of its name is none.

    Args:
        folder: its descriptor.

    Raises:
        OSError: there is one, and it cannot be read.
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
    """A name for the folder that is going to be renamed to this one."""
    return f".{name}.{secrets.token_hex(4)}.partial"


def partial_folders(target: Path, workspace: Path | None) -> Iterator[tuple[Path, Standing]]:
    """Folders beside a target that are named by :func:`partial_name`, each with what may be done about it.

    Args:
        target: the folder's path.
        workspace: that asks; None stands for any.

    Raises:
        OSError: one of them, or the folder that holds them, cannot be looked at.
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


def _locked(folder: Path) -> int:
    while True:
        file = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(file)
            raise ConfigurationError(f"another command is at work in {folder}: wait until it has ended") from exc
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # whoever worked here has ended, and removed the marker before it was locked


def _written(file: int) -> str | None:
    """The workspace that a marker names, empty where it was never written; None when the file is no marker."""
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
