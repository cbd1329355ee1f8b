"""JSON documents passed between states: type, text and size.

Documents are never modified in place: a state's output shares parts with its input, and a task function gets a copy.
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
"""A JSON value."""


class Unset(enum.Enum):
    """The type of `UNSET`, which marks an absent field where null has another meaning."""

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
    """`value` as compact JSON, the form that Step Functions measures and shows."""
    return _encode(value)


def plain(value: object) -> Json:
    """A copy of `value` that consists of JSON's types only.

    Raises:
        TypeError: a part of it has no JSON form.
        ValueError: it contains NaN or an infinity, which JSON does not have, or bytes that are not UTF-8.
    """
    copy: Json = json.loads(_encode(value))
    return copy


def size(document: str) -> int:
    """The size of `document` in UTF-8 bytes."""
    return len(document) if document.isascii() else len(document.encode("utf-8", "surrogatepass"))


def fits(value: Json) -> bool:
    """Whether `value` is within `STATE_BYTES`."""
    return size(_encode(value)) <= STATE_BYTES


def java_text(value: Json) -> str:
    """`value` as States.Format prints it: maps and lists as by Java's toString."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={java_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(java_text, value)) + "]"
    return text(value)


HASHES: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
"""The algorithms of States.Hash and $hash: AWS's name and Python's."""


def hash_of(data: Json, algorithm: str) -> str:
    """The hexadecimal digest of a string, or of a document's JSON.

    Raises:
        KeyError: `algorithm` is not in `HASHES`.
    """
    import hashlib  # on use: saves import time

    content = data if isinstance(data, str) else text(data)
    return hashlib.new(HASHES[algorithm], content.encode(), usedforsecurity=False).hexdigest()


def new_id() -> str:
    """A random UUID, as in AWS's names of executions, requests and task tokens."""
    import uuid  # on use: saves 3 ms of import time

    return str(uuid.uuid4())
