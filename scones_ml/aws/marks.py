"""Mark of objects that we write to S3: metadata derived from bucket and key, so that a copy elsewhere is not marked."""

from __future__ import annotations

import hashlib

__all__ = ["mark"]


def mark(bucket: str, key: str) -> dict[str, str]:
    """Metadata of an object that we write.

    Args:
        bucket: its bucket.
        key: its key.
    """
    # A hash: keys may be longer than metadata allows, and hold other characters.
    uri = f"s3://{bucket}/{key}".encode(errors="surrogateescape")
    return {"scones-object": hashlib.sha256(uri).hexdigest()}
