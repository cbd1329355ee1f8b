"""The verbs as functions of a backend: train, deploy, run, evaluate, clean up.

The caller brings the backend (see :func:`scones_ml.backends.backend`); nothing here prints, and nothing here knows
where it runs. ``stage`` needs no backend: it is :func:`scones_ml.dataset.stage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import captures, dataset
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.evaluation import Comparison, Evaluation
from scones_ml.evaluation import compare as compare_predictions
from scones_ml.evaluation import evaluate as evaluate_predictions
from scones_ml.events import ImageRef
from scones_ml.inference.model import ModelCard, load_model, read_card
from scones_ml.ports import (
    Backend,
    DeploymentRequest,
    Endpoint,
    ImageResult,
    Progress,
    TrainingRequest,
    WorkflowModel,
    WorkflowRequest,
    no_progress,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Leftover",
    "Predictions",
    "cleanup",
    "compare",
    "deploy",
    "evaluate",
    "leftovers",
    "predict",
    "read_captures",
    "run",
    "train",
    "upload",
]

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Leftover:
    """A resource that exists.

    Attributes:
        kind: ``"endpoint"`` or ``"object"``.
        name: its name or URI.
    """

    kind: str
    name: str


def train(backend: Backend, request: TrainingRequest, progress: Progress = no_progress) -> ModelCard:
    """Train a model on a staged data set; its threshold is chosen on the calibration split.

    Raises:
        DatasetError: ``request.data`` is not a staged data set.
        TrainingError: the job did not finish.
    """
    dataset.load(request.data)
    backend.trainer.train(request, progress)
    return read_card(request.model)


def deploy(backend: Backend, request: DeploymentRequest) -> Endpoint:
    """Serve a model under a name, and wait until it answers.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: the endpoint did not come up.
    """
    return backend.deployer.deploy(request)


def upload(backend: Backend, files: Iterable[tuple[str, bytes]]) -> tuple[ImageRef, ...]:
    """Put named files into the input bucket, where they wait to be run.

    Args:
        backend: where to.
        files: key and bytes of each; on AWS keys get a prefix of their own.

    Returns:
        References to the very versions that were written.
    """
    to = backend.buckets
    refs = []
    for name, data in files:
        key = f"{to.uploads}{name}"
        etag = backend.store.write(to.input, key, data, "application/octet-stream")
        refs.append(ImageRef(s3_bucket=to.input, s3_key=key, etag=etag))
    return tuple(refs)


def run(
    backend: Backend,
    images: Iterable[ImageRef],
    classifier: Endpoint | Path | None = None,
    threshold: float | None = None,
) -> Iterator[ImageResult]:
    """Send images through the state machine, one execution each.

    Args:
        backend: where they run.
        images: objects in the backend's store.
        classifier: an endpoint, or a model's folder; None for the one that the workflow was deployed with, on AWS.
        threshold: in (0, 1]; None takes the model's own.

    Raises:
        ConfigurationError: no threshold was given, and the model has none; or the workflow was deployed with a
            model, and one was given.
    """
    model = None if classifier is None else _workflow_model(classifier, threshold)
    if model is None and threshold is not None:
        raise ConfigurationError("a threshold was given without its model: on AWS the stack's functions hold both")
    return backend.runner.run(WorkflowRequest(images, backend.buckets.output, model))


def _workflow_model(classifier: Endpoint | Path, threshold: float | None) -> WorkflowModel:
    if isinstance(classifier, Path):
        card = read_card(classifier)
        own, image_size = card.threshold, card.input_size
    else:
        own, image_size = classifier.threshold, classifier.image_size
    threshold = own if threshold is None else threshold
    if threshold is None:
        raise ConfigurationError("no threshold could keep the model's promise of precision: give one with --threshold")
    return WorkflowModel(classifier, threshold, image_size)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A model's answers on labelled images.

    Attributes:
        probabilities: float32 (N, K).
        labels: int64 (N,), the truth.
        classes: K names.
        threshold: the model's own; None when it has none.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    threshold: float | None


def predict(model: Path, data: Path, split: dataset.Split = "test", progress: Progress = no_progress) -> Predictions:
    """Ask a model about every image of one split.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set, has other classes than the model, or the split is empty.
    """
    import numpy as np

    classifier = load_model(model)
    staged = dataset.load(data)
    if staged.classes != classifier.labels:
        raise DatasetError(
            f"{data} holds {', '.join(staged.classes)}, but the model knows {', '.join(classifier.labels)}"
        )
    size = classifier.card.input_size
    if staged.image_size != size:
        raise DatasetError(
            f"{data} was staged at {staged.image_size} pixels, but the model takes {size}: "
            f"stage it with --image-size {size}"
        )
    pixels, labels = staged.arrays(split)
    if not len(labels):
        raise DatasetError(f"{data} has no {split} images: stage a source that has some")
    probabilities = []
    for start in range(0, len(labels), _BATCH):
        probabilities.append(classifier.predict_batch(pixels[start : start + _BATCH]))
        progress(min(start + _BATCH, len(labels)), len(labels))
    return Predictions(np.concatenate(probabilities), labels, staged.classes, classifier.card.threshold)


def evaluate(predictions: Predictions) -> Evaluation:
    """Every figure of a model on one split, at the model's own threshold."""
    return evaluate_predictions(
        predictions.probabilities, predictions.labels, predictions.classes, predictions.threshold
    )


def compare(old: Predictions, new: Predictions) -> Comparison:
    """Whether a new model is better than an old one beyond chance, on the same images."""
    return compare_predictions(old.probabilities, new.probabilities, new.labels)


def read_captures(folder: Path) -> tuple[list[captures.Capture], int]:
    """Read every capture below a folder, oldest file first.

    Returns:
        The records, and how many lines could not be read.
    """
    records, skipped = [], 0
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open("rb") as lines:
            for row in captures.read_captures(lines):
                if isinstance(row, captures.Capture):
                    records.append(row)
                else:
                    skipped += 1
    return records, skipped


def cleanup(backend: Backend) -> tuple[Leftover, ...]:
    """Remove every endpoint and every object of ours, then list again.

    Returns:
        What is still there; empty is the proof that nothing is.
    """
    for endpoint in backend.deployer.endpoints():
        backend.deployer.remove(endpoint.name)
    for bucket in (backend.buckets.input, backend.buckets.output):
        for found in list(backend.store.list(bucket)):
            backend.store.delete(bucket, found.key)
    return leftovers(backend)


def leftovers(backend: Backend) -> tuple[Leftover, ...]:
    """List what exists: endpoints, and objects in our buckets."""
    endpoints = [Leftover("endpoint", endpoint.name) for endpoint in backend.deployer.endpoints()]
    objects = [
        Leftover("object", f"s3://{bucket}/{found.key}")
        for bucket in (backend.buckets.input, backend.buckets.output)
        for found in backend.store.list(bucket)
    ]
    return (*endpoints, *objects)
