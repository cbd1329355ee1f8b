"""SageMaker training jobs as data, and pure functions that build their requests.

>>> job = TrainingJob(
...     name="scones-1", role_arn="arn:aws:iam::123456789012:role/train", region="us-east-1", output="s3://b/models",
...     hyperparameters=ImageClassification(num_classes=2, num_training_samples=800, image_shape=(3, 32, 32)),
...     channels=image_channels("s3://b/data"),
... )
>>> request = training_request(job)

``scones_ml.aws.trainer`` sends the requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scones_ml.errors import ConfigurationError
from scones_ml.events import parse_uri
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.sagemaker.channels import IMAGE, Channel, channel_request
from scones_ml.sagemaker.hyperparameters import ImageClassification, ScriptMode
from scones_ml.sagemaker.image_uris import image_classification_image, pytorch_training_image

__all__ = [
    "CHECKPOINTS",
    "DEFAULT_INSTANCE",
    "HEAD_INSTANCE",
    "METRICS",
    "Compute",
    "Spot",
    "TrainingJob",
    "definition",
    "training_request",
]

DEFAULT_INSTANCE: Final = "ml.g4dn.xlarge"
HEAD_INSTANCE: Final = "ml.m5.xlarge"
"""Instance type for the recipe ``head``, which needs no GPU: four vCPUs, within a new account's quota."""

CHECKPOINTS: Final = "/opt/ml/checkpoints"
METRICS: Final[Mapping[str, str]] = {
    "train:accuracy": r"Epoch\[\d+\] Train-accuracy=(\S+)",
    "validation:accuracy": r"Epoch\[\d+\] Validation-accuracy=(\S+)",
}
"""Metric name to the pattern of its log lines; the one group is the value. The built-in algorithm and our training
print the same lines."""

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
# Instances of the built-in algorithm (AWS: Image Classification - MXNet, EC2 instances).
_GPU_FAMILIES = ("ml.g4dn.", "ml.g5.", "ml.p2.", "ml.p3.")
_CPU_FAMILIES = ("ml.c", "ml.m", "ml.r", "ml.t3.")


@dataclass(frozen=True, slots=True)
class Spot:
    """Managed spot training: cheaper, and AWS may interrupt it at any time.

    Attributes:
        checkpoints: ``s3://`` prefix that ``/opt/ml/checkpoints`` is synced to, to resume from.
        max_wait_seconds: limit of waiting and training together; at least the job's ``max_runtime_seconds``.
    """

    checkpoints: str
    max_wait_seconds: int

    def __post_init__(self) -> None:
        parse_uri(self.checkpoints, "spot checkpoints")


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute resources of a job.

    Attributes:
        instance_type: type of the instances.
        instance_count: number of instances.
        volume_gb: disk of each, in GB.
        max_runtime_seconds: training time after which AWS stops the job.
        spot: spot settings; None for on-demand capacity.
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
            raise ConfigurationError(
                f"instance type {self.instance_type!r}: SageMaker types begin with ml., as in ml.m5.large"
            )
        if self.spot and self.spot.max_wait_seconds < self.max_runtime_seconds:
            raise ConfigurationError(
                f"max_wait_seconds={self.spot.max_wait_seconds}: must be at least "
                f"max_runtime_seconds={self.max_runtime_seconds}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One training job: its hyperparameters decide what runs.

    Attributes:
        name: unique in account and region, at most 63 letters, digits and dashes.
        role_arn: execution role of the container.
        region: region of the job, which determines the image.
        hyperparameters: ``ImageClassification`` is the built-in algorithm, which runs only on instances with a GPU;
            ``ScriptMode`` is our own training in AWS's PyTorch container, on one instance, with or without a GPU.
            channels: its inputs. For the built-in algorithm ``image_channels``, ``recordio_channels`` or
            ``augmented_manifest_channels``, for our own training ``training_channel``; and ``model_channel`` to start
            from an earlier model.
        output: ``s3://`` prefix; the model is written to ``OUTPUT/NAME/output/model.tar.gz``.
        compute: compute resources.
        image_uri: URI of a custom container image, or of AWS's in a region that the table lacks; None for AWS's.
        tags: tags of the job.

    Raises:
        ConfigurationError: name, role or URI are invalid, the region is unknown, a channel is missing, or the instances
            are unsuitable.
    """

    name: str
    role_arn: str
    region: str
    hyperparameters: ImageClassification | ScriptMode
    channels: tuple[Channel, ...]
    output: str
    compute: Compute = Compute()
    image_uri: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(SAGEMAKER_NAME, self.name):
            raise ConfigurationError(
                f"job name {self.name!r}: at most {SAGEMAKER_NAME_CHARACTERS} letters, digits and dashes, "
                "no dash at either end"
            )
        if not _ROLE.fullmatch(self.role_arn):
            raise ConfigurationError(f"role {self.role_arn!r} is not an ARN like arn:aws:iam::123456789012:role/NAME")
        parse_uri(self.output, "output")
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"channels {', '.join(names)}: give each once")
        if self.is_built_in:
            _check_built_in(self)
        else:
            _check_script(self)
        _ = self.image  # an unknown region is refused now, not when the request is built

    @property
    def is_built_in(self) -> bool:
        """Whether the job runs the built-in algorithm."""
        return isinstance(self.hyperparameters, ImageClassification)

    @property
    def image(self) -> str:
        """URI of the container image."""
        if self.image_uri:
            return self.image_uri
        if self.is_built_in:
            return image_classification_image(self.region)
        return pytorch_training_image(self.region, gpu=not self.compute.instance_type.startswith(_CPU_FAMILIES))

    @property
    def metrics(self) -> Mapping[str, str]:
        """Patterns of log lines by metric; empty for the built-in algorithm, which defines its own."""
        return {} if self.is_built_in else METRICS

    @property
    def model_uri(self) -> str:
        """URI of the finished model."""
        return f"{self.output.rstrip('/')}/{self.name}/output/model.tar.gz"


def _check_built_in(job: TrainingJob) -> None:
    if not job.compute.instance_type.startswith(_GPU_FAMILIES):
        families = ", ".join(family.removesuffix(".") for family in _GPU_FAMILIES)
        raise ConfigurationError(
            f"instance type {job.compute.instance_type}: Image Classification trains on {families} only, "
            f"for example {DEFAULT_INSTANCE}"
        )
    there = {channel.name for channel in job.channels}
    by_list = {channel.name for channel in job.channels if channel.content_type == IMAGE} & {"train", "validation"}
    needed = {"train", "validation"} | {f"{name}_lst" for name in by_list}
    if missing := sorted(needed - there):
        raise ConfigurationError(f"Image Classification needs the channels {', '.join(missing)} too")


def _check_script(job: TrainingJob) -> None:
    if job.compute.instance_count > 1:
        raise ConfigurationError(f"instance_count={job.compute.instance_count}: our training runs on one instance")
    if "training" not in {channel.name for channel in job.channels}:
        raise ConfigurationError("our training needs the channel training: a staged data set")


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
    """The part of the request that training jobs and tuning jobs share."""
    compute, spot = job.compute, job.compute.spot
    algorithm: dict[str, object] = {"TrainingImage": job.image, "TrainingInputMode": "File"}
    if job.metrics:
        algorithm["MetricDefinitions"] = [{"Name": name, "Regex": regex} for name, regex in job.metrics.items()]
    stopping = {"MaxRuntimeInSeconds": compute.max_runtime_seconds}
    request: dict[str, object] = {
        "AlgorithmSpecification": algorithm,
        "RoleArn": job.role_arn,
        "InputDataConfig": [channel_request(channel) for channel in job.channels],
        "OutputDataConfig": {"S3OutputPath": job.output, "CompressionType": "GZIP"},
        "ResourceConfig": {
            "InstanceType": compute.instance_type,
            "InstanceCount": compute.instance_count,
            "VolumeSizeInGB": compute.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot is not None,
    }
    if spot:
        stopping["MaxWaitTimeInSeconds"] = spot.max_wait_seconds
        request["CheckpointConfig"] = {"S3Uri": spot.checkpoints, "LocalPath": CHECKPOINTS}
    return request
