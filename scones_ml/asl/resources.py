"""The functions for Resource ARNs: look-up, calls, and the failures that exceptions become."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, TypeAlias, runtime_checkable

from scones_ml.asl.failures import StateFailed, TaskFailed
from scones_ml.asl.values import Json, new_id, text
from scones_ml.errors import ConfigurationError

__all__ = ["Resource", "body_of", "call_service", "failure_of", "resource_function"]

Resource: TypeAlias = Callable[[Json], object]
"""A task's function: takes its parameters and returns a result with a JSON form."""

_PATTERNS: Final = (".sync:2", ".sync", ".waitForTaskToken")
_HERE: Final = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs 4 ms of import


def resource_function(resources: Mapping[str, Resource], arn: str) -> Resource:
    """The function for a Resource, registered with or without its ``.sync`` or ``.waitForTaskToken``.

    Raises:
        ConfigurationError: no function is registered for it.
    """
    bare = next((arn.removesuffix(pattern) for pattern in _PATTERNS if arn.endswith(pattern)), arn)
    function = resources.get(arn) or resources.get(bare)
    if function is None:
        raise ConfigurationError(
            f"no function for the Resource {arn}: give --resource {arn}=module:function, "
            "or --model MODEL for our own handlers; in Python, the argument resources"
        )
    return function


def call_service(resources: Mapping[str, Resource], arn: str, parameters: Mapping[str, Json]) -> object:
    """The response of a service that a Map state reads from or writes to.

    Raises:
        StateFailed: the function raised.
        ConfigurationError: no function is registered for `arn`.
    """
    function = resource_function(resources, arn)
    try:
        return function(parameters)
    except Exception as error:  # any exception becomes the state's error
        raise failure_of(error) from error


def failure_of(error: Exception) -> StateFailed:
    """The failure for a function's exception: its class name, with the JSON that Lambda sends as the cause."""
    if isinstance(error, TaskFailed):
        return StateFailed(error.error, error.cause)
    name = type(error).__name__
    cause = {
        "errorMessage": str(error),
        "errorType": name,
        "requestId": new_id(),
        "stackTrace": _stack(error.__traceback__),
    }
    return StateFailed(name, text(cause))


def _stack(trace: TracebackType | None) -> list[Json]:
    """The function's stack frames, without those of the interpreter."""
    import traceback

    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return list(traceback.format_tb(trace))


@runtime_checkable
class _Readable(Protocol):
    def read(self) -> bytes: ...


def body_of(answer: Mapping[str, object]) -> bytes:
    """The bytes of S3's GetObject response, whose body may be bytes, text or a stream."""
    body = answer.get("Body", b"")
    if isinstance(body, _Readable):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)  # type: ignore[call-overload]
