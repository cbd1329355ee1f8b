"""JSON as it travels between states: its type, its text and its size.

Documents are never changed in place: what a state passes on shares its parts with what it received, and a task
function gets a copy of its own.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from scones_ml.limits import STATE_BYTES

__all__ = [
    "HASHES",
    "UNSET",
    "Json",
    "Unset",
    "fits",
    "hash_of",
    "java_text",
    "new_id",
    "plain",
    "size",
    "text",
]

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
"""A value of JSON."""


class Unset(enum.Enum):
    """The type of `UNSET`: a field that is absent, where JSON's null means something else."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""A field that is absent."""


def _default(value: object) -> object:
    if isinstance(value, bytes | bytearray):  # the Python Lambda runtime marshals bytes as text
        return bytes(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_default).encode


def text(value: Json) -> str:
    """`value` as compact JSON, the form in which Step Functions counts and shows it."""
    return _encode(value)


def plain(value: object) -> Json:
    """A copy of `value` made of nothing but JSON's types.

    Raises:
        TypeError: something in it has no JSON form.
        ValueError: NaN or an infinity, which JSON cannot say, or text that is not UTF-8.
    """
    copy: Json = json.loads(_encode(value))
    return copy


def size(document: str) -> int:
    """Bytes of `document` in UTF-8."""
    return len(document) if document.isascii() else len(document.encode("utf-8", "surrogatepass"))


def fits(value: Json) -> bool:
    """Whether `value` is within `STATE_BYTES`."""
    return size(_encode(value)) <= STATE_BYTES


def java_text(value: Json) -> str:
    """`value` as States.Format prints it: maps and lists in the manner of Java's toString."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={java_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(java_text, value)) + "]"
    return text(value)


HASHES: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
"""The algorithms of States.Hash and $hash, by AWS's name and by Python's."""


def hash_of(data: Json, algorithm: str) -> str:
    """The hexadecimal digest of a text, or of a document's JSON.

    Raises:
        KeyError: `algorithm` is not in `HASHES`.
    """
    import hashlib  # on use: that is import time

    content = data if isinstance(data, str) else text(data)
    return hashlib.new(HASHES[algorithm], content.encode(), usedforsecurity=False).hexdigest()


def new_id() -> str:
    """A random UUID, as AWS names executions, requests and task tokens."""
    import uuid  # costs 3 ms, which importing this package need not

    return str(uuid.uuid4())
