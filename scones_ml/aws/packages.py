"""Model packages: made, looked for in S3 and uploaded."""

from __future__ import annotations

from scones_ml.plans import Change
from scones_ml.ports import ObjectStore

__all__ = ["is_stored", "store_package"]


def is_stored(store: ObjectStore, change: Change) -> bool:
    """Whether a plan's object is there; its name says what it holds."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))
