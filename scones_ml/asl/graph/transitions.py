"""The transitions of a state, with short labels that say when each is taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from scones_ml.asl.choice import And, ChoiceRule, Comparison, Condition, Not, Or
from scones_ml.asl.parts import Branch
from scones_ml.asl.states import Choice, Map, Parallel, State, Task, Wait

__all__ = ["Kind", "Transition", "inner_machines", "is_distributed", "summary", "transitions"]

Kind: TypeAlias = Literal["next", "rule", "catch", "end"]

_SIGNS: Final = {
    "Equals": "=",
    "GreaterThan": ">",
    "GreaterThanEquals": ">=",
    "LessThan": "<",
    "LessThanEquals": "<=",
    "Matches": "matches",
}


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition of a state.

    Attributes:
        target: the next state's name, None for the end of the machine.
        kind: its origin: Next, a Choice rule or its Default, a Catch rule, or End.
        label: the condition under which it is taken, empty if there is none.
    """

    target: str | None
    kind: Kind
    label: str = ""


def transitions(state: State) -> Sequence[Transition]:
    """The transitions of `state`, in the order of the definition; Catch rules last."""
    found: list[Transition] = []
    following = getattr(state, "next", None)
    if following is not None:
        found.append(Transition(following, "next"))
    if isinstance(state, Choice):
        found += [
            Transition(rule.next, "rule", " ".join((rule.comment or _words(rule)).split()))
            for rule in state.choices
            if rule.next is not None
        ]
        if state.default is not None:
            found.append(Transition(state.default, "rule", "otherwise"))
    if getattr(state, "end", None):
        found.append(Transition(None, "end"))
    found += [
        Transition(catcher.next, "catch", ", ".join(catcher.error_equals))
        for catcher in getattr(state, "catch", None) or ()
    ]
    return found


def inner_machines(state: State) -> Sequence[Branch]:
    """The branches of a Parallel state, or the item processor of a Map state."""
    if isinstance(state, Parallel):
        return state.branches
    if isinstance(state, Map):
        processor = state.item_processor or state.iterator
        return () if processor is None else (processor,)
    return ()


def is_distributed(state: State) -> bool:
    """Whether a Map runs each item in a child execution, whose events are not in the parent's history."""
    processor = state.item_processor if isinstance(state, Map) else None
    config = processor.processor_config if processor else None
    return config is not None and config.mode == "DISTRIBUTED"


def summary(state: State) -> str:
    """What a state does, in two or three words: ``Lambda invoke``, ``Wait 10 s``."""
    if isinstance(state, Task):
        return _resource(state.resource)
    if isinstance(state, Wait) and isinstance(state.seconds, int):
        return f"Wait {state.seconds} s"
    if isinstance(state, Map):
        return "Distributed Map" if is_distributed(state) else "Map"
    return state.type


def _resource(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) < 7 or parts[0] != "arn":
        return "Task"
    service, names = parts[2], parts[5:]
    if service == "states" and names[0] == "activity":
        return "Activity"
    if service == "states" and names[0] == "aws-sdk":
        names = names[1:]
    if service != "states":
        return "Lambda" if service == "lambda" else service
    action = " ".join(names[1:]).split(".")[0]
    known = {"lambda": "Lambda", "dynamodb": "DynamoDB", "sagemaker": "SageMaker", "states": "Step Functions"}
    return f"{known.get(names[0], names[0].upper() if len(names[0]) <= 3 else names[0].capitalize())} {action}".strip()


def _words(rule: ChoiceRule) -> str:
    """The condition of a rule in a few words: ``$.confidence >= 0.9``."""
    match rule:
        case Comparison():
            return _comparison(rule)
        case Condition():
            return str(rule.condition).strip().removeprefix("{%").removesuffix("%}").strip()
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
    value = rule.value if name.endswith("Path") else json.dumps(rule.value, ensure_ascii=False)
    return f"{rule.variable} {_SIGNS[sign]} {value}"
