"""Backends by name, in one place; nothing is imported before it is used.

Handlers use one port at a time; settings are read at each call, and objects built from them are cached by value.

Internal: may change without notice.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scones_ml import settings, steps
from scones_ml.errors import ConfigurationError, ImageError
from scones_ml.events import CreatedObject, ImageRef, parse_object_uri

if TYPE_CHECKING:
    from scones_ml.aws.executions import FetchedExecution, StateMachineExecutions
    from scones_ml.captures import Capture, Skipped
    from scones_ml.inference.model import OnnxClassifier
    from scones_ml.plans import Run
    from scones_ml.ports import Backend, Classifier, ObjectStore, StoredObject
    from scones_ml.steps import BatchClassifier

__all__ = [
    "backend",
    "batch_classifier",
    "capture_records",
    "classifier",
    "failed_execution",
    "object_store",
    "planner",
    "read_object",
    "region",
    "result_exists",
    "s3_store",
    "start_execution",
    "write_result",
]

_BACKENDS = {
    "aws": "scones_ml.aws.backend:AwsBackend",
    "local": "scones_ml.local.backend:LocalBackend",
}
_OBJECT_STORES = {
    "directory": "scones_ml.local.store:DirectoryObjectStore",
    "s3": "scones_ml.aws.store:S3ObjectStore",
    "workspace": "scones_ml.local.workspace:WorkspaceObjectStore",
}
_CLASSIFIERS = {
    "onnx": "scones_ml.inference.shared:shared_model",
    "sagemaker": "scones_ml.aws.classifier:SageMakerClassifier",
}
_MOST_BYTES = 200_000_000  # of a model's archive
_MODEL_SECONDS = 60  # one check a minute
"""Seconds for which a model in the store is used before checking for a new version."""
_versions: dict[str, tuple[ImageRef, float]] = {}  # of models in the store, and when each was checked


def backend(name: str, workspace: Path, run: Run | None = None) -> Backend:
    """The backend of one place to run.

    Args:
        name: ``"local"`` or ``"aws"``.
        workspace: the workspace's folder.
        run: run that new resources are recorded under; None starts a new one, which never expires.

    Raises:
        ConfigurationError: there is no such backend, or the workspace has a newer format.
    """
    if name not in _BACKENDS:
        raise ConfigurationError(f"there is no backend {name!r}: choose {' or '.join(_BACKENDS)}")
    _load("scones_ml.plans.workspace:check_workspace", workspace)
    elsewhere = [s3_store] if name == "local" else []
    return cast("Backend", _load(_BACKENDS[name], workspace, run, *elsewhere))


def planner(name: str, workspace: Path, run: Run | None = None) -> Backend:
    """As :func:`backend`, only for plans, which on AWS need neither an account nor the names of buckets and roles."""
    if name != "aws":
        return backend(name, workspace, run)
    environment = _load("scones_ml.aws.environment:PlannedAwsEnvironment")
    return cast("Backend", _load(_BACKENDS[name], workspace, run, environment))


def object_store() -> ObjectStore:
    """The object store in SCONES_OBJECT_STORE."""
    return _object_store(settings.object_store())


def read_object(ref: ImageRef) -> StoredObject:
    """Read one object from the store in SCONES_OBJECT_STORE, see :func:`scones_ml.steps.read_image`."""
    return steps.read_image(ref, object_store(), settings.image_policy())


def classifier(clock: Callable[[], float] = time.monotonic) -> Classifier:
    """The classifier in SCONES_CLASSIFIER.

    Args:
        clock: seconds; a model in the store is checked for a new version once a minute.
    """
    target = settings.classifier()
    if target.kind == "sagemaker":
        return _classifier(target, settings.labels(), settings.runtime_url())
    if target.name.startswith("s3://"):
        return _fitting(_stored_model(_newest(target.name, clock())))
    return _fitting(cast("OnnxClassifier", _load(_CLASSIFIERS["onnx"], target.name)))


def _fitting(model: OnnxClassifier) -> OnnxClassifier:
    """Check that the functions' settings match how the model reads images: the serializing function has no model."""
    found, wanted = settings.image_policy(), model.card.image_policy()
    same = found.version == wanted.version and (wanted.version == 1 or found.image_size == wanted.image_size)
    if not same or found.fit != wanted.fit:
        fit, size = model.card.fit or "", model.card.input_size
        raise ConfigurationError(
            f"the functions' settings do not match the model: set SCONES_IMAGE_SIZE={size} and "
            f"SCONES_IMAGE_FIT={fit} (the stack's parameters ImageSize and ImageFit)"
        )
    return model


def batch_classifier() -> BatchClassifier[object]:
    """The classifier in SCONES_CLASSIFIER, for many images at a time."""
    return cast("BatchClassifier[object]", classifier())


def result_exists(bucket: str, key: str, store: ObjectStore | None = None) -> bool:
    """Whether the store holds a result, by listing, which needs no permission to read.

    Args:
        bucket: bucket of the results.
        key: key of the result.
        store: the store; None for the one in SCONES_OBJECT_STORE.
    """
    return any(found.key == key for found in (store or object_store()).list(bucket, key))


def write_result(bucket: str, key: str, lines: str) -> None:
    """Write JSON Lines to the store in SCONES_OBJECT_STORE."""
    object_store().write(bucket, key, lines.encode(), "application/jsonl")


def capture_records(source: str) -> Iterator[Capture | Skipped]:
    """Read data capture, see :func:`scones_ml.captures.read_captures`; ``s3://`` is read from the store in the
    settings.

    Raises:
        ConfigurationError: there is nothing to read; raised before anything is read.
    """
    from scones_ml import captures

    return captures.read_captures(source, object_store() if source.startswith("s3://") else None)


def s3_store() -> ObjectStore:
    """S3 itself, independent of the settings."""
    return _object_store(settings.Target("s3"))


def region() -> str:
    """The AWS region of new resources.

    Raises:
        ConfigurationError: no region is set.
    """
    return str(_load("scones_ml.aws.clients:region"))


def failed_execution(arn: str) -> FetchedExecution:
    """Fetch the definition and history of an execution on AWS."""
    return cast("FetchedExecution", _load("scones_ml.aws.executions:fetch_execution", arn))


def start_execution(image: CreatedObject) -> None:
    """Start the state machine in SCONES_STATE_MACHINE for one image; a duplicate is harmless."""
    _executions(settings.state_machine()).start(image.ref, image.name)


@lru_cache(maxsize=8)
def _object_store(target: settings.Target) -> ObjectStore:
    elsewhere = [s3_store] if target.kind == "workspace" else []
    return cast("ObjectStore", _load(_OBJECT_STORES[target.kind], *filter(None, [target.name]), *elsewhere))


def _newest(uri: str, now: float) -> ImageRef:
    """The archive's current version, by etag only, so that reading it needs no permission for older versions."""
    if uri not in _versions or now >= _versions[uri][1] + _MODEL_SECONDS:
        bucket, key = parse_object_uri(uri, "SCONES_CLASSIFIER")
        ref = ImageRef(s3_bucket=bucket, s3_key=key)
        with _model_named():
            found = object_store().version(ref)
        _versions[uri] = found.model_copy(update={"version_id": None}), now
    return _versions[uri][0]


@lru_cache(maxsize=2)
def _stored_model(ref: ImageRef) -> OnnxClassifier:
    with _model_named():
        archive = object_store().read(ref, _MOST_BYTES).data
    return cast("OnnxClassifier", _load("scones_ml.inference.model:load_archive", archive, ref.uri))


@contextmanager
def _model_named() -> Iterator[None]:
    """Turn image errors into configuration errors: unlike a missing image, a missing model is a fault of the system."""
    try:
        yield
    except ImageError as exc:
        raise ConfigurationError(f"the model {exc}: SCONES_CLASSIFIER names it") from exc


@lru_cache(maxsize=2)
def _executions(arn: str) -> StateMachineExecutions:
    return cast("StateMachineExecutions", _load("scones_ml.aws.executions:StateMachineExecutions", arn))


@lru_cache(maxsize=8)
def _classifier(target: settings.Target, *details: object) -> Classifier:
    return cast("Classifier", _load(_CLASSIFIERS[target.kind], target.name, *details))


def _load(spec: str, *arguments: object) -> object:
    """Import ``module:name`` and call it.

    The garbage collector pauses: the objects are kept, and collecting in between would delay a function's first
    response through AWS's client by 8 % (benchmarks/cold_start.py).
    """
    module, name = spec.split(":")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(module), name)(*arguments)
    finally:
        if collecting:
            gc.enable()
