"""Safe removal of folders: links are removed, not followed, and errors do not stop the rest.

Every step is relative to an open folder, so that a name replaced by a link meanwhile is not followed.

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
"""Error codes for a path that is not a folder: missing, a file, or a link."""

_DEEPEST: Final = 64  # maximum open folders; macOS allows a process 256 files


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that could not be removed.

    Attributes:
        path: path relative to the removed folder's parent.
        reason: description of the reason.
    """

    path: str
    reason: str


@contextmanager
def open_folder(path: str | Path, parent: int | None = None) -> Iterator[int]:
    """Open a folder's descriptor for the block.

    Args:
        path: path of the folder; its last part must not be a link.
        parent: descriptor of the folder that the path is relative to; None for the current one.

    Raises:
        OSError: the folder does not exist, is not a folder, is a link, or cannot be opened.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


def names_in(folder: int) -> list[str]:
    """Sorted names of a folder's entries.

    Args:
        folder: descriptor of the folder.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder))


def remove_tree(name: str, parent: int, last: str = "") -> list[Kept]:
    """Remove a folder with its contents; continue after errors.

    Args:
        name: name of the folder within its parent.
        parent: descriptor of the parent.
        last: name of a file to remove last, such as the marker of ownership.

    Returns:
        Remaining paths, with reasons; empty if all is removed, or did not exist.
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
    """Removal of a folder's contents.

    Args:
        top: descriptor of the removed folder.
        last: name of a file to remove last.
    """

    def __init__(self, top: int, last: str) -> None:
        self._top, self._last, self._device = top, last, os.fstat(top).st_dev

    def empty(self, folder: int, path: str, depth: int = 0) -> list[Kept]:
        """Remove the contents of a folder."""
        kept: list[Kept] = []
        seen = {self._last} if folder == self._top else set[str]()
        while entries := [entry for entry in _entries(folder) if entry.name not in seen]:
            for entry in entries:
                seen.add(entry.name)
                kept += self._remove(entry, folder, f"{path}/{entry.name}", depth)
            if folder != self._top:  # nothing is moved into it while it is emptied
                return kept
        if self._last and not kept and folder == self._top:
            with suppress(FileNotFoundError):
                os.unlink(self._last, dir_fd=folder)
        return kept

    def _remove(self, entry: os.DirEntry[str], folder: int, path: str, depth: int) -> list[Kept]:
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif depth == _DEEPEST:  # continued from the top, to limit open folders
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
