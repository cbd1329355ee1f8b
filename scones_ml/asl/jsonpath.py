"""JSONPath, the first query language: InputPath, Parameters, ResultSelector, ResultPath, OutputPath, Assign.

`paths` parses paths, `intrinsics` parses intrinsic functions; this module applies them to the fields of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from scones_ml.asl.choice import ChoiceRule
from scones_ml.asl.codec import pascal
from scones_ml.asl.failures import RUNTIME, EvaluationFailed, StateFailed
from scones_ml.asl.intrinsics import compile_call
from scones_ml.asl.parts import Catcher
from scones_ml.asl.paths import (
    INPUT,
    Path,
    PathNotFoundError,
    PathSyntaxError,
    missing,
    parse,
    parse_reference,
    replace,
)
from scones_ml.asl.scope import Scope
from scones_ml.asl.values import UNSET, Json, Unset, text

if TYPE_CHECKING:
    from scones_ml.asl.states import State

__all__ = ["JsonPathFlow", "compile_template"]

Evaluate: TypeAlias = Callable[[Scope], Json]

_WRONG_TYPE: Final = 'The {name} field refers to value "{shown}" which is not a valid {expected}'
_WRONG: Final = {
    "long": "The {name} parameter cannot be parsed as a long value",
    "positive": "The {name} parameter references a negative value",
    "timestamp": "The {name} parameter does not reference a valid ISO-8601 extended offset date-time format string",
}

_INVALID_PATH: Final = frozenset({"InputPath", "OutputPath", "TimeoutSecondsPath", "HeartbeatSecondsPath"})
"""Fields for which AWS reports the message of its JSONPath library."""


def _compile_path(source: str, field: str) -> Evaluate:
    path = parse(source)
    if source == "$":
        return lambda scope: scope.input

    def find(scope: Scope) -> Json:
        try:
            return path.find(scope.root(path))
        except PathNotFoundError as error:
            if field in _INVALID_PATH and path.root == INPUT and path.segments is not None:
                raise EvaluationFailed(RUNTIME, f"Invalid path '{source}' : {_reason(scope, path)}", field) from error
            if field == "ItemsPath" and path.root == INPUT and path.segments is not None:
                raise _conflict(missing(scope.input, path.segments)[-1], scope.input) from error
            if field == "SecondsPath" and path.root == INPUT:
                cause = f"The SecondsPath parameter does not reference an input value: {source}"
                raise EvaluationFailed(RUNTIME, cause, field) from error
            seen = text(scope.context() if path.root == "$$" else scope.input)
            cause = (
                f"The JSONPath '{source}' specified for the field '{field}' could not be found in the input '{seen}'"
            )
            raise EvaluationFailed(RUNTIME, cause, field) from error

    return find


def _reason(scope: Scope, path: Path) -> str:
    """Where `path` ends in the data, with the message of AWS's JSONPath library."""
    segments = path.segments or ()
    gone = missing(scope.input, segments)
    where = "$" + "".join(f"[{segment!r}]" for segment in gone)
    return f"No results for path: {where}" if len(gone) == len(segments) else f"Missing property in path {where}"


def _compile_query(source: Json, field: str) -> Evaluate:
    """The compiled value of a field that ends in ``.$``: a path or an intrinsic call."""
    if not isinstance(source, str):
        raise PathSyntaxError(f"the field {field!r} must be a path or an intrinsic function")
    return _compile_path(source, field) if source.startswith("$") else compile_call(source)


def compile_template(template: Json) -> Evaluate:
    """Compile a payload template: fields ending in ``.$`` are evaluated, other fields are copied.

    Raises:
        PathSyntaxError: a field ending in ``.$`` is neither a path nor an intrinsic function.
    """
    compiled = _compile(template)
    return compiled if compiled is not None else lambda _: template


def _compile(template: Json) -> Evaluate | None:
    """A compiled template; None if it has no expressions."""
    if isinstance(template, Mapping):
        entries = [
            (name[:-2], _compile_query(value, name)) if name.endswith(".$") else (name, _compile(value) or value)
            for name, value in template.items()
        ]
        if not any(callable(value) for _, value in entries):
            return None
        return lambda scope: {name: value(scope) if callable(value) else value for name, value in entries}
    if isinstance(template, list | tuple):
        items = [_compile(value) or value for value in template]
        if not any(callable(value) for value in items):
            return None
        return lambda scope: [value(scope) if callable(value) else value for value in items]
    return None


class JsonPathFlow:
    """The data flow of one state in JSONPath."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._templates: dict[int, tuple[Json, Evaluate]] = {}
        self._input = self._path(getattr(state, "input_path", UNSET), "InputPath")
        self._output = self._path(getattr(state, "output_path", UNSET), "OutputPath")
        parameters = getattr(state, "parameters", UNSET)
        self._parameters = None if parameters is UNSET or state.type == "Map" else compile_template(parameters)
        selector = getattr(state, "result_selector", None)
        self._selector = None if selector is None else compile_template(selector)
        self._result_path = self._target(getattr(state, "result_path", UNSET))
        self._assign = self._assignment(getattr(state, "assign", None))

    @staticmethod
    def _path(path: str | Unset | None, field: str) -> Evaluate | None:
        if path is UNSET or path == "$":
            return None
        if path is None:
            return lambda _: {}
        return _compile_path(path, field)

    @staticmethod
    def _target(path: str | Unset | None) -> tuple[str | int, ...] | None:
        """ResultPath as segments: () replaces the input, None discards the result."""
        if path is UNSET:
            return ()
        return None if path is None else parse_reference(path)

    @staticmethod
    def _assignment(assign: Mapping[str, Json] | None) -> Evaluate | None:
        return None if not assign else compile_template(assign)

    def input(self, scope: Scope) -> Json:
        """The input, selected by InputPath."""
        return scope.input if self._input is None else self._input(scope)

    def arguments(self, scope: Scope) -> Json:
        """The arguments, from Parameters."""
        seen = self.input(scope)
        return seen if self._parameters is None else self._parameters(scope.on(seen))

    def output(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Json:  # noqa: ARG002
        """The output, from ResultSelector, ResultPath and OutputPath."""
        if self._selector is not None:
            result = self._selector(scope.on(result))
        merged = _merge(scope.input, self._result_path, result)
        return merged if self._output is None else self._output(scope.on(merged))

    def before(self, scope: Scope) -> Mapping[str, Json]:
        """The data after InputPath and after Parameters."""
        return {"afterInputPath": self.input(scope), "afterParameters": self.arguments(scope)}

    def after(self, scope: Scope, result: Json) -> Mapping[str, Json]:
        """The data after the work, after ResultSelector and after ResultPath."""
        selected = result if self._selector is None else self._selector(scope.on(result))
        merged = _merge(scope.input, self._result_path, selected)
        return {"result": result, "afterResultSelector": selected, "afterResultPath": merged}

    def assign(self, scope: Scope, result: Json, rule: ChoiceRule | None) -> Mapping[str, Json]:
        """The variables of Assign; ``$`` is the result before ResultSelector."""
        assign = self._assign if rule is None else self._rule_assign(rule.assign)
        return {} if assign is None else _as_object(assign(scope.on(result)))

    def _rule_assign(self, assign: Mapping[str, Json] | None) -> Evaluate | None:
        return None if not assign else self._cached(assign)

    def caught(self, catcher: Catcher, scope: Scope, error: Json) -> tuple[Json, Mapping[str, Json]]:
        """The output of the Catch rule's ResultPath (default: ``$``) and its variables."""
        output = _merge(scope.input, self._target(catcher.result_path), error)
        assign = self._rule_assign(catcher.assign)
        return output, {} if assign is None else _as_object(assign(scope.on(error)))

    def template(self, template: Json, field: str, scope: Scope) -> Json:  # noqa: ARG002
        """A payload template with its expressions evaluated."""
        return self._cached(template)(scope)

    def _cached(self, template: Json) -> Evaluate:
        known = self._templates.get(id(template))
        if known is None:
            known = self._templates[id(template)] = (template, compile_template(template))
        return known[1]

    def value(self, owner: object, field: str, scope: Scope) -> Json | Unset:
        """The value of the field, or the value at its ``Path`` field."""
        path = getattr(owner, f"{field}_path", None)
        if path is None:
            value: Json | Unset = getattr(owner, field)
            return value
        return (_compile_path(path, f"{pascal(field)}Path") if path.startswith("$") else compile_call(path))(scope)

    def wrong(self, owner: object, field: str, value: Json, expected: str) -> Exception:
        """States.Runtime, with AWS's message."""
        path = getattr(owner, f"{field}_path", None)
        name = pascal(field) if path is None else f"{pascal(field)}Path"
        shown = value if isinstance(value, str) else text(value)
        if expected in ("array", "input array"):
            return EvaluationFailed(RUNTIME, f'Reference path "{path or "$"}" must point to array.', name)
        cause = _WRONG.get(expected, _WRONG_TYPE).format(name=name, shown=shown, expected=expected)
        if path is not None:
            cause += f": {path} == {shown}" if expected in _WRONG else f": {path}"
        return EvaluationFailed(RUNTIME, cause, name)

    def condition(self, condition: str | bool, scope: Scope) -> bool:  # noqa: ARG002
        """Always fails: JSONPath has no conditions."""
        raise EvaluationFailed(RUNTIME, f"Condition {condition!r} needs QueryLanguage JSONata")


def _merge(document: Json, target: tuple[str | int, ...] | None, value: Json) -> Json:
    if target is None:
        return document
    try:
        return replace(document, target, value)
    except PathNotFoundError as error:
        raise _conflict(error.args[0], document) from error


def _conflict(step: object, document: Json) -> StateFailed:
    """The failure of a ResultPath that does not fit the data; AWS's documentation: States.ResultPathMatchFailure."""
    return StateFailed("States.ReferencePathConflict", f'Unable to apply step "{step}" to input {text(document)}')


def _as_object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
