"""The task call: runs the function for the Resource on a thread with a deadline.

The events are the same as on AWS: ``LambdaFunction...`` for a function's ARN, ``Activity...`` for an activity,
``Task...`` for every service integration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from scones_ml.asl.caller import DeadlineExceeded
from scones_ml.asl.execution import Frame
from scones_ml.asl.failures import TIMEOUT, StateFailed, TaskFailed, too_large
from scones_ml.asl.resources import Resource, failure_of, resource_function
from scones_ml.asl.states import Task
from scones_ml.asl.step import BranchCancelled, MachineTimedOut, Step
from scones_ml.asl.tokens import TokenWait, WaitCancelledError
from scones_ml.asl.values import Json, size, text
from scones_ml.limits import STATE_BYTES

__all__ = ["run_task"]

_LAMBDA_INVOKE: Final = "arn:aws:states:::lambda:invoke"
T = TypeVar("T")
Details: TypeAlias = Mapping[str, object]


class _Events:
    """Names and details of the events of one kind of task."""

    def __init__(self, arn: str) -> None:
        service, _, action = arn.partition(":states:::")[2].rpartition(":")
        self._shared: dict[str, object] = {}
        if ":function:" in arn and not service:
            self.family = "LambdaFunction"
        elif ":activity:" in arn and not service:
            self.family = "Activity"
        else:
            self.family, self._shared = "Task", {"resource_type": service, "resource": action}
        self._arn = arn

    def scheduled(self, arguments: Json, timeout: int | None, heartbeat: int | None) -> Details:
        limits: dict[str, object] = {"timeout_in_seconds": timeout, "heartbeat_in_seconds": heartbeat}
        if self.family == "Task":
            return {**self._shared, "region": "us-east-1", "parameters": arguments, **limits}
        return {"resource": self._arn, "input": arguments, **limits}

    def with_shared(self, **details: object) -> Details:
        return {**self._shared, **details}


def run_task(task: Task, step: Step) -> Json:
    """Make one attempt at a Task state and return the function's result as JSON.

    Raises:
        StateFailed: the function raised, timed out, or exceeded a limit.
        ConfigurationError: no function is registered for the Resource.
    """
    function = resource_function(step.frame.shared.resources, task.resource)
    if not task.resource.endswith(".waitForTaskToken"):
        return _attempt(task, step, function, None)
    with TokenWait() as wait:
        step.task_token = wait.token
        return _attempt(task, step, function, wait)


def _attempt(task: Task, step: Step, function: Resource, wait: TokenWait | None) -> Json:
    events, arguments = _Events(task.resource), step.arguments
    timeout, heartbeat = step.integer(task, "timeout_seconds"), step.integer(task, "heartbeat_seconds")
    step.record(f"{events.family}Scheduled", events.scheduled(arguments, timeout, heartbeat))
    step.record(f"{events.family}Started", events.with_shared())
    deadline = _Deadline(step.frame, timeout)
    try:
        given = _given(task, arguments)
        result = _answer(task, deadline.within(lambda left: _call(step.frame, function, given, left)))
        if wait is not None or ".sync" in task.resource:
            step.record("TaskSubmitted", events.with_shared(output=result))
        if wait is not None:
            result = deadline.within(lambda left: _awaited(step.frame, wait, left, heartbeat))
    except StateFailed as failure:
        outcome = "TimedOut" if failure.error == TIMEOUT else "Failed"
        details = events.with_shared(error=failure.error, cause=failure.cause)
        step.record(f"{events.family}{outcome}", details)
        raise
    step.record(f"{events.family}Succeeded", events.with_shared(output=result))
    return result


class _Deadline:
    """The deadline of a task: its own, or the machine's if that is earlier."""

    def __init__(self, frame: Frame, timeout: int | None) -> None:
        self._frame = frame
        self._own = None if timeout is None else frame.clock.now() + timeout

    def within(self, work: Callable[[float | None], T]) -> T:
        """Call `work` with the remaining seconds and return its result.

        Raises:
            StateFailed: the task's deadline has passed (States.Timeout).
            MachineTimedOut: the machine's deadline has passed.
        """
        ends = [end for end in (self._own, self._frame.deadline) if end is not None]
        try:
            return work(min(ends) - self._frame.clock.now() if ends else None)
        except DeadlineExceeded:
            if self._own is None or min(ends) != self._own:
                raise MachineTimedOut from None
            raise StateFailed(TIMEOUT) from None


def _given(task: Task, arguments: Json) -> Json:
    """The function's input: a copy of the arguments, with a Lambda's Payload parsed if it is JSON text."""
    given: Json = json.loads(_within_limit(task, text(arguments)))
    if task.resource.startswith(_LAMBDA_INVOKE) and isinstance(given, dict) and "Payload" in given:
        given["Payload"] = _payload(given["Payload"])
    return given


def _call(frame: Frame, function: Resource, given: Json, left: float | None) -> object:
    try:
        return function(given) if left is None else frame.caller.call(function, given, left)
    except DeadlineExceeded:
        raise
    except Exception as error:  # any exception becomes the state's error
        raise failure_of(error) from error


def _awaited(frame: Frame, wait: TokenWait, left: float | None, heartbeat: int | None) -> Json:
    frame.cancelled.on_set(wait)
    try:
        return wait.result(left, heartbeat)
    except TimeoutError:
        raise DeadlineExceeded from None
    except TaskFailed as failure:
        raise StateFailed(failure.error, failure.cause) from None
    except WaitCancelledError:
        raise BranchCancelled from None


def _payload(payload: Json) -> Json:
    """The document, parsed if it is JSON text."""
    if not isinstance(payload, str):
        return payload
    try:
        parsed: Json = json.loads(payload)
    except ValueError:
        return payload
    return parsed


def _within_limit(task: Task, document: str) -> str:
    if size(document) > STATE_BYTES:
        name = task.resource.partition(":states:::")[2].rpartition(":")[0] or task.resource
        raise too_large(name)
    return document


def _answer(task: Task, answer: object) -> Json:
    try:
        document = text(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        cause = {"errorMessage": f"Unable to marshal response: {error}", "errorType": "Runtime.MarshalError"}
        raise StateFailed("Runtime.MarshalError", text({**cause, "requestId": "", "stackTrace": []})) from error
    result: Json = json.loads(_within_limit(task, document))
    return result
