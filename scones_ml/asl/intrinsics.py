"""The intrinsic functions of JSONPath definitions: ``States.Format('{} of {}', $.done, $.total)`` and 17 more.

A function is added by one line in `FUNCTIONS`. Parsed calls are cached.
Source: Amazon States Language, "Intrinsic functions"; values that it does not specify were recorded on AWS.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import random
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from scones_ml.asl.failures import RUNTIME, EvaluationFailed
from scones_ml.asl.paths import PathNotFoundError, PathSyntaxError, parse
from scones_ml.asl.scope import Scope
from scones_ml.asl.values import HASHES, Json, hash_of, java_text, text
from scones_ml.limits import INTRINSIC_STRING_CHARACTERS, RANGE_ITEMS

__all__ = ["FUNCTIONS", "TEXT_FUNCTIONS", "check_call", "compile_call"]

FAILURE: Final = "States.IntrinsicFailure"
_TOKEN = re.compile(
    r"""\s*(?:(?P<call>States\.[A-Za-z0-9]+)\s*\(
          | (?P<text>'(?:\\.|[^'\\])*')
          | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?=\s*[,)])
          | (?P<word>true|false|null)(?=\s*[,)])
          | (?P<path>\$(?:[^\s,()\[\]]|\[(?:'(?:\\.|[^'\\])*'|[^\]'])*\])*)
          | (?P<end>[,)]))\s*""",
    re.VERBOSE | re.DOTALL,
)


class _RefusedError(ValueError):
    """Invalid arguments of a function; the message becomes part of the cause."""


class _MissingError(_RefusedError):
    """An argument's path does not exist in the data: an error of the definition, not of the function."""


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _RefusedError(f"expected a number, but was {text(value)}")
    return value


def _rounded(value: Json) -> int:
    return math.floor(_number(value) + 0.5)  # halves are rounded up, as in Java


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise _RefusedError(f"expected a string, but was {text(value)}")
    return value


def _short(value: Json) -> str:
    if len(_string(value)) > INTRINSIC_STRING_CHARACTERS:
        raise _RefusedError(f"a string has at most {INTRINSIC_STRING_CHARACTERS} characters")
    return _string(value)


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list | tuple):
        raise _RefusedError(f"expected an array, but was {text(value)}")
    return list(value)


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise _RefusedError(f"expected an object, but was {text(value)}")
    return value


def _format(template: Json, *values: Json) -> str:
    parts = re.split(r"(?<!\\)\{\}", _string(template))
    if len(parts) != len(values) + 1:
        raise _RefusedError(f"{len(parts) - 1} placeholders for {len(values)} arguments")
    filled = parts[0] + "".join(java_text(value) + part for value, part in zip(values, parts[1:], strict=True))
    return filled if "\\" not in str(template) else re.sub(r"\\([{}])", r"\1", filled)


def _string_to_json(document: Json) -> Json:
    try:
        value: Json = json.loads(_string(document))
    except ValueError as error:
        raise _RefusedError("the text is not JSON") from error
    return value


def _partition(array: Json, length: Json) -> list[Json]:
    items, step = _array(array), _rounded(length)
    if step < 1:
        raise _RefusedError("a chunk has at least one item")
    return [items[start : start + step] for start in range(0, len(items), step)]


def _contains(array: Json, value: Json) -> bool:
    return text(value) in map(text, _array(array))


def _range(first: Json, last: Json, step: Json) -> list[Json]:
    begin, end, by = _rounded(first), _rounded(last), _rounded(step)
    if by == 0:
        raise _RefusedError("the step is zero")
    values = range(begin, end + (1 if by > 0 else -1), by)
    if len(values) > RANGE_ITEMS:
        raise _RefusedError(f"a range has at most {RANGE_ITEMS} items")
    return list(values)


def _item(array: Json, index: Json) -> Json:
    items, position = _array(array), _rounded(index)
    if not 0 <= position < len(items):
        raise _RefusedError(f"index {position} of an array with {len(items)} items")
    return items[position]


def _unique(array: Json) -> list[Json]:
    return list({text(item): item for item in _array(array)}.values())


def _decode(encoded: Json) -> str:
    try:
        return base64.b64decode(_short(encoded), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _RefusedError("the text is not Base64 of UTF-8") from error


def _hash(data: Json, algorithm: Json) -> str:
    try:
        return hash_of(_short(data if isinstance(data, str) else text(data)), str(algorithm))
    except KeyError as error:
        raise _RefusedError(f"the algorithm is one of {', '.join(HASHES)}") from error


def _merge(first: Json, second: Json, deep: Json) -> Json:
    if deep is not False:
        raise _RefusedError("only the shallow merge (false) is supported")
    return {**_object(first), **_object(second)}


def _random(start: Json, end: Json, seed: Json = None) -> int:
    low, high = _rounded(start), _rounded(end)
    if low >= high:
        raise _RefusedError("the start is not below the end")
    source = random.SystemRandom() if seed is None else random.Random(_rounded(seed))  # noqa: S311
    return source.randrange(low, high)


def _split(value: Json, separators: Json) -> list[Json]:
    pattern = f"[{re.escape(_string(separators))}]" if separators else r"(?!)"
    return [part for part in re.split(pattern, _string(value)) if part]  # AWS drops empty parts


FUNCTIONS: Final[Mapping[str, Callable[..., Json]]] = {
    "States.Array": lambda *items: list(items),
    "States.ArrayContains": _contains,
    "States.ArrayGetItem": _item,
    "States.ArrayLength": lambda array: len(_array(array)),
    "States.ArrayPartition": _partition,
    "States.ArrayRange": _range,
    "States.ArrayUnique": _unique,
    "States.Base64Decode": _decode,
    "States.Base64Encode": lambda data: base64.b64encode(_short(data).encode()).decode(),
    "States.Format": _format,
    "States.Hash": _hash,
    "States.JsonMerge": _merge,
    "States.JsonToString": text,
    "States.MathAdd": lambda first, second: _rounded(first) + _rounded(second),
    "States.MathRandom": _random,
    "States.StringSplit": _split,
    "States.StringToJson": _string_to_json,
    "States.UUID": lambda: str(uuid.uuid4()),
}
"""Every intrinsic function by its name in a definition."""

TEXT_FUNCTIONS: Final = frozenset(
    f"States.{name}"
    for name in ("ArrayGetItem", "Base64Decode", "Base64Encode", "Format", "Hash", "JsonToString", "UUID")
)
"""The functions whose result is, or can be, a string."""

Argument = Callable[[Scope], Json]


@functools.lru_cache(maxsize=1024)
def compile_call(source: str) -> Argument:
    """Compile the intrinsic call `source` to a function from a scope to its value.

    Raises:
        PathSyntaxError: `source` does not call a known function.
    """
    match = _TOKEN.match(source)
    if match is None or match["call"] is None:
        raise PathSyntaxError(f"{source!r} is not an intrinsic function")
    call, position = _call(source, match)
    if position != len(source):
        raise PathSyntaxError(f"{source!r} has text after its closing parenthesis")
    return call


def check_call(source: str) -> None:
    """Check that `source` is a call with plausible literal arguments.

    Raises:
        PathSyntaxError: it is not.
    """
    compile_call(source)
    if source[0].isspace():
        raise PathSyntaxError(f"{source!r} begins with white space: remove it")
    if re.search(r"States\.MathAdd\(\s*'|States\.MathAdd\([^()]*,\s*'", source):
        raise PathSyntaxError(f"{source!r}: States.MathAdd adds numbers, not strings")


def _call(source: str, opening: re.Match[str]) -> tuple[Argument, int]:
    arguments: list[Argument] = []
    name, position = opening["call"], opening.end()
    if name not in FUNCTIONS:
        raise PathSyntaxError(f"{name} is not an intrinsic function: one of {', '.join(sorted(FUNCTIONS))}")
    while True:
        token = _TOKEN.match(source, position)
        if token is None:
            raise PathSyntaxError(f"{source!r} has a syntax error at character {position}")
        position = token.end()
        if token["end"] == ")" and not arguments:
            break
        if token["call"] is not None:
            argument, position = _call(source, token)
        else:
            argument = _argument(source, token)
        arguments.append(argument)
        separator = _TOKEN.match(source, position)
        if separator is None or separator["end"] is None:
            raise PathSyntaxError(f"{source!r} lacks a comma or a parenthesis at character {position}")
        position = separator.end()
        if separator["end"] == ")":
            break
    return _bind(source[opening.start() : position].strip(), FUNCTIONS[name], tuple(arguments)), position


def _argument(source: str, token: re.Match[str]) -> Argument:
    if token["path"] is not None:
        path = parse(token["path"])

        def find(scope: Scope) -> Json:
            try:
                return scope.find(path)
            except PathNotFoundError:
                _fail_path(path.text, scope)

        return find
    if token["end"] is not None:
        raise PathSyntaxError(f"{source!r} has an empty argument")
    literal: Json
    if token["text"] is not None:
        literal = re.sub(r"\\([^{}])", r"\1", token["text"][1:-1])  # Format reads \{ and \} itself
    else:
        literal = json.loads(token["number"] or token["word"])
    return lambda _: literal


def _fail_path(path: str, scope: Scope) -> NoReturn:
    raise _MissingError(
        f"The JsonPath argument for the field '{path}' could not be found in the input '{text(scope.input)}'"
    )


def _bind(source: str, function: Callable[..., Json], arguments: tuple[Argument, ...]) -> Argument:
    def call(scope: Scope) -> Json:
        try:
            return function(*(argument(scope) for argument in arguments))
        except (_RefusedError, TypeError) as error:
            reason = str(error) if isinstance(error, _RefusedError) else "wrong number of arguments"
            name = RUNTIME if isinstance(error, _MissingError) else FAILURE
            raise EvaluationFailed(name, f"The function '{source}' had the following error: {reason}") from error

    return call
