"""The rules of Choice states: comparisons, And, Or, Not and JSONata conditions.

An operator is added by one line in `_TESTS` (and its name in `Operator`).
"""

from __future__ import annotations

import functools
import operator as op
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, cast, get_args

from scones_ml.asl.codec import nearest
from scones_ml.asl.failures import RUNTIME, EvaluationFailed
from scones_ml.asl.paths import PathNotFoundError, parse
from scones_ml.asl.scope import Scope
from scones_ml.asl.timestamps import parse_timestamp
from scones_ml.asl.values import UNSET, Json, Unset
from scones_ml.errors import InvalidDefinitionError

__all__ = [
    "OPERATORS",
    "And",
    "ChoiceRule",
    "Comparison",
    "Condition",
    "Not",
    "Operator",
    "Or",
    "holds",
    "read_rule",
    "write_rule",
]

Operator: TypeAlias = Literal[
    "BooleanEquals", "BooleanEqualsPath", "IsBoolean", "IsNull", "IsNumeric", "IsPresent", "IsString", "IsTimestamp",
    "NumericEquals", "NumericEqualsPath", "NumericGreaterThan", "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath", "NumericGreaterThanPath", "NumericLessThan", "NumericLessThanEquals",
    "NumericLessThanEqualsPath", "NumericLessThanPath",
    "StringEquals", "StringEqualsPath", "StringGreaterThan", "StringGreaterThanEquals",
    "StringGreaterThanEqualsPath", "StringGreaterThanPath", "StringLessThan", "StringLessThanEquals",
    "StringLessThanEqualsPath", "StringLessThanPath", "StringMatches",
    "TimestampEquals", "TimestampEqualsPath", "TimestampGreaterThan", "TimestampGreaterThanEquals",
    "TimestampGreaterThanEqualsPath", "TimestampGreaterThanPath", "TimestampLessThan", "TimestampLessThanEquals",
    "TimestampLessThanEqualsPath", "TimestampLessThanPath",
]  # fmt: skip
OPERATORS: Final[frozenset[str]] = frozenset(get_args(Operator))
"""Every comparison operator of a Choice rule."""


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Rule:
    """Fields of every rule of a Choice state.

    Attributes:
        next: the state to go to; only the outermost rule has it.
        assign: variables to set when the rule is taken.
        output: JSONata: the state's output when the rule is taken.
    """

    next: str | None = None
    comment: str | None = None
    assign: Mapping[str, Json] | None = None
    output: Json | Unset = UNSET


@dataclass(frozen=True)
class Comparison(_Rule):
    """One comparison: ``Comparison("$.accepted", "BooleanEquals", True, next="AcceptImage")``.

    Attributes:
        variable: path of the value to compare.
        operator: name of the comparison.
        value: what to compare with; a path for the operators that end in ``Path``.
    """

    variable: str
    operator: Operator
    value: Json


@dataclass(frozen=True)
class Condition(_Rule):
    """A JSONata condition: ``Condition("{% $states.input.accepted %}", next="AcceptImage")``."""

    condition: str | bool


@dataclass(frozen=True)
class And(_Rule):
    """A rule that holds if all of `rules` hold."""

    rules: tuple[ChoiceRule, ...]


@dataclass(frozen=True)
class Or(_Rule):
    """A rule that holds if at least one of `rules` holds."""

    rules: tuple[ChoiceRule, ...]


@dataclass(frozen=True)
class Not(_Rule):
    """A rule that holds if `rule` does not."""

    rule: ChoiceRule


ChoiceRule: TypeAlias = Comparison | Condition | And | Or | Not

_SHARED: Final = {"Next": "next", "Comment": "comment", "Assign": "assign", "Output": "output"}


def read_rule(document: Json) -> ChoiceRule:
    """A rule from its JSON.

    Raises:
        InvalidDefinitionError: it is neither a comparison, a condition nor a combination of rules.
    """
    if not isinstance(document, Mapping):
        raise InvalidDefinitionError("a Choice rule must be an object")
    body = {name: value for name, value in document.items() if name not in _SHARED}
    assign = document.get("Assign")
    return replace(
        _read_body(body),
        next=_optional_text(document, "Next"),
        comment=_optional_text(document, "Comment"),
        assign=assign if isinstance(assign, Mapping) else None,
        output=document.get("Output", UNSET),
    )


def _optional_text(document: Mapping[str, Json], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _read_body(body: dict[str, Json]) -> ChoiceRule:
    variable = body.pop("Variable", None)
    if len(body) != 1:
        raise InvalidDefinitionError(f"a Choice rule must have one operator, found {', '.join(body) or 'none'}")
    ((name, value),) = body.items()
    if name in ("And", "Or") and isinstance(value, list | tuple):
        return (And if name == "And" else Or)(tuple(map(read_rule, value)))
    if name == "Not":
        return Not(read_rule(value))
    if name == "Condition" and isinstance(value, str | bool):
        return Condition(value)
    if name not in OPERATORS:
        raise InvalidDefinitionError(f"a Choice rule has no operator {name!r}{nearest(name, OPERATORS)}")
    if not isinstance(variable, str):
        raise InvalidDefinitionError(f"a Choice rule with {name} needs a Variable, a path such as $.accepted")
    return Comparison(variable, cast("Operator", name), value)


def write_rule(rule: ChoiceRule) -> dict[str, Json]:
    """The JSON of a rule."""
    document: dict[str, Json] = {}
    match rule:
        case Comparison():
            document = {"Variable": rule.variable, rule.operator: rule.value}
        case Condition():
            document = {"Condition": rule.condition}
        case And() | Or():
            document = {type(rule).__name__: [write_rule(part) for part in rule.rules]}
        case Not():
            document = {"Not": write_rule(rule.rule)}
    for name, attribute in _SHARED.items():
        value = getattr(rule, attribute)
        if value is not UNSET and (value is not None or name == "Output"):
            document[name] = value
    return document


Test: TypeAlias = Callable[[Json, Json], bool]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_timestamp(value: Json) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_timestamp(value)
    except ValueError:
        return False
    return True


def _is_boolean(value: Json) -> bool:
    return isinstance(value, bool)


def _is_string(value: Json) -> bool:
    return isinstance(value, str)


def _typed(is_of_type: Callable[[Json], bool], compare: Callable[..., bool]) -> Test:
    """`compare`, but false if either side has another type."""
    return lambda value, other: is_of_type(value) and is_of_type(other) and compare(value, other)


def _at(compare: Callable[..., bool]) -> Callable[[Json, Json], bool]:
    return lambda value, other: compare(parse_timestamp(str(value)), parse_timestamp(str(other)))


def _is(is_of_type: Callable[[Json], bool]) -> Test:
    return lambda value, expected: is_of_type(value) is (expected is True)


@functools.lru_cache(maxsize=256)
def _wildcards(pattern: str) -> re.Pattern[str]:
    r"""Whether the text matches a pattern: ``*`` is any text, ``\\*`` and ``\\\\`` are literal."""
    parts = re.findall(r"\\[*\\]|.", pattern, re.DOTALL)
    return re.compile("".join(".*" if part == "*" else re.escape(part[-1]) for part in parts), re.DOTALL)


_ORDERS: Final[Mapping[str, Callable[..., bool]]] = {
    "Equals": op.eq,
    "GreaterThan": op.gt,
    "GreaterThanEquals": op.ge,
    "LessThan": op.lt,
    "LessThanEquals": op.le,
}
_TESTS: Final[Mapping[str, Test]] = {
    **{f"String{name}": _typed(_is_string, order) for name, order in _ORDERS.items()},
    **{f"Numeric{name}": _typed(_is_number, order) for name, order in _ORDERS.items()},
    **{f"Timestamp{name}": _typed(_is_timestamp, _at(order)) for name, order in _ORDERS.items()},
    "BooleanEquals": _typed(_is_boolean, op.eq),
    "StringMatches": _typed(_is_string, lambda value, mask: bool(_wildcards(str(mask)).fullmatch(str(value)))),
    "IsBoolean": _is(_is_boolean),
    "IsNull": _is(lambda value: value is None),
    "IsNumeric": _is(_is_number),
    "IsString": _is(_is_string),
    "IsTimestamp": _is(_is_timestamp),
}


def holds(rule: ChoiceRule, scope: Scope, condition: Callable[[Condition], bool]) -> bool:
    """Whether `rule` holds in `scope`; `condition` evaluates JSONata.

    Raises:
        EvaluationFailed: a path does not exist in the data (AWS: States.Runtime).
    """
    match rule:
        case Comparison():
            return _compare(rule, scope)
        case Condition():
            return condition(rule)
        case And():
            return all(holds(part, scope, condition) for part in rule.rules)
        case Or():
            return any(holds(part, scope, condition) for part in rule.rules)
        case Not():
            return not holds(rule.rule, scope, condition)


def _compare(rule: Comparison, scope: Scope) -> bool:
    if rule.operator == "IsPresent":
        try:
            scope.find(parse(rule.variable))
        except PathNotFoundError:
            return rule.value is not True
        return rule.value is True
    value, other = _value(rule.variable, scope), rule.value
    name: str = rule.operator
    if name.endswith("Path"):
        other, name = _value(str(other), scope), name.removesuffix("Path")
    return _TESTS[name](value, other)


def _value(path: str, scope: Scope) -> Json:
    try:
        return scope.find(parse(path))
    except PathNotFoundError as error:
        cause = f"Invalid path '{path}': The choice state's condition path references an invalid value."
        raise EvaluationFailed(RUNTIME, cause) from error
