"""Image files on this machine, by the keys that they get in a store."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from scones_ml.errors import InvalidImageError
from scones_ml.local.names import key_of, name_of
from scones_ml.local.workspace import FolderObjectStore

__all__ = ["image_files"]


def image_files(paths: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Map keys to files: the key is the file name, or the whole path where names collide.

    Args:
        paths: files or folders; hidden files in folders are left out.

    Raises:
        InvalidImageError: there is no such file, or a folder holds none.
    """
    keys = {file.absolute(): key for path in map(Path, paths) for key, file in _found(path)}
    alike = Counter(keys.values())
    return {key if alike[key] == 1 else key_of(file.as_posix().lstrip("/")): file for file, key in keys.items()}


def _found(path: Path) -> Iterator[tuple[str, Path]]:
    """Files by short name: the file itself, or a folder's files without hidden ones."""
    if path.is_dir():
        folder = FolderObjectStore(path)
        files = list(folder.list(folder.bucket))
        if not files:
            raise InvalidImageError(f"the folder {path} holds no files")
        for file in files:
            yield f"{key_of(path.resolve().name)}/{file.key}", path / name_of(file.key)
    elif os.path.lexists(path):  # a broken link has an outcome, too
        yield key_of(path.name), path
    else:
        raise InvalidImageError(f"there is no file {path}")
