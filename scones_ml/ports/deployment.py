"""The deployer, and what it is asked for."""

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
    """What SageMaker's built-in Image Classification algorithm has trained, to be deployed as it is.

    Attributes:
        uri: its ``s3://.../model.tar.gz``.
        labels: class names in the order of its answers, which the archive does not hold.
        image_size: side of the square that it was trained on, in pixels.
        threshold: least confidence to accept, in (0, 1]; None when none was chosen.
        fit: what makes a square of an image; None where its data set was staged by policy 1.
    """

    uri: str
    labels: tuple[str, ...]
    image_size: int = 224
    threshold: float | None = None
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if not (self.uri.startswith("s3://") and self.uri.endswith("/model.tar.gz")):
            raise ConfigurationError(f"{self.uri!r} is not s3://bucket/.../model.tar.gz, which a training job leaves")
        if len(self.labels) < 2:
            raise ConfigurationError(f"{self.uri} names no classes: give them in the order of the training's numbers")
        if self.threshold is not None:
            check_threshold(self.threshold, "threshold")


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
        if self.memory_mb not in SERVERLESS_MEMORY_MB:
            raise ConfigurationError(
                f"memory of {self.memory_mb} MB: give one of {', '.join(map(str, SERVERLESS_MEMORY_MB))}"
            )
        if not 1 <= self.max_concurrency <= SERVERLESS_CONCURRENCY:
            raise ConfigurationError(f"max_concurrency={self.max_concurrency}: give 1 to {SERVERLESS_CONCURRENCY}")


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
        fit: what makes a square of an image for its model; None for a model of policy 1.
        model: which model answers, ``"sha256:..."`` of its graph; None where the endpoint does not say.
        folder: of its model, or the archive, on this machine; None where the endpoint does not say.
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
        """Look at what exists and say what is left to do, in order; nothing is done.

        Args:
            request: what is wanted.
            steps: told what is waited for: an endpoint that changes right now is looked at when it no longer does.

        Raises:
            ConfigurationError: ``request.model`` is not a model, or what exists may not be looked at.
            DeploymentError: no endpoint can have that name, or it is taken by something that is not ours.
        """
        ...

    def preview(self, request: DeploymentRequest) -> Plan:
        """As :meth:`plan`, without waiting; where what exists cannot be looked at, as if nothing were there yet.

        Raises:
            ConfigurationError: ``request.model`` is not a model.
            DeploymentError: no endpoint can have that name, or it is taken by something that is not ours.
        """
        ...

    def deploy(self, request: DeploymentRequest, steps: Steps = no_steps, plan: Plan | None = None) -> Endpoint:
        """Make every change of a plan, each recorded, and wait until the endpoint answers.

        Args:
            request: what is wanted.
            steps: told what goes on.
            plan: what :meth:`plan` said of it; planned here when None.

        Raises:
            DeploymentError: it did not come up; the message holds its last words.
        """
        ...

    def endpoints(self) -> Sequence[Endpoint]:
        """Every endpoint of ours that exists."""
        ...

    def running(self) -> frozenset[str]:
        """Names of the endpoints of ours that run, whatever is on record of them."""
        ...

    def remove(self, name: str) -> None:
        """Stop an endpoint and forget it; nothing happens when there is none of that name."""
        ...
