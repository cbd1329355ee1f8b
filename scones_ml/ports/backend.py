"""A backend: the ports of one place to run, and what has been made there."""

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
    """Something that cleanup does not touch.

    Attributes:
        kind: what it is, ``"stack"``.
        name: its name or URI.
        reason: why, and what to do.
        foreign: whether it is known to be somebody else's; what may be ours, or could not be looked at, counts as left.
    """

    kind: str
    name: str
    reason: str
    foreign: bool = False


Leave = Callable[[LeftAlone], None]
"""Hears what is left alone."""


def leave_unsaid(_: LeftAlone) -> None:
    """Hear nothing."""


class Inventory(Protocol):
    """Knows what verbs have made, and deletes it."""

    def resources(self, everything: bool = False, leave: Leave = leave_unsaid) -> Sequence[Resource]:
        """What is ours and exists, or may exist, newest first; what a user asked for by name and has is left out.

        Args:
            everything: also what other workspaces made.
            leave: hears what is not ours, or could not be looked at; neither keeps the rest from being found.
        """
        ...

    def refusal(self) -> LeftAlone | None:
        """Why nothing at all is removed here; None when there is no such reason."""
        ...

    def takes(self, change: Change) -> Sequence[str] | None:
        """The objects that a removal takes, as ``s3://bucket/prefix/``, or one by its URI; None when nothing goes."""
        ...

    def count(self, uri: str) -> int:
        """How many objects are below a prefix, as :meth:`takes` names it; images alone where others write, too."""
        ...

    def plan_removal(self, resource: Resource) -> Change:
        """How one of them is removed."""
        ...

    def is_there(self, change: Change) -> bool:
        """Whether what a change is about exists, and is ours."""
        ...

    def remove(self, change: Change) -> LeftAlone | None:
        """Remove one; nothing happens when it is not there, or is not ours.

        Returns:
            What is there and somebody else's; None when nothing is.

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
    """The ports of one place to run, its buckets, what has been made there, and the record of it."""

    @property
    def buckets(self) -> Buckets:
        """Where images and outcomes are."""
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

    def using(self, endpoint: str | None = None) -> AbstractContextManager[None]:
        """Work with the objects of the buckets, and with an endpoint, during the block.

        On this machine other commands remove and replace none of them meanwhile; AWS has no such lock.

        Args:
            endpoint: its name; None for none.

        Raises:
            SconesError: another command is about to change them.
        """
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

    @property
    def bulk(self) -> BulkRunner:
        """Where many images are classified in batches."""
        ...
