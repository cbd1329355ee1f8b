"""One ObjectStore for every object that a workspace's commands name: the bucket's name says where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.local.folder import FolderObjectStore
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import Buckets, ObjectStore, ObjectSummary, StoredObject

__all__ = ["BUCKETS", "WorkspaceObjectStore", "image_location"]

BUCKETS: Final = Buckets("scones-input", "scones-output")
"""The workspace's own: they are here before anything is in them, even where S3 has buckets of these names."""

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
