"""Backend: the ports of one place to run, with its inventory and ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from scones_ml.ports.deployment import Deployer
from scones_ml.ports.objects import Buckets, ObjectStore
from scones_ml.ports.training import Trainer
from scones_ml.ports.workflow import BulkRunner, WorkflowRunner

if TYPE_CHECKING:  # Lambda functions carry the ports, but neither plans nor the ledger
    from scones_ml.plans import Change, Ledger, Resource, Run

__all__ = ["Backend", "Check", "Inventory", "Leave", "LeftAlone", "leave_unsaid"]


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A resource that clean-up does not touch.

    Attributes:
        kind: what it is, ``"stack"``.
        name: its name or URI.
        reason: why, and what to do.
        foreign: whether it is known to be someone else's; False when it may be ours or could not be inspected.
    """

    kind: str
    name: str
    reason: str
    foreign: bool = False


Leave = Callable[[LeftAlone], None]
"""Callback for each resource that is left alone."""


def leave_unsaid(_: LeftAlone) -> None:
    """Ignore resources that are left alone."""


class Inventory(Protocol):
    """Finds and deletes the resources that commands have created."""

    def resources(self, everything: bool = False, leave: Leave = leave_unsaid) -> Sequence[Resource]:
        """Our resources that exist or may exist, newest first, without results that a user asked for by name.

        Args:
            everything: include resources that other workspaces created.
            leave: called with each resource that is not ours or could not be inspected; the search goes on.
        """
        ...

    def refusal(self) -> LeftAlone | None:
        """The reason why nothing here may be removed; None when removal is possible."""
        ...

    def takes(self, change: Change) -> Sequence[str] | None:
        """Objects that a removal deletes, as ``s3://bucket/prefix/`` or the URI of one; None when it deletes none."""
        ...

    def count(self, uri: str) -> int:
        """Number of objects below a prefix from :meth:`takes`; only images are counted in a shared bucket."""
        ...

    def plan_removal(self, resource: Resource) -> Change:
        """The change that removes a resource."""
        ...

    def is_there(self, change: Change) -> bool:
        """Whether the resource of a change exists and is ours."""
        ...

    def remove(self, change: Change) -> LeftAlone | None:
        """Remove a resource; does nothing when it does not exist or is not ours.

        Returns:
            The resource that was left because it is someone else's; None otherwise.

        Raises:
            TransientServiceError: the service refused for now.
            SconesError: the service refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One finding about a machine, an account or a resource.

    Attributes:
        name: the thing that was checked.
        level: severity.
        found: what was found.
        remedy: what to do; empty when nothing is needed.
    """

    name: str
    level: Literal["ok", "warning", "error"]
    found: str
    remedy: str = ""


class Backend(Protocol):
    """The ports of one place to run, with its buckets, inventory and ledger."""

    @property
    def buckets(self) -> Buckets:
        """Buckets of images and outcomes."""
        ...

    @property
    def captures(self) -> str:
        """Folder or ``s3://bucket/prefix/`` of all endpoints' data capture."""
        ...

    @property
    def place_name(self) -> str:
        """``"local"`` or ``"aws:REGION"``."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Record of every change."""
        ...

    @property
    def current_run(self) -> Run:
        """The run that new resources are recorded under."""
        ...

    @property
    def inventory(self) -> Inventory:
        """Resources that exist here."""
        ...

    def using(self, endpoint: str | None = None) -> AbstractContextManager[None]:
        """Hold the buckets' objects, and an endpoint, in use during the block.

        On this machine no other command removes or replaces them meanwhile; AWS has no such lock.

        Args:
            endpoint: name of an endpoint to hold; None for none.

        Raises:
            SconesError: another command is changing them.
        """
        ...

    def checks(self) -> Iterator[Check]:
        """Check this machine or account."""
        ...

    @property
    def store(self) -> ObjectStore:
        """Object store."""
        ...

    @property
    def trainer(self) -> Trainer:
        """Trainer."""
        ...

    @property
    def deployer(self) -> Deployer:
        """Deployer of endpoints."""
        ...

    @property
    def runner(self) -> WorkflowRunner:
        """Runner of workflow executions."""
        ...

    @property
    def bulk(self) -> BulkRunner:
        """Runner of bulk runs."""
        ...
