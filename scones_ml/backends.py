"""Name to backend: the only place that chooses, and nothing is imported before it is used.

Handlers ask for one port at a time; settings are read at each call, and what is built from them is kept by value.

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
_MODEL_SECONDS = 60  # one request a minute, and a new model answers within it
"""How long a model in the store is used before asking whether it was replaced."""
_versions: dict[str, tuple[ImageRef, float]] = {}  # of models in the store, and when each was asked for


def backend(name: str, workspace: Path, run: Run | None = None) -> Backend:
    """The ports of one place to run.

    Args:
        name: ``"local"`` or ``"aws"``.
        workspace: the folder that holds what commands leave behind.
        run: that what is made belongs to; None starts a new one, which never expires.

    Raises:
        ConfigurationError: there is no such backend, or the workspace is of a newer format.
    """
    if name not in _BACKENDS:
        raise ConfigurationError(f"there is no backend {name!r}: choose {' or '.join(_BACKENDS)}")
    _load("scones_ml.plans.workspace:check_workspace", workspace)
    elsewhere = [s3_store] if name == "local" else []
    return cast("Backend", _load(_BACKENDS[name], workspace, run, *elsewhere))


def planner(name: str, workspace: Path, run: Run | None = None) -> Backend:
    """As :func:`backend`, for its plans alone: on AWS these need no account, nor the names of buckets and roles."""
    if name != "aws":
        return backend(name, workspace, run)
    environment = _load("scones_ml.aws.environment:PlannedAwsEnvironment")
    return cast("Backend", _load(_BACKENDS[name], workspace, run, environment))


def object_store() -> ObjectStore:
    """The store that SCONES_OBJECT_STORE names."""
    return _object_store(settings.object_store())


def read_object(ref: ImageRef) -> StoredObject:
    """Read one object from the store that SCONES_OBJECT_STORE names, see :func:`scones_ml.steps.read_image`."""
    return steps.read_image(ref, object_store(), settings.image_policy())


def classifier(clock: Callable[[], float] = time.monotonic) -> Classifier:
    """The classifier that SCONES_CLASSIFIER names.

    Args:
        clock: seconds; whether a model in the store was replaced is asked once a minute.
    """
    target = settings.classifier()
    if target.kind == "sagemaker":
        return _classifier(target, settings.labels(), settings.runtime_url())
    if target.name.startswith("s3://"):
        return _fitting(_stored_model(_newest(target.name, clock())))
    return _fitting(cast("OnnxClassifier", _load(_CLASSIFIERS["onnx"], target.name)))


def _fitting(model: OnnxClassifier) -> OnnxClassifier:
    """The model, once the functions are known to be set as it reads images: the one that serializes knows no model."""
    found, wanted = settings.image_policy(), model.card.image_policy()
    same = found.version == wanted.version and (wanted.version == 1 or found.image_size == wanted.image_size)
    if not same or found.fit != wanted.fit:
        fit, size = model.card.fit or "", model.card.input_size
        raise ConfigurationError(
            f"the functions are not set as the model reads images: set SCONES_IMAGE_SIZE={size} and "
            f"SCONES_IMAGE_FIT={fit} (the stack's parameters ImageSize and ImageFit)"
        )
    return model


def batch_classifier() -> BatchClassifier[object]:
    """The classifier that SCONES_CLASSIFIER names, for many images at a time."""
    return cast("BatchClassifier[object]", classifier())


def result_exists(bucket: str, key: str, store: ObjectStore | None = None) -> bool:
    """Whether the store holds this result; asks by listing, for which no right to read is needed.

    Args:
        bucket: where results are.
        key: the result's.
        store: None for the one that SCONES_OBJECT_STORE names.
    """
    return any(found.key == key for found in (store or object_store()).list(bucket, key))


def write_result(bucket: str, key: str, lines: str) -> None:
    """Write JSON Lines to the store that SCONES_OBJECT_STORE names."""
    object_store().write(bucket, key, lines.encode(), "application/jsonl")


def capture_records(source: str) -> Iterator[Capture | Skipped]:
    """Read data capture, see :func:`scones_ml.captures.read_captures`; S3 is the store that the settings name.

    Raises:
        ConfigurationError: there is nothing to read; before anything is read.
    """
    from scones_ml import captures

    return captures.read_captures(source, object_store() if source.startswith("s3://") else None)


def s3_store() -> ObjectStore:
    """S3 itself, whatever the settings say."""
    return _object_store(settings.Target("s3"))


def region() -> str:
    """The region of what we make on AWS.

    Raises:
        ConfigurationError: none is set.
    """
    return str(_load("scones_ml.aws.clients:region"))


def failed_execution(arn: str) -> FetchedExecution:
    """Fetch definition and history of an execution on AWS."""
    return cast("FetchedExecution", _load("scones_ml.aws.executions:fetch_execution", arn))


def start_execution(image: CreatedObject) -> None:
    """Start the state machine that SCONES_STATE_MACHINE names for one image; a duplicate is harmless."""
    _executions(settings.state_machine()).start(image.ref, image.name)


@lru_cache(maxsize=8)
def _object_store(target: settings.Target) -> ObjectStore:
    elsewhere = [s3_store] if target.kind == "workspace" else []
    return cast("ObjectStore", _load(_OBJECT_STORES[target.kind], *filter(None, [target.name]), *elsewhere))


def _newest(uri: str, now: float) -> ImageRef:
    """The archive's present version; kept by its etag alone, so that reading it needs no right to older versions."""
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
    """An image that is gone is dropped, or too large set aside; a model is not: that is the system's fault."""
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

    The garbage collector pauses: what is made here stays, and looking for garbage in between would make a function's
    first answer through AWS's client 8 % later (benchmarks/cold_start.py).
    """
    module, name = spec.split(":")
    collecting = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(module), name)(*arguments)
    finally:
        if collecting:
            gc.enable()
