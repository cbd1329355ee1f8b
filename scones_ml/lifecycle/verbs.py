"""The verbs that make something, each with its plan: stage, train, deploy, run, bulk."""

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
    """Record every change of a plan before the block that makes them, and again when it has ended well."""
    with ExitStack() as stack:
        for change in plan.changes:
            stack.enter_context(recorded(change, plan.place, backend.ledger, backend.current_run))
        yield


def plan_stage(destination: Path) -> Plan:
    """What staging into a folder of this machine makes."""
    folder = str(destination.absolute())
    return Plan("stage", "local", (Change("create", "data set", folder, "checked and split images"),))


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


def recipe_of(request: TrainingRequest) -> RecipeChoice:
    """The recipe that a training is going to take, and why.

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
    """Follow a training job that was started before, and write its model to a folder.

    Raises:
        ConfigurationError: there is no such job.
        TrainingError: the job did not finish.
    """
    backend.trainer.attach(job, model, progress, steps)
    return read_card(model)


def may_have_seen(model: Path, data: Path) -> bool:
    """Whether a model may have learned from images that a data set judges by.

    It has not when it was trained on the data set, or on one that the data set was extended from: splits stay.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set.
    """
    staged = dataset.load(data)
    return read_card(model).dataset_hash not in (staged.hash, *staged.extended_from)


def preview_deploy(backend: Backend, request: DeploymentRequest) -> Plan:
    """What :func:`deploy` would do to what exists; where that may not be looked at, as if nothing were there yet.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: no endpoint can have that name.
    """
    return backend.deployer.preview(request)


def plan_deploy(backend: Backend, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:
    """What :func:`deploy` is going to do to what exists; steps tell what is waited for.

    Raises:
        ConfigurationError: ``request.model`` is not a model, or what exists may not be looked at.
        DeploymentError: no endpoint can have that name.
    """
    return backend.deployer.plan(request, steps)


def deploy(backend: Backend, request: DeploymentRequest, steps: Steps = no_steps, plan: Plan | None = None) -> Endpoint:
    """Serve a model under a name, and wait until it answers.

    Args:
        backend: where.
        request: what is wanted.
        steps: told what goes on.
        plan: what :func:`plan_deploy` said of it; planned here when None.

    Raises:
        ConfigurationError: ``request.model`` is not a model.
        DeploymentError: the endpoint did not come up.
    """
    return backend.deployer.deploy(request, steps, plan)


def plan_run(backend: Backend, inputs: bool = True) -> Plan:
    """What sending images through the state machine makes.

    Args:
        backend: where they run.
        inputs: whether images are uploaded first.
    """
    changes = [_images(backend)] if inputs else []
    if not backend.buckets.shared:
        outcomes = f"s3://{backend.buckets.output}/"
        changes.append(Change("create", "objects", outcomes, "where each image went, and why"))
    return Plan("run", backend.place_name, tuple(changes))


def _images(backend: Backend) -> Change:
    to = backend.buckets
    permission = "s3:PutObject" if to.shared else ""
    return Change("create", "objects", f"s3://{to.input}/{to.uploads}", "images to classify", permission)


def upload(backend: Backend, files: Iterable[tuple[str, bytes]]) -> tuple[ImageRef, ...]:
    """Put named files into the input bucket, where they wait to be run.

    Args:
        backend: where to.
        files: key and bytes of each; on AWS keys get a prefix of their own.

    Returns:
        References to the very versions that were written.
    """
    with sending(backend):
        return tuple(upload_one(backend, name, data) for name, data in files)


@contextmanager
def sending(backend: Backend) -> Iterator[None]:
    """Record images that the block uploads, see :func:`recording`, and keep their buckets meanwhile."""
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
    """Send images through the state machine, one execution each.

    Args:
        backend: where they run.
        images: objects in the backend's store.
        classifier: an endpoint, or a model's folder; None for the one that the workflow was deployed with, on AWS.
        threshold: in (0, 1]; None takes the model's own. Where it has none, all images go to review.

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
    """Classify every image of a source in batches; run again, what is missing is done.

    Args:
        backend: where they run.
        source: ``s3://bucket/prefix``; on this machine also a folder.
        model: a model's folder or ``model.tar.gz``; None for the one that the workflow was deployed with, on AWS.
        threshold: in (0, 1]; None takes the model's own. Where it has none, all images go to review.
        progress: counts images.

    Raises:
        ConfigurationError: as :meth:`scones_ml.ports.BulkRunner.run`.
        InvalidImageError: the source holds no images.
        ExecutionFailedError: more batches failed than are tolerated; what is finished is kept.
        WorkflowError: interrupted, while what was started on AWS goes on.
    """
    request = BulkRequest(source, _chosen_model(model, threshold))
    backend.bulk.check(request)
    with backend.using(), recording(backend, plan_run(backend, inputs=False)):
        return backend.bulk.run(request, progress)


def _chosen_model(classifier: Endpoint | Path | None, threshold: float | None) -> WorkflowModel | None:
    if classifier is None and threshold is not None:
        raise ConfigurationError("a threshold was given without its model: on AWS the stack's functions hold both")
    return None if classifier is None else workflow_model(classifier, threshold)


def workflow_model(classifier: Endpoint | Path, threshold: float | None = None) -> WorkflowModel:
    """What is to classify within a workflow.

    Args:
        classifier: an endpoint, or a model's folder.
        threshold: in (0, 1]; None takes the model's own. Where it has none, all images go to review.

    Raises:
        ConfigurationError: ``classifier`` is not a model.
    """
    if isinstance(classifier, Path):
        card = read_card(classifier)
        own, image_size, fit = card.threshold, card.input_size, card.fit
    else:
        own, image_size, fit = classifier.threshold, classifier.image_size, classifier.fit
    return WorkflowModel(classifier, own if threshold is None else threshold, image_size, fit)
