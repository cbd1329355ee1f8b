"""Removal that never leaves a folder: links are removed, not followed, and one failure does not stop the rest.

Every step is relative to an open folder, so that a name that becomes a link meanwhile leads nowhere.

Internal: may change without notice.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ABSENT", "Kept", "names_in", "open_folder", "remove_tree"]

ABSENT: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
"""How systems refuse to open a folder that is none: not there, a file, or a link."""

_DEEPEST: Final = 64  # folders that are open at once; macOS gives a process 256 files


@dataclass(frozen=True, slots=True)
class Kept:
    """What could not be removed.

    Attributes:
        path: below the folder that was to be removed, its name included.
        reason: in words.
    """

    path: str
    reason: str


@contextmanager
def open_folder(path: str | Path, parent: int | None = None) -> Iterator[int]:
    """A folder's descriptor while the block runs.

    Args:
        path: of the folder; its last part is never followed when it is a link.
        parent: descriptor of the folder that the path is relative to; None for the current one.

    Raises:
        OSError: it is not there, is no folder, is a link, or cannot be opened.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


def names_in(folder: int) -> list[str]:
    """Names of all that is in a folder, sorted.

    Args:
        folder: its descriptor.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder))


def remove_tree(name: str, parent: int, last: str = "") -> list[Kept]:
    """Remove a folder and all that is in it, and go on where something cannot be removed.

    Args:
        name: of the folder within its parent.
        parent: descriptor of the parent.
        last: file in it that goes when all else has gone, such as the one that says whose folder it is.

    Returns:
        What is left, with reasons; empty when all is gone, or was not there.
    """
    try:
        with open_folder(name, parent) as top:
            kept = _Emptying(top, last).empty(top, name)
        if not kept:
            os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return []
    except OSError as exc:
        return [Kept(name, _reason(exc))]
    return kept


class _Emptying:
    """One removal.

    Args:
        top: descriptor of the folder that is removed.
        last: file in it that goes at last.
    """

    def __init__(self, top: int, last: str) -> None:
        self._top, self._last, self._device = top, last, os.fstat(top).st_dev

    def empty(self, folder: int, path: str, depth: int = 0) -> list[Kept]:
        """Remove all that is in a folder."""
        kept: list[Kept] = []
        seen = {self._last} if folder == self._top else set[str]()
        while entries := [entry for entry in _entries(folder) if entry.name not in seen]:
            for entry in entries:
                seen.add(entry.name)
                kept += self._remove(entry, folder, f"{path}/{entry.name}", depth)
            if folder != self._top:  # nothing is moved to it while it is emptied
                return kept
        if self._last and not kept and folder == self._top:
            with suppress(FileNotFoundError):
                os.unlink(self._last, dir_fd=folder)
        return kept

    def _remove(self, entry: os.DirEntry[str], folder: int, path: str, depth: int) -> list[Kept]:
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif depth == _DEEPEST:  # continued from the top, so that few folders are open at once
                os.rename(entry.name, secrets.token_hex(8), src_dir_fd=folder, dst_dir_fd=self._top)
            else:
                with open_folder(entry.name, folder) as inner:
                    if os.fstat(inner).st_dev != self._device:
                        return [Kept(path, "another disk is mounted there")]
                    if kept := self.empty(inner, path, depth + 1):
                        return kept
                os.rmdir(entry.name, dir_fd=folder)
        except FileNotFoundError:
            return []
        except OSError as exc:
            return [Kept(path, _reason(exc))]
        return []


def _entries(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _reason(exc: OSError) -> str:
    return exc.strerror or str(exc)
