"""The object store, and what it hands out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from scones_ml.errors import ImageTooLargeError

if TYPE_CHECKING:  # pydantic is slow to import, and a request holds no event
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
"""Requests to a store that are worth sending at the same time: botocore keeps ten connections to a service
(``max_pool_connections``), and each request beyond them opens one that is then dropped."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was read: its bytes and the exact version that they are."""

    ref: ImageRef
    data: bytes


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """A line of a listing.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: entity tag without quotes.
        modified: when it was written, in seconds since 1970; S3 tells whole seconds.
    """

    key: str
    size: int
    etag: str
    modified: float = 0.0


def refuse_larger(size: int, limit: int | None) -> None:
    """Refuse an object by its size, before it is read.

    Args:
        size: its bytes.
        limit: the most that are allowed; None for any.

    Raises:
        ImageTooLargeError: it is larger.
    """
    if limit is not None and size > limit:
        raise ImageTooLargeError(f"more than the {limit:,} bytes allowed")


class ObjectStore(Protocol):
    """Buckets of named bytes with S3's semantics."""

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """Read one object at the version that ``ref`` names.

        Args:
            ref: the object; an etag or a version id in it must still hold.
            limit: bytes; of a larger object nothing is read. None for any size.

        Raises:
            ImageNotFoundError: it is gone, or its etag is another one by now.
            ImageTooLargeError: it is larger than ``limit``.
            UnreadableImageError: it is there, but this object cannot be read.
            TransientServiceError: throttled or timed out.
            ConfigurationError: no permission or no credentials.
        """
        ...

    def version(self, ref: ImageRef) -> ImageRef:
        """The version that an object has now, without handing out its bytes; errors as :meth:`read`."""
        ...

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Write one object, replacing what has its key; returns the etag."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """List the objects whose key starts with ``prefix``, in the order of their keys' UTF-8 bytes."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object; nothing happens when it is not there."""
        ...


def mark_prefix(store: ObjectStore, bucket: str, prefix: str) -> None:
    """Write the object that makes a prefix ours to remove, before the first one below it.

    Its key is the prefix itself and it is empty, as S3's console makes folders.

    Args:
        store: S3.
        bucket: its name.
        prefix: with a slash at its end; an empty one, a whole bucket, is never ours.
    """
    if prefix:
        store.write(bucket, prefix, b"", "application/x-directory")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where a backend's images and outcomes are.

    Attributes:
        input: bucket that images arrive in.
        output: bucket that outcomes go to.
        uploads: prefix of the keys of what is uploaded to be run; images under it start nothing by themselves.
        shared: whether others write there too; then only what is below ``uploads`` is ours to remove.
    """

    input: str
    output: str
    uploads: str = ""
    shared: bool = False
