"""One ObjectStore for every object that a workspace's commands name: the bucket's name says where it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import Buckets, ObjectStore, ObjectSummary, StoredObject

__all__ = ["BUCKETS", "FolderObjectStore", "WorkspaceObjectStore", "image_location"]

BUCKETS: Final = Buckets("scones-input", "scones-output")
"""The workspace's own: they are here before anything is in them, even where S3 has buckets of these names."""


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
                etag = _etag(os.fstat(file.fileno()))  # of what is read, whatever takes its name meanwhile
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
                if entry.is_dir(follow_symlinks=False):  # a link to a folder above would never end
                    yield from self._walk(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():
                    status = entry.stat()
                    yield ObjectSummary(prefix + entry.name, status.st_size, _etag(status))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


_folder = lru_cache(maxsize=8)(FolderObjectStore)  # resolving a path asks the disk once for each of its parts


class WorkspaceObjectStore:
    """Objects of folders, of the workspace and of S3.

    A bucket that is an absolute path is this folder, which is only read. The workspace's own buckets, and whatever
    else was written to this store, are below ``root``. Every other bucket is elsewhere, and is only read as well:
    writing and deleting never leave the workspace.

    Args:
        root: the folder that holds one folder per bucket; made when something is written.
        elsewhere: makes the store of all other buckets when one is asked for; None keeps to this machine.
    """

    def __init__(self, root: str | Path, elsewhere: Callable[[], ObjectStore] | None = None) -> None:
        self.root = Path(root)
        self._own, self._elsewhere = DirectoryObjectStore(root), elsewhere

    def is_here(self, bucket: str) -> bool:
        """Whether a bucket is on this machine."""
        known = bucket.startswith("/") or bucket in (BUCKETS.input, BUCKETS.output) or self._elsewhere is None
        return known or self._own.has_bucket(bucket)

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        return self._holding(ref.s3_bucket).read(ref, limit)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`."""
        return self._holding(bucket).list(bucket, prefix)

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """See :meth:`scones_ml.ports.ObjectStore.write`; a folder refuses it."""
        return self._written(bucket).write(bucket, key, data, content_type)

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`; a folder refuses it."""
        self._written(bucket).delete(bucket, key)

    def _holding(self, bucket: str) -> ObjectStore:
        if self._elsewhere is None or self.is_here(bucket):
            return self._written(bucket)
        return self._elsewhere()

    def _written(self, bucket: str) -> ObjectStore:
        return _folder(bucket) if bucket.startswith("/") else self._own


def image_location(source: str) -> tuple[str, str]:
    """Where images lie in a :class:`WorkspaceObjectStore`.

    Args:
        source: ``s3://bucket/prefix``, or a folder of this machine.

    Returns:
        The bucket, a folder's absolute path, and the prefix of the keys.

    Raises:
        ConfigurationError: no bucket is named, or there is no such folder.
    """
    if not source.startswith("s3://"):
        if not Path(source).is_dir():
            raise ConfigurationError(f"there is no folder {source}")
        return str(Path(source).resolve()), ""
    return parse_uri(source)
