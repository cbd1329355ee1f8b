"""Redrive: continue a failed execution from where it failed, with the input and the variables at that point.

As on AWS, states that ended are not run again, nor are the branches of a Parallel state, the items of a Map state or
the children of a distributed Map run that had succeeded. They are read from the history, ours or AWS's. Children of a
Map run are not in the history: their outputs come from the `Execution`; without it, all children run again.
Source: Step Functions Developer Guide, "Redriving executions".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from scones_ml.asl.execution import Execution, Point
from scones_ml.asl.failures import DATA_LIMIT
from scones_ml.asl.history import Event, read_history
from scones_ml.asl.interpreter import Options, Start, launch
from scones_ml.asl.machine import Definition
from scones_ml.asl.program import Program, load
from scones_ml.asl.recovery import catcher_for
from scones_ml.asl.resources import Resource
from scones_ml.asl.states import Choice, Map, Parallel
from scones_ml.asl.values import Json, new_id
from scones_ml.errors import WorkflowError

__all__ = ["redrive"]

_FAILED = ("Failed", "TimedOut")
_ENDED = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")


def redrive(
    execution: Execution | Mapping[str, Json],
    *,
    resources: Mapping[str, Resource],
    definition: Definition | None = None,
    sleep: Callable[[float], None] = time.sleep,
    on_event: Callable[[Event], None] | None = None,
    max_workers: int = 40,
    seed: int | None = None,
) -> Execution:
    """Continue an execution that did not succeed: run again what failed or was aborted, then all that follows.

    Args:
        execution: the result of `run`, or the JSON of GetExecutionHistory.
        resources: as for `run`.
        definition: the machine; required with a history; default: the execution's own.
        sleep: as for `run`.
        on_event: as for `run`.
        max_workers: as for `run`.
        seed: as for `run`.

    Returns:
        The execution; its history continues the old one.

    Raises:
        WorkflowError: it succeeded or has no history, or the definition is missing.
    """
    if isinstance(execution, Execution):
        events, name, map_runs = execution.history, execution.name, execution.map_runs
        definition = execution.definition if definition is None else definition
    else:
        events, name, map_runs = read_history(execution), new_id(), {}
    if definition is None:
        raise WorkflowError("a history does not contain the definition: pass definition=")
    if not events or events[-1].type not in _ENDED:
        raise WorkflowError("only an execution that failed, timed out or was aborted can be redriven, with its history")
    point = _replay(events, load(definition)).point(whole=events[-1].data.get("error") == DATA_LIMIT)
    if point is None:
        raise WorkflowError("the history has no state that was entered and not left")
    redrives = 1 + sum(event.type == "ExecutionRedriven" for event in events)
    document: Json = events[0].data.get("input")  # type: ignore[assignment]
    options = Options(resources, sleep, "StateMachine", "STANDARD", on_event, True, max_workers, seed)
    return launch(definition, Start(name, document, point, events, redrives, map_runs), options)


@dataclass(slots=True)
class _Branch:
    """The progress of one branch of the execution."""

    program: Program
    parent: _Branch | None = None
    state: str | None = None
    document: Json = None
    variables: dict[str, Json] = field(default_factory=dict)
    branches: dict[int, _Branch] = field(default_factory=dict)
    map_run: str = ""
    error: str | None = None
    left: Event | None = None
    ended: bool = False
    redriven: bool = False

    def enter(self, name: str, event: Event) -> None:
        """Record that the branch entered `name`."""
        if not (self.redriven and self.state == name):
            self.branches = {}
        self.variables.update(_assigned(self.left))
        self.state, self.error, self.left = name, None, None
        self.document = event.data.get("input")  # type: ignore[assignment]

    def leave(self, name: str, event: Event) -> None:
        """Record that the branch left `name`; after a Choice, the target is known from the next state entered."""
        state = self.program.nodes[name].state
        self.branches = {}
        if isinstance(state, Choice):
            self.left = event
            return
        self.variables.update(_assigned(event))
        catcher = None if self.error is None else catcher_for(getattr(state, "catch", None) or (), self.error)
        self.state = getattr(state, "next", None) if catcher is None else catcher.next
        self.document = event.data.get("output")  # type: ignore[assignment]
        self.ended = self.state is None

    def begin(self) -> None:
        """Record that the branches of its Parallel or Map state started, from the beginning unless redriven."""
        self.branches = self.branches if self.redriven else {}
        self.redriven = False

    def redrive(self) -> None:
        self.redriven = True
        for branch in self.branches.values():
            branch.redrive()

    def point(self, *, whole: bool = False) -> Point | None:
        """Where to continue, None if it has not begun; `whole` discards the progress of the inner branches."""
        if self.state is None:
            return None
        inside = {} if whole else self.branches
        points = {number: branch.point() for number, branch in inside.items() if not branch.ended}
        return Point(
            self.state,
            self.document,
            self.variables,
            {number: branch.document for number, branch in inside.items() if branch.ended},
            {number: point for number, point in points.items() if point is not None},
            "" if whole else self.map_run,
        )


def _assigned(event: Event | None) -> Mapping[str, Json]:
    assigned = None if event is None else event.data.get("assigned_variables")
    return assigned if isinstance(assigned, Mapping) else {}


def _replay(events: Iterable[Event], program: Program) -> _Branch:
    """The progress of the whole machine after these events; an event's predecessor is in the same branch."""
    machine = _Branch(program)
    places: dict[int, _Branch] = {0: machine}
    for event in events:
        place = places.get(event.previous_id, machine)
        if event.type == "ExecutionRedriven":
            machine.redrive()
            place = machine
        elif event.type == "MapIterationStarted":
            place = _iteration(place, event)
        elif event.state is not None:
            place = _branch_with(place, event.state)
            if event.type.endswith("StateEntered"):
                place.enter(event.state, event)
            else:
                place.leave(event.state, event)
        elif event.type in ("ParallelStateStarted", "MapStateStarted"):
            place = _outer(place, Parallel if event.type.startswith("Parallel") else Map)
            place.begin()
        elif event.type == "MapRunStarted":
            place.map_run = str(event.data.get("map_run_arn"))
        elif event.type in ("ParallelStateFailed", "MapStateFailed"):
            place = _outer(place, Parallel if event.type.startswith("Parallel") else Map)
        if event.state is None:
            place.error = str(event.data.get("error")) if event.type.endswith(_FAILED) else None
        places[event.id] = place
    return machine


def _outer(place: _Branch, kind: type[Parallel] | type[Map]) -> _Branch:
    """The nearest branch around `place` whose current state is of this kind."""
    branch: _Branch | None = place
    while branch is not None:
        if branch.state is not None and isinstance(branch.program.nodes[branch.state].state, kind):
            return branch
        branch = branch.parent
    raise WorkflowError(f"the history does not match the definition: no {kind.__name__} state was entered")


def _iteration(place: _Branch, event: Event) -> _Branch:
    """The iteration of a Map state that starts with `event`."""
    name, index = str(event.data.get("name")), event.data.get("index")
    branch: _Branch | None = place
    while branch is not None and branch.state != name:
        branch = branch.parent
    if branch is None or not isinstance(index, int):
        raise WorkflowError(
            f"the history does not match the definition: {name!r} was not entered before its iterations"
        )
    return branch.branches.setdefault(index, _Branch(branch.program.nodes[name].branches[0], branch))


def _branch_with(place: _Branch, name: str) -> _Branch:
    """The branch with the state `name`: `place`, one inside it, or one beside it; names are unique."""
    branch: _Branch | None = place
    while branch is not None:
        if name in branch.program.nodes:
            return branch
        inside = branch.program.nodes[branch.state].branches if branch.state is not None else ()
        for number, program in enumerate(inside):
            if name in program.nodes:
                return branch.branches.setdefault(number, _Branch(program, branch))
        branch = branch.parent
    raise WorkflowError(f"the history does not match the definition: it has no state {name!r} there")
