"""Runs a state machine in this process: `run`."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from scones_ml.asl.clock import Clock
from scones_ml.asl.execution import Execution, ExecutionType, Frame, Run, Status
from scones_ml.asl.failures import RUNTIME, TIMEOUT, StateFailed
from scones_ml.asl.history import EVENT_LIMIT, Event, HistoryFullError, Recorder
from scones_ml.asl.machine import Definition
from scones_ml.asl.program import Program, load
from scones_ml.asl.resources import Resource
from scones_ml.asl.step import BranchCancelled, MachineTimedOut, Step
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import Json, fits, plain
from scones_ml.errors import ExecutionFailedError

__all__ = ["run", "run_branch"]

_ARN: Final = "arn:aws:states:us-east-1:111111111111"
_NAME = re.compile(r"[^\s?*<>{}\[\]\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


def run(
    definition: Definition,
    input: Json = None,  # noqa: A002 - AWS's name
    *,
    resources: Mapping[str, Resource],
    sleep: Callable[[float], None] = time.sleep,
    name: str | None = None,
    machine_name: str = "StateMachine",
    kind: ExecutionType = "STANDARD",
    on_event: Callable[[Event], None] | None = None,
    history: bool = True,
    max_workers: int = 40,
    seed: int | None = None,
) -> Execution:
    """Run a state machine to its end.

    Args:
        definition: a `StateMachine`, the same as a dict, or its JSON text.
        input: the execution's input, at most 262,144 bytes as JSON; None stands for ``{}``.
        resources: for each Resource ARN the function behind it, from the task's parameters to its result. What it
            raises becomes the error: its class name, and the JSON that Lambda sends; `TaskFailed` says both outright.
        sleep: waits the seconds that Wait states and Retry rules ask for; a fake one makes tests quick, and
            timestamps and deadlines still move as if it had waited.
        name: the execution's name, 1-80 characters; by default a UUID.
        machine_name: the state machine's name in the context object.
        kind: STANDARD, or EXPRESS without a limit on the number of events.
        on_event: called with every event as it happens, on the thread that it happens on.
        history: whether the result keeps the events; False bounds the memory of bulk runs.
        max_workers: threads at most for one Map or Parallel state; 1 makes the order of events repeatable.
        seed: of the retries' jitter.

    Returns:
        The execution: FAILED and TIMED_OUT are results, not exceptions.

    Raises:
        InvalidDefinitionError: AWS would refuse the definition; the message names each problem and the path to it.
        ExecutionFailedError: AWS would refuse to start it: InvalidName, InvalidExecutionInput.
        ConfigurationError: a task was reached for whose Resource there is no function.
    """
    program = load(definition)
    name = _checked_name(name)
    document = _checked_input({} if input is None else input)
    clock = Clock(sleep, time.time(), time.monotonic())
    limit = EVENT_LIMIT if kind == "STANDARD" else None
    recorder = Recorder(keep=history, limit=limit, listener=on_event)
    execution = _execution_context(name, machine_name, kind, document, clock)
    machine = {"Id": f"{_ARN}:stateMachine:{machine_name}", "Name": machine_name}
    shared = Run(resources, recorder, execution, machine, max_workers, random.Random(seed))  # noqa: S311
    frame = Frame(shared, clock, program.timeout_seconds)
    frame.record("ExecutionStarted", {"input": document, "role_arn": str(execution["RoleArn"])})
    status, output, error, cause = _run_to_end(frame, program, document)
    return Execution(status, output, error, cause, tuple(recorder.events), name, document)


def _run_to_end(frame: Frame, program: Program, document: Json) -> tuple[Status, Json, str | None, str | None]:
    try:
        output = run_branch(frame, program, document)
    except StateFailed as failure:
        frame.record("ExecutionFailed", {"error": failure.error, "cause": failure.cause})
        return "FAILED", None, failure.error, failure.cause
    except HistoryFullError:
        cause = f"The execution reached the maximum number of history events ({EVENT_LIMIT})."
        frame.record("ExecutionFailed", {"error": RUNTIME, "cause": cause})
        return "FAILED", None, RUNTIME, cause
    except MachineTimedOut:
        frame.record("ExecutionTimedOut", {"error": TIMEOUT})
        return "TIMED_OUT", None, TIMEOUT, None
    finally:
        frame.caller.close()
    frame.record("ExecutionSucceeded", {"output": output})
    return "SUCCEEDED", output, None, None


def run_branch(frame: Frame, program: Program, document: Json) -> Json:
    """Go from state to state until one ends the machine, and return its output.

    Raises:
        StateFailed: a state's error was not caught.
        MachineTimedOut: the execution's deadline passed.
        BranchCancelled: a sibling failed.
    """
    name: str | None = program.start_at
    while name is not None:
        if frame.cancelled.is_set():
            raise BranchCancelled
        if frame.deadline is not None and frame.clock.now() >= frame.deadline:
            raise MachineTimedOut
        step = Step(frame, program.nodes[name], document)
        document = step.visit()
        name = step.next
    return document


def _checked_name(name: str | None) -> str:
    if name is None:
        return str(uuid.uuid4())
    if _NAME.fullmatch(name) is None:
        raise ExecutionFailedError("InvalidName", f'{name!r}: 1-80 characters without white space or ?*<>{{}}[]"#%')
    return name


def _checked_input(document: object) -> Json:
    try:
        copy = plain(document)
    except (TypeError, ValueError) as error:
        raise ExecutionFailedError("InvalidExecutionInput", f"the input is not JSON: {error}") from error
    if not fits(copy):
        raise ExecutionFailedError("InvalidExecutionInput", "the input is larger than 262,144 bytes")
    return copy


def _execution_context(
    name: str, machine: str, kind: ExecutionType, document: Json, clock: Clock
) -> Mapping[str, Json]:
    standard = kind == "STANDARD"
    arn = f"{_ARN}:execution:{machine}:{name}" if standard else f"{_ARN}:express:{machine}:{name}:{uuid.uuid4()}"
    context: dict[str, Json] = {
        "Id": arn,
        "Input": document,
        "Name": name,
        "RoleArn": "arn:aws:iam::111111111111:role/StateMachine",
        "StartTime": format_timestamp(clock.timestamp()),
    }
    return {**context, "RedriveCount": 0} if standard else context
