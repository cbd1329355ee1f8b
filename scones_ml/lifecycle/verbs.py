"""Commands that create something, each with its plan: stage, train, deploy, run, bulk."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scones_ml import dataset
from scones_ml.dataset.resolution import typical_side
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.inference.model import ModelCard, read_card
from scones_ml.plans import Change, Plan, recorded
from scones_ml.ports import (
    Backend,
    BulkRequest,
    BulkResult,
    DeploymentRequest,
    Endpoint,
    ImageResult,
    Progress,
    RecipeChoice,
    Steps,
    TrainingRequest,
    WorkflowModel,
    WorkflowRequest,
    choose_recipe,
    mark_prefix,
    no_progress,
    no_steps,
)

__all__ = [
    "attach",
    "bulk",
    "deploy",
    "may_have_seen",
    "plan_deploy",
    "plan_run",
    "plan_stage",
    "plan_train",
    "plan_upload",
    "preview_deploy",
    "recipe_of",
    "recording",
    "run",
    "sending",
    "train",
    "upload",
    "upload_one",
    "workflow_model",
]


@contextmanager
def recording(backend: Backend, plan: Plan) -> Iterator[None]:
    """Record every change of a plan before the block that makes them, and again when the block has succeeded."""
    with ExitStack() as stack:
        for change in plan.changes:
            stack.enter_context(recorded(change, plan.place, backend.ledger, backend.current_run))
        yield


def plan_stage(destination: Path) -> Plan:
    """Plan of staging into a folder on this machine."""
    folder = str(destination.absolute())
    return Plan("stage", "local", (Change("create", "data set", folder, "checked and split images"),))


def plan_upload(uri: str, region: str) -> Plan:
    """Plan of uploading a staged data set.

    Args:
        uri: ``s3://bucket/prefix``.
        region: region of the account's resources.
    """
    change = Change("create", "objects", f"{uri.rstrip('/')}/", "the data set, for training", "s3:PutObject")
    return Plan("stage", f"aws:{region}", (change,))


def plan_train(backend: Backend, request: TrainingRequest) -> Plan:
    """Plan of :func:`train`.

    Raises:
        DatasetError: ``request.data`` is not a staged data set.
    """
    dataset.load(request.data)
    return backend.trainer.plan(request)


def recipe_of(request: TrainingRequest) -> RecipeChoice:
    """The recipe of a training, and the reason for it.

    Raises:
        DatasetError: ``request.data`` is not a staged data set.
    """
    data = dataset.load(request.data)
    return choose_recipe(request.recipe, typical_side(data), data.image_size, init=request.init is not None)


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
    """Follow a running training job, and write its model to a folder.

    Raises:
        ConfigurationError: there is no such job.
        TrainingError: the job did not finish.
    """
    backend.trainer.attach(job, model, progress, steps)
    return read_card(model)


def may_have_seen(model: Path, data: Path) -> bool:
    """Whether a model may have learned from images of a data set's evaluation splits.

    It has not when it was trained on the data set, or on one that the data set was extended from, since splits are
    kept.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set.
    """
    staged = dataset.load(data)
    return read_card(model).dataset_hash not in (staged.hash, *staged.extended_from)


def preview_deploy(backend: Backend, request: DeploymentRequest) -> Plan:
    """Plan of :func:`deploy`, without waiting; assumes that nothing exists when it cannot be inspected.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: the name is invalid.
    """
    return backend.deployer.preview(request)


def plan_deploy(backend: Backend, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:
    """Plan of :func:`deploy`, given what exists; ``steps`` is called with what it waits for.

    Raises:
        ConfigurationError: ``request.model`` is not a model, or permission to inspect what exists is missing.
        DeploymentError: the name is invalid.
    """
    return backend.deployer.plan(request, steps)


def deploy(backend: Backend, request: DeploymentRequest, steps: Steps = no_steps, plan: Plan | None = None) -> Endpoint:
    """Deploy a model to an endpoint, and wait until it is in service.

    Args:
        backend: the backend.
        request: the endpoint to create or update.
        steps: called with each step.
        plan: result of :func:`plan_deploy`; None to plan here.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: the endpoint did not start.
    """
    return backend.deployer.deploy(request, steps, plan)


def plan_run(backend: Backend, inputs: bool = True) -> Plan:
    """Plan of running images through the state machine.

    Args:
        backend: the backend.
        inputs: whether images are uploaded first.
    """
    changes = [_images(backend)] if inputs else []
    if not backend.buckets.shared:
        outcomes = f"s3://{backend.buckets.output}/"
        changes.append(Change("create", "objects", outcomes, "each image's outcome, with the reason"))
    return Plan("run", backend.place_name, tuple(changes))


def _images(backend: Backend) -> Change:
    to = backend.buckets
    permission = "s3:PutObject" if to.shared else ""
    return Change("create", "objects", f"s3://{to.input}/{to.uploads}", "images to classify", permission)


def upload(backend: Backend, files: Iterable[tuple[str, bytes]]) -> tuple[ImageRef, ...]:
    """Upload named files to the input bucket, to be run later.

    Args:
        backend: the backend.
        files: key and bytes of each; on AWS our prefix is put before the keys.

    Returns:
        References to the written versions.
    """
    with sending(backend):
        return tuple(upload_one(backend, name, data) for name, data in files)


@contextmanager
def sending(backend: Backend) -> Iterator[None]:
    """Record images that the block uploads, see :func:`recording`, and hold their buckets in use."""
    to = backend.buckets
    with backend.using(), recording(backend, Plan("run", backend.place_name, (_images(backend),))):
        if to.shared:
            mark_prefix(backend.store, to.input, to.uploads)
        yield


def upload_one(backend: Backend, name: str, data: bytes) -> ImageRef:
    """As :func:`upload`, for one file within :func:`sending`."""
    to = backend.buckets
    key = f"{to.uploads}{name}"
    etag = backend.store.write(to.input, key, data, "application/octet-stream")
    return ImageRef(s3_bucket=to.input, s3_key=key, etag=etag)


def run(
    backend: Backend,
    images: Iterable[ImageRef],
    classifier: Endpoint | Path | None = None,
    threshold: float | None = None,
) -> Generator[ImageResult]:
    """Run images through the state machine, one execution each.

    Args:
        backend: the backend.
        images: objects in the backend's store.
        classifier: an endpoint, or a model's folder; None for the one that the workflow was deployed with, on AWS.
        threshold: in (0, 1]; None for the model's. Without one, all images go to review.

    Raises:
        ConfigurationError: the workflow was deployed with a model, and one was given.
    """
    model = _chosen_model(classifier, threshold)
    results = backend.runner.run(WorkflowRequest(images, backend.buckets.output, model))
    return _recorded(backend, classifier, results)


def _recorded(
    backend: Backend, classifier: Endpoint | Path | None, results: Iterator[ImageResult]
) -> Generator[ImageResult]:
    endpoint = classifier.name if isinstance(classifier, Endpoint) else None
    with backend.using(endpoint), recording(backend, plan_run(backend, inputs=False)):
        yield from results


def bulk(
    backend: Backend,
    source: str,
    model: Path | None = None,
    threshold: float | None = None,
    progress: Progress = no_progress,
) -> BulkResult:
    """Classify every image of a source in batches; repeating a run classifies the missing images.

    Args:
        backend: the backend.
        source: ``s3://bucket/prefix``; on this machine also a folder.
        model: a model's folder or ``model.tar.gz``; None for the one that the workflow was deployed with, on AWS.
        threshold: in (0, 1]; None for the model's. Without one, all images go to review.
        progress: called for each image.

    Raises:
        ConfigurationError: as :meth:`scones_ml.ports.BulkRunner.run`.
        InvalidImageError: the source holds no images.
        ExecutionFailedError: too many batches failed; finished results are kept.
        WorkflowError: interrupted; what was started on AWS continues.
    """
    request = BulkRequest(source, _chosen_model(model, threshold))
    backend.bulk.check(request)
    with backend.using(), recording(backend, plan_run(backend, inputs=False)):
        return backend.bulk.run(request, progress)


def _chosen_model(classifier: Endpoint | Path | None, threshold: float | None) -> WorkflowModel | None:
    if classifier is None and threshold is not None:
        raise ConfigurationError("a threshold was given without its model: on AWS the stack sets both")
    return None if classifier is None else workflow_model(classifier, threshold)


def workflow_model(classifier: Endpoint | Path, threshold: float | None = None) -> WorkflowModel:
    """The classifier and settings of a workflow.

    Args:
        classifier: an endpoint, or a model's folder.
        threshold: in (0, 1]; None for the model's. Without one, all images go to review.

    Raises:
        ConfigurationError: ``classifier`` is not a model.
    """
    if isinstance(classifier, Path):
        card = read_card(classifier)
        own, image_size, fit = card.threshold, card.input_size, card.fit
    else:
        own, image_size, fit = classifier.threshold, classifier.image_size, classifier.fit
    return WorkflowModel(classifier, own if threshold is None else threshold, image_size, fit)
