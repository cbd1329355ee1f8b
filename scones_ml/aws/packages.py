"""Model packages: made, looked for in S3 and uploaded."""

from __future__ import annotations

from pathlib import Path

from scones_ml.plans import Change
from scones_ml.ports import BuiltInModel, ObjectStore
from scones_ml.sagemaker.model_package import ModelPackage, pack_model

__all__ = ["is_stored", "package_of", "store_package"]


def package_of(model: Path | BuiltInModel) -> ModelPackage | None:
    """The model's package; None for what lies in S3 already.

    Raises:
        ConfigurationError: it is not a model.
    """
    return pack_model(model) if isinstance(model, Path) else None


def is_stored(store: ObjectStore, change: Change) -> bool:
    """Whether a plan's object is there; its name says what it holds."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))
