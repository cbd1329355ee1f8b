"""Status, costs, and clean-up with proof."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from scones_ml.bounded import open_regular, size_of
from scones_ml.captures import Skipped, parse_captures
from scones_ml.errors import ConfigurationError, SconesError, TransientServiceError
from scones_ml.plans import Change, Plan, Resource, adopt_workspace, recorded
from scones_ml.ports import Backend, Leave, LeftAlone, Progress, Steps, leave_unsaid, no_progress, no_steps

__all__ = [
    "RemainingResource",
    "Takings",
    "adopt",
    "cleanup",
    "not_captured",
    "plan_cleanup",
    "remaining_resources",
    "resources",
    "retry_while_transient",
    "spent",
    "takings",
]

Answer = TypeVar("Answer")

_RESULTS = ("data set", "model", "report")
"""Kinds of which only unfinished ones are removed on this machine."""
_HOLDING = ("bucket", "object", "objects", "stack")
"""Kinds that may hold images that wait for review."""
_BUCKET_SLASHES = 3  # s3://bucket/
_CAPTURES = 200_000_000
"""Bytes of capture files that are searched for lost captures, which takes a tenth of a second."""
_NOT_CAPTURED = b'{"notCaptured"'
_PATIENCE = 2700.0  # AWS removes an endpoint only after its creation or update has ended, which takes many minutes
"""Seconds for which transient errors are retried."""


@dataclass(frozen=True, slots=True)
class RemainingResource:
    """A resource that still exists.

    Attributes:
        kind: ``"endpoint"`` or ``"objects"``.
        name: its name or URI.
        reason: why it could not be removed; empty when removal was not tried.
        dollars_per_hour: its continuing cost; None when the price is unknown.
    """

    kind: str
    name: str
    reason: str = ""
    dollars_per_hour: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Takings:
    """Numbers of what a clean-up removes.

    Attributes:
        kinds: number of resources of each kind, except objects.
        images: number of images in the store.
        outcomes: number of documents with outcomes of images, when no image is in the store.
        unreviewed: number of images that still wait for review; None when it cannot be read.
    """

    kinds: Mapping[str, int]
    images: int = 0
    outcomes: int = 0
    unreviewed: int | None = 0


def takings(backend: Backend, plan: Plan) -> Takings:
    """Count what a clean-up removes; resources that are gone or not ours do not count.

    Args:
        backend: the backend.
        plan: result of :func:`plan_cleanup`.
    """
    kinds, uris, unknown = Counter[str](), list[str](), False
    for change in plan.changes:
        try:
            taken = backend.inventory.takes(change)
        except SconesError:  # the clean-up reports each; one that cannot be inspected is removed later, if ever
            unknown = unknown or change.kind in _HOLDING
            continue
        uris += taken or ()
        if taken is not None and change.kind not in ("object", "objects"):
            kinds[f"unfinished {change.kind}" if change.kind in _RESULTS else change.kind] += 1
    if not uris:
        return Takings(kinds, unreviewed=None if unknown else 0)
    try:
        results = _results(backend)
        held = {uri: backend.inventory.count(uri) for uri in dict.fromkeys(uris)}
        images = sum(count for uri, count in held.items() if uri != results)
        unreviewed = _unreviewed(backend, results, uris)
    except (SconesError, OSError):
        return Takings(kinds, unreviewed=None)
    return Takings(kinds, images, 0 if images else held.get(results, 0), None if unknown else unreviewed)


def _results(backend: Backend) -> str:
    """URI of the outcomes; empty when unknown: then there is no stack, and no image waits in it."""
    try:
        return f"s3://{backend.buckets.output}/"
    except ConfigurationError as exc:
        if exc.code:
            raise
        return ""


def _unreviewed(backend: Backend, results: str, uris: Collection[str]) -> int:
    """Number of images waiting for review whose outcome or image would be removed."""
    from scones_ml.review.annotations import read_annotations
    from scones_ml.review.queue import read_queue

    answers = backend.ledger.path.parent / "reviews" / "answers.jsonl"
    answered = {verdict.image_id for verdict in read_annotations(answers).verdicts} if answers.exists() else set()
    buckets = {uri for uri in (results, *uris) if uri.count("/") == _BUCKET_SLASHES}
    waiting = set[str]()
    for bucket in buckets:
        try:
            queue = read_queue(backend.store, bucket.removeprefix("s3://").rstrip("/"))
        except ConfigurationError as exc:
            if exc.code == "NoSuchBucket":
                continue
            raise
        lost = bucket in uris
        waiting |= {one.image_id for one in queue.images if lost or one.ref.uri.startswith(tuple(uris))}
    return len(waiting - answered)


def adopt(backend: Backend) -> None:
    """Mark a workspace of 0.1.0, or one copied without its marker, as ours, so that clean-up may remove its contents.

    Raises:
        ConfigurationError: the workspace cannot be marked.
    """
    adopt_workspace(backend.ledger.path.parent)


def plan_cleanup(
    backend: Backend, run: str | None = None, everything: bool = False, leave: Leave = leave_unsaid
) -> Plan:
    """The plan of :func:`cleanup`, newest first.

    Args:
        backend: the backend.
        run: only resources of this run; None for all runs.
        everything: include resources that other workspaces created.
        leave: called with each resource that is not removed, because it is not ours or could not be inspected.

    Raises:
        ConfigurationError: the run is not on record.
    """
    if run is not None and not everything and all(entry.run != run for entry in backend.ledger.entries()):
        raise ConfigurationError(f"there is no run {run!r} in {backend.ledger.path}: `scones status` lists runs")
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
    """Remove our resources, newest first, then list again and return those that still exist.

    Args:
        backend: the backend.
        run: only resources of this run; None for all runs.
        everything: include resources that other workspaces created.
        pause: sleeps for so many seconds before a retry.
        progress: called for each resource.
        steps: called with what is waited for, and with resources that are someone else's.

    Returns:
        Resources that still exist or could not be inspected.

    Raises:
        ConfigurationError: the run is not on record.
    """
    alone = _Alone(steps)
    plan = plan_cleanup(backend, run, everything, alone.say)
    if (refusal := backend.inventory.refusal()) and (plan.changes or plan.unseen):
        return (RemainingResource(refusal.kind, refusal.name, refusal.reason),)
    reasons: dict[tuple[str, str], str] = {}
    for done, change in enumerate(plan.changes, 1):
        try:
            with recorded(change, plan.place, backend.ledger, backend.current_run):
                alone.keep(retry_while_transient(partial(backend.inventory.remove, change), pause, steps))
        except (SconesError, OSError) as exc:  # one failure does not stop the removal of others, which cost money
            reasons[change.kind, change.name] = _reason(exc)
        except Exception as exc:  # of any kind
            reasons[change.kind, change.name] = f"{type(exc).__name__}: {exc}"
        progress(done, len(plan.changes))
    left = [
        RemainingResource(one.kind, one.name, reasons.get((one.kind, one.name), ""), one.dollars_per_hour)
        for one in plan.changes
        if _is_there(backend, one)
    ]
    tried = {(change.kind, change.name) for change in plan.changes}
    remaining = remaining_resources(backend, run, everything, alone.keep)
    left += [found for found in remaining if (found.kind, found.name) not in tried]
    known = {(one.kind, one.name) for one in left}
    return (*left, *(RemainingResource(*identity, reason) for identity, reason in alone.kept(known)))


def _reason(exc: SconesError | OSError) -> str:
    """The error's message, without the number that an OSError's begins with."""
    if isinstance(exc, SconesError) or not exc.strerror:
        return str(exc)
    return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror


class _Alone:
    """Record of resources that are left alone; foreign ones are reported once.

    Args:
        steps: called with resources that are someone else's.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._said = set[LeftAlone]()
        self._kept: dict[tuple[str, str], str] = {}

    def say(self, one: LeftAlone) -> None:
        """Report a resource that is someone else's."""
        if one.foreign and one not in self._said:
            self._said.add(one)
            self._steps(f"{one.kind} {one.name} is kept: {one.reason}")

    def keep(self, one: LeftAlone | None) -> None:
        """Record a resource that may be ours, and report any other."""
        if one is None:
            return
        self.say(one)
        if not one.foreign:
            self._kept[one.kind, one.name] = one.reason

    def kept(self, known: Collection[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
        """Identity and reason of the recorded resources, except the known ones."""
        yield from ((identity, reason) for identity, reason in self._kept.items() if identity not in known)


def _is_there(backend: Backend, change: Change) -> bool:
    """Whether a resource still exists; one that cannot be inspected counts."""
    try:
        return backend.inventory.is_there(change)
    except (SconesError, OSError):
        return True


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
        # At most 30 s: prompt enough, and far below the API's request rates.
        waited, seconds = waited + seconds, min(2 * seconds, 30.0)


def resources(backend: Backend, everything: bool = False, leave: Leave = leave_unsaid) -> tuple[Resource, ...]:
    """Our resources that exist now, newest first; on AWS each is looked up.

    Args:
        backend: the backend.
        everything: include resources that other workspaces created.
        leave: called with each resource that is not ours or could not be inspected.
    """
    inventory = backend.inventory
    there = []
    for found in inventory.resources(everything, leave):
        try:
            if inventory.is_there(inventory.plan_removal(found)):
                there.append(found)
        except (SconesError, OSError) as exc:
            leave(LeftAlone(found.kind, found.name, f"could not be inspected: {_reason(exc)}"))
    return tuple(there)


def spent(backend: Backend, now: datetime) -> float:
    """Dollars that all recorded resources have cost until now, at list price.

    Requests, storage and resources with an unknown price are not counted.
    """
    return sum(
        resource.dollars_so_far(deleted or now) or 0.0
        for resource, deleted in backend.ledger.lifetimes()
        if resource.place == backend.place_name
    )


def not_captured(backend: Backend) -> Iterator[str]:
    """Messages about requests that this machine's endpoints answered but could not capture, the latest first.

    Only the latest capture files are read, for speed; ``scones monitor`` counts all.

    Args:
        backend: the backend of this machine.
    """
    looked = 0
    for path in sorted(Path(backend.captures).rglob("*.jsonl"), key=lambda path: path.parts[-5:], reverse=True):
        try:
            with open_regular(path) as file:
                looked += size_of(file)
                if looked > _CAPTURES:
                    return
                losses = [line for line in file if line.startswith(_NOT_CAPTURED)]
        except (OSError, ValueError):
            continue
        yield from (one.reason for one in parse_captures(reversed(losses)) if isinstance(one, Skipped))


def remaining_resources(
    backend: Backend, run: str | None = None, everything: bool = False, leave: Leave = leave_unsaid
) -> tuple[RemainingResource, ...]:
    """List our existing resources, newest first.

    Args:
        backend: the backend.
        run: only resources of this run; None for all runs.
        everything: include resources that other workspaces created.
        leave: called with each resource that is not ours or could not be inspected.
    """
    return tuple(
        RemainingResource(found.kind, found.name, dollars_per_hour=found.dollars_per_hour)
        for found in backend.inventory.resources(everything, leave)
        if found.state != "deleted" and (run is None or found.run == run)
    )
