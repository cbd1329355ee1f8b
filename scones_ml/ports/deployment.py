"""Port of the deployer, its requests and endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scones_ml.errors import ConfigurationError
from scones_ml.limits import SERVERLESS_CONCURRENCY, SERVERLESS_MEMORY_MB
from scones_ml.ports.progress import Steps, no_steps
from scones_ml.settings import Fit, check_threshold

if TYPE_CHECKING:  # Lambda functions carry the ports, but neither plans nor the ledger
    from scones_ml.plans import Plan

__all__ = ["BuiltInModel", "Deployer", "DeploymentRequest", "Endpoint", "RealTime", "Serverless"]


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """A model of SageMaker's built-in Image Classification algorithm, to be deployed unchanged.

    Attributes:
        uri: its ``s3://.../model.tar.gz``.
        labels: class names in the order of its probabilities, which the archive does not hold.
        image_size: side of the square that it was trained on, in pixels.
        threshold: least confidence to accept, in (0, 1]; None when none was chosen.
        fit: how an image becomes the model's square; None when its data set was staged by policy 1.
    """

    uri: str
    labels: tuple[str, ...]
    image_size: int = 224
    threshold: float | None = None
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if not (self.uri.startswith("s3://") and self.uri.endswith("/model.tar.gz")):
            raise ConfigurationError(
                f"{self.uri!r} is not s3://bucket/.../model.tar.gz: give the archive that a training job wrote"
            )
        if len(self.labels) < 2:
            raise ConfigurationError(
                f"{self.uri} needs two or more class names: give them in the order of the class numbers in training"
            )
        if self.threshold is not None:
            check_threshold(self.threshold, "threshold")


@dataclass(frozen=True, slots=True)
class RealTime:
    """An endpoint on instances that run all the time.

    Attributes:
        instance_type: type of the instances.
        instances: how many; with two, the endpoint survives the loss of an instance or a data centre.
        most_instances: maximum that auto scaling adds up to; None for no scaling.
        invocations_per_instance: target of auto scaling, in requests a minute for each instance.
    """

    instance_type: str = "ml.m5.large"
    instances: int = 1
    most_instances: int | None = None
    invocations_per_instance: int = 1_000

    def __post_init__(self) -> None:
        if not self.instance_type.startswith("ml."):
            raise ConfigurationError(
                f"instance type {self.instance_type!r}: SageMaker types begin with ml., as in ml.m5.large"
            )
        if self.instances < 1 or self.invocations_per_instance < 1:
            raise ConfigurationError(f"{self.instances} instances: give 1 or more, or 2 to survive the loss of one")
        if self.most_instances is not None and self.most_instances <= self.instances:
            raise ConfigurationError(f"instances {self.instances}-{self.most_instances}: the second must be larger")


@dataclass(frozen=True, slots=True)
class Serverless:
    """An endpoint that runs, and costs, only while it handles requests.

    Attributes:
        memory_mb: 1024 to 6144 in steps of 1024; more memory brings more vCPUs.
        max_concurrency: maximum of concurrent requests, 1..200.
    """

    memory_mb: int = 2048
    max_concurrency: int = 5

    def __post_init__(self) -> None:
        if self.memory_mb not in SERVERLESS_MEMORY_MB:
            raise ConfigurationError(
                f"memory of {self.memory_mb} MB: give one of {', '.join(map(str, SERVERLESS_MEMORY_MB))}"
            )
        if not 1 <= self.max_concurrency <= SERVERLESS_CONCURRENCY:
            raise ConfigurationError(f"max_concurrency={self.max_concurrency}: give 1 to {SERVERLESS_CONCURRENCY}")


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """Request for one endpoint.

    Attributes:
        name: the endpoint's name; redeploying under the same name updates it.
        model: the model's folder; on AWS also a model of the built-in algorithm.
        capture_percentage: share of requests whose input and output are captured, 0..100; None for all, where
            capture is supported.
        port: TCP port of an endpoint on this machine; 0 for any free one.
        variant: compute of an endpoint on AWS.
        container: URI of a custom container image in ECR, for AWS; None for AWS's image.
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
        url: base URL of ``/endpoints/NAME/invocations``.
        labels: class names in the order of its probabilities.
        image_size: side of its model's input square, in pixels.
        threshold: its model's threshold, in (0, 1]; None when no threshold reached the target precision.
        captures: folder or prefix of its data capture.
        fit: how an image becomes its model's square; None for a model of policy 1.
        model: ``"sha256:..."`` of its model's graph; None when the endpoint does not report it.
        folder: its model's folder or archive on this machine; None when the endpoint does not report it.
    """

    name: str
    url: str
    labels: tuple[str, ...]
    image_size: int
    threshold: float | None
    captures: str
    fit: Fit | None = None
    model: str | None = None
    folder: str | None = None


class Deployer(Protocol):
    """Creates, finds and removes endpoints."""

    def plan(self, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:
        """Compare the request with what exists and list the remaining changes, in order; nothing is changed.

        Args:
            request: the endpoint to create or update.
            steps: called with what the plan waits for, such as an endpoint that is being updated.

        Raises:
            ConfigurationError: ``request.model`` is not a model, or permission to inspect what exists is missing.
            DeploymentError: the name is invalid, or something that is not ours has it.
        """
        ...

    def preview(self, request: DeploymentRequest) -> Plan:
        """As :meth:`plan`, without waiting; assumes that nothing exists when it cannot be inspected.

        Raises:
            ConfigurationError: ``request.model`` is not a model.
            DeploymentError: the name is invalid, or something that is not ours has it.
        """
        ...

    def deploy(self, request: DeploymentRequest, steps: Steps = no_steps, plan: Plan | None = None) -> Endpoint:
        """Make and record every change of a plan, and wait until the endpoint is in service.

        Args:
            request: the endpoint to create or update.
            steps: called with each step.
            plan: result of :meth:`plan`; None to plan here.

        Raises:
            DeploymentError: the endpoint did not start; the message ends with its last log line.
        """
        ...

    def endpoints(self) -> Sequence[Endpoint]:
        """Our endpoints that exist."""
        ...

    def running(self) -> frozenset[str]:
        """Names of our running endpoints, recorded or not."""
        ...

    def remove(self, name: str) -> None:
        """Stop an endpoint and delete its record; does nothing when there is none of that name."""
        ...
