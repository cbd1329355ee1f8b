"""The verbs as functions of a backend: train, deploy, run, evaluate, clean up.

The caller brings the backend (see :func:`scones_ml.backends.backend`); nothing here prints, and nothing here knows
where it runs. ``stage`` needs no backend: it is :func:`scones_ml.dataset.stage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import captures, dataset
from scones_ml.errors import ConfigurationError, DatasetError, SconesError, TransientServiceError
from scones_ml.evaluation import Comparison, Evaluation, ThresholdChoice
from scones_ml.evaluation import compare as compare_predictions
from scones_ml.evaluation import evaluate as evaluate_predictions
from scones_ml.events import ImageRef
from scones_ml.inference.model import ModelCard, load_model, read_card, write_card
from scones_ml.ledger import Resource
from scones_ml.plans import Change, Plan, recorded
from scones_ml.ports import (
    Backend,
    DeploymentRequest,
    Endpoint,
    ImageResult,
    Progress,
    Steps,
    TrainingRequest,
    WorkflowModel,
    WorkflowRequest,
    no_progress,
    no_steps,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Leftover",
    "Predictions",
    "attach",
    "cleanup",
    "compare",
    "deploy",
    "evaluate",
    "leftovers",
    "may_have_seen",
    "plan_cleanup",
    "plan_deploy",
    "plan_run",
    "plan_stage",
    "plan_train",
    "plan_upload",
    "predict",
    "read_captures",
    "recording",
    "resources",
    "run",
    "set_threshold",
    "spent",
    "train",
    "upload",
    "workflow_model",
]

_BATCH = 64
_PATIENCE = 2700.0
"""Seconds for which something that is refused for now is tried again."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A resource that is still there.

    Attributes:
        kind: ``"endpoint"`` or ``"objects"``.
        name: its name or URI.
        reason: why it could not be removed; empty when nothing was tried.
        dollars_per_hour: what it goes on to cost; None when no price is known.
    """

    kind: str
    name: str
    reason: str = ""
    dollars_per_hour: float | None = 0.0


@contextmanager
def recording(backend: Backend, plan: Plan) -> Iterator[None]:
    """Record every change of a plan before the block that makes them, and again when it has ended well."""
    with ExitStack() as stack:
        for change in plan.changes:
            stack.enter_context(recorded(change, plan.place, backend.ledger, backend.current_run))
        yield


def plan_stage(destination: Path) -> Plan:
    """What staging into a folder of this machine makes."""
    folder = str(destination.absolute())
    return Plan("stage", "local", (Change("create", "data set", folder, "checked and split pictures"),))


def plan_upload(uri: str, region: str) -> Plan:
    """What uploading a staged data set makes.

    Args:
        uri: ``s3://bucket/prefix``.
        region: of the account's resources.
    """
    change = Change("create", "objects", f"{uri.rstrip('/')}/", "the data set, for training", "s3:PutObject")
    return Plan("stage", f"aws:{region}", (change,))


def plan_train(backend: Backend, request: TrainingRequest) -> Plan:
    """What :func:`train` is going to make.

    Raises:
        DatasetError: ``request.data`` is not a staged data set.
    """
    dataset.load(request.data)
    return backend.trainer.plan(request)


def train(
    backend: Backend, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps
) -> ModelCard:
    """Train a model on a staged data set; its threshold is chosen on the calibration split.

    Raises:
        DatasetError: ``request.data`` is not a staged data set.
        TrainingError: the job did not finish.
    """
    dataset.load(request.data)
    backend.trainer.train(request, progress, steps)
    return read_card(request.model)


def attach(
    backend: Backend, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps
) -> ModelCard:
    """Follow a training job that was started before, and write its model to a folder.

    Raises:
        ConfigurationError: there is no such job.
        TrainingError: the job did not finish.
    """
    backend.trainer.attach(job, model, progress, steps)
    return read_card(model)


def may_have_seen(model: Path, data: Path) -> bool:
    """Whether a model may have learned from pictures that a data set judges by.

    It has not when it was trained on the data set, or on one that the data set was grown from: splits stay.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set.
    """
    staged = dataset.load(data)
    return read_card(model).dataset_hash not in (staged.hash, *staged.grown_from)


def plan_deploy(backend: Backend, request: DeploymentRequest) -> Plan:
    """What :func:`deploy` is going to do.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: no endpoint can have that name.
    """
    return backend.deployer.plan(request)


def deploy(backend: Backend, request: DeploymentRequest, steps: Steps = no_steps) -> Endpoint:
    """Serve a model under a name, and wait until it answers; steps tell what goes on.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: the endpoint did not come up.
    """
    return backend.deployer.deploy(request, steps)


def plan_run(backend: Backend, inputs: bool = True) -> Plan:
    """What sending images through the state machine makes.

    Args:
        backend: where they run.
        inputs: whether images are uploaded first.
    """
    changes = [_pictures(backend)] if inputs else []
    if not backend.buckets.shared:
        outcomes = f"s3://{backend.buckets.output}/"
        changes.append(Change("create", "objects", outcomes, "where each picture went, and why"))
    return Plan("run", backend.place_name, tuple(changes))


def _pictures(backend: Backend) -> Change:
    to = backend.buckets
    permission = "s3:PutObject" if to.shared else ""
    return Change("create", "objects", f"s3://{to.input}/{to.uploads}", "pictures to classify", permission)


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
    with recording(backend, Plan("run", backend.place_name, (_pictures(backend),))):
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
    model = None if classifier is None else workflow_model(classifier, threshold)
    if model is None and threshold is not None:
        raise ConfigurationError("a threshold was given without its model: on AWS the stack's functions hold both")
    results = backend.runner.run(WorkflowRequest(images, backend.buckets.output, model))
    return _recorded(backend, results)


def _recorded(backend: Backend, results: Iterator[ImageResult]) -> Iterator[ImageResult]:
    with recording(backend, plan_run(backend, inputs=False)):
        yield from results


def workflow_model(classifier: Endpoint | Path, threshold: float | None = None) -> WorkflowModel:
    """What is to classify within a workflow.

    Args:
        classifier: an endpoint, or a model's folder.
        threshold: in (0, 1]; None takes the model's own.

    Raises:
        ConfigurationError: no threshold was given, and the model has none.
    """
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


def set_threshold(model: Path, data: Path, choice: ThresholdChoice) -> ModelCard:
    """Give a model another threshold: its card gets the choice, and the figures of the test split at it.

    Args:
        model: its folder.
        data: the data set whose calibration split the choice was made on.
        choice: the threshold, and how it was chosen.

    Raises:
        ConfigurationError: ``model`` is no folder of a model.
        DatasetError: ``data`` is not a staged data set, or has other classes than the model.
    """
    metrics: dict[str, object] = {}
    if dataset.load(data).split("test"):
        tested = replace(predict(model, data), threshold=choice.threshold)
        metrics = {"test": evaluate(tested).to_json()}
    update = {"threshold": choice.threshold, "threshold_choice": choice.to_json(), "metrics": metrics}
    card = read_card(model).model_copy(update=update)
    write_card(model, card)
    return card


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


def plan_cleanup(backend: Backend, run: str | None = None, everything: bool = False) -> Plan:
    """What :func:`cleanup` is going to remove, newest first.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    if run is not None and not everything and all(entry.run != run for entry in backend.ledger.entries()):
        raise ConfigurationError(f"no run {run!r} is on record in {backend.ledger.path}: `scones status` names them")
    found = backend.inventory.resources(everything)
    chosen = [resource for resource in found if run is None or resource.run == run]
    return Plan("cleanup", backend.place_name, tuple(map(backend.inventory.plan_removal, chosen)))


def cleanup(
    backend: Backend,
    run: str | None = None,
    everything: bool = False,
    *,
    pause: Callable[[float], None] = time.sleep,
    progress: Progress = no_progress,
) -> tuple[Leftover, ...]:
    """Remove what is ours, newest first, then list again: what is returned is still there.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
        pause: waits so many seconds before something that was refused for now is tried again.
        progress: counts resources.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    plan = plan_cleanup(backend, run, everything)
    reasons: dict[tuple[str, str], str] = {}
    for done, change in enumerate(plan.changes, 1):
        try:
            with recorded(change, plan.place, backend.ledger, backend.current_run):
                _insist(partial(backend.inventory.remove, change), pause)
        except SconesError as exc:
            reasons[change.kind, change.name] = str(exc)
        progress(done, len(plan.changes))
    left = [
        Leftover(one.kind, one.name, reasons.get((one.kind, one.name), ""), one.dollars_per_hour)
        for one in _there(backend, plan)
    ]
    tried = {(change.kind, change.name) for change in plan.changes}
    return (*left, *(found for found in leftovers(backend, run, everything) if (found.kind, found.name) not in tried))


def _there(backend: Backend, plan: Plan) -> Iterator[Change]:
    """What of a plan to remove still exists; what cannot be asked for counts."""
    for change in plan.changes:
        try:
            gone = not backend.inventory.is_there(change)
        except SconesError:
            gone = False
        if not gone:
            yield change


def _insist(remove: Callable[[], None], pause: Callable[[float], None]) -> None:
    """Try again, ever more patiently, while it is refused for now."""
    waited, seconds = 0.0, 1.0
    while True:
        try:
            return remove()
        except TransientServiceError:
            if waited >= _PATIENCE:
                raise
        pause(seconds)
        waited, seconds = waited + seconds, min(2 * seconds, 30.0)


def resources(backend: Backend, everything: bool = False) -> tuple[Resource, ...]:
    """What is ours and exists now, newest first; on AWS each is looked for.

    Args:
        backend: where.
        everything: also what other workspaces made.
    """
    inventory = backend.inventory
    return tuple(
        found for found in inventory.resources(everything) if inventory.is_there(inventory.plan_removal(found))
    )


def spent(backend: Backend, now: datetime) -> float:
    """Dollars that everything on record here has cost until now, at list price.

    Requests, storage and what has no known price are not counted.
    """
    return sum(
        resource.dollars_so_far(deleted or now) or 0.0
        for resource, deleted in backend.ledger.lifetimes()
        if resource.place == backend.place_name
    )


def leftovers(backend: Backend, run: str | None = None, everything: bool = False) -> tuple[Leftover, ...]:
    """List what is ours and exists, newest first.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
    """
    return tuple(
        Leftover(found.kind, found.name, dollars_per_hour=found.dollars_per_hour)
        for found in backend.inventory.resources(everything)
        if run is None or found.run == run
    )
