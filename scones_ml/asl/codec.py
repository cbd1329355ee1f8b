"""Conversion between dataclasses and the JSON of Amazon States Language.

A field's JSON name is its Python name in PascalCase (``result_path`` is ``ResultPath``) unless its metadata names
another one; metadata also define how a field's value is built. Fields with their default value are omitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from scones_ml.asl.values import UNSET, Json
from scones_ml.errors import InvalidDefinitionError

__all__ = ["decode", "encode", "fields_of", "nearest", "needed_fields", "part", "pascal"]

T = TypeVar("T")


def part(read: Callable[[Json], object], write: Callable[..., Json], name: str | None = None) -> Mapping[str, object]:
    """Metadata of a field whose value has to be converted from and to JSON."""
    return {"read": read, "write": write, "name": name}


def pascal(name: str) -> str:
    """The JSON name of a Python name: ``ResultPath`` for ``result_path``."""
    return "".join(word if word[0].isupper() else word.capitalize() for word in name.split("_") if word)


_FIELDS: dict[type, Mapping[str, dataclasses.Field[object]]] = {}


def fields_of(kind: type) -> Mapping[str, dataclasses.Field[object]]:
    """The dataclass fields of `kind` by their JSON name, in order."""
    if kind not in _FIELDS:
        fields = dataclasses.fields(kind)
        _FIELDS[kind] = {field.metadata.get("name") or pascal(field.name): field for field in fields}
    return _FIELDS[kind]


def needed_fields(kind: type) -> list[str]:
    """The JSON names of the fields without a default."""
    return [
        name
        for name, field in fields_of(kind).items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'ResultPath'?``; empty if no name is similar."""
    import difflib

    by_lower = {known.lower(): known for known in words}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""


def decode(kind: type[T], document: Json, *, what: str, ignored: Iterable[str] = ()) -> T:
    """An instance of `kind` from its JSON.

    Raises:
        InvalidDefinitionError: it is not an object, has an unknown field or lacks a required one.
    """
    if not isinstance(document, Mapping):
        raise InvalidDefinitionError(f"{what}: expected an object, found {type(document).__name__}")
    fields, values = fields_of(kind), {}
    for name, value in document.items():
        if name in ignored:
            continue
        field = fields.get(name)
        if field is None:
            raise InvalidDefinitionError(f"{what} has no field {name!r}{nearest(name, fields)}")
        read = field.metadata.get("read")
        values[field.name] = value if read is None else read(value)
    try:
        return kind(**values)
    except TypeError as error:
        missing = [name for name in needed_fields(kind) if name not in document]
        raise InvalidDefinitionError(f"{what} lacks {', '.join(missing)}") from error


def encode(instance: object) -> dict[str, Json]:
    """The JSON of a dataclass instance."""
    document: dict[str, Json] = {}
    for name, field in fields_of(type(instance)).items():
        value = getattr(instance, field.name)
        if value is UNSET or (value is None and field.default is None):
            continue
        write = field.metadata.get("write")
        document[name] = value if write is None else write(value)
    return document
