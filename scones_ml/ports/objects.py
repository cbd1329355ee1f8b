"""Port of the object store, and the objects it returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from scones_ml.errors import ImageTooLargeError

if TYPE_CHECKING:  # pydantic is slow to import, and requests hold no events
    from scones_ml.events import ImageRef

__all__ = [
    "CONCURRENT_REQUESTS",
    "Buckets",
    "ObjectStore",
    "ObjectSummary",
    "StoredObject",
    "mark_prefix",
    "refuse_larger",
]

CONCURRENT_REQUESTS: Final = 10
"""Concurrent requests to a store: botocore keeps ten connections to a service (``max_pool_connections``), and each
request beyond them opens one that is then dropped.
"""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes, and the exact version that was read."""

    ref: ImageRef
    data: bytes


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One entry of a listing.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: entity tag without quotes.
        modified: time of writing, in seconds since 1970; whole seconds on S3.
    """

    key: str
    size: int
    etag: str
    modified: float = 0.0


def refuse_larger(size: int, limit: int | None) -> None:
    """Refuse an object that is too large, before it is read.

    Args:
        size: the object's bytes.
        limit: maximum bytes; None for no limit.

    Raises:
        ImageTooLargeError: the object is larger than ``limit``.
    """
    if limit is not None and size > limit:
        raise ImageTooLargeError(f"more than the {limit:,} bytes allowed")


class ObjectStore(Protocol):
    """Objects in buckets, with S3's semantics."""

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """Read one object in the version of ``ref``.

        Args:
            ref: the object; its etag and version id, where set, must still match.
            limit: maximum bytes; a larger object is not read. None for no limit.

        Raises:
            ImageNotFoundError: the object is gone, or its etag has changed.
            ImageTooLargeError: the object is larger than ``limit``.
            UnreadableImageError: the object exists, but cannot be read.
            TransientServiceError: throttled or timed out.
            ConfigurationError: no permission or no credentials.
        """
        ...

    def version(self, ref: ImageRef) -> ImageRef:
        """An object's current version, without its bytes; errors as :meth:`read`."""
        ...

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Write one object, replacing what has its key; returns the etag."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """List the objects whose key starts with ``prefix``, in the order of their keys' UTF-8 bytes."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object; does nothing when it does not exist."""
        ...


def mark_prefix(store: ObjectStore, bucket: str, prefix: str) -> None:
    """Mark a prefix as ours, before the first object is written below it, so that clean-up may remove it.

    The marker is an empty object whose key is the prefix, like a folder made in the S3 console.

    Args:
        store: the S3 store.
        bucket: name of the bucket.
        prefix: ends with a slash; an empty one, a whole bucket, is never marked.
    """
    if prefix:
        store.write(bucket, prefix, b"", "application/x-directory")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of a backend's images and outcomes.

    Attributes:
        input: bucket that images arrive in.
        output: bucket that outcomes are written to.
        uploads: key prefix of images uploaded for a run; they do not trigger the workflow.
        shared: whether others write to the buckets; then only objects below ``uploads`` are ours to remove.
    """

    input: str
    output: str
    uploads: str = ""
    shared: bool = False
