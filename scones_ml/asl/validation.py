"""Finds what is wrong with a definition before it runs: `validate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from scones_ml.asl.choice import OPERATORS
from scones_ml.asl.codec import fields_of, nearest, needed_fields
from scones_ml.asl.machine import Definition, StateMachine, document_of
from scones_ml.asl.parts import Branch, Catcher, ItemProcessor, Retrier
from scones_ml.asl.states import STATES
from scones_ml.asl.values import Json
from scones_ml.errors import InvalidDefinitionError

__all__ = ["Problem", "validate"]

_TERMINAL = frozenset({"Succeed", "Fail"})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a definition.

    Attributes:
        path: where, ``"$.States.Greet.Next"``.
        message: what, and what to do about it.
        severity: ``error`` when AWS would refuse the definition, ``warning`` when it would run but should not.
    """

    path: str
    message: str
    severity: Literal["error", "warning"] = "error"


def validate(definition: Definition) -> list[Problem]:
    """Every problem of a definition, in its order; an empty list for a sound one."""
    try:
        document = document_of(definition)
    except InvalidDefinitionError as error:
        return [Problem("$", str(error))]
    problems = [*_unknown("$", document, StateMachine), *_machine("$", document)]
    if "TimeoutSeconds" not in document:
        problems.append(Problem("$", "no TimeoutSeconds: an execution may run for a year", "warning"))
    return problems


def _unknown(path: str, document: Mapping[str, Json], kind: type, *also: str) -> Iterator[Problem]:
    known = {*fields_of(kind), *also}
    for name in document:
        if name not in known:
            yield Problem(f"{path}.{name}", f"unknown field {name!r}{nearest(name, known)}")


def _machine(path: str, document: Mapping[str, Json]) -> Iterator[Problem]:
    states = document.get("States")
    if not isinstance(states, Mapping) or not states:
        yield Problem(f"{path}.States", "States must be an object with at least one state")
        return
    start = document.get("StartAt")
    if not isinstance(start, str):
        yield Problem(f"{path}.StartAt", "StartAt must name the first state")
    elif start not in states:
        yield Problem(f"{path}.StartAt", f"StartAt names no state: {start!r}{nearest(start, states)}")
    for name, state in states.items():
        if len(name) > 80:
            yield Problem(f"{path}.States.{name}", "a state's name has at most 80 characters")
        yield from _state(f"{path}.States.{name}", state, states)
    yield from _reachable(path, start, states)
    if not any(_ends(state) for state in states.values()):
        yield Problem(f"{path}.States", 'no state ends the machine: set "End": true or add a Succeed or Fail state')


def _ends(state: Json) -> bool:
    return isinstance(state, Mapping) and (state.get("End") is True or state.get("Type") in _TERMINAL)


def _state(path: str, state: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
    if not isinstance(state, Mapping):
        yield Problem(path, "a state is an object")
        return
    kind = state.get("Type")
    if not isinstance(kind, str) or kind not in STATES:
        yield Problem(f"{path}.Type", f"no such state type: {kind!r}{nearest(str(kind), STATES)}")
        return
    yield from _unknown(path, state, STATES[kind], "Type")
    yield from _required(path, state, STATES[kind])
    yield from _transitions(path, state, states, kind)
    yield from _inside(path, state)
    if kind == "Task" and "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
        yield Problem(path, "no TimeoutSeconds: a task that hangs is waited for without end", "warning")


def _required(path: str, document: Mapping[str, Json], kind: type) -> Iterator[Problem]:
    for name in needed_fields(kind):
        if name not in document:
            yield Problem(path, f"{name} is missing")


def _target(path: str, name: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
    if not isinstance(name, str) or name not in states:
        yield Problem(path, f"names no state: {name!r}{nearest(str(name), states)}")


def _transitions(path: str, state: Mapping[str, Json], states: Mapping[str, Json], kind: str) -> Iterator[Problem]:
    if kind == "Choice":
        if "Default" in state:
            yield from _target(f"{path}.Default", state["Default"], states)
        yield from _choices(path, state.get("Choices"), states)
    elif kind not in _TERMINAL:
        if "Next" in state:
            yield from _target(f"{path}.Next", state["Next"], states)
        if ("Next" in state) == (state.get("End") is True):
            yield Problem(path, 'needs either Next or "End": true')
    for index, catcher in enumerate(_items(state.get("Catch"))):
        yield from _unknown(f"{path}.Catch[{index}]", catcher, Catcher)
        yield from _required(f"{path}.Catch[{index}]", catcher, Catcher)
        yield from _target(f"{path}.Catch[{index}].Next", catcher.get("Next"), states)
    for index, retrier in enumerate(_items(state.get("Retry"))):
        yield from _unknown(f"{path}.Retry[{index}]", retrier, Retrier)
        yield from _required(f"{path}.Retry[{index}]", retrier, Retrier)


def _items(value: Json) -> Iterator[Mapping[str, Json]]:
    return (item for item in (value if isinstance(value, list | tuple) else ()) if isinstance(item, Mapping))


def _choices(path: str, choices: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
    if not isinstance(choices, list | tuple) or not choices:
        yield Problem(f"{path}.Choices", "needs at least one rule")
    for index, rule in enumerate(_items(choices)):
        where = f"{path}.Choices[{index}]"
        yield from _target(f"{where}.Next", rule.get("Next"), states)
        yield from _rule(where, {name: value for name, value in rule.items() if name != "Next"})


_RULE_FIELDS = frozenset({"Variable", "Comment", "Assign", "Output", "And", "Or", "Not", "Condition", *OPERATORS})


def _rule(path: str, rule: Mapping[str, Json]) -> Iterator[Problem]:
    for name in rule:
        if name not in _RULE_FIELDS:
            yield Problem(f"{path}.{name}", f"unknown field {name!r}{nearest(name, _RULE_FIELDS)}")
    for name in ("And", "Or"):
        for index, part in enumerate(_items(rule.get(name))):
            yield from _rule(f"{path}.{name}[{index}]", part)
    inner = rule.get("Not")
    if isinstance(inner, Mapping):
        yield from _rule(f"{path}.Not", inner)


def _inside(path: str, state: Mapping[str, Json]) -> Iterator[Problem]:
    for index, branch in enumerate(_items(state.get("Branches"))):
        yield from _unknown(f"{path}.Branches[{index}]", branch, Branch)
        yield from _machine(f"{path}.Branches[{index}]", branch)
    for name in ("ItemProcessor", "Iterator"):
        processor = state.get(name)
        if isinstance(processor, Mapping):
            yield from _unknown(f"{path}.{name}", processor, ItemProcessor)
            yield from _machine(f"{path}.{name}", processor)


def _reachable(path: str, start: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
    reached, ahead = set[str](), [start]
    while ahead:
        name = ahead.pop()
        if isinstance(name, str) and name in states and name not in reached:
            reached.add(name)
            ahead.extend(_following(states[name]))
    for name in states:
        if name not in reached:
            yield Problem(f"{path}.States.{name}", "unreachable: no state leads to it")


def _following(state: Json) -> list[Json]:
    if not isinstance(state, Mapping):
        return []
    found = [state.get("Next"), state.get("Default")]
    for name in ("Choices", "Catch"):
        found.extend(item.get("Next") for item in _items(state.get(name)))
    return found
