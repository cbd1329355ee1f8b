"""Training jobs for SageMaker as data: what to run, on what, with which pictures; pure functions make the requests.

>>> job = image_classification_job(
...     name="scones-1", role_arn="arn:aws:iam::123456789012:role/train", region="us-east-1", output="s3://b/models",
...     hyperparameters=ImageClassification(num_classes=2, num_training_samples=800, image_shape=(3, 32, 32)),
...     channels=image_channels("s3://b/data"),
... )
>>> request = training_request(job)

Nothing here talks to AWS: ``scones_ml.aws.trainer`` sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scones_ml.errors import ConfigurationError
from scones_ml.training.channels import IMAGE, Channel, channel_request, check_uri
from scones_ml.training.hyperparameters import Hyperparameters, ImageClassification, ScriptMode
from scones_ml.training.image_uris import image_classification_image, pytorch_training_image

__all__ = [
    "CHECKPOINTS",
    "DEFAULT_INSTANCE",
    "METRICS",
    "Resources",
    "Spot",
    "TrainingJob",
    "definition",
    "image_classification_job",
    "script_job",
    "training_request",
]

DEFAULT_INSTANCE: Final = "ml.g4dn.xlarge"
CHECKPOINTS: Final = "/opt/ml/checkpoints"
METRICS: Final[Mapping[str, str]] = {
    "train:accuracy": r"Epoch\[\d+\] Train-accuracy=(\S+)",
    "validation:accuracy": r"Epoch\[\d+\] Validation-accuracy=(\S+)",
}
"""Metric name to the pattern of its log lines; the one group is the value. The built-in algorithm and our training
print the same lines."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
_GPU_FAMILIES = ("ml.g4dn.", "ml.g5.", "ml.p2.", "ml.p3.")
_CPU_FAMILIES = ("ml.c", "ml.m", "ml.r", "ml.t3.")


@dataclass(frozen=True, slots=True)
class Spot:
    """Spare capacity: cheaper, and AWS may take it back at any time.

    Attributes:
        checkpoints: ``s3://`` prefix that ``/opt/ml/checkpoints`` is kept at, to go on from.
        max_wait_seconds: for capacity and training together; at least the job's ``max_runtime_seconds``.
    """

    checkpoints: str
    max_wait_seconds: int

    def __post_init__(self) -> None:
        check_uri("spot checkpoints", self.checkpoints)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job runs on.

    Attributes:
        instance_type: of the machines.
        instance_count: how many.
        volume_gb: disk of each.
        max_runtime_seconds: after that much training AWS stops the job.
        spot: use spare capacity; not when None.
    """

    instance_type: str = DEFAULT_INSTANCE
    instance_count: int = 1
    volume_gb: int = 30
    max_runtime_seconds: int = 3_600
    spot: Spot | None = None

    def __post_init__(self) -> None:
        for name in ("instance_count", "volume_gb", "max_runtime_seconds"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)}: must be 1 or more")
        if not self.instance_type.startswith("ml."):
            raise ConfigurationError(f"instance type {self.instance_type!r}: SageMaker's begin with ml.")
        if self.spot and self.spot.max_wait_seconds < self.max_runtime_seconds:
            raise ConfigurationError(
                f"max_wait_seconds={self.spot.max_wait_seconds}: must be at least "
                f"max_runtime_seconds={self.max_runtime_seconds}"
            )


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training job; ``image_classification_job`` and ``script_job`` make it.

    Attributes:
        name: unique in account and region, at most 63 letters, digits and dashes.
        role_arn: what the container may do.
        image_uri: the container.
        hyperparameters: what it is told.
        channels: what it reads.
        output: ``s3://`` prefix; the model goes to ``OUTPUT/NAME/output/model.tar.gz``.
        resources: what it runs on.
        metrics: name to pattern of log lines; empty where the algorithm brings its own.
        tags: of the job.
    """

    name: str
    role_arn: str
    image_uri: str
    hyperparameters: Hyperparameters
    channels: tuple[Channel, ...]
    output: str
    resources: Resources = Resources()
    metrics: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"job name {self.name!r}: at most 63 letters, digits and dashes, no dash at either end"
            )
        if not _ROLE.fullmatch(self.role_arn):
            raise ConfigurationError(f"role {self.role_arn!r} is not an ARN like arn:aws:iam::123456789012:role/NAME")
        check_uri("output", self.output)
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"channels {', '.join(names)}: each may be there once")

    @property
    def model_uri(self) -> str:
        """Where the finished model will be."""
        return f"{self.output.rstrip('/')}/{self.name}/output/model.tar.gz"


def image_classification_job(
    *,
    name: str,
    role_arn: str,
    region: str,
    output: str,
    hyperparameters: ImageClassification,
    channels: tuple[Channel, ...],
    resources: Resources = Resources(),
    image_uri: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> TrainingJob:
    """A job of the built-in Image Classification algorithm.

    Args:
        name: of the job.
        role_arn: what the container may do.
        region: where it runs; decides the image.
        output: ``s3://`` prefix for the model.
        hyperparameters: see ``ImageClassification``.
        channels: from ``image_channels``, ``recordio_channels`` or ``augmented_manifest_channels``, and
            ``model_channel`` to go on from an earlier model.
        resources: GPU machines only.
        image_uri: for a region that the table does not know.
        tags: of the job.

    Raises:
        ConfigurationError: an unknown region, an instance without a GPU that the algorithm supports, or channels that
            are missing.
    """
    if not resources.instance_type.startswith(_GPU_FAMILIES):
        families = ", ".join(family.removesuffix(".") for family in _GPU_FAMILIES)
        raise ConfigurationError(
            f"instance type {resources.instance_type}: Image Classification trains on {families} only, "
            f"for example {DEFAULT_INSTANCE}"
        )
    there = {channel.name for channel in channels}
    by_list = {channel.name for channel in channels if channel.content_type == IMAGE} & {"train", "validation"}
    needed = {"train", "validation"} | {f"{name}_lst" for name in by_list}
    if missing := sorted(needed - there):
        raise ConfigurationError(f"Image Classification needs the channels {', '.join(missing)} too")
    return TrainingJob(
        name=name,
        role_arn=role_arn,
        image_uri=image_uri or image_classification_image(region),
        hyperparameters=hyperparameters,
        channels=channels,
        output=output,
        resources=resources,
        tags=tags or {},
    )


def script_job(
    *,
    name: str,
    role_arn: str,
    region: str,
    output: str,
    hyperparameters: ScriptMode,
    channels: tuple[Channel, ...],
    resources: Resources = Resources(),
    image_uri: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> TrainingJob:
    """A job of our own training in AWS's PyTorch container, on a GPU or without.

    Args:
        name: of the job.
        role_arn: what the container may do.
        region: where it runs; decides the image.
        output: ``s3://`` prefix for the model.
        hyperparameters: see ``ScriptMode``.
        channels: ``training_channel``, and ``model_channel`` to go on from an earlier model.
        resources: one machine.
        image_uri: for a region that the table does not know, or a container of your own.
        tags: of the job.

    Raises:
        ConfigurationError: an unknown region, several machines, or no ``training`` channel.
    """
    if resources.instance_count > 1:
        raise ConfigurationError(f"instance_count={resources.instance_count}: our training runs on one machine")
    if "training" not in {channel.name for channel in channels}:
        raise ConfigurationError("our training needs the channel training: a staged data set")
    gpu = not resources.instance_type.startswith(_CPU_FAMILIES)
    return TrainingJob(
        name=name,
        role_arn=role_arn,
        image_uri=image_uri or pytorch_training_image(region, gpu=gpu),
        hyperparameters=hyperparameters,
        channels=channels,
        output=output,
        resources=resources,
        metrics=METRICS,
        tags=tags or {},
    )


def training_request(job: TrainingJob) -> dict[str, object]:
    """The CreateTrainingJob request of a job."""
    request: dict[str, object] = {
        "TrainingJobName": job.name,
        "HyperParameters": job.hyperparameters.to_request(),
        **definition(job),
    }
    if job.tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in job.tags.items()]
    return request


def definition(job: TrainingJob) -> dict[str, object]:
    """What a training job and a tuning job's training jobs have in common."""
    resources, spot = job.resources, job.resources.spot
    algorithm: dict[str, object] = {"TrainingImage": job.image_uri, "TrainingInputMode": "File"}
    if job.metrics:
        algorithm["MetricDefinitions"] = [{"Name": name, "Regex": regex} for name, regex in job.metrics.items()]
    stopping = {"MaxRuntimeInSeconds": resources.max_runtime_seconds}
    request: dict[str, object] = {
        "AlgorithmSpecification": algorithm,
        "RoleArn": job.role_arn,
        "InputDataConfig": [channel_request(channel) for channel in job.channels],
        "OutputDataConfig": {"S3OutputPath": job.output},
        "ResourceConfig": {
            "InstanceType": resources.instance_type,
            "InstanceCount": resources.instance_count,
            "VolumeSizeInGB": resources.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot is not None,
    }
    if spot:
        stopping["MaxWaitTimeInSeconds"] = spot.max_wait_seconds
        request["CheckpointConfig"] = {"S3Uri": spot.checkpoints, "LocalPath": CHECKPOINTS}
    return request
