"""A bucket on disk that the code under test reads like S3."""

from __future__ import annotations

import mimetypes

from scones_ml.events import ImageRef
from scones_ml.ports import ObjectStore

__all__ = ["LocalBucket"]


class LocalBucket:
    """One bucket of a store.

    Attributes:
        name: the bucket's name.
        store: the bucket's store, which may contain other buckets.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.name = name

    def put(self, key: str, data: bytes) -> ImageRef:
        """Write an object, and return a reference to this version."""
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        etag = self.store.write(self.name, key, data, content_type)
        return ImageRef(s3_bucket=self.name, s3_key=key, etag=etag)

    def read(self, key: str) -> bytes:
        """The bytes of an object.

        Raises:
            ImageNotFoundError: it does not exist.
        """
        return self.store.read(ImageRef(s3_bucket=self.name, s3_key=key)).data

    def keys(self, prefix: str = "") -> list[str]:
        """The keys under a prefix, in S3's order."""
        return [found.key for found in self.store.list(self.name, prefix)]
