"""The verbs that end: what there is, what it has cost, and clean-up with proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from scones_ml.errors import ConfigurationError, SconesError, TransientServiceError
from scones_ml.plans import Change, Plan, Resource, recorded
from scones_ml.ports import Backend, Leave, LeftAlone, Progress, Steps, leave_unsaid, no_progress, no_steps

__all__ = [
    "RemainingResource",
    "cleanup",
    "plan_cleanup",
    "remaining_resources",
    "resources",
    "retry_while_transient",
    "spent",
]

Answer = TypeVar("Answer")

_PATIENCE = 2700.0  # AWS removes no endpoint before its creation or update has ended, which takes many minutes
"""Seconds for which something that is refused for now is tried again."""


@dataclass(frozen=True, slots=True)
class RemainingResource:
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


def plan_cleanup(
    backend: Backend, run: str | None = None, everything: bool = False, leave: Leave = leave_unsaid
) -> Plan:
    """What :func:`cleanup` is going to remove, newest first.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
        leave: hears what is not going to be removed, because it is not ours or could not be looked at.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    if run is not None and not everything and all(entry.run != run for entry in backend.ledger.entries()):
        raise ConfigurationError(f"no run {run!r} is on record in {backend.ledger.path}: `scones status` names them")
    unseen: list[str] = []

    def hear(one: LeftAlone) -> None:
        leave(one)
        if not one.foreign:
            unseen.append(f"{one.kind} {one.name}: {one.reason}")

    found = backend.inventory.resources(everything, hear)
    chosen = [resource for resource in found if run is None or resource.run == run]
    changes = tuple(map(backend.inventory.plan_removal, chosen))
    return Plan("cleanup", backend.place_name, changes, "; ".join(unseen))


def cleanup(
    backend: Backend,
    run: str | None = None,
    everything: bool = False,
    *,
    pause: Callable[[float], None] = time.sleep,
    progress: Progress = no_progress,
    steps: Steps = no_steps,
) -> tuple[RemainingResource, ...]:
    """Remove what is ours, newest first, then list again: what is returned is still there.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
        pause: waits so many seconds before something that was refused for now is tried again.
        progress: counts resources.
        steps: hears what is waited for, and what is somebody else's.

    Returns:
        What is still there, and what could not be looked at.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    alone = _Alone(steps)
    plan = plan_cleanup(backend, run, everything, alone.say)
    reasons: dict[tuple[str, str], str] = {}
    for done, change in enumerate(plan.changes, 1):
        try:
            with recorded(change, plan.place, backend.ledger, backend.current_run):
                alone.keep(retry_while_transient(partial(backend.inventory.remove, change), pause, steps))
        except SconesError as exc:  # one that stays keeps no other from being removed: what remains costs money
            reasons[change.kind, change.name] = str(exc)
        progress(done, len(plan.changes))
    left = [
        RemainingResource(one.kind, one.name, reasons.get((one.kind, one.name), ""), one.dollars_per_hour)
        for one in _there(backend, plan)
    ]
    tried = {(change.kind, change.name) for change in plan.changes}
    remaining = remaining_resources(backend, run, everything, alone.keep)
    left += [found for found in remaining if (found.kind, found.name) not in tried]
    known = {(one.kind, one.name) for one in left}
    return (*left, *(RemainingResource(*identity, reason) for identity, reason in alone.kept(known)))


class _Alone:
    """What is left alone: what is somebody else's is said once, the rest is kept.

    Args:
        steps: hears what is somebody else's.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._said = set[LeftAlone]()
        self._kept: dict[tuple[str, str], str] = {}

    def say(self, one: LeftAlone) -> None:
        """Say what is somebody else's."""
        if one.foreign and one not in self._said:
            self._said.add(one)
            self._steps(f"{one.kind} {one.name} is left alone: {one.reason}")

    def keep(self, one: LeftAlone | None) -> None:
        """Keep what may be ours, and say the rest."""
        if one is None:
            return
        self.say(one)
        if not one.foreign:
            self._kept[one.kind, one.name] = one.reason

    def kept(self, known: Collection[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
        """Identity and reason of what was kept, but for what is known to be left."""
        yield from ((identity, reason) for identity, reason in self._kept.items() if identity not in known)


def _there(backend: Backend, plan: Plan) -> Iterator[Change]:
    """What of a plan to remove still exists; what cannot be asked for counts."""
    for change in plan.changes:
        try:
            gone = not backend.inventory.is_there(change)
        except SconesError:
            gone = False
        if not gone:
            yield change


def retry_while_transient(call: Callable[[], Answer], pause: Callable[[float], None], steps: Steps) -> Answer:
    """Repeat a call, at growing intervals, while it raises TransientServiceError; each new message is a step."""
    waited, seconds, told = 0.0, 1.0, ""
    while True:
        try:
            return call()
        except TransientServiceError as exc:
            if waited >= _PATIENCE:
                raise
            if str(exc) != told:
                told = str(exc)
                steps(told)
        pause(seconds)
        # At most 30 s: soon enough for people who wait, far below the rates of the API.
        waited, seconds = waited + seconds, min(2 * seconds, 30.0)


def resources(backend: Backend, everything: bool = False, leave: Leave = leave_unsaid) -> tuple[Resource, ...]:
    """What is ours and exists now, newest first; on AWS each is looked for.

    Args:
        backend: where.
        everything: also what other workspaces made.
        leave: hears what is not ours, or could not be looked at.
    """
    inventory = backend.inventory
    there = []
    for found in inventory.resources(everything, leave):
        try:
            if inventory.is_there(inventory.plan_removal(found)):
                there.append(found)
        except SconesError as exc:
            leave(LeftAlone(found.kind, found.name, f"could not be looked at: {exc}"))
    return tuple(there)


def spent(backend: Backend, now: datetime) -> float:
    """Dollars that everything on record here has cost until now, at list price.

    Requests, storage and what has no known price are not counted.
    """
    return sum(
        resource.dollars_so_far(deleted or now) or 0.0
        for resource, deleted in backend.ledger.lifetimes()
        if resource.place == backend.place_name
    )


def remaining_resources(
    backend: Backend, run: str | None = None, everything: bool = False, leave: Leave = leave_unsaid
) -> tuple[RemainingResource, ...]:
    """List what is ours and exists, newest first.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
        leave: hears what is not ours, or could not be looked at.
    """
    return tuple(
        RemainingResource(found.kind, found.name, dollars_per_hour=found.dollars_per_hour)
        for found in backend.inventory.resources(everything, leave)
        if found.state != "deleted" and (run is None or found.run == run)
    )
