"""Redrive: start a failed execution again from the state that failed, with the input and the variables it had."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterable, Mapping

from scones_ml.asl.execution import Execution
from scones_ml.asl.history import Event
from scones_ml.asl.interpreter import Options, Start, launch
from scones_ml.asl.machine import Definition
from scones_ml.asl.program import load
from scones_ml.asl.resources import Resource
from scones_ml.asl.values import Json, new_id
from scones_ml.errors import WorkflowError

__all__ = ["redrive"]

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
    """Run the rest of an execution that did not succeed: its last state once more, and all that follows.

    Args:
        execution: what `run` returned, or the JSON of GetExecutionHistory.
        resources: as for `run`.
        definition: the machine; needed for a history, else by default the execution's own.
        sleep: as for `run`.
        on_event: as for `run`.
        max_workers: as for `run`.
        seed: as for `run`.

    Returns:
        The execution; its history goes on where the old one ended.

    Raises:
        WorkflowError: it succeeded, kept no history, or no definition is at hand.
    """
    events = execution.history if isinstance(execution, Execution) else _read_history(execution)
    if definition is None and isinstance(execution, Execution):
        definition = execution.definition
    if definition is None:
        raise WorkflowError("a history does not tell its machine: pass definition=")
    if not events or events[-1].type not in _ENDED:
        raise WorkflowError("only an execution that failed, timed out or was aborted can be redriven, with its history")
    name = execution.name if isinstance(execution, Execution) else new_id()
    options = Options(resources, sleep, "StateMachine", "STANDARD", on_event, True, max_workers, seed)
    return launch(definition, _point_of_failure(events, set(load(definition).nodes), name), options)


def _point_of_failure(events: Iterable[Event], states: set[str], name: str) -> Start:
    """The state of the machine itself, not of a branch, that was entered last and never left."""
    events = tuple(events)
    current: tuple[str, Json] | None = None
    variables: dict[str, Json] = {}
    for event in events:
        if event.type.endswith("StateEntered") and current is None and event.state in states:
            current = (str(event.state), event.data.get("input"))  # type: ignore[assignment]
        elif event.type.endswith("StateExited") and current is not None and event.state == current[0]:
            assigned = event.data.get("assigned_variables")
            variables.update(assigned if isinstance(assigned, Mapping) else {})
            current = None
    if current is None:
        raise WorkflowError("the history names no state that was entered and not left")
    redrives = 1 + sum(event.type == "ExecutionRedriven" for event in events)
    start: Json = events[0].data.get("input")  # type: ignore[assignment]
    return Start(name, start, current[0], current[1], variables, events, redrives)


def _read_history(history: Mapping[str, Json]) -> tuple[Event, ...]:
    """The events of a GetExecutionHistory response, as far as redriving needs them."""
    documents = history.get("events")
    if not isinstance(documents, list | tuple):
        raise WorkflowError("the history has no list of events: pass the JSON of GetExecutionHistory")
    events = [_read_event(document) for document in documents if isinstance(document, Mapping)]
    return tuple(sorted(events, key=lambda event: event.id))


def _read_event(document: Mapping[str, Json]) -> Event:
    details: dict[str, object] = {}
    for name, value in document.items():
        if name.endswith("EventDetails") and isinstance(value, Mapping):
            details = {_snake(key): _document(key, item) for key, item in value.items()}
    previous, number = document.get("previousEventId", 0), document.get("id", 0)
    return Event(
        number if isinstance(number, int) else 0,
        str(document.get("type")),
        _seconds(document.get("timestamp")),
        previous if isinstance(previous, int) else 0,
        details,
    )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _document(name: str, value: Json) -> Json:
    if name in ("input", "output", "parameters") and isinstance(value, str):
        parsed: Json = json.loads(value)
        return parsed
    if name == "assignedVariables" and isinstance(value, Mapping):
        return {key: json.loads(str(item)) for key, item in value.items()}
    return value


def _seconds(timestamp: Json) -> float:
    if isinstance(timestamp, str):
        return dt.datetime.fromisoformat(timestamp).timestamp()
    return float(timestamp) if isinstance(timestamp, int | float) else 0.0
