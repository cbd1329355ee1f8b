"""Plain data as readable YAML.

No YAML library is used: a template holds only mappings, lists, text, numbers and booleans, and writing these takes
fewer lines than the options that make a library write ``!Ref`` and literal blocks. Text that a YAML reader might
interpret differently is written as JSON strings, which YAML 1.2 includes. Tests read everything back with another
project's reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from scones_ml.infrastructure.intrinsics import Value

__all__ = ["to_yaml"]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+-]*(?:[: ][A-Za-z0-9_./+:(),-]*[A-Za-z0-9_./+)-])*")
# CloudFormation reads YAML 1.1 (AWS: CloudFormation template format), where these are booleans or null.
_MEANS_MORE = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def to_yaml(value: Value) -> str:
    """Write a value as a YAML document.

    ``{"Ref": name}``, ``{"Fn::GetAtt": [resource, attribute]}`` and ``{"Fn::Sub": text}`` become ``!Ref``, ``!GetAtt``
    and ``!Sub``; text of several lines becomes a literal block.

    Returns:
        Text that ends with a line break.
    """
    return "\n".join(_lines(value)).lstrip("\n") + "\n"


def _lines(value: Value) -> Iterator[str]:
    inline = _inline(value)
    if inline is not None:
        yield inline
    elif isinstance(value, str):
        yield "|"
        yield from (f"  {line}" if line else "" for line in value.split("\n")[:-1])
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from _entry(f"{_text(key)}:", held)
    elif isinstance(value, Sequence):
        for held in value:
            first, *rest = _lines(held)
            yield f"- {first}"
            yield from (f"  {line}" if line else "" for line in rest)


def _entry(key: str, held: Value) -> Iterator[str]:
    first, *rest = _lines(held)
    if _inline(held) is not None or isinstance(held, str):
        yield f"{key} {first}"
        yield from rest
    else:
        yield key
        yield from (f"  {line}" if line else "" for line in (first, *rest))


def _inline(value: Value) -> str | None:
    """The value on one line, or None when it needs several."""
    if isinstance(value, str):
        return None if _is_block(value) else _text(value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, Mapping) and len(value) == 1:
        return _intrinsic(*next(iter(value.items())))
    return None


def _intrinsic(name: str, held: Value) -> str | None:
    if name == "Ref" and isinstance(held, str):
        return f"!Ref {_text(held)}"
    if name == "Fn::Sub" and isinstance(held, str):
        return f"!Sub {_quoted(held)}"
    if name == "Fn::GetAtt" and isinstance(held, list) and len(held) == 2 and all(isinstance(p, str) for p in held):
        return f"!GetAtt {_text('.'.join(map(str, held)))}"
    return None


def _is_block(text: str) -> bool:
    """Whether a literal block preserves the text: it ends in one line break, and no line starts or ends with blanks."""
    lines = text.split("\n")
    return (
        len(lines) > 2
        and lines[-1] == ""
        and lines[-2] != ""
        and not lines[0].startswith(" ")
        and lines[0] != ""
        and all(line.isprintable() and line == line.rstrip() for line in lines)
    )


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _MEANS_MORE else _quoted(text)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
