"""Name to backend: the only place that chooses, and nothing is imported before it is used.

Handlers ask for one port at a time; settings are read at each call, and what is built from them is kept by value.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import cast

from scones_ml import settings
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.ports import Backend, Classifier, ObjectStore, StoredObject

__all__ = ["backend", "classifier", "object_store", "read_object"]

_BACKENDS = {"local": "scones_ml.local.backend:LocalBackend"}
_OBJECT_STORES = {
    "directory": "scones_ml.local.store:DirectoryObjectStore",
    "s3": "scones_ml.aws.store:S3ObjectStore",
}
_CLASSIFIERS = {
    "onnx": "scones_ml.inference.model:load_model",
    "sagemaker": "scones_ml.aws.classifier:SageMakerClassifier",
}


def backend(name: str, workspace: Path) -> Backend:
    """The four ports of one place to run.

    Args:
        name: ``"local"``.
        workspace: the folder that holds what commands leave behind.

    Raises:
        ConfigurationError: there is no such backend.
    """
    if name not in _BACKENDS:
        raise ConfigurationError(f"there is no backend {name!r}: choose {' or '.join(_BACKENDS)}")
    return cast("Backend", _load(_BACKENDS[name], workspace))


def object_store() -> ObjectStore:
    """The store that SCONES_OBJECT_STORE names."""
    return _object_store(settings.object_store())


def read_object(ref: ImageRef) -> StoredObject:
    """Read one object from the store that SCONES_OBJECT_STORE names, but no more than one byte past the policy's cap.

    That byte is what :func:`scones_ml.images.normalise` refuses the image by.
    """
    return object_store().read(ref, settings.image_policy().max_bytes + 1)


def classifier() -> Classifier:
    """The classifier that SCONES_CLASSIFIER names."""
    target = settings.classifier()
    if target.kind == "sagemaker":
        return _classifier(target, settings.labels(), settings.runtime_url())
    return _classifier(target)


@lru_cache(maxsize=8)
def _object_store(target: settings.Target) -> ObjectStore:
    return cast("ObjectStore", _load(_OBJECT_STORES[target.kind], *filter(None, [target.name])))


@lru_cache(maxsize=8)
def _classifier(target: settings.Target, *details: object) -> Classifier:
    return cast("Classifier", _load(_CLASSIFIERS[target.kind], target.name, *details))


def _load(spec: str, *arguments: object) -> object:
    """Import ``module:name`` and call it."""
    module, name = spec.split(":")
    return getattr(importlib.import_module(module), name)(*arguments)
