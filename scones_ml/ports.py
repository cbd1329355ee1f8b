"""What a backend must offer, as Protocols, and the frozen data that they speak.

``local`` keeps these promises with directories and processes of this machine, ``aws`` with S3, SageMaker and Step
Functions. One contract suite per port runs against every implementation (``tests/contract``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef, Outcome

if TYPE_CHECKING:  # Lambda functions carry the ports, but neither plans nor the ledger
    from scones_ml.ledger import Ledger, Resource
    from scones_ml.plans import Change, Plan, Run

__all__ = [
    "Backend",
    "Buckets",
    "BuiltInModel",
    "BulkResult",
    "Check",
    "Classifier",
    "Deployer",
    "DeploymentRequest",
    "Endpoint",
    "ImageResult",
    "Inventory",
    "ObjectStore",
    "ObjectSummary",
    "Progress",
    "RealTime",
    "Serverless",
    "Steps",
    "StoredObject",
    "Trainer",
    "TrainingRequest",
    "WorkflowModel",
    "WorkflowRequest",
    "WorkflowRunner",
    "no_progress",
    "no_steps",
]

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


Steps = Callable[[str], None]
"""Called with a few words on what goes on now."""


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def no_steps(step: str) -> None:
    """Ignore steps."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was read: its bytes and the exact version that they are."""

    ref: ImageRef
    data: bytes


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """A line of a listing.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: entity tag without quotes.
    """

    key: str
    size: int
    etag: str


class ObjectStore(Protocol):
    """Buckets of named bytes with S3's semantics."""

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """Read one object at the version that ``ref`` names.

        Args:
            ref: the object; an etag or a version id in it must still hold.
            limit: read at most this many bytes; None reads all.

        Raises:
            ImageNotFoundError: it is gone, or its etag is another one by now.
            TransientServiceError: throttled or timed out.
            ConfigurationError: no permission or no credentials.
        """
        ...

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Write one object, replacing what has its key; returns the etag."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """List the objects whose key starts with ``prefix``, in the order of their keys' UTF-8 bytes."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object; nothing happens when it is not there."""
        ...


class Classifier(Protocol):
    """Turns a picture into calibrated probabilities."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        ...

    @property
    def model(self) -> str:
        """Which model answers: ``"sha256:..."`` of its graph, or ``"endpoint:NAME"``; every answer says it."""
        ...

    def predict(self, picture: bytes, *, image_id: str) -> tuple[float, ...]:
        """Classify one encoded picture.

        Args:
            picture: a PNG or JPEG file's bytes.
            image_id: travels with the request, so that its capture can be joined to the object.

        Returns:
            One number per label, as the model said it; ``steps.classify_image_data`` checks that they are
            probabilities.

        Raises:
            TransientServiceError: throttled, timed out or not ready.
            InferenceError: the answer is not a list of numbers.
        """
        ...


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training job.

    Attributes:
        data: the staged data set's folder.
        model: the folder that the model is written to.
        preset: ``"fast"`` or ``"best"``.
        seed: of everything random.
        threads: CPU threads; None leaves it to the preset.
        epochs: passes over the training images; None leaves it to the preset.
        target_precision: what the threshold promises of accepted answers, in (0, 1).
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        init: folder or ``model.tar.gz`` of a model to go on from; from scratch when None.
        instance_type: of the machine on AWS; one with a small GPU when None.
        spot: whether AWS may use spare capacity, which costs less and may be taken back: the job then goes on from
            its last checkpoint when there is capacity again.
        max_seconds: after so much training AWS stops the job.
    """

    data: Path
    model: Path
    preset: str = "fast"
    seed: int = 0
    threads: int | None = None
    epochs: int | None = None
    target_precision: float = 0.95
    device: str = "auto"
    init: Path | None = None
    instance_type: str | None = None
    spot: bool = False
    max_seconds: int = 3_600


class Trainer(Protocol):
    """Runs training jobs."""

    def plan(self, request: TrainingRequest) -> Plan:
        """What :meth:`train` is going to make; nothing is made, and no credentials are needed."""
        ...

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Make every change of the plan, each recorded, and write the model to ``request.model``.

        Args:
            request: what to train.
            progress: counts epochs.
            steps: told what goes on, and on AWS each line of the job's log.

        Raises:
            TrainingError: the job did not finish; the message holds its last words.
        """
        ...

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Follow a job that was started before to its end, and write its model to a folder.

        Args:
            job: its name.
            model: the folder.
            progress: counts epochs.
            steps: told each line of its log.

        Raises:
            ConfigurationError: there is no such job.
            TrainingError: it did not finish; the message holds its last words.
        """
        ...


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """What SageMaker's built-in Image Classification algorithm has trained, to be deployed as it is.

    Attributes:
        uri: its ``s3://.../model.tar.gz``.
        labels: class names in the order of its answers, which the archive does not hold.
        image_size: side of the square that it was trained on, in pixels.
        threshold: least confidence to accept, in (0, 1]; None when none was chosen.
    """

    uri: str
    labels: tuple[str, ...]
    image_size: int = 224
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not (self.uri.startswith("s3://") and self.uri.endswith("/model.tar.gz")):
            raise ConfigurationError(f"{self.uri!r} is not s3://bucket/.../model.tar.gz, which a training job leaves")
        if len(self.labels) < 2:
            raise ConfigurationError(f"{self.uri} names no classes: give them in the order of the training's numbers")
        if self.threshold is not None and not 0.0 < self.threshold <= 1.0:
            raise ConfigurationError(f"threshold {self.threshold:g}: give a number above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class RealTime:
    """An endpoint on machines that always run.

    Attributes:
        instance_type: of the machines.
        instances: how many; two keep answering when one, or its data centre, fails.
        most_instances: scaled out up to so many as requests come, and back; not scaled when None.
        invocations_per_instance: what scaling aims at: requests a minute for each machine.
    """

    instance_type: str = "ml.m5.large"
    instances: int = 1
    most_instances: int | None = None
    invocations_per_instance: int = 1_000

    def __post_init__(self) -> None:
        if not self.instance_type.startswith("ml."):
            raise ConfigurationError(f"instance type {self.instance_type!r}: SageMaker's begin with ml.")
        if self.instances < 1 or self.invocations_per_instance < 1:
            raise ConfigurationError(f"{self.instances} instances: give 1 or more, 2 to outlive the loss of one")
        if self.most_instances is not None and self.most_instances <= self.instances:
            raise ConfigurationError(f"instances {self.instances}-{self.most_instances}: the second must be larger")


@dataclass(frozen=True, slots=True)
class Serverless:
    """An endpoint that runs, and costs, only while it answers.

    Attributes:
        memory_mb: 1024 to 6144 in steps of 1024; processors come with it.
        max_concurrency: requests at a time, 1..200.
    """

    memory_mb: int = 2048
    max_concurrency: int = 5

    def __post_init__(self) -> None:
        if self.memory_mb not in range(1024, 6145, 1024):
            raise ConfigurationError(f"memory of {self.memory_mb} MB: give 1024, 2048, 3072, 4096, 5120 or 6144")
        if not 1 <= self.max_concurrency <= 200:
            raise ConfigurationError(f"max_concurrency={self.max_concurrency}: give 1 to 200")


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """One endpoint to be.

    Attributes:
        name: the endpoint's name, stable over updates.
        model: the model's folder; on AWS also what the built-in algorithm has trained.
        capture_percentage: share of requests whose input and output are kept, 0..100; None keeps all of them where
            they can be kept.
        port: of an endpoint on this machine; 0 takes any free one.
        variant: what an endpoint on AWS runs on.
        container: URI of an image of your own in ECR, to serve the model on AWS; AWS's own image when None.
    """

    name: str
    model: Path | BuiltInModel
    capture_percentage: int | None = None
    port: int = 0
    variant: RealTime | Serverless = RealTime()
    container: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint.

    Attributes:
        name: its name.
        url: where ``/endpoints/NAME/invocations`` is served.
        labels: class names in the order of its answers.
        image_size: side of the square that its model takes, in pixels.
        threshold: its model's threshold, in (0, 1]; None when no threshold could keep its promise.
        captures: the folder or prefix that holds its data capture.
    """

    name: str
    url: str
    labels: tuple[str, ...]
    image_size: int
    threshold: float | None
    captures: str


class Deployer(Protocol):
    """Creates, finds and removes endpoints."""

    def plan(self, request: DeploymentRequest) -> Plan:
        """What :meth:`deploy` is going to do, in order; nothing is done.

        Raises:
            ConfigurationError: ``request.model`` is not a model.
            DeploymentError: no endpoint can have that name.
        """
        ...

    def deploy(self, request: DeploymentRequest, steps: Steps = no_steps) -> Endpoint:
        """Make every change of the plan, each recorded, and wait until the endpoint answers; steps tell what goes on.

        Raises:
            DeploymentError: it did not come up; the message holds its last words.
        """
        ...

    def endpoints(self) -> Sequence[Endpoint]:
        """Every endpoint of ours that exists."""
        ...

    def remove(self, name: str) -> None:
        """Stop an endpoint and forget it; nothing happens when there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class WorkflowModel:
    """What classifies within a workflow.

    Attributes:
        classifier: an endpoint, or a model's folder, to be loaded into this process.
        threshold: least confidence that is accepted, in (0, 1].
        image_size: what pictures are reduced to, in pixels; the model's input size.
    """

    classifier: Endpoint | Path
    threshold: float
    image_size: int


@dataclass(frozen=True, slots=True)
class WorkflowRequest:
    """Images to send through the state machine.

    Attributes:
        images: objects in the store; taken one after the other, so they may still be arriving.
        output_bucket: where outcomes are written.
        model: what classifies; None for the model and threshold that the workflow was deployed with.
    """

    images: Iterable[ImageRef]
    output_bucket: str
    model: WorkflowModel | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """How one execution ended.

    Attributes:
        image: the object.
        outcome: where it went; None when the execution failed.
        label: the most probable class, where there is one.
        confidence: its probability in [0, 1].
        reason: why it was quarantined or dropped, or why the execution failed.
        started: seconds since the run began.
        seconds: how long the execution took.
        execution: its ARN on AWS; None on this machine.
    """

    image: ImageRef
    outcome: Outcome | None
    label: str | None
    confidence: float | None
    reason: str | None
    started: float
    seconds: float
    execution: str | None = None

    @classmethod
    def of_execution(
        cls,
        image: ImageRef,
        output: object,
        error: str | None,
        cause: str | None,
        started: float,
        seconds: float,
        execution: str | None = None,
    ) -> ImageResult:
        """Read an execution's end.

        Args:
            image: the object.
            output: what the state machine put out.
            error: what the execution failed by; None when it succeeded.
            cause: of the error, possibly a Lambda's JSON.
            started: seconds since the run began.
            seconds: how long the execution took.
            execution: its ARN, on AWS.
        """
        found = output if error is None and isinstance(output, Mapping) else {}
        reason = found.get("reason") if error is None else f"{error}: {_message(cause)}"
        return cls(
            image=image,
            outcome=found.get("outcome"),
            label=found.get("label"),
            confidence=found.get("confidence"),
            reason=reason and str(reason).removeprefix(f"{image.image_id} {image.uri}: "),
            started=started,
            seconds=seconds,
            execution=execution,
        )


def _message(cause: str | None) -> str:
    """The message inside a Lambda's Cause, or the cause as it is."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or ""


class WorkflowRunner(Protocol):
    """Runs the state machine once per image."""

    def run(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        """Yield one result per image, as executions end.

        Raises:
            ConfigurationError: the workflow was deployed with a model, or was not, and the request says otherwise.
        """
        ...


@dataclass(frozen=True, slots=True)
class BulkResult:
    """How a bulk run ended.

    Attributes:
        run: its name.
        images: how many there are.
        finished_before: how many an earlier run of the same name had finished.
        outcomes: how many images went where; those that were finished before are told apart on AWS alone.
        results: where the JSON Lines objects are, ``s3://bucket/bulk/RUN/``.
        seconds: how long it took.
    """

    run: str
    images: int
    finished_before: int
    outcomes: Mapping[str, int]
    results: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where a backend's pictures and outcomes are.

    Attributes:
        input: bucket that pictures arrive in.
        output: bucket that outcomes go to.
        uploads: prefix of the keys of what is uploaded to be run; pictures under it start nothing by themselves.
        shared: whether others write there too; then only what is below ``uploads`` is ours to remove.
    """

    input: str
    output: str
    uploads: str = ""
    shared: bool = False


class Inventory(Protocol):
    """Knows what verbs have made, and deletes it."""

    def resources(self, everything: bool = False) -> Sequence[Resource]:
        """What is ours and exists, or may exist, newest first; what a user asked for by name and has is left out.

        Args:
            everything: also what other workspaces made.
        """
        ...

    def plan_removal(self, resource: Resource) -> Change:
        """How one of them is removed."""
        ...

    def is_there(self, change: Change) -> bool:
        """Whether what a change is about exists, and is ours."""
        ...

    def remove(self, change: Change) -> None:
        """Remove one; nothing happens when it is not there, or is not ours.

        Raises:
            TransientServiceError: refused for now.
            SconesError: refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One finding about a machine, an account or a resource.

    Attributes:
        name: what was looked at.
        level: how it is.
        found: what was found.
        remedy: what to do; empty when nothing is.
    """

    name: str
    level: Literal["ok", "warning", "error"]
    found: str
    remedy: str = ""


class Backend(Protocol):
    """The four ports of one place to run, its buckets, what has been made there, and the record of it."""

    @property
    def buckets(self) -> Buckets:
        """Where pictures and outcomes are."""
        ...

    @property
    def captures(self) -> str:
        """The folder or ``s3://bucket/prefix/`` that holds every endpoint's data capture."""
        ...

    @property
    def place_name(self) -> str:
        """``"local"`` or ``"aws:REGION"``."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Where every change is recorded."""
        ...

    @property
    def current_run(self) -> Run:
        """That what is made belongs to."""
        ...

    @property
    def inventory(self) -> Inventory:
        """What has been made."""
        ...

    def checks(self) -> Iterator[Check]:
        """Whether this place is as it should be."""
        ...

    @property
    def store(self) -> ObjectStore:
        """Where objects live."""
        ...

    @property
    def trainer(self) -> Trainer:
        """Where training runs."""
        ...

    @property
    def deployer(self) -> Deployer:
        """Where endpoints run."""
        ...

    @property
    def runner(self) -> WorkflowRunner:
        """Where executions run."""
        ...
