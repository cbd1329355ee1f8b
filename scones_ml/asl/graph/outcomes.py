"""The outcome of each state, read from the history of an execution, ours or AWS's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from scones_ml.asl.execution import Execution
from scones_ml.asl.history import Event, read_history
from scones_ml.asl.values import Json

__all__ = ["Iterations", "Outcome", "Progress", "StateStatus", "progress"]

StateStatus: TypeAlias = Literal["succeeded", "caught", "failed", "running", "aborted"]

_WORST_FIRST: Final[Sequence[StateStatus]] = ("failed", "running", "caught", "aborted", "succeeded")
_ENDS: Final = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")


@dataclass(frozen=True, slots=True)
class Iterations:
    """The outcomes of the items of an inline Map.

    Attributes:
        total: number of items.
        succeeded: number of items that succeeded.
        failed: number of items that failed.
    """

    total: int
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one state.

    Attributes:
        status: `caught` is an error that one of its Catch rules took; of several visits, the most serious one's.
        visits: how often it was entered, Map iterations included.
        seconds: duration of its only visit; None if it was visited more than once or has not ended.
        error: the name of the error that it failed with.
        iterations: outcomes of a Map state's items.
    """

    status: StateStatus
    visits: int = 1
    seconds: float | None = None
    error: str | None = None
    iterations: Iterations | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The content of a history.

    Attributes:
        status: of the execution, as AWS names it; RUNNING while it has not ended.
        seconds: from the first event to the last.
        error: the error that the execution failed with.
        cause: the error's explanation.
        states: outcomes by name; states that were not reached are absent.
        taken: the transitions that were taken: source (None for the start), target (None for the end), whether an
            error led there.
    """

    status: str
    seconds: float | None = None
    error: str | None = None
    cause: str | None = None
    states: Mapping[str, Outcome] = field(default_factory=dict)
    taken: frozenset[tuple[str | None, str | None, bool]] = frozenset()


@dataclass(slots=True, eq=False)
class _Visit:
    """One visit to a state; `parent` is the visit to the Map or Parallel around it."""

    name: str
    type: str
    parent: _Visit | None
    iteration: int
    entered: float
    left: float | None = None
    failed: bool = False
    error: str | None = None
    total: int | None = None
    ended_iterations: dict[int, bool] = field(default_factory=dict)


_Stack: TypeAlias = tuple[tuple[_Visit, int], ...]
"""Open visits from the outermost to the innermost, each with the number of the running iteration inside it."""


def progress(recorded: Execution | Mapping[str, Json]) -> Progress:
    """The outcome of each state of an execution: a result of `run`, or the JSON of GetExecutionHistory.

    Raises:
        WorkflowError: the JSON is not a history.
    """
    history = recorded.history if isinstance(recorded, Execution) else read_history(recorded)
    reader = _Reader()
    for event in history:
        reader.take(event)
    last = history[-1] if history else None
    status = reader.status
    if isinstance(recorded, Execution):
        status = recorded.status
    timed = last is not None and history[0].timestamp > 0
    return Progress(
        status,
        last.timestamp - history[0].timestamp if last is not None and timed else None,
        recorded.error if isinstance(recorded, Execution) else reader.error,
        recorded.cause if isinstance(recorded, Execution) else reader.cause,
        _outcomes(reader.visits, status, timed=timed),
        frozenset(reader.taken()),
    )


class _Reader:
    """A reader that follows events by their `previous_id`, since branches and iterations are interleaved."""

    def __init__(self) -> None:
        self.visits: list[_Visit] = []
        self.status = "RUNNING"
        self.error: str | None = None
        self.cause: str | None = None
        self._stacks: dict[int, _Stack] = {0: ()}
        self._left: dict[int, _Visit] = {}
        self._steps: dict[tuple[str | None, str | None, bool], None] = {}
        self._followed: set[int] = set()

    def take(self, event: Event) -> None:
        stack = self._stacks.get(event.previous_id, ())
        if event.type.endswith("StateEntered") and event.state is not None:
            stack = self._enter(event, event.state, stack)
        elif event.type.endswith("StateExited") and event.state is not None:
            stack = self._leave(event, event.state, stack)
        elif event.type.startswith("Execution"):
            self._execution(event, stack)
        elif event.type.startswith("MapIteration"):
            stack = self._iteration(event, stack)
        elif stack:
            self._inside(event, stack)
        self._stacks[event.id] = stack

    def taken(self) -> Iterable[tuple[str | None, str | None, bool]]:
        yield from self._steps
        for number, visit in self._left.items():
            if number not in self._followed:
                yield visit.name, None, False

    def _enter(self, event: Event, name: str, stack: _Stack) -> _Stack:
        before = self._left.get(event.previous_id)
        self._steps[(before.name if before else None, name, before.failed if before else False)] = None
        self._followed.add(event.previous_id)
        parent, iteration = stack[-1] if stack else (None, 0)
        kind = event.type.removesuffix("StateEntered")
        visit = _Visit(name, kind, parent, iteration, event.timestamp, failed=kind == "Fail")
        self.visits.append(visit)
        return (*stack, (visit, 0))

    def _leave(self, event: Event, name: str, stack: _Stack) -> _Stack:
        stack = _up_to(stack, name)
        if stack:
            visit = stack[-1][0]
            visit.left = event.timestamp
            self._left[event.id] = visit
        return stack[:-1]

    def _execution(self, event: Event, stack: _Stack) -> None:
        self.status = "RUNNING"
        if event.type in _ENDS:
            self.status = _aws_name(event.type.removeprefix("Execution"))
            self.error, self.cause = _text(event, "error"), _text(event, "cause")
        if event.type in ("ExecutionFailed", "ExecutionTimedOut"):
            _fail(stack, self.error)

    def _iteration(self, event: Event, stack: _Stack) -> _Stack:
        index = event.data.get("index")
        number = index if isinstance(index, int) else 0
        outer = _up_to(stack, str(event.data.get("name"))) or stack[:1]
        if not outer:
            return stack
        visit = outer[-1][0]
        if event.type == "MapIterationStarted":
            return (*outer[:-1], (visit, number))
        visit.ended_iterations[number] = event.type == "MapIterationSucceeded"
        if event.type == "MapIterationFailed":
            _fail(stack[len(outer) :], None)
        return outer

    def _inside(self, event: Event, stack: _Stack) -> None:
        visit = stack[-1][0]
        for name in ("Map", "Parallel"):
            if event.type.startswith(f"{name}State"):
                visit = next((found for found, _ in reversed(stack) if found.type == name), visit)
        if event.type.endswith(("Failed", "TimedOut", "Aborted")):
            visit.failed = not event.type.endswith("Aborted")
            visit.error = _text(event, "error") or visit.error
        elif event.type.endswith(("Succeeded", "Scheduled", "StateStarted", "MapRunStarted")):
            visit.failed = False
        if event.type == "MapStateStarted":
            length = event.data.get("length")
            visit.total = length if isinstance(length, int) else None
            visit.ended_iterations.clear()


def _up_to(stack: _Stack, name: str) -> _Stack:
    """`stack` up to the innermost visit to the state `name`; empty where it has none."""
    for depth in range(len(stack), 0, -1):
        if stack[depth - 1][0].name == name:
            return stack[:depth]
    return ()


def _fail(stack: _Stack, error: str | None) -> None:
    for visit, _ in stack:
        if visit.left is None:
            visit.failed = True
            visit.error = visit.error or error


def _text(event: Event, name: str) -> str | None:
    value = event.data.get(name)
    return None if value is None else str(value)


def _aws_name(word: str) -> str:
    return "TIMED_OUT" if word == "TimedOut" else word.upper()


def _outcomes(visits: Sequence[_Visit], status: str, *, timed: bool) -> dict[str, Outcome]:
    latest = {(visit.name, visit.parent, visit.iteration): visit for visit in visits}
    current: dict[_Visit | None, bool] = {None: True}
    by_name: dict[str, list[_Visit]] = {}
    counts: dict[str, int] = {}
    for visit in visits:  # parents precede their children
        now = current[visit.parent] and latest[visit.name, visit.parent, visit.iteration] is visit
        current[visit] = now
        counts[visit.name] = counts.get(visit.name, 0) + 1
        if now:
            by_name.setdefault(visit.name, []).append(visit)
    return {name: _outcome(found, counts[name], status, timed=timed) for name, found in by_name.items()}


def _outcome(visits: Sequence[_Visit], count: int, execution: str, *, timed: bool) -> Outcome:
    statuses = {_status(visit, execution): visit for visit in visits}
    status = next(word for word in _WORST_FIRST if word in statuses)
    visit = statuses[status]
    only = visit if count == 1 and timed else None
    return Outcome(
        status,
        count,
        only.left - only.entered if only is not None and only.left is not None else None,
        visit.error if status in ("failed", "caught") else None,
        _iterations(visits[-1]),
    )


def _status(visit: _Visit, execution: str) -> StateStatus:
    if visit.left is not None:
        return "caught" if visit.failed else "succeeded"
    if visit.failed:
        return "failed"
    around = visit.parent
    while around is not None and around.left is None and not around.failed:
        around = around.parent
    return "running" if execution == "RUNNING" and around is None else "aborted"


def _iterations(visit: _Visit) -> Iterations | None:
    if visit.type != "Map" or visit.total is None:
        return None
    succeeded = sum(visit.ended_iterations.values())
    return Iterations(visit.total, succeeded, len(visit.ended_iterations) - succeeded)
