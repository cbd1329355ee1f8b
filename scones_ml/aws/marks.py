"""The mark of what we write into S3: metadata that name the very object, so that a copy elsewhere bears none."""

from __future__ import annotations

import hashlib

__all__ = ["mark"]


def mark(bucket: str, key: str) -> dict[str, str]:
    """The metadata of an object that we write.

    Args:
        bucket: its bucket.
        key: its key.
    """
    # A hash: keys may be longer, and of other characters, than metadata can hold.
    uri = f"s3://{bucket}/{key}".encode(errors="surrogateescape")
    return {"scones-object": hashlib.sha256(uri).hexdigest()}
