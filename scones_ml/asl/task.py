"""The task call: parameters in, the function behind the Resource on a thread with a deadline, its answer out.

The events are those of AWS: ``LambdaFunction...`` for a function's own ARN, ``Activity...`` for an activity,
``Task...`` for every service integration.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Final, TypeAlias

from scones_ml.asl.caller import DeadlineExceeded
from scones_ml.asl.failures import TIMEOUT, StateFailed, too_large
from scones_ml.asl.resources import Resource, failure_of, resource_function
from scones_ml.asl.states import Task
from scones_ml.asl.step import MachineTimedOut, Step
from scones_ml.asl.values import PAYLOAD_LIMIT, Json, size, text

__all__ = ["run_task"]

_LAMBDA_INVOKE: Final = ":states:::lambda:invoke"
Details: TypeAlias = Mapping[str, object]


class _Events:
    """The names and details of the events of one kind of task."""

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
    """One attempt at a Task state; the result is what the function returned, as JSON.

    Raises:
        StateFailed: the function raised, took too long, or passed a limit.
        ConfigurationError: no function is registered for the Resource.
    """
    function = resource_function(step.frame.run.resources, task.resource)
    if task.resource.endswith(".waitForTaskToken"):
        step.task_token = str(uuid.uuid4())
    events, arguments = _Events(task.resource), step.arguments
    timeout, heartbeat = step.integer(task, "timeout_seconds"), step.integer(task, "heartbeat_seconds")
    step.record(f"{events.family}Scheduled", events.scheduled(arguments, timeout, heartbeat))
    step.record(f"{events.family}Started", events.with_shared())
    try:
        result = _call(task, step, function, arguments, timeout)
    except StateFailed as failure:
        outcome = "TimedOut" if failure.error == TIMEOUT else "Failed"
        details = events.with_shared(error=failure.error, cause=failure.cause)
        step.record(f"{events.family}{outcome}", details)
        raise
    step.record(f"{events.family}Succeeded", events.with_shared(output=result))
    return result


def _call(task: Task, step: Step, function: Resource, arguments: Json, timeout: int | None) -> Json:
    limited = _within_limit(task, text(arguments))
    given = json.loads(limited)
    if task.resource.endswith(_LAMBDA_INVOKE) and isinstance(given, dict):
        given["Payload"] = _payload(given.get("Payload", {}))
    frame = step.frame
    left = None if frame.deadline is None else frame.deadline - frame.clock.now()
    seconds = min((limit for limit in (timeout, left) if limit is not None), default=None)
    try:
        answer = function(given) if seconds is None else frame.caller.call(function, given, seconds)
    except DeadlineExceeded:
        if left is not None and seconds == left:
            raise MachineTimedOut from None
        raise StateFailed(TIMEOUT) from None
    except Exception as error:  # whatever a function raises becomes the state's error
        raise failure_of(error) from error
    return _answer(task, answer)


def _payload(payload: Json) -> Json:
    """A text that is JSON reaches the function parsed."""
    if not isinstance(payload, str):
        return payload
    try:
        parsed: Json = json.loads(payload)
    except ValueError:
        return payload
    return parsed


def _within_limit(task: Task, document: str) -> str:
    if size(document) > PAYLOAD_LIMIT:
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
