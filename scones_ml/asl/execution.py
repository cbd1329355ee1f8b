"""The state that the branches of one execution share, and the result of an execution."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from scones_ml.asl.caller import Caller
from scones_ml.asl.clock import Clock
from scones_ml.asl.history import Event, Recorder
from scones_ml.asl.machine import Definition
from scones_ml.asl.resources import Resource
from scones_ml.asl.values import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scones_ml.asl.map_writer import Child

__all__ = [
    "Cancellation",
    "Execution",
    "ExecutionType",
    "Frame",
    "Listener",
    "Point",
    "Shared",
    "Status",
]

Status: TypeAlias = Literal["SUCCEEDED", "FAILED", "TIMED_OUT"]
ExecutionType: TypeAlias = Literal["STANDARD", "EXPRESS"]


@dataclass(frozen=True)
class Execution:
    """The result of an execution.

    Attributes:
        status: SUCCEEDED, FAILED or TIMED_OUT.
        output: the last state's output when it succeeded, else None.
        error: the error's name when it did not succeed.
        cause: the error's explanation.
        history: its events, from ExecutionStarted on; empty when they were not kept.
        name: the execution's name.
        input: the execution's input.
        definition: the machine, for `redrive`.
        map_runs: the children of each distributed Map run that failed, by its ARN, for `redrive`.
    """

    status: Status
    output: Json = None
    error: str | None = None
    cause: str | None = None
    history: tuple[Event, ...] = field(default=(), repr=False)
    name: str = ""
    input: Json = field(default=None, repr=False)
    definition: Definition | None = field(default=None, repr=False, compare=False)
    map_runs: Mapping[str, Sequence[Child | None]] = field(default_factory=dict, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """Status, duration, error and the coloured graph, for notebooks."""
        from scones_ml.asl.graph.notebook import execution_html

        return execution_html(self)


@dataclass(frozen=True, slots=True)
class Point:
    """The point from which a redrive continues a branch: the state that was entered and never left.

    Attributes:
        state: the state's name.
        document: the state's input.
        variables: variables that the branch had assigned before.
        finished: outputs of the inner branches that had ended, by their number.
        unfinished: points of the inner branches that had not ended; a branch that never began is in neither.
        map_run: ARN of the state's distributed Map run.
    """

    state: str
    document: Json
    variables: Mapping[str, Json] = field(default_factory=dict)
    finished: Mapping[int, Json] = field(default_factory=dict)
    unfinished: Mapping[int, Point] = field(default_factory=dict)
    map_run: str = ""


class Listener(Protocol):
    """An event to set when branches are cancelled."""

    def set(self) -> None:
        """They are."""


class Cancellation:
    """Cancellation of branches and of the branches inside them."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._listeners: list[Listener] = []
        self._children: set[Cancellation] = set()

    def is_set(self) -> bool:
        """Whether the branches are cancelled."""
        return self.event.is_set()

    def wait(self, seconds: float) -> None:
        """Wait until `timeout` seconds have passed or the branches are cancelled."""
        self.event.wait(seconds)

    def set(self) -> None:
        """Cancel the branches."""
        self.event.set()
        for listener in list(self._listeners):
            listener.set()
        for child in list(self._children):
            child.set()

    def on_set(self, listener: Listener) -> None:
        """Set `listener` when the branches are cancelled."""
        self._listeners.append(listener)
        if self.is_set():
            listener.set()

    def child(self) -> Cancellation:
        """The cancellation of branches inside these ones."""
        child = Cancellation()
        self._children.add(child)
        if self.is_set():
            child.set()
        return child

    def forget(self, child: Cancellation) -> None:
        """Forget `child`, whose branches have ended."""
        self._children.discard(child)


@dataclass(slots=True)
class Shared:
    """The state that all branches of an execution share.

    Attributes:
        resources: the functions behind the Resource ARNs.
        recorder: records the events.
        execution: the context object's ``Execution``.
        machine: the context object's ``StateMachine``.
        max_workers: maximum number of threads for one Map or Parallel state.
        seed: seed of the retries' jitter; None for a random one.
        map_runs: the children of the distributed Map runs that failed, by their ARN.
    """

    resources: Mapping[str, Resource]
    recorder: Recorder
    execution: Mapping[str, Json]
    machine: Mapping[str, Json]
    max_workers: int
    seed: int | None = None
    map_runs: dict[str, Sequence[Child | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Frame:
    """The state of one branch of an execution.

    Attributes:
        shared: what all branches of the execution share.
        clock: the branch's clock.
        deadline: when the execution times out, in seconds on that clock.
        variables: variables set by Assign fields, outer ones included.
        previous: number of the branch's last event.
        item: the context object's ``Map`` in an iteration.
        cancelled: set when this branch is cancelled.
        caller: runs the branch's tasks with a deadline.
    """

    shared: Shared
    clock: Clock
    deadline: float | None = None
    variables: dict[str, Json] = field(default_factory=dict)
    previous: int = 0
    item: Mapping[str, Json] | None = None
    cancelled: Cancellation = field(default_factory=Cancellation)
    caller: Caller = field(default_factory=Caller)

    def record(self, kind: str, data: Mapping[str, object]) -> int:
        """Record an event of this branch and return its number; events of a cancelled branch are not recorded."""
        if self.cancelled.is_set():
            return self.previous
        self.previous = self.shared.recorder.record(kind, self.clock.timestamp(), self.previous, data)
        return self.previous

    def fork(self, group: Cancellation, caller: Caller) -> Frame:
        """A frame for a branch that starts here and is cancelled with `group`."""
        return Frame(
            self.shared,
            self.clock.fork(),
            self.deadline,
            dict(self.variables),
            self.previous,
            self.item,
            group,
            caller,
        )
