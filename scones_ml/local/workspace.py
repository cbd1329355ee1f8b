"""ObjectStore over folders, the workspace and S3, chosen by the bucket's name."""

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
"""The workspace's own buckets: always local, even when empty and when S3 has buckets of these names."""

_UNKNOWN: Final = "0-0"  # the etag of a folder that cannot be listed


class FolderObjectStore:
    """Files of one folder: the key is the path below it, the etag combines modification time and size.

    Keys and the bucket's name are spelled as in :mod:`scones_ml.local.names`.

    Args:
        root: the folder; hidden files and folders and links to folders are left out. A missing folder is empty.

    Attributes:
        bucket: name of the one bucket, the folder's path, so that a result leads back to its image.
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
        """Open the version that a reference names; a file that replaces it meanwhile does not matter."""
        name = name_of(ref.s3_key)
        if ref.s3_bucket != self.bucket or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ImageNotFoundError(f"{ref.uri} is not in {self._root}")
        try:
            with open_regular(self._root / name) as file:
                status = os.fstat(file.fileno())
                if ref.etag not in (None, _etag(status)):
                    raise ImageNotFoundError(f"{ref.uri} has changed since it was listed")
                yield file, status
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
            raise ImageNotFoundError(f"{ref.uri} does not exist") from exc
        except OSError as exc:
            raise UnreadableImageError(f"{ref.uri} cannot be read: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise UnreadableImageError(f"{ref.uri} {exc}") from exc

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`; only names and sizes are read.

        Unreadable files are listed too, as are unreadable folders: reading them raises the error.
        """
        if bucket != self.bucket or not self._root.is_dir():
            return
        found = sorted(self._walk(), key=lambda summary: summary.key.encode())
        yield from (summary for summary in found if summary.key.startswith(prefix))

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> NoReturn:  # noqa: ARG002
        """Always an error: the folder belongs to the user."""
        raise ConfigurationError(f"the folder {self._root} is read only: results go to the workspace")

    def delete(self, bucket: str, key: str) -> NoReturn:  # noqa: ARG002
        """Always an error: the folder belongs to the user."""
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
                if entry.is_dir(follow_symlinks=False):  # a link to a parent folder would loop
                    folders.append((f"{key}/", entry.path))
                elif status is not None and not stat.S_ISDIR(status.st_mode):
                    yield ObjectSummary(key, status.st_size, _etag(status), status.st_mtime)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Status of a link's target, or of the link if it is broken; None for a file that is gone since it was listed."""
    for followed in (True, False):
        with suppress(OSError):
            return entry.stat(follow_symlinks=followed)
    return None


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


@lru_cache(maxsize=8)  # resolving a path accesses the disk once for each of its parts
def _folder(bucket: str) -> FolderObjectStore:
    return FolderObjectStore(name_of(bucket))


class WorkspaceObjectStore:
    """Objects of folders, of the workspace and of S3.

    A bucket that is an absolute path is that folder, read only. The workspace's own buckets, and others that were
    written to this store, are below ``root``. Every other bucket is elsewhere and read only, too: only the workspace is
    written to.

    Args:
        root: folder with one folder per bucket; created on the first write.
        elsewhere: creates the store of all other buckets on first use; None for this machine only.
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
        """See :meth:`scones_ml.ports.ObjectStore.write`; an error for a folder."""
        return self._written(bucket).write(bucket, key, data, content_type)

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`; an error for a folder."""
        self._written(bucket).delete(bucket, key)

    def _holding(self, bucket: str) -> ObjectStore:
        if self._elsewhere is None or self.is_here(bucket):
            return self._written(bucket)
        return self._elsewhere()

    def _written(self, bucket: str) -> ObjectStore:
        return _folder(bucket) if bucket.startswith("/") else self._own


def image_location(source: str) -> tuple[str, str]:
    """Location of images in a :class:`WorkspaceObjectStore`.

    Args:
        source: ``s3://bucket/prefix``, or a folder on this machine.

    Returns:
        The bucket, which is a folder's absolute path for a folder, and the key prefix.

    Raises:
        ConfigurationError: no bucket is named, or there is no such folder.
    """
    if not source.startswith("s3://"):
        if not Path(source).is_dir():
            raise ConfigurationError(f"there is no folder {source}")
        return key_of(Path(source).resolve()), ""
    return parse_uri(source)
