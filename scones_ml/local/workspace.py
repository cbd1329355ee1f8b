"""One ObjectStore for every object that a workspace's commands name: the bucket's name says where it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NoReturn

from scones_ml.bounded import open_regular
from scones_ml.errors import ConfigurationError, ImageNotFoundError, UnreadableImageError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.local.names import key_of, name_of
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import Buckets, ObjectStore, ObjectSummary, StoredObject, refuse_larger

__all__ = ["BUCKETS", "FolderObjectStore", "WorkspaceObjectStore", "image_location"]

BUCKETS: Final = Buckets("scones-input", "scones-output")
"""The workspace's own: they are here before anything is in them, even where S3 has buckets of these names."""

_UNKNOWN: Final = "0-0"  # the etag of a folder that cannot be listed


class FolderObjectStore:
    """Files of one folder: the key is the path below it, the etag is made of the time of change and the size.

    Keys and the bucket's name are spelled as :mod:`scones_ml.local.names` says.

    Args:
        root: the folder; hidden files and folders in it, and links to folders, are left out. One that is gone holds
            nothing.

    Attributes:
        bucket: the one bucket's name: the folder's path, so that whoever reads a result finds the image again.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).resolve()
        self.bucket = key_of(self._root)

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        with self._opened(ref) as (file, status):
            refuse_larger(status.st_size, limit)
            found = ref.model_copy(update={"etag": _etag(status)})
            return StoredObject(found, file.read(status.st_size))

    def version(self, ref: ImageRef) -> ImageRef:
        """See :meth:`scones_ml.ports.ObjectStore.version`."""
        with self._opened(ref) as (_, status):
            return ref.model_copy(update={"etag": _etag(status)})

    @contextmanager
    def _opened(self, ref: ImageRef) -> Iterator[tuple[BinaryIO, os.stat_result]]:
        """The version that a reference names, and what is known of it, whatever takes its name meanwhile."""
        name = name_of(ref.s3_key)
        if ref.s3_bucket != self.bucket or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ImageNotFoundError(f"{ref.uri} is not in {self._root}")
        try:
            with open_regular(self._root / name) as file:
                status = os.fstat(file.fileno())
                if ref.etag not in (None, _etag(status)):
                    raise ImageNotFoundError(f"{ref.uri} was changed since it was listed")
                yield file, status
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise ImageNotFoundError(f"{ref.uri} does not exist") from exc
        except OSError as exc:
            raise UnreadableImageError(f"{ref.uri} cannot be read: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise UnreadableImageError(f"{ref.uri} {exc}") from exc

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`; only names and sizes are read.

        What cannot be read is listed all the same, a folder as if it were a file: reading it says why.
        """
        if bucket != self.bucket or not self._root.is_dir():
            return
        found = sorted(self._walk(), key=lambda summary: summary.key.encode())
        yield from (summary for summary in found if summary.key.startswith(prefix))

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> NoReturn:  # noqa: ARG002
        """Refused: the folder is the user's."""
        raise ConfigurationError(f"the folder {self._root} is read only: results go to the workspace")

    def delete(self, bucket: str, key: str) -> NoReturn:  # noqa: ARG002
        """Refused: the folder is the user's."""
        raise ConfigurationError(f"the folder {self._root} is read only: nothing in it is deleted")

    def _walk(self) -> Iterator[ObjectSummary]:
        folders = [("", str(self._root))]
        while folders:
            prefix, folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    found = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError:
                yield ObjectSummary(prefix.rstrip("/") or ".", 0, _UNKNOWN)
                continue
            for entry in found:
                key, status = prefix + key_of(entry.name), _status(entry)
                if entry.is_dir(follow_symlinks=False):  # a link to a folder above would never end
                    folders.append((f"{key}/", entry.path))
                elif status is not None and not stat.S_ISDIR(status.st_mode):
                    yield ObjectSummary(key, status.st_size, _etag(status), status.st_mtime)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Of what a link leads to, of itself where that is nothing; None for what is gone since it was listed."""
    for followed in (True, False):
        with suppress(OSError):
            return entry.stat(follow_symlinks=followed)
    return None


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


@lru_cache(maxsize=8)  # resolving a path asks the disk once for each of its parts
def _folder(bucket: str) -> FolderObjectStore:
    return FolderObjectStore(name_of(bucket))


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

    def version(self, ref: ImageRef) -> ImageRef:
        """See :meth:`scones_ml.ports.ObjectStore.version`."""
        return self._holding(ref.s3_bucket).version(ref)

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
        return key_of(Path(source).resolve()), ""
    return parse_uri(source)
