"""A compiled state machine: every state with its data flow, compiled expressions and branches."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scones_ml.asl.flow import Flow, flow_of
from scones_ml.asl.machine import Definition, StateMachine, document_of
from scones_ml.asl.parts import Branch
from scones_ml.asl.paths import PathSyntaxError
from scones_ml.asl.states import Map, Parallel, State, Task, Wait
from scones_ml.asl.validation import validate
from scones_ml.asl.values import Json
from scones_ml.errors import InvalidDefinitionError

__all__ = ["Node", "Program", "load"]

_PREPARED: Final = "_program"


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled state.

    Attributes:
        name: the state's name.
        state: its definition.
        flow: its data flow.
        branches: the machines inside it: a Parallel state's branches, a Map state's processor.
    """

    name: str
    state: State
    flow: Flow
    branches: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled machine or branch.

    Attributes:
        start_at: the name of the first state.
        nodes: the states by name.
        timeout_seconds: maximum duration of an execution.
        waits: whether one of its states calls a task or waits, so that concurrent branches are faster.
    """

    start_at: str
    nodes: Mapping[str, Node]
    timeout_seconds: int | None = None
    waits: bool = False


def load(definition: Definition) -> Program:
    """Compile a definition; programs are cached.

    Raises:
        InvalidDefinitionError: the definition has errors; the message lists each one with its path.
    """
    if isinstance(definition, str):
        return _load_text(definition)
    if not isinstance(definition, StateMachine):
        return _load_text(json.dumps(definition, ensure_ascii=False))
    known: Program | None = vars(definition).get(_PREPARED)
    if known is None:
        known = vars(definition)[_PREPARED] = _load(definition.to_json())  # machines are immutable
    return known


@functools.lru_cache(maxsize=64)
def _load_text(definition: str) -> Program:
    return _load(document_of(definition))


def _load(document: Mapping[str, Json]) -> Program:
    errors = [problem for problem in validate(document) if problem.severity == "error"]
    if errors:
        raise InvalidDefinitionError("; ".join(f"{problem.path}: {problem.message}" for problem in errors))
    machine = StateMachine.from_json(document)
    return _compile(machine, machine.query_language or "JSONPath", machine.timeout_seconds)


def _compile(branch: Branch, language: str, timeout_seconds: int | None = None) -> Program:
    nodes = {name: _node(name, state, state.query_language or language) for name, state in branch.states.items()}
    waits = any(
        isinstance(node.state, Task | Wait) or any(inside.waits for inside in node.branches) for node in nodes.values()
    )
    return Program(branch.start_at, nodes, timeout_seconds, waits)


def _node(name: str, state: State, language: str) -> Node:
    inside: tuple[Branch, ...] = ()
    if isinstance(state, Parallel):
        inside = state.branches
    elif isinstance(state, Map):
        processor = state.item_processor or state.iterator
        inside = () if processor is None else (processor,)
    branches = tuple(_compile(branch, branch.query_language or language) for branch in inside)
    try:
        return Node(name, state, flow_of(language, state), branches)
    except PathSyntaxError as error:
        raise InvalidDefinitionError(f"state {name!r}: {error}") from error
