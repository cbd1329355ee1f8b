"""JSONata, the second query language: Arguments, Output, Assign, Items and conditions as ``{% expressions %}``.

The expressions are evaluated by jsonata-python, imported on use. It sees ``$states`` (input, context, result,
errorOutput), the variables, and AWS's own functions: $partition, $range, $hash, $random, $uuid and $parse.
"""

from __future__ import annotations

import functools
import json
import random
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from scones_ml.asl.choice import ChoiceRule
from scones_ml.asl.codec import pascal
from scones_ml.asl.failures import EvaluationFailed
from scones_ml.asl.parts import Catcher
from scones_ml.asl.scope import Scope
from scones_ml.asl.values import UNSET, Json, Unset, hash_of, text
from scones_ml.errors import MissingExtraError

if TYPE_CHECKING:
    from scones_ml.asl.states import State

__all__ = ["JsonataFlow", "is_expression"]

ERROR: Final = "States.QueryEvaluationError"

Evaluate: TypeAlias = Callable[[Scope], Json]
_EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)
_KNOWN_PER_THREAD: Final = 1024
_WRONG: Final = {
    "positive": "The {name} field must not be negative, but was: {shown}",
    "timestamp": "The {name} field cannot be parsed as an ISO-8601 extended offset date-time format string: {plain}",
    "input array": "Map state input must be an array but was: {shown}",
}
_WRONG_TYPE: Final = "returned an unexpected result type. Expected '{expected}', but was '{found}' for value: {shown}"
_EXPECTED: Final = {"integer": "number", "float": "number", "long": "number"}


def is_expression(value: Json) -> bool:
    """Whether a string of the definition is a JSONata expression, ``{% ... %}``."""
    return isinstance(value, str) and _EXPRESSION.fullmatch(value) is not None


def _type_name(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


class _Engine:
    """jsonata-python for one thread: parsed expressions are cached, and not shared between threads."""

    def __init__(self) -> None:
        try:
            import jsonata
            from jsonata.jexception import JException
            from jsonata.signature import Signature
            from jsonata.utils import Utils
        except ImportError as error:
            raise MissingExtraError("jsonata-python", "asl") from error
        self.null, self.error, self._class = Utils.NULL_VALUE, JException, jsonata.Jsonata
        self._parsed: dict[str, Any] = {}
        self._own: dict[str, object] = {}
        for name, (signature, function) in _FUNCTIONS.items():
            own = self._own[name] = jsonata.Jsonata.JFunction(jsonata.Jsonata.JLambda(function), None)
            own.signature = Signature(signature, name)

    def run(self, expression: str, bindings: Mapping[str, object]) -> object:
        """The value; None for undefined, `null` for null."""
        parsed = self._parsed.get(expression)
        if parsed is None:
            if len(self._parsed) >= _KNOWN_PER_THREAD:
                self._parsed.clear()
            parsed = self._class(expression)
            parsed.set_output_convert_nulls(False)
            parsed.set_validate_input(False)
            self._parsed[expression] = parsed
        self._class.CURRENT.jsonata = parsed
        return parsed.evaluate(None, {**self._own, **bindings})

    def to_json(self, value: object) -> Json:
        """A result converted to JSON's types.

        Raises:
            TypeError: it contains a function or another value without a JSON form.
        """
        if value is self.null:
            return None
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self.to_json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.to_json(item) for item in value]
        raise TypeError(type(value).__name__)


_THREAD = threading.local()


def _engine() -> _Engine:
    engine: _Engine | None = getattr(_THREAD, "engine", None)
    if engine is None:
        engine = _THREAD.engine = _Engine()
    return engine


def _partition(array: list[Json], length: int) -> list[Json]:
    return [array[start : start + int(length)] for start in range(0, len(array), int(length))]


def _range(first: float | None = None, last: float | None = None, step: float | None = None) -> Json:
    if first is None or last is None or step is None or not int(step):
        return None  # nothing
    values: list[Json] = list(range(int(first), int(last) + (1 if step > 0 else -1), int(step)))
    if len(values) < 2:  # as recorded on AWS: a sequence of one is its item, an empty one is undefined
        return values[0] if values else None
    return values


def _random(seed: int | None = None) -> float:
    return random.random() if seed is None else random.Random(int(seed)).random()  # noqa: S311


def _parse(document: str) -> object:
    return json.loads(document)


_FUNCTIONS: Final[Mapping[str, tuple[str, Callable[..., object]]]] = {
    "hash": ("<xs:s>", hash_of),
    "parse": ("<s:x>", _parse),
    "partition": ("<an:a>", _partition),
    "random": ("<n?:n>", _random),
    "range": ("<n?n?n?:x>", _range),
    "uuid": ("<:s>", lambda: str(uuid.uuid4())),
}
"""AWS's additional functions, each with its signature in JSONata's notation."""

_PLACEHOLDER = re.compile(r"\{\{\{?\w+\}?\}\}")
_NO_NUMBER = re.compile(r"could not convert string to float: '(.*)'")
_ITEM_TYPES: Final = {"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings"}


def _reason(error: Any) -> str:
    """An error message of the JavaScript library that AWS uses: ``T2001: The left side of the "+" operator ...``.

    jsonata-python has the same messages, but without quotation marks and with Object in place of function.
    """
    template = error.error_codes.get(error.error)
    if template is None or (error.error.startswith("T0") and error.current is None):
        return str(error)
    values = [value for value in (error.current, error.expected, error.extra) if value is not None]
    if error.error == "T0412":
        values[2:] = [_ITEM_TYPES.get(value, value) for value in values[2:]]

    def fill(placeholder: re.Match[str]) -> str:
        value = values.pop(0) if values else ""
        return str(value) if placeholder[0].startswith("{{{") else text(_shown(value))

    return f"{error.error}: {_PLACEHOLDER.sub(fill, template.replace(' Object ', ' function '))}"


def _shown(value: object) -> Json:
    return value if isinstance(value, str | int | float) else str(value)


def _bindings(scope: Scope, engine: _Engine) -> dict[str, object]:
    states: dict[str, Json] = {"input": scope.input, "context": scope.context()}
    if scope.result is not UNSET:
        states["result"] = scope.result
    if scope.error_output is not UNSET:
        states["errorOutput"] = scope.error_output
    variables = {name: engine.null if value is None else value for name, value in scope.variables.items()}
    return {**variables, "states": states}


def _evaluate(expression: str, field: str, scope: Scope) -> Json:
    where = f"The JSONata expression '{expression}' specified for the field '{field}'"
    engine = _engine()
    try:
        value = engine.run(expression, _bindings(scope, engine))
    except engine.error as error:
        raise EvaluationFailed(ERROR, f"{where} threw an error during evaluation. {_reason(error)}", field) from error
    except (ZeroDivisionError, OverflowError) as error:  # JavaScript: infinity, whose JSON is null
        reason = "D1001: Number out of range: null"
        raise EvaluationFailed(ERROR, f"{where} threw an error during evaluation. {reason}", field) from error
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        reason = _NO_NUMBER.sub(r'D3030: Unable to cast value to a number: "\1"', str(error))
        raise EvaluationFailed(ERROR, f"{where} threw an error during evaluation. {reason}", field) from error
    if value is None:
        raise EvaluationFailed(ERROR, f"{where} returned nothing (undefined).", field)
    try:
        return engine.to_json(value)
    except TypeError as error:
        raise EvaluationFailed(ERROR, f"{where} returned an unsupported result type.", field) from error


def _compile(template: Json, field: str) -> Evaluate | None:
    """A compiled template; None if it has no expressions."""
    if isinstance(template, str):
        match = _EXPRESSION.fullmatch(template)
        return None if match is None else functools.partial(_evaluate, match[1].strip(), field)
    if isinstance(template, Mapping):
        entries = [(name, _compile(value, f"{field}/{name}") or value) for name, value in template.items()]
        if not any(callable(value) for _, value in entries):
            return None
        return lambda scope: {name: value(scope) if callable(value) else value for name, value in entries}
    if isinstance(template, list | tuple):
        items = [_compile(value, f"{field}[{index}]") or value for index, value in enumerate(template)]
        if not any(callable(value) for value in items):
            return None
        return lambda scope: [value(scope) if callable(value) else value for value in items]
    return None


class JsonataFlow:
    """The data flow of one state in JSONata."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._has_result = state.type in ("Task", "Parallel", "Map")
        self._templates: dict[int, tuple[Json, Evaluate]] = {}

    def template(self, template: Json, field: str, scope: Scope) -> Json:
        """The template with its expressions evaluated."""
        known = self._templates.get(id(template))
        if known is None:
            evaluate = _compile(template, field) or (lambda _: template)
            known = self._templates[id(template)] = (template, evaluate)
        return known[1](scope)

    def input(self, scope: Scope) -> Json:
        """The whole input."""
        return scope.input

    def arguments(self, scope: Scope) -> Json:
        """The value of Arguments, by default the input."""
        arguments = getattr(self._state, "arguments", UNSET)
        return scope.input if arguments is UNSET else self.template(arguments, "Arguments", scope)

    def _after(self, scope: Scope, result: Json) -> Scope:
        return replace(scope, result=result) if self._has_result else scope

    def output(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Json:
        """The value of Output, by default the result."""
        output = getattr(self._state, "output", UNSET) if rule is None else rule.output
        return result if output is UNSET else self.template(output, "Output", self._after(scope, result))

    def before(self, scope: Scope) -> Mapping[str, Json]:
        """After Arguments."""
        return {"afterArguments": self.arguments(scope)}

    def after(self, scope: Scope, result: Json) -> Mapping[str, Json]:  # noqa: ARG002
        """The result."""
        return {"result": result}

    def assign(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Mapping[str, Json]:
        """The variables of Assign; expressions see the variables' earlier values."""
        assign = getattr(self._state, "assign", None) if rule is None else rule.assign
        return self._assigned(assign, self._after(scope, result))

    def _assigned(self, assign: Mapping[str, Json] | None, scope: Scope) -> Mapping[str, Json]:
        values = self.template(assign, "Assign", scope) if assign else None
        return values if isinstance(values, Mapping) else {}

    def caught(self, catcher: Catcher, scope: Scope, error: Json) -> tuple[Json, Mapping[str, Json]]:
        """The Catch rule's Output (default: the error) and its variables."""
        scope = replace(scope, error_output=error)
        output = error if catcher.output is UNSET else self.template(catcher.output, "Output", scope)
        return output, self._assigned(catcher.assign, scope)

    def value(self, owner: object, field: str, scope: Scope) -> Json | Unset:
        """The value of the field."""
        value: Json | Unset = getattr(owner, field)
        return value if value is UNSET else self.template(value, pascal(field), scope)

    def wrong(self, owner: object, field: str, value: Json, expected: str) -> Exception:
        """States.QueryEvaluationError, with AWS's message."""
        name, source = pascal(field), getattr(owner, field)
        shown = text(value)
        if expected in _WRONG:
            plain = value if isinstance(value, str) else shown
            return EvaluationFailed(ERROR, _WRONG[expected].format(name=name, shown=shown, plain=plain), name)
        expression = str(source)[2:-2].strip() if is_expression(source) else text(source)
        wanted = "integer" if isinstance(value, float) else _EXPECTED.get(expected, expected)
        problem = _WRONG_TYPE.format(expected=wanted, found=_type_name(value), shown=shown)
        return EvaluationFailed(
            ERROR, f"The JSONata expression '{expression}' specified for the field '{name}' {problem}", name
        )

    def condition(self, condition: str | bool, scope: Scope) -> bool:
        """The condition's value, which must be a boolean."""
        value = self.template(condition, "Condition", scope)
        if not isinstance(value, bool):
            expression = str(condition)[2:-2].strip()
            problem = _WRONG_TYPE.format(expected="boolean", found=_type_name(value), shown=text(value))
            cause = f"The JSONata expression '{expression}' specified for the field 'Condition' {problem}"
            raise EvaluationFailed(ERROR, cause, "Condition")
        return value
