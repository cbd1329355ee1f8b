"""A data set takes the place of another one in a single step, and what a killed staging left is told to be ours.

Staging works in a hidden folder beside the destination that bears our marker: ``new`` in it becomes the data set,
``old`` is the one that was there before.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scones_ml.claims import MARKER, Standing, claimed, partial_folders, partial_name
from scones_ml.errors import DatasetError
from scones_ml.removal import Kept, names_in, open_folder, remove_tree

__all__ = ["recover", "remnants", "replacing"]

_NEW, _OLD = "new", "old"


@contextmanager
def replacing(target: Path, workspace: Path | None) -> Iterator[Path]:
    """Work in a hidden folder beside the target, which takes its place when all went well, and is removed if not.

    Args:
        target: resolved; a data set, an empty folder, or nothing yet.
        workspace: that the staging is on record in.

    Raises:
        DatasetError: it cannot be written.
    """
    partial = target.with_name(partial_name(target.name))
    try:
        with suppress(OSError):  # it is in nobody's way
            recover(target)
        partial.mkdir(parents=True)
        try:
            with claimed(partial, workspace):
                new = partial / _NEW
                new.mkdir()
                yield new
                if target.exists():
                    target.rename(partial / _OLD)
                new.rename(target)
        finally:
            _tidy(partial, target.name)
    except OSError as exc:
        hint = ": free some space, or choose another disk" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise DatasetError(f"cannot write {target}: {exc.strerror or exc}{hint}") from exc


def recover(destination: str | Path, workspace: Path | None = None) -> None:
    """Remove what stagings to a destination left when they were killed; the data set they were replacing comes back.

    Args:
        destination: as it was given to :func:`~scones_ml.dataset.stage`; a data set that is there stays as it is.
        workspace: keeps to what commands of this workspace left; None for all. What does not bear our marker, and what
            another process works in, is left alone in any case.

    Raises:
        OSError: something of it cannot be looked at, or removed.
    """
    target = Path(destination).resolve()
    for folder, standing in remnants(target, workspace).items():
        if standing is Standing.LEFT and (kept := _tidy(folder, target.name)):
            raise OSError(errno.EIO, kept[0].reason, str(folder.parent / kept[0].path))


def remnants(destination: str | Path, workspace: Path | None = None) -> dict[Path, Standing]:
    """Hidden folders beside a destination, and what :func:`recover`, given the same, does about each.

    Raises:
        OSError: something of it cannot be looked at.
    """
    return dict(partial_folders(Path(destination).resolve(), workspace))


def _tidy(partial: Path, target: str) -> list[Kept]:
    """Remove a folder of ours; the earlier data set in it comes back unless another one took its place."""
    with suppress(FileNotFoundError), open_folder(partial.parent) as parent:
        with open_folder(partial.name, parent) as folder:
            if _OLD in names_in(folder) and not _is_there(target, parent):
                os.rename(_OLD, target, src_dir_fd=folder, dst_dir_fd=parent)
        return remove_tree(partial.name, parent, last=MARKER)
    return []


def _is_there(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
