"""Atomic replacement of a data set, and recovery from killed stagings.

Staging works in a hidden folder beside the destination that holds our marker: ``new`` in it becomes the data set,
``old`` is the replaced one.
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
    """Work in a hidden folder that replaces the target on success and is removed on failure.

    Args:
        target: resolved path of a data set, an empty folder, or nothing yet.
        workspace: workspace that the staging is recorded in.

    Raises:
        DatasetError: the folder cannot be written.
    """
    partial = target.with_name(partial_name(target.name))
    try:
        with suppress(OSError):  # harmless if it stays
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
    """Remove the remains of killed stagings to a destination, and restore a data set they were replacing.

    Args:
        destination: as passed to :func:`~scones_ml.dataset.stage`; an existing data set is not changed.
        workspace: limits recovery to commands of this workspace; None for all. Folders without our marker, or in use
            by another process, are never touched.

    Raises:
        OSError: a folder cannot be read or removed.
    """
    target = Path(destination).resolve()
    for folder, standing in remnants(target, workspace).items():
        if standing is Standing.LEFT and (kept := _tidy(folder, target.name)):
            raise OSError(errno.EIO, kept[0].reason, str(folder.parent / kept[0].path))


def remnants(destination: str | Path, workspace: Path | None = None) -> dict[Path, Standing]:
    """Hidden folders beside a destination, with what :func:`recover` would do about each.

    Raises:
        OSError: a folder cannot be read.
    """
    return dict(partial_folders(Path(destination).resolve(), workspace))


def _tidy(partial: Path, target: str) -> list[Kept]:
    """Remove one of our folders; the earlier data set in it is restored unless it has been replaced."""
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
