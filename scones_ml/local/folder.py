"""A user's folder of images as an ObjectStore to read from: nothing is copied, nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectSummary, StoredObject

__all__ = ["FolderObjectStore"]


class FolderObjectStore:
    """Files of one folder: the key is the path below it, the etag is made of the time of change and the size.

    Args:
        root: the folder; hidden files and folders in it are left out. One that is gone holds nothing.

    Attributes:
        bucket: the one bucket's name: the folder's path, so that whoever reads a result finds the image again.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).resolve()
        self.bucket = str(self._root)

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        parts = PurePosixPath(ref.s3_key).parts
        if ref.s3_bucket != self.bucket or ref.s3_key.startswith("/") or ".." in parts:
            raise ImageNotFoundError(f"{ref.uri} is not in {self._root}")
        try:
            with (self._root / ref.s3_key).open("rb") as file:
                etag = _etag(os.fstat(file.fileno()))
                data = file.read() if limit is None else file.read(limit)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise ImageNotFoundError(f"{ref.uri} does not exist") from exc
        except OSError as exc:
            raise ConfigurationError(f"{ref.uri} cannot be read: {exc.strerror}") from exc
        if ref.etag not in (None, etag):
            raise ImageNotFoundError(f"{ref.uri} was changed since it was listed")
        return StoredObject(ref.model_copy(update={"etag": etag}), data)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`; only names and sizes are read."""
        if bucket != self.bucket or not self._root.is_dir():
            return
        found = sorted(self._walk(str(self._root), ""), key=lambda summary: summary.key.encode())
        yield from (summary for summary in found if summary.key.startswith(prefix))

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> NoReturn:  # noqa: ARG002
        """Refused: the folder is the user's."""
        raise ConfigurationError(f"the folder {self._root} is read only: results go to the workspace")

    def delete(self, bucket: str, key: str) -> NoReturn:  # noqa: ARG002
        """Refused: the folder is the user's."""
        raise ConfigurationError(f"the folder {self._root} is read only: nothing in it is deleted")

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectSummary]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():
                    status = entry.stat()
                    yield ObjectSummary(prefix + entry.name, status.st_size, _etag(status))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"
