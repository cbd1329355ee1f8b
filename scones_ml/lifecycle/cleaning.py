"""The verbs that end: what there is, what it has cost, and clean-up with proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from scones_ml.errors import ConfigurationError, SconesError, TransientServiceError
from scones_ml.plans import Change, Plan, Resource, recorded
from scones_ml.ports import Backend, Progress, Steps, no_progress, no_steps

__all__ = [
    "RemainingResource",
    "cleanup",
    "plan_cleanup",
    "remaining_resources",
    "resources",
    "retry_while_transient",
    "spent",
]

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


def plan_cleanup(backend: Backend, run: str | None = None, everything: bool = False) -> Plan:
    """What :func:`cleanup` is going to remove, newest first.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    if run is not None and not everything and all(entry.run != run for entry in backend.ledger.entries()):
        raise ConfigurationError(f"no run {run!r} is on record in {backend.ledger.path}: `scones status` names them")
    found = backend.inventory.resources(everything)
    chosen = [resource for resource in found if run is None or resource.run == run]
    return Plan("cleanup", backend.place_name, tuple(map(backend.inventory.plan_removal, chosen)))


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
        steps: hears what is waited for.

    Raises:
        ConfigurationError: there is no such run on record.
    """
    plan = plan_cleanup(backend, run, everything)
    reasons: dict[tuple[str, str], str] = {}
    for done, change in enumerate(plan.changes, 1):
        try:
            with recorded(change, plan.place, backend.ledger, backend.current_run):
                retry_while_transient(partial(backend.inventory.remove, change), pause, steps)
        except SconesError as exc:  # one that stays keeps no other from being removed: what remains costs money
            reasons[change.kind, change.name] = str(exc)
        progress(done, len(plan.changes))
    left = [
        RemainingResource(one.kind, one.name, reasons.get((one.kind, one.name), ""), one.dollars_per_hour)
        for one in _there(backend, plan)
    ]
    tried = {(change.kind, change.name) for change in plan.changes}
    return (
        *left,
        *(found for found in remaining_resources(backend, run, everything) if (found.kind, found.name) not in tried),
    )


def _there(backend: Backend, plan: Plan) -> Iterator[Change]:
    """What of a plan to remove still exists; what cannot be asked for counts."""
    for change in plan.changes:
        try:
            gone = not backend.inventory.is_there(change)
        except SconesError:
            gone = False
        if not gone:
            yield change


def retry_while_transient(call: Callable[[], None], pause: Callable[[float], None], steps: Steps) -> None:
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


def resources(backend: Backend, everything: bool = False) -> tuple[Resource, ...]:
    """What is ours and exists now, newest first; on AWS each is looked for.

    Args:
        backend: where.
        everything: also what other workspaces made.
    """
    inventory = backend.inventory
    return tuple(
        found for found in inventory.resources(everything) if inventory.is_there(inventory.plan_removal(found))
    )


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
    backend: Backend, run: str | None = None, everything: bool = False
) -> tuple[RemainingResource, ...]:
    """List what is ours and exists, newest first.

    Args:
        backend: where.
        run: only what this run made; None for all runs.
        everything: also what other workspaces made.
    """
    return tuple(
        RemainingResource(found.kind, found.name, dollars_per_hour=found.dollars_per_hour)
        for found in backend.inventory.resources(everything)
        if run is None or found.run == run
    )
