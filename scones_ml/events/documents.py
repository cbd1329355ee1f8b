"""Parsing and validation of external JSON documents, with one-line errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from scones_ml import strict_json
from scones_ml.errors import EventError

__all__ = ["dig", "field_names", "parse_text", "validated"]

Model = TypeVar("Model", bound=BaseModel)


def parse_text(text: str, field: str) -> object:
    """The JSON document in a string field of another document.

    Raises:
        EventError: it is not JSON, see :func:`scones_ml.strict_json.parse`.
    """
    try:
        return strict_json.parse(text)
    except ValueError as exc:
        raise EventError(f"{field} is a string that {exc}: {text[:60]!a}") from exc


def dig(document: object, *path: str) -> object:
    """The value at a path of fields; None if a part of the path is missing or not an object."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def field_names(document: Mapping[str, object]) -> str:
    """The first field names of a document, for messages: ``"id, source"``; ``"none"`` for an empty one."""
    return ", ".join(f"{name:.40}" for name in sorted(map(str, document))[:8]) or "none"


def validated(model: type[Model], fields: Mapping[str, object], name: str | None = None) -> Model:
    """Build a model from fields.

    Args:
        model: the model's class.
        fields: the fields' values.
        name: name of the document for messages; default: the model's.

    Raises:
        EventError: a field is missing, invalid or unknown; the message names the first.
    """
    try:
        return model.model_validate(dict(fields))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EventError(f"{name or model.__name__}: {where:.80}: {first['msg']}") from exc
