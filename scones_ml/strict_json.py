"""Strict parsing of untrusted JSON: a document, or one a line.

The result is a safe value, or a ValueError with a one-line reason, including for deep nesting, numbers out of the range
of a double, duplicate fields and lone surrogates, which Python's parser accepts or reports with other exceptions.

Internal: may change without notice.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

__all__ = ["MAX_DEPTH", "lines", "parse", "parse_names"]

MAX_DEPTH: Final = 100
"""Maximum nesting of lists and objects."""

_BOM = "\ufeff"
_DOUBLE_DIGITS = 309  # integer digits of the largest double
_ESCAPED_HALF = r"\\u[dD][89a-fA-F]"  # a surrogate; two of them may form a character


def parse(document: str | bytes) -> object:
    """Parse one document; a byte order mark is ignored.

    Raises:
        ValueError: the document is not JSON in UTF-8 (or UTF-16 or -32), is nested deeper than `MAX_DEPTH`, or has a
            duplicate field, a number out of a double's range or a lone surrogate. The message is one line that
            continues after the document's name: ``f"{file} {message}"``.
    """
    text = _text(document)
    value = _value(text)
    try:
        if isinstance(document, str):
            document.encode()
        if "\\u" in text and re.search(_ESCAPED_HALF, text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        half = ord(exc.object[exc.start])
        raise ValueError(f"holds half a character (\\u{half:04x})") from exc
    return value


def parse_names(document: str | bytes) -> object:
    """As :func:`parse`, but accepts lone surrogates, which stand for undecodable bytes of file names in Python."""
    return _value(_text(document))


def lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    r"""Non-blank lines of JSON Lines, each with its number from 1.

    Args:
        file: a binary file, or ``io.BytesIO``; lines end at ``\n`` only, since U+2028 and the like occur in text.
    """
    for number, line in enumerate(file, 1):
        content = line.removeprefix(b"\xef\xbb\xbf").strip()
        if content:
            yield number, content


def _text(document: str | bytes) -> str:
    if isinstance(document, str):
        return document.removeprefix(_BOM)
    encoding = json.detect_encoding(document)
    try:
        return document.decode(encoding).removeprefix(_BOM)
    except UnicodeDecodeError as exc:
        name, wrong = encoding.removesuffix("-sig").upper(), document[exc.start : exc.start + 1].hex()
        raise ValueError(f"is not text in {name}: byte 0x{wrong} at {exc.start}") from exc


def _value(text: str) -> object:
    try:
        value = _decode(text)
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc
    except json.JSONDecodeError as exc:
        # With a high recursion limit, truncated deep nesting is reported here first.
        raise ValueError(_TOO_DEEP if _is_deep(text[: exc.pos]) else f"is not JSON: {exc}") from exc
    if text.count("[") + text.count("{") > MAX_DEPTH:  # otherwise it cannot be deeper
        _check_depth(value)
    return value


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def _is_deep(start: str) -> bool:
    depth = 0
    # A truncated string is one token, too: retrying from each of its quotes would take quadratic time.
    for token in re.finditer(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"names the field {name!a:.80} twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) >= _DOUBLE_DIGITS:
        _decimal(digits)
    return int(digits)


def _decimal(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"holds the number {digits:.12}, out of the range of a double")
    return number


def _constant(word: str) -> NoReturn:
    raise ValueError(f"holds {word}, which is not a JSON number")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole, parse_float=_decimal, parse_constant=_constant
).decode
