"""Validation of requests against AWS's service models before they are sent.

botocore checks names, types and required parameters. Lengths, ranges, patterns and enumerations are in its models, but
left to the service; they are checked here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from botocore.model import ListShape, MapShape, StringShape, StructureShape
from botocore.validate import ParamValidator

from scones_ml.aws.clients import session
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.model import ServiceModel, Shape

__all__ = ["check_request"]


def check_request(service: str, operation: str, request: Mapping[str, object]) -> None:
    """Refuse a request that violates the service's model.

    Args:
        service: ``"sagemaker"``.
        operation: ``"CreateTrainingJob"``.
        request: parameters of the operation.

    Raises:
        ConfigurationError: the request is invalid; the message names the operation, the parameter and its valid values.
    """
    shape = _model(service).operation_model(operation).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(dict(request), shape)
    if report.has_errors():
        raise ConfigurationError(f"{operation}: {' '.join(report.generate_report().split())}")
    for problem in _problems("", shape, request):
        raise ConfigurationError(f"{operation}: {problem}")


@lru_cache(maxsize=4)
def _model(service: str) -> ServiceModel:
    return session().get_service_model(service)


def _problems(name: str, shape: Shape, value: object) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for key, part in value.items():
            yield from _problems(f"{name}.{key}".lstrip("."), shape.members[key], part)
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        yield from _size(name, shape, len(value))
        for key, part in value.items():
            yield from _problems(f"{name} (name {key})", shape.key, key)
            yield from _problems(f"{name}.{key}", shape.value, part)
    elif isinstance(shape, ListShape) and isinstance(value, Sequence):
        yield from _size(name, shape, len(value))
        for number, part in enumerate(value):
            yield from _problems(f"{name}[{number}]", shape.member, part)
    elif isinstance(shape, StringShape) and isinstance(value, str):
        yield from _text(name, shape, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _size(name, shape, value)


def _text(name: str, shape: StringShape, value: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        near = ", ".join(shape.enum[:8]) + (", ..." if len(shape.enum) > 8 else "")
        yield f"{name} is {value!r}, not one of {near}"
    yield from _size(name, shape, len(value))
    pattern = _pattern(shape.metadata.get("pattern", ""))
    if pattern and not pattern.fullmatch(value):
        yield f"{name} is {value!r}, which does not match {pattern.pattern}"


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str] | None:
    """Compile one of AWS's Java patterns; None when Python lacks a feature of it: Unicode classes, surrogates."""
    try:
        return re.compile(text) if text else None
    except re.error:
        return None


def _size(name: str, shape: Shape, size: float) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        what = "" if shape.type_name in ("integer", "long", "float", "double") else "length "
        yield f"{name}: {what}{size} is not within {low} and {high}"
