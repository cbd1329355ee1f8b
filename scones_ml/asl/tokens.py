"""Callbacks: tasks whose Resource ends in ``.waitForTaskToken`` wait until their token is sent back.

The function for such a Resource gets the token in its parameters (the definition puts ``$$.Task.Token`` there) and
passes it on. One of the functions below then ends or prolongs the wait, from any thread of this process.
"""

from __future__ import annotations

import enum
import queue
import time
from dataclasses import dataclass
from typing import Final, TypeAlias

from scones_ml.asl.failures import HeartbeatMissed, TaskFailed
from scones_ml.asl.values import Json, new_id, plain
from scones_ml.errors import WorkflowError

__all__ = ["TokenWait", "WaitCancelledError", "send_task_failure", "send_task_heartbeat", "send_task_success"]


@dataclass(frozen=True, slots=True)
class _Success:
    output: Json


@dataclass(frozen=True, slots=True)
class _Failure:
    error: str
    cause: str


class _Signal(enum.Enum):
    HEARTBEAT = "heartbeat"
    CANCELLED = "cancelled"


class WaitCancelledError(Exception):
    """The wait was cancelled."""


Message: TypeAlias = _Success | _Failure | _Signal
_WAITING: Final[dict[str, queue.SimpleQueue[Message]]] = {}


def send_task_success(token: str, output: Json) -> None:
    """End the task that waits for `token` with this output.

    Raises:
        WorkflowError: no task is waiting for it.
    """
    _send(token, _Success(plain(output)))


def send_task_failure(token: str, error: str, cause: str = "") -> None:
    """End the task that waits for `token` with this error.

    Raises:
        WorkflowError: no task is waiting for it.
    """
    _send(token, _Failure(error, cause))


def send_task_heartbeat(token: str) -> None:
    """Send a heartbeat to the task that waits for `token`: its HeartbeatSeconds start again.

    Raises:
        WorkflowError: no task is waiting for it.
    """
    _send(token, _Signal.HEARTBEAT)


def _send(token: str, message: Message) -> None:
    waiting = _WAITING.get(token)
    if waiting is None:
        raise WorkflowError(f"no task is waiting for the token {token}: it has ended or timed out")
    waiting.put(message)


class TokenWait:
    """A token and the wait for it: ``with TokenWait() as wait: ...; wait.result(60, 10)``."""

    def __init__(self) -> None:
        self.token = new_id()

    def __enter__(self) -> TokenWait:
        _WAITING[self.token] = self._messages = queue.SimpleQueue[Message]()
        return self

    def __exit__(self, *_: object) -> None:
        del _WAITING[self.token]

    def set(self) -> None:
        """Cancel the wait."""
        self._messages.put(_Signal.CANCELLED)

    def result(self, seconds: float | None, heartbeat: float | None) -> Json:
        """The output that was sent.

        Args:
            seconds: maximum wait, None for no limit.
            heartbeat: maximum seconds between two heartbeats, None for no limit.

        Raises:
            TimeoutError: no output came in time.
            TaskFailed: a failure was sent.
            HeartbeatMissed: no heartbeat came in time.
            WaitCancelledError: `set` was called.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            patience = min((limit for limit in (left, heartbeat) if limit is not None), default=None)
            try:
                message = self._messages.get(timeout=patience)
            except queue.Empty:
                if patience == left:
                    raise TimeoutError from None
                raise HeartbeatMissed from None
            if isinstance(message, _Success):
                return message.output
            if isinstance(message, _Failure):
                raise TaskFailed(message.error, message.cause)
            if message is _Signal.CANCELLED:
                raise WaitCancelledError
