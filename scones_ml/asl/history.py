"""The history of an execution: events with the names, numbers and details of AWS's GetExecutionHistory."""

from __future__ import annotations

import datetime as dt
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from scones_ml import strict_json
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import Json, text
from scones_ml.errors import WorkflowError

__all__ = ["Event", "HistoryFullError", "Recorder", "read_history"]

_DOCUMENTS = frozenset({"input", "output", "parameters", "assigned_variables"})
_EMPTY: Mapping[str, object] = {}


class HistoryFullError(Exception):
    """The execution reached `HISTORY_EVENTS`."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a history.

    Attributes:
        id: its number, from 1.
        type: AWS's name, ``"TaskStateEntered"``.
        timestamp: seconds since 1970.
        previous_id: the event that led to this one, 0 for the first.
        data: the event's details as on AWS; input, output and parameters are JSON documents. Do not modify it.
    """

    id: int
    type: str
    timestamp: float
    previous_id: int = 0
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def state(self) -> str | None:
        """The state's name in StateEntered and StateExited events, else None."""
        name = self.data.get("name") if self.type.endswith(("StateEntered", "StateExited")) else None
        return None if name is None else str(name)

    def to_json(self) -> dict[str, Json]:
        """The event as GetExecutionHistory returns it, with documents as JSON text."""
        document: dict[str, Json] = {
            "timestamp": format_timestamp(self.timestamp),
            "type": self.type,
            "id": self.id,
            "previousEventId": self.previous_id,
        }
        details = {_camel(name): _shown(name, value) for name, value in self.data.items() if value is not None}
        if details:
            document[_details_name(self.type)] = details
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Event:
        """An event from GetExecutionHistory, as boto3 returns it (times are datetimes) or as JSON."""
        details: dict[str, object] = {}
        for name, value in document.items():
            if name.endswith("EventDetails") and isinstance(value, Mapping):
                details = {_snake(key): _document(key, item) for key, item in value.items()}
        number, previous = document.get("id"), document.get("previousEventId")
        return cls(
            number if isinstance(number, int) else 0,
            str(document.get("type")),
            _seconds(document.get("timestamp")),
            previous if isinstance(previous, int) else 0,
            details,
        )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _shown(name: str, value: object) -> Json:
    if name == "assigned_variables" and isinstance(value, Mapping):
        return {key: text(item) for key, item in value.items()}
    if name in _DOCUMENTS:
        return text(value)  # type: ignore[arg-type]
    return value if isinstance(value, int | float | str | bool) else text(value)  # type: ignore[arg-type]


def _details_name(event: str) -> str:
    for suffix in ("StateEntered", "StateExited"):
        if event.endswith(suffix):
            return f"s{suffix[1:]}EventDetails"
    return event[0].lower() + event[1:] + "EventDetails"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _document(name: str, value: Json) -> Json:
    if name in ("input", "output", "parameters") and isinstance(value, str):
        return _parsed(value)
    if name == "assignedVariables" and isinstance(value, Mapping):
        return {key: _parsed(str(item)) for key, item in value.items()}
    return value


def _parsed(document: str) -> Json:
    try:
        return cast("Json", strict_json.parse(document))
    except ValueError as error:
        raise WorkflowError(f"an event of the history {error}: pass the JSON of GetExecutionHistory") from error


def _seconds(timestamp: object) -> float:
    if isinstance(timestamp, str):
        try:
            timestamp = dt.datetime.fromisoformat(timestamp)
        except ValueError as error:
            words = f"an event of the history has the timestamp {timestamp!r}: pass the JSON of GetExecutionHistory"
            raise WorkflowError(words) from error
    if isinstance(timestamp, dt.datetime):
        return timestamp.timestamp()
    return float(timestamp) if isinstance(timestamp, int | float) and math.isfinite(timestamp) else 0.0


def read_history(document: Json) -> tuple[Event, ...]:
    """The events of a GetExecutionHistory response, in order.

    Raises:
        WorkflowError: it has no list of events.
    """
    events = document.get("events") if isinstance(document, Mapping) else None
    if not isinstance(events, list | tuple):
        raise WorkflowError("the history has no list of events: pass the JSON of GetExecutionHistory")
    found = [Event.from_json(event) for event in events if isinstance(event, Mapping)]
    return tuple(sorted(found, key=lambda event: event.id))


class Recorder:
    """A recorder that numbers events, stores them and passes them to a listener; thread-safe.

    Args:
        keep: whether to store events; their number is limited either way.
        limit: maximum number of events, None for no limit (Express).
        listener: called with every event, on the thread that recorded it.
        events: events of an earlier part of the same execution.
    """

    def __init__(
        self,
        *,
        keep: bool,
        limit: int | None,
        listener: Callable[[Event], None] | None,
        events: Sequence[Event] = (),
    ) -> None:
        self.events = list(events)
        self.count = len(events)
        self._keep, self._limit, self._listener = keep, limit, listener
        self._lock = threading.Lock()

    def record(self, kind: str, timestamp: float, previous: int, data: Mapping[str, object] = _EMPTY) -> int:
        """Record one event and return its number.

        Raises:
            HistoryFullError: the limit leaves no room for this event and the one that ends the execution.
        """
        with self._lock:
            number = self.count + 1
            if self._limit is not None and number >= self._limit and not kind.startswith("Execution"):
                raise HistoryFullError
            self.count = number
            event = Event(number, kind, timestamp, previous, data)
            if self._keep:
                self.events.append(event)
        if self._listener is not None:
            self._listener(event)
        return number
