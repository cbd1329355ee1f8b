"""Reference paths such as ``$.a['b'][0].c`` and ``$.list[*].k``, parsed once and evaluated by loops.

Filters, slices, recursive descent and unions are evaluated by jsonpath-ng, imported on use.
A path begins with the state's input (``$``), the context object (``$$``) or a variable (``$name``).
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from scones_ml.asl.values import UNSET, Json, Unset
from scones_ml.errors import MissingExtraError

__all__ = ["INPUT", "Path", "PathNotFoundError", "PathSyntaxError", "missing", "parse", "parse_reference", "replace"]

Segment: TypeAlias = str | int | None
"""A member's name, an item's index, or None for every item (``[*]``)."""

INPUT: Final = "$"
_LENGTH: Final = ".length()"
_ROOT = re.compile(r"\$(\$|[A-Za-z_][A-Za-z0-9_]*)?")
_SEGMENT: Final = r"""\.(?P<name>[^\s.\[\]()*,'"?@:]+)
      | \.?\[\s*'(?P<single>(?:\\.|[^'\\])*)'\s*\]
      | \.?\[\s*"(?P<double>(?:\\.|[^"\\])*)"\s*\]
      | \.?\[\s*(?P<index>-?\d+)\s*\]
      | \.?\[\s*\(\s*@\.length\s*-\s*(?P<last>\d+)\s*\)\s*\]
      | (?P<all>\.?\[\s*\*\s*\]|\.\*)"""


class PathSyntaxError(ValueError):
    """Text that is not a path."""


class PathNotFoundError(LookupError):
    """A path that does not exist in the document."""


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path.

    Attributes:
        text: the path as written.
        root: ``"$"`` for the input, ``"$$"`` for the context object, else a variable's name.
        segments: the steps from the root; None if jsonpath-ng evaluates the path.
        find: returns the value in the root's document. A path with ``[*]`` or a filter gives a list, possibly empty.
    """

    text: str
    root: str
    segments: tuple[Segment, ...] | None
    find: Callable[[Json], Json]


@functools.cache
def _grammar() -> Callable[[str, int], re.Match[str] | None]:
    return re.compile(_SEGMENT, re.VERBOSE).match  # on use: compiling takes 2 ms


def _unescape(quoted: str) -> str:
    return quoted.replace("\\'", "'")


def _segment(match: re.Match[str]) -> Segment:
    if match["name"] is not None:
        return str(match["name"])
    if match["index"] is not None:
        return int(match["index"])
    if match["last"] is not None:
        return -int(match["last"])
    if match["all"] is not None:
        return None
    return _unescape(str(match["single"] if match["single"] is not None else match["double"]))


@functools.lru_cache(maxsize=4096)
def parse(path: str) -> Path:
    """Parse `path`; results are cached.

    Raises:
        PathSyntaxError: it is not a path.
        MissingExtraError: it needs jsonpath-ng, which is not installed.
    """
    start = _ROOT.match(path)
    if start is None:
        raise PathSyntaxError(f"{path!r} is not a path: it must begin with '$'")
    root = "$" + start[1] if start[1] == "$" else start[1] or INPUT
    if path.endswith(_LENGTH):
        whole = parse(path.removesuffix(_LENGTH))
        return Path(path, root, None, lambda document: _length(whole.find(document), path))
    position, segments = start.end(), []
    segment_at = _grammar()
    while position < len(path):
        match = segment_at(path, position)
        if match is None:
            return Path(path, root, None, _general(path, path[start.end() :]))
        segments.append(_segment(match))
        position = match.end()
    return Path(path, root, tuple(segments), _walker(path, tuple(segments)))


def _length(value: Json, path: str) -> int:
    if isinstance(value, list | tuple | Mapping):
        return len(value)
    raise PathNotFoundError(path)


def parse_reference(path: str) -> tuple[str | int, ...]:
    """The segments of a path that names a single place, as ResultPath must.

    Raises:
        PathSyntaxError: the path does not begin with ``$``, or can match several places.
    """
    parsed = parse(path)
    segments = parsed.segments
    if parsed.root != INPUT or segments is None or any(segment is None for segment in segments):
        raise PathSyntaxError(f"{path!r} is not a reference path: it must name one place in the input")
    return tuple(segment for segment in segments if segment is not None)


def _walker(path: str, segments: tuple[Segment, ...]) -> Callable[[Json], Json]:
    if None in segments:
        return lambda document: _spread(document, segments)

    def walk(document: Json) -> Json:
        for segment in segments:
            document = _step(document, segment, path)
        return document

    return walk


def _step(document: Json, segment: Segment, path: str) -> Json:
    found = _member(document, segment)
    if found is UNSET:
        raise PathNotFoundError(path)
    return found


def missing(document: Json, segments: Sequence[Segment]) -> Sequence[Segment]:
    """The segments up to and including the first one that does not exist in `document`."""
    for number, segment in enumerate(segments, start=1):
        inner = _member(document, segment)
        if inner is UNSET:
            return segments[:number]
        document = inner
    return segments


def _member(document: Json, segment: Segment) -> Json | Unset:
    """The value at one name or index; UNSET if there is none."""
    if isinstance(segment, str):
        if isinstance(document, Mapping) and segment in document:
            member: Json = document[segment]
            return member
    elif isinstance(document, list | tuple) and segment is not None and -len(document) <= segment < len(document):
        item: Json = document[segment]
        return item
    return UNSET


def _spread(document: Json, segments: tuple[Segment, ...]) -> list[Json]:
    """All values at `segments`; places that do not exist are omitted, as on AWS, even if none is left."""
    found: list[Json] = [document]
    for segment in segments:
        if segment is None:
            found = [child for value in found for child in _children(value)]
        else:
            members = (_member(value, segment) for value in found)
            found = [member for member in members if member is not UNSET]
    return found


def _children(value: Json) -> Sequence[Json]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _general(path: str, rest: str) -> Callable[[Json], Json]:
    """`path` evaluated by jsonpath-ng: always a list."""
    try:
        from jsonpath_ng.exceptions import JSONPathError
        from jsonpath_ng.ext.parser import parse as parse_general
    except ImportError as error:
        raise MissingExtraError("jsonpath-ng", "asl") from error
    try:
        with warnings.catch_warnings():  # unquoted words in filters: AWS allows them
            warnings.simplefilter("ignore", DeprecationWarning)
            expression = parse_general("$" + re.sub(r"(?<!\.)\.(?=\[)", "", rest))  # AWS also allows $.[0]
    except (JSONPathError, AttributeError, TypeError, ValueError) as error:
        raise PathSyntaxError(f"{path!r} is not a path: {error}") from error
    return lambda document: [match.value for match in expression.find(document)]


def replace(document: Json, segments: Sequence[str | int], value: Json) -> Json:
    """`document` with `value` at `segments`, missing objects created; the other parts are shared, not copied.

    Raises:
        PathNotFoundError: a segment is inside a number or string, or beyond an array's end.
    """
    if not segments:
        return value
    head, rest = segments[0], segments[1:]
    if isinstance(head, str):
        if not isinstance(document, Mapping):
            if document is not None:
                raise PathNotFoundError(head)
            document = {}
        return {**document, head: replace(document.get(head), rest, value)}
    if not isinstance(document, list | tuple) or not 0 <= head < len(document):
        raise PathNotFoundError(str(head))
    items = list(document)
    items[head] = replace(items[head], rest, value)
    return items
