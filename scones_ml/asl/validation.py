"""Static validation of a definition: `validate` walks the machine, `checks` checks each state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from scones_ml.asl.checks import CHECKS, Place, Problem, choice_problems, shape_problems
from scones_ml.asl.codec import fields_of, nearest, needed_fields
from scones_ml.asl.machine import Definition, StateMachine, document_of
from scones_ml.asl.parts import (
    Branch,
    Catcher,
    ItemBatcher,
    ItemProcessor,
    ItemReader,
    ProcessorConfig,
    ReaderConfig,
    ResultWriter,
    Retrier,
    WriterConfig,
)
from scones_ml.asl.states import STATES
from scones_ml.asl.values import Json
from scones_ml.errors import InvalidDefinitionError
from scones_ml.limits import STEP_FUNCTIONS_NAME_CHARACTERS

__all__ = ["Problem", "validate"]

_TERMINAL = frozenset({"Succeed", "Fail"})


_PARTS: Final[Mapping[str, type]] = {
    "ItemReader": ItemReader, "ItemBatcher": ItemBatcher, "ResultWriter": ResultWriter,
}  # fmt: skip


_SETTINGS: Final[tuple[tuple[str, str, type], ...]] = (
    ("ItemReader", "ReaderConfig", ReaderConfig),
    ("ResultWriter", "WriterConfig", WriterConfig),
    ("ItemProcessor", "ProcessorConfig", ProcessorConfig),
    ("Iterator", "ProcessorConfig", ProcessorConfig),
)


def validate(definition: Definition) -> list[Problem]:
    """The problems of a definition, in its order; an empty list if it is valid."""
    try:
        document = document_of(definition)
    except InvalidDefinitionError as error:
        return [Problem("$", str(error))]
    problems = [*_unknown("$", document, StateMachine), *_machine("$", document, "JSONPath"), *_twice(document)]
    limit = document.get("TimeoutSeconds", 1)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        problems.append(Problem("$.TimeoutSeconds", "TimeoutSeconds must be an integer of at least 1"))
    if "TimeoutSeconds" not in document:
        problems.append(Problem("$", "no TimeoutSeconds: an execution may run for a year", "warning"))
    return problems


def _fields(path: str, document: Mapping[str, Json], kind: type, *also: str) -> Iterator[Problem]:
    yield from _unknown(path, document, kind, *also)
    for name in needed_fields(kind):
        if name not in document:
            yield Problem(path, f"{name} is missing")


def _unknown(path: str, document: Mapping[str, Json], kind: type, *also: str) -> Iterator[Problem]:
    known = {*fields_of(kind), *also}
    for name in document:
        if name not in known:
            yield Problem(f"{path}.{name}", f"unknown field {name!r}{nearest(name, known)}")


def _machine(path: str, document: Mapping[str, Json], language: str) -> Iterator[Problem]:
    states, language = document.get("States"), _language(document, language)
    own = {name: document[name] for name in ("Comment", "QueryLanguage", "Version") if name in document}
    yield from shape_problems(path, own)
    yield from choice_problems(f"{path}.QueryLanguage", "QueryLanguage", own.get("QueryLanguage"))
    if not isinstance(states, Mapping) or not states:
        yield Problem(f"{path}.States", "States must be an object with at least one state")
        states = {}
    start = document.get("StartAt")
    if not isinstance(start, str):
        yield Problem(f"{path}.StartAt", "StartAt must name the first state")
    elif start not in states:
        yield Problem(
            f"{path}.StartAt", f"StartAt names a state that does not exist: {start!r}{nearest(start, states)}"
        )
    for name, state in states.items():
        if not 1 <= len(name) <= STEP_FUNCTIONS_NAME_CHARACTERS:
            yield Problem(
                f"{path}.States.{name}", f"a state's name must have 1 to {STEP_FUNCTIONS_NAME_CHARACTERS} characters"
            )
        yield from _state(f"{path}.States.{name}", state, states, language)
    yield from _unreachable(path, start, states)
    if states and not any(_ends(state) for state in states.values()):
        yield Problem(f"{path}.States", 'no state ends the machine: set "End": true or add a Succeed or Fail state')


def _language(document: Mapping[str, Json], inherited: str) -> str:
    language = document.get("QueryLanguage", inherited)
    return language if language in ("JSONPath", "JSONata") else inherited


def _ends(state: Json) -> bool:
    return isinstance(state, Mapping) and (state.get("End") is True or str(state.get("Type")) in _TERMINAL)


def _state(path: str, state: Json, states: Mapping[str, Json], language: str) -> Iterator[Problem]:
    if not isinstance(state, Mapping):
        yield Problem(path, "a state must be an object")
        return
    kind = state.get("Type")
    if not isinstance(kind, str) or kind not in STATES:
        yield Problem(f"{path}.Type", f"no such state type: {kind!r}{nearest(str(kind), STATES)}")
        return
    yield from _fields(path, state, STATES[kind], "Type")
    yield from _transitions(path, state, states, kind)
    place = Place(path, state, kind, _language(state, language))
    for check in CHECKS:
        yield from check(place)
    for name, part in _PARTS.items():
        value = state.get(name)
        if isinstance(value, Mapping):
            yield from _fields(f"{path}.{name}", value, part)
    for name, inner, part in _SETTINGS:
        outer = state.get(name)
        settings = outer.get(inner) if isinstance(outer, Mapping) else None
        if isinstance(settings, Mapping):
            yield from _unknown(f"{path}.{name}.{inner}", settings, part)
    yield from _inside(path, state, place.language)


def _target(path: str, name: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
    if not isinstance(name, str) or name not in states:
        yield Problem(path, f"names a state that does not exist: {name!r}{nearest(str(name), states)}")


def _transitions(path: str, state: Mapping[str, Json], states: Mapping[str, Json], kind: str) -> Iterator[Problem]:
    if kind == "Choice":
        if "Default" in state:
            yield from _target(f"{path}.Default", state["Default"], states)
        if not isinstance(state.get("Choices"), list | tuple) or not state["Choices"]:
            yield Problem(f"{path}.Choices", "Choices must be a list with at least one rule")
    elif kind not in _TERMINAL:
        if "Next" in state:
            yield from _target(f"{path}.Next", state["Next"], states)
        if "End" in state and state["End"] is not True:
            yield Problem(f"{path}.End", "End must be true or absent")
        if ("Next" in state) == ("End" in state):
            yield Problem(path, 'needs either Next or "End": true')
    for name, part in (("Choices", None), ("Catch", Catcher), ("Retry", Retrier)):
        for index, item in enumerate(_items(state.get(name))):
            if part is not None:
                yield from _fields(f"{path}.{name}[{index}]", item, part)
            if name != "Retry":
                yield from _target(f"{path}.{name}[{index}].Next", item.get("Next"), states)


def _items(value: Json) -> Iterator[Mapping[str, Json]]:
    return (item for item in (value if isinstance(value, list | tuple) else ()) if isinstance(item, Mapping))


def _inside(path: str, state: Mapping[str, Json], language: str) -> Iterator[Problem]:
    branches = state.get("Branches", ())
    if "Branches" in state and (not isinstance(branches, list | tuple) or not branches):
        yield Problem(f"{path}.Branches", "Branches must be a list with at least one machine")
    for index, branch in enumerate(branches if isinstance(branches, list | tuple) else ()):
        yield from _machine_inside(f"{path}.Branches[{index}]", branch, Branch, language)
    for name in ("ItemProcessor", "Iterator"):
        if name in state:
            yield from _machine_inside(f"{path}.{name}", state[name], ItemProcessor, language)


def _machine_inside(path: str, machine: Json, kind: type, language: str) -> Iterator[Problem]:
    if not isinstance(machine, Mapping):
        yield Problem(path, "a machine must be an object with StartAt and States")
        return
    yield from _unknown(path, machine, kind)
    yield from _machine(path, machine, language)


def _unreachable(path: str, start: Json, states: Mapping[str, Json]) -> Iterator[Problem]:
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


def _twice(document: Json) -> Iterator[Problem]:
    """State names that occur more than once."""
    seen = set[str]()
    for path, name in _names("$", document):
        if name in seen:
            yield Problem(path, f"another state is also named {name!r}: names must be unique in the whole definition")
        seen.add(name)


def _names(path: str, document: Json) -> Iterator[tuple[str, str]]:
    states = document.get("States") if isinstance(document, Mapping) else None
    for name, state in (states if isinstance(states, Mapping) else {}).items():
        here = f"{path}.States.{name}"
        yield here, name
        if isinstance(state, Mapping):
            for index, branch in enumerate(_items(state.get("Branches"))):
                yield from _names(f"{here}.Branches[{index}]", branch)
            for field in ("ItemProcessor", "Iterator"):
                yield from _names(f"{here}.{field}", state.get(field))
