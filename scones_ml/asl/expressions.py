"""Static checks of the paths, intrinsic calls and JSONata expressions of a definition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from scones_ml.asl.intrinsics import check_call
from scones_ml.asl.paths import PathSyntaxError, parse, parse_reference
from scones_ml.asl.values import Json
from scones_ml.errors import MissingExtraError

__all__ = ["expression_problems", "path_problem", "template_problems"]

Found: TypeAlias = tuple[str, str, Literal["error", "warning"]]
_OPEN, _CLOSE = "{%", "%}"
_EVAL = re.compile(r"\$eval\s*\(")
_SPACED = re.compile(r"\{% \S(.*\S)? %\}", re.DOTALL)


def path_problem(value: Json, *, reference: bool = False, calls: bool = True) -> str | None:
    """The problem of a path, or of an intrinsic call where `calls` are allowed; None if it is valid."""
    if not isinstance(value, str):
        return "must be a path such as $.accepted"
    try:
        if reference:
            parse_reference(value)
        elif value.startswith("$"):
            parse(value)
        elif calls:
            check_call(value)
        else:
            return f"{value!r} is not a path such as $.accepted"
    except PathSyntaxError as error:
        return str(error)
    except MissingExtraError:
        return None  # jsonpath-ng is needed to check it
    return None


def template_problems(path: str, template: Json) -> Iterator[tuple[str, str]]:
    """Problems of the fields of a payload template that end in ``.$``."""
    if isinstance(template, list | tuple):
        for index, item in enumerate(template):
            yield from template_problems(f"{path}[{index}]", item)
    if not isinstance(template, Mapping):
        return
    for name, value in template.items():
        here = f"{path}.{name}"
        if not name.endswith(".$"):
            yield from template_problems(here, value)
            continue
        message = path_problem(value)
        if message is not None:
            yield here, message
        if name[:-2] in template:
            yield here, f"sets the same field as {name[:-2]!r}: keep one"


def expression_problems(path: str, value: Json) -> Iterator[Found]:
    """Problems of the JSONata expressions inside a value."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from expression_problems(f"{path}.{name}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from expression_problems(f"{path}[{index}]", item)
    elif isinstance(value, str):
        yield from _expression(path, value)


def _expression(path: str, value: str) -> Iterator[Found]:
    opens, closes = value.startswith(_OPEN), value.endswith(_CLOSE)
    if opens != closes:
        message = f"a JSONata expression must begin with {_OPEN} and end with {_CLOSE}"
        yield path, message, "error" if opens else "warning"
    if not (opens and closes):
        return
    if _SPACED.fullmatch(value) is None:
        yield path, f"a JSONata expression needs a space after {_OPEN} and before {_CLOSE}", "warning"
    if _EVAL.search(value):
        yield path, "Step Functions does not support $eval: use $parse for JSON, or write the expression out", "error"
    problem = _syntax(value[2:-2].strip())
    if problem is not None:
        yield path, problem, "error"


def _syntax(expression: str) -> str | None:
    try:
        import jsonata
        from jsonata.jexception import JException
    except ImportError:
        return None  # jsonata-python is needed to check it
    try:
        jsonata.Jsonata(expression)
    except JException as error:
        return f"{expression!r} is not valid JSONata: {error}"
    return None
