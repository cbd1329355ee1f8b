"""A machine as a Mermaid flow chart; with an execution, the states are coloured by what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scones_ml.asl.choice import And, ChoiceRule, Comparison, Condition, Not, Or
from scones_ml.asl.execution import Execution
from scones_ml.asl.history import Event, read_history
from scones_ml.asl.machine import Definition, StateMachine
from scones_ml.asl.parts import Branch
from scones_ml.asl.states import Choice, Fail, Map, Parallel, State, Succeed
from scones_ml.asl.values import Json

__all__ = ["mermaid"]

_STYLES: Final = {
    "succeeded": "fill:#d5f5dd,stroke:#1f7a3a",
    "caught": "fill:#fff0cc,stroke:#9a6b00",
    "failed": "fill:#fbd9d9,stroke:#a32020",
}


_SIGNS: Final = {
    "Equals": "=",
    "GreaterThan": ">",
    "GreaterThanEquals": ">=",
    "LessThan": "<",
    "LessThanEquals": "<=",
    "Matches": "matches",
}
_LONGEST_LABEL: Final = 60


def mermaid(definition: Definition, execution: Execution | Mapping[str, Json] | None = None) -> str:
    """The machine as Mermaid text, which GitHub, GitLab and most editors draw.

    Args:
        definition: the machine.
        execution: what `run` returned, or the JSON of GetExecutionHistory; colours the states: succeeded, caught (an
            error that a Catch rule took) or failed.

    Raises:
        WorkflowError: the JSON is not a history.
    """
    machine = definition if isinstance(definition, StateMachine) else StateMachine.from_json(definition)
    lines = ["flowchart TD", *_branch(machine, "m", "    ")]
    if execution is not None:
        lines += [f"    classDef {name} {style}" for name, style in _STYLES.items()]
        identifiers = dict(_identifiers(machine, "m"))
        history = execution.history if isinstance(execution, Execution) else read_history(execution)
        for name, outcome in _outcomes(history).items():
            if name in identifiers:
                lines.append(f"    class {identifiers[name]} {outcome}")
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    for character, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        name = name.replace(character, entity)
    return f'"{name}"'


def _shape(identifier: str, name: str, state: State) -> str:
    if isinstance(state, Choice):
        return f"{identifier}{{{_label(name)}}}"
    if isinstance(state, Succeed | Fail):
        return f"{identifier}([{_label(name)}])"
    return f"{identifier}[{_label(name)}]"


def _inner(state: State) -> tuple[Branch, ...]:
    if isinstance(state, Parallel):
        return state.branches
    if isinstance(state, Map):
        processor = state.item_processor or state.iterator
        return () if processor is None else (processor,)
    return ()


def _identifiers(branch: Branch, prefix: str) -> Iterator[tuple[str, str]]:
    for index, (name, state) in enumerate(branch.states.items()):
        yield name, f"{prefix}{index}"
        for number, inner in enumerate(_inner(state)):
            yield from _identifiers(inner, f"{prefix}{index}b{number}_")


def _branch(branch: Branch, prefix: str, indent: str) -> Iterator[str]:
    own = {name: f"{prefix}{index}" for index, name in enumerate(branch.states)}
    yield f"{indent}{prefix}start(( )) --> {own.get(branch.start_at, prefix)}"
    for name, state in branch.states.items():
        yield indent + _shape(own[name], name, state)
        for number, inner in enumerate(_inner(state)):
            inside = f"{own[name]}b{number}_"
            yield f"{indent}subgraph {inside}box [{_label(name)}]"
            yield from _branch(inner, inside, indent + "    ")
            yield f"{indent}end"
            yield f"{indent}{own[name]} -.-> {inside}start"
        for target, label in _edges(state):
            if target in own:
                yield f"{indent}{own[name]} -->{f'|{_label(label)}|' if label else ''} {own[target]}"
        if getattr(state, "end", None):
            yield f"{indent}{own[name]} --> {prefix}end((( )))"


def _edges(state: State) -> Iterator[tuple[str, str]]:
    following = getattr(state, "next", None)
    if following is not None:
        yield following, ""
    if isinstance(state, Choice):
        for rule in state.choices:
            if rule.next is not None:
                yield rule.next, _short(rule.comment or _words(rule))
        if state.default is not None:
            yield state.default, "otherwise"
    for catcher in getattr(state, "catch", None) or ():
        yield catcher.next, ", ".join(catcher.error_equals)


def _words(rule: ChoiceRule) -> str:
    """The condition of a rule in a few words: ``$.confidence >= 0.9``."""
    match rule:
        case Comparison():
            return _comparison(rule)
        case Condition():
            return str(rule.condition).removeprefix("{%").removesuffix("%}").strip()
        case Not():
            return f"not ({_words(rule.rule)})"
        case And() | Or():
            parts = [
                _words(part) if isinstance(part, Comparison | Condition) else f"({_words(part)})" for part in rule.rules
            ]
            return (" and " if isinstance(rule, And) else " or ").join(parts)


def _comparison(rule: Comparison) -> str:
    name = str(rule.operator)
    if name.startswith("Is"):
        kind = {"Null": "null", "Present": "present"}.get(name[2:], f"a {name[2:].lower()}")
        return f"{rule.variable} is {'' if rule.value is True else 'not '}{kind}"
    sign = name.removesuffix("Path")
    for kind in ("String", "Numeric", "Timestamp", "Boolean"):
        sign = sign.removeprefix(kind)
    value = rule.value if name.endswith("Path") else json.dumps(rule.value)
    return f"{rule.variable} {_SIGNS[sign]} {value}"


def _short(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= _LONGEST_LABEL else words[: _LONGEST_LABEL - 1].rstrip() + "\u2026"


def _outcomes(history: Iterable[Event]) -> Mapping[str, str]:
    """What became of each state that was entered, by its name: the last visit counts."""
    outcomes: dict[str, str] = {}
    failed = False
    for event in history:
        failed = event.type.endswith(("Failed", "TimedOut")) or (failed and not event.type.endswith("Succeeded"))
        if event.type.endswith("StateEntered"):
            outcomes[str(event.state)] = "failed"
            failed = False
        elif event.type.endswith("StateExited"):
            outcomes[str(event.state)] = "caught" if failed else "succeeded"
            failed = False
    return outcomes
