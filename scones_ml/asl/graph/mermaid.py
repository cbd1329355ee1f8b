"""A machine as a Mermaid flow chart; with an execution, states are coloured by outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from scones_ml.asl.execution import Execution
from scones_ml.asl.graph.outcomes import Outcome, Progress, StateStatus, progress
from scones_ml.asl.graph.transitions import inner_machines, transitions
from scones_ml.asl.graph.wording import facts
from scones_ml.asl.machine import Definition, StateMachine
from scones_ml.asl.parts import Branch
from scones_ml.asl.states import Choice, Fail, State, Succeed
from scones_ml.asl.values import Json
from scones_ml.printable import printable

__all__ = ["mermaid"]

_STYLES: Final[dict[StateStatus, str]] = {
    "succeeded": "fill:#dcf3e3,stroke:#1f7a3a,color:#12331c",
    "caught": "fill:#fff0cc,stroke:#9a6b00,color:#3d2b00",
    "failed": "fill:#fbd9d9,stroke:#a32020,color:#430d0d",
    "running": "fill:#dceafc,stroke:#1a5fb4,color:#0b2748",
    "aborted": "fill:#e8e4f0,stroke:#64568a,color:#2b2440",
}
_LONGEST_LABEL: Final = 60
_ENTITIES: Final = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"}


def mermaid(definition: Definition, execution: Execution | Mapping[str, Json] | None = None) -> str:
    """The machine as Mermaid text, which GitHub, GitLab and most editors render.

    Args:
        definition: the machine.
        execution: what `run` returned, or the JSON of GetExecutionHistory; colours the states: succeeded, caught (an
            error that a Catch rule took), failed, running or aborted, each with its duration and a Map with its items.

    Raises:
        InvalidDefinitionError: the definition is invalid.
        WorkflowError: the JSON is not a history.
    """
    machine = definition if isinstance(definition, StateMachine) else StateMachine.from_json(definition)
    found = progress(execution) if execution is not None else None
    lines = ["flowchart TD", *_branch(machine, "m", "    ", found)]
    if found is not None and found.states:
        lines += [f"    classDef {name} {style}" for name, style in _STYLES.items()]
        identifiers = dict(_identifiers(machine, "m"))
        for name, outcome in found.states.items():
            if name in identifiers:
                lines.append(f"    class {identifiers[name]} {outcome.status}")
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    return '"' + "".join(_ENTITIES.get(character, character) for character in printable(name)) + '"'


def _shape(identifier: str, name: str, state: State, outcome: Outcome | None) -> str:
    words = _label(name)
    if outcome is not None and facts(outcome):
        words = f"{words[:-1]}<br/>{_label(', '.join(facts(outcome)))[1:]}"
    if isinstance(state, Choice):
        return f"{identifier}{{{words}}}"
    if isinstance(state, Succeed | Fail):
        return f"{identifier}([{words}])"
    return f"{identifier}[{words}]"


def _identifiers(branch: Branch, prefix: str) -> Iterator[tuple[str, str]]:
    for index, (name, state) in enumerate(branch.states.items()):
        yield name, f"{prefix}{index}"
        for number, inner in enumerate(inner_machines(state)):
            yield from _identifiers(inner, f"{prefix}{index}b{number}_")


def _branch(branch: Branch, prefix: str, indent: str, found: Progress | None) -> Iterator[str]:
    own = {name: f"{prefix}{index}" for index, name in enumerate(branch.states)}
    yield f"{indent}{prefix}start(( )) --> {own.get(branch.start_at, prefix)}"
    for name, state in branch.states.items():
        yield indent + _shape(own[name], name, state, found.states.get(name) if found else None)
        for number, inner in enumerate(inner_machines(state)):
            inside = f"{own[name]}b{number}_"
            yield f"{indent}subgraph {inside}box [{_label(name)}]"
            yield from _branch(inner, inside, indent + "    ", found)
            yield f"{indent}end"
            yield f"{indent}{own[name]} -.-> {inside}start"
        for way in transitions(state):
            if way.target is None:
                yield f"{indent}{own[name]} --> {prefix}end((( )))"
            elif way.target in own:
                arrow = "-.->" if way.kind == "catch" else "-->"
                label = f"|{_label(_short(way.label))}|" if way.label else ""
                yield f"{indent}{own[name]} {arrow}{label} {own[way.target]}"


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST_LABEL else words[: _LONGEST_LABEL - 1].rstrip() + "\u2026"
