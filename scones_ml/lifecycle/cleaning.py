"""The verbs that end: what there is, what it has cost, and clean-up with proof."""

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
"""Kinds of which only what is half-made goes on this machine."""
_HOLDING = ("bucket", "object", "objects", "stack")
"""Kinds that may hold what waits for a review."""
_BUCKET_SLASHES = 3  # s3://bucket/
_CAPTURES = 200_000_000
"""Bytes of capture files that are searched for losses: a tenth of a second."""
_NOT_CAPTURED = b'{"notCaptured"'
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


@dataclass(frozen=True, slots=True)
class Takings:
    """What a clean-up takes, in numbers.

    Attributes:
        kinds: how many resources of each kind, but for objects.
        images: how many images are in the store.
        outcomes: how many documents with outcomes of images, where no image is in the store.
        unreviewed: how many images wait for a review that nobody has made; None when that cannot be read.
    """

    kinds: Mapping[str, int]
    images: int = 0
    outcomes: int = 0
    unreviewed: int | None = 0


def takings(backend: Backend, plan: Plan) -> Takings:
    """What a clean-up takes, by its plan; what is gone, or not ours, does not count.

    Args:
        backend: where.
        plan: as :func:`plan_cleanup` makes it.
    """
    kinds, uris, unknown = Counter[str](), list[str](), False
    for change in plan.changes:
        try:
            taken = backend.inventory.takes(change)
        except SconesError:  # the clean-up says so of each; what cannot be looked at goes later, if ever
            unknown = unknown or change.kind in _HOLDING
            continue
        uris += taken or ()
        if taken is not None and change.kind not in ("object", "objects"):
            kinds[f"half-made {change.kind}" if change.kind in _RESULTS else change.kind] += 1
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
    """Where outcomes are, as a URI; empty where nothing says it: then there is no stack, and nothing waits in it."""
    try:
        return f"s3://{backend.buckets.output}/"
    except ConfigurationError as exc:
        if exc.code:
            raise
        return ""


def _unreviewed(backend: Backend, results: str, uris: Collection[str]) -> int:
    """How many images wait for a review that lose their outcome, or that nobody could look at any more."""
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
    """Mark a workspace of 0.1.0, or one that was copied without its marker, as ours: clean-up may take what is in it.

    Raises:
        ConfigurationError: it cannot be marked.
    """
    adopt_workspace(backend.ledger.path.parent)


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
    if (refusal := backend.inventory.refusal()) and (plan.changes or plan.unseen):
        return (RemainingResource(refusal.kind, refusal.name, refusal.reason),)
    reasons: dict[tuple[str, str], str] = {}
    for done, change in enumerate(plan.changes, 1):
        try:
            with recorded(change, plan.place, backend.ledger, backend.current_run):
                alone.keep(retry_while_transient(partial(backend.inventory.remove, change), pause, steps))
        except (SconesError, OSError) as exc:  # one that stays keeps no other from being removed: it costs money
            reasons[change.kind, change.name] = _reason(exc)
        except Exception as exc:  # whatever it is
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
    """In our own words: Python's for an OSError begin with its number."""
    if isinstance(exc, SconesError) or not exc.strerror:
        return str(exc)
    return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror


class _Alone:
    """What is kept: what is somebody else's is said once, the rest is kept.

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
            self._steps(f"{one.kind} {one.name} is kept: {one.reason}")

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


def _is_there(backend: Backend, change: Change) -> bool:
    """Whether something still exists; what cannot be asked for counts."""
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
        except (SconesError, OSError) as exc:
            leave(LeftAlone(found.kind, found.name, f"could not be looked at: {_reason(exc)}"))
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


def not_captured(backend: Backend) -> Iterator[str]:
    """Requests that endpoints of this machine have answered and could not record, in words, the latest first.

    Only the latest capture files are looked at, so that many captures keep nobody waiting; ``scones monitor`` counts
    all.

    Args:
        backend: of this machine.
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
