"""Errors of a running state machine, and the Retry and Catch rules that match them.

::

    Exception
    ├── TaskFailed(error, cause)       raised by a task function to set error and cause
    └── StateFailed(error, cause)      internal: a state ended with this error
        ├── EvaluationFailed           a path or an expression could not be evaluated
        └── HeartbeatMissed            a task sent no heartbeat in time
"""

from __future__ import annotations

from collections.abc import Sequence

from scones_ml.asl.values import Json

__all__ = [
    "DATA_LIMIT",
    "RUNTIME",
    "TIMEOUT",
    "EvaluationFailed",
    "HeartbeatMissed",
    "StateFailed",
    "TaskFailed",
    "matches",
    "too_large",
]

RUNTIME = "States.Runtime"
TIMEOUT = "States.Timeout"
_HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
DATA_LIMIT = "States.DataLimitExceeded"
_BEYOND_WILDCARDS = frozenset({RUNTIME, DATA_LIMIT})
_TIMEOUTS = frozenset({TIMEOUT, _HEARTBEAT_TIMEOUT})


class TaskFailed(Exception):  # noqa: N818 - the name that AWS's history gives to it
    """A task's failure with an explicit error name and cause.

    Args:
        error: the name that Retry and Catch match on, ``"Lambda.TooManyRequestsException"``.
        cause: the explanation; None where the service sends none.
    """

    def __init__(self, error: str, cause: str | None = None) -> None:
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause


class StateFailed(Exception):  # noqa: N818
    """A state ended with an error; Retry, Catch or the end of the execution follows.

    Args:
        error: the error name, None where a Fail state has none.
        cause: the explanation, None where there is none.
    """

    def __init__(self, error: str | None, cause: str | None = None) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause

    @property
    def name(self) -> str | None:
        """The error name that Retry and Catch rules match."""
        return self.error

    @property
    def output(self) -> dict[str, Json]:
        """The error output of a Catch rule; as on AWS, a missing name or explanation is an empty string."""
        return {"Error": self.error or "", "Cause": self.cause or ""}


class EvaluationFailed(StateFailed):
    """A path or an expression of the definition could not be evaluated.

    Args:
        error: ``States.Runtime``, ``States.QueryEvaluationError`` or another of AWS's names.
        cause: the sentence that follows "An error occurred while executing the state ...".
        field: the field at fault, as AWS's EvaluationFailed event shows it.
    """

    def __init__(self, error: str, cause: str, field: str | None = None) -> None:
        super().__init__(error, cause)
        self.field = field


class HeartbeatMissed(StateFailed):
    """A task sent no heartbeat in time: AWS reports States.Timeout, and rules may name States.HeartbeatTimeout."""

    def __init__(self) -> None:
        super().__init__(TIMEOUT)

    @property
    def name(self) -> str:
        """The error name that Retry and Catch rules match."""
        return _HEARTBEAT_TIMEOUT


def matches(error: str | None, error_equals: Sequence[str]) -> bool:
    """Whether a Retry or Catch rule with `error_equals` matches `error`.

    Neither ``States.ALL`` nor ``States.TaskFailed`` matches States.Runtime or States.DataLimitExceeded;
    ``States.TaskFailed`` matches no timeout; ``States.Timeout`` also matches a missed heartbeat.
    """
    if error is None:
        return "States.ALL" in error_equals
    if error == RUNTIME:
        return False
    if error in error_equals:
        return True
    if error in _BEYOND_WILDCARDS:
        return False
    if error in _TIMEOUTS:
        return "States.ALL" in error_equals or TIMEOUT in error_equals
    return "States.ALL" in error_equals or "States.TaskFailed" in error_equals


def too_large(state: str) -> StateFailed:
    """The failure of a state whose result exceeds AWS's limit of 262,144 bytes."""
    return StateFailed(
        DATA_LIMIT,
        f"The state/task '{state}' returned a result with a size exceeding the maximum number of bytes service limit.",
    )
