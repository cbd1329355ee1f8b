"""The interpreter: runs a state machine in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scones_ml.asl.clock import Clock
from scones_ml.asl.execution import Execution, ExecutionType, Frame, Point, Shared, Status
from scones_ml.asl.failures import RUNTIME, TIMEOUT, StateFailed
from scones_ml.asl.history import Event, HistoryFullError, Recorder
from scones_ml.asl.machine import Definition
from scones_ml.asl.program import Program, load
from scones_ml.asl.resources import Resource
from scones_ml.asl.step import BranchCancelled, MachineTimedOut, Step
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import Json, fits, new_id, plain
from scones_ml.errors import ExecutionFailedError
from scones_ml.limits import EXPRESS_SECONDS, HISTORY_EVENTS, STATE_BYTES, STEP_FUNCTIONS_NAME_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scones_ml.asl.map_writer import Child

__all__ = ["Options", "Start", "launch", "run", "run_branch"]

_ARN: Final = "arn:aws:states:us-east-1:111111111111"
_NAME = re.compile(r"[^\s?*<>{}\[\]\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]" + f"{{1,{STEP_FUNCTIONS_NAME_CHARACTERS}}}")


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
    """Run a state machine.

    Args:
        definition: a `StateMachine`, the same as a dict, or its JSON text.
        input: the execution's input, at most 262,144 bytes as JSON; None stands for ``{}``.
        resources: the function for each Resource ARN, from the task's parameters to its result. An exception
            becomes the task's error: its class name, with the JSON that Lambda sends as the cause; `TaskFailed` sets
            both explicitly.
        sleep: waits the seconds of Wait states and Retry rules; a fake one makes tests fast, while timestamps and
            deadlines advance as if it had waited.
        name: the execution's name, 1-80 characters; by default a UUID.
        machine_name: the state machine's name in the context object.
        kind: STANDARD, or EXPRESS: at most five minutes, and no limit on the number of events.
        on_event: called with every event as it happens, on the thread that it happens on.
        history: whether to keep the events in the result; False limits the memory of bulk runs.
        max_workers: maximum number of threads for one Map or Parallel state; 1 makes the order of events reproducible.
        seed: seed of the retries' jitter.

    Returns:
        The execution: FAILED and TIMED_OUT are results, not exceptions.

    Raises:
        InvalidDefinitionError: AWS would reject the definition; the message lists each problem with its path.
        ExecutionFailedError: AWS would not start the execution: InvalidName, InvalidExecutionInput.
        ConfigurationError: the execution reached a task whose Resource has no function.
    """
    start = Start(_checked_name(name), _checked_input({} if input is None else input))
    options = Options(resources, sleep, machine_name, kind, on_event, history, max_workers, seed)
    return launch(definition, start, options)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an execution, as for `run`."""

    resources: Mapping[str, Resource]
    sleep: Callable[[float], None]
    machine_name: str
    kind: ExecutionType
    on_event: Callable[[Event], None] | None
    history: bool
    max_workers: int
    seed: int | None


@dataclass(frozen=True, slots=True)
class Start:
    """The start of an execution: at the machine's first state, or after a redrive at the one that failed.

    Attributes:
        name: the execution's name.
        input: the execution's input.
        point: the state to continue from, None for the first.
        events: the history so far.
        redrives: number of redrives.
        map_runs: ended children of the distributed Map runs that failed, by their ARN.
    """

    name: str
    input: Json
    point: Point | None = None
    events: tuple[Event, ...] = ()
    redrives: int = 0
    map_runs: Mapping[str, Sequence[Child | None]] = field(default_factory=dict)


def launch(definition: Definition, start: Start, options: Options) -> Execution:
    """Run a machine from `start`."""
    program = load(definition)
    clock = Clock(options.sleep, time.time(), time.monotonic())
    express = options.kind == "EXPRESS"
    recorder = Recorder(
        keep=options.history, limit=None if express else HISTORY_EVENTS, listener=options.on_event, events=start.events
    )
    execution = _execution_context(start, options, clock)
    machine = {"Id": f"{_ARN}:stateMachine:{options.machine_name}", "Name": options.machine_name}
    shared = Shared(
        options.resources, recorder, execution, machine, options.max_workers, options.seed, dict(start.map_runs)
    )
    deadline = min(program.timeout_seconds or EXPRESS_SECONDS, EXPRESS_SECONDS) if express else program.timeout_seconds
    frame = Frame(shared, clock, deadline, previous=recorder.count)
    if start.redrives:
        frame.record("ExecutionRedriven", {"redrive_count": start.redrives})
    else:
        frame.record("ExecutionStarted", {"input": start.input, "role_arn": execution["RoleArn"]})
    status, output, error, cause = _run_to_end(frame, program, start)
    events = tuple(recorder.events)
    return Execution(status, output, error, cause, events, start.name, start.input, definition, shared.map_runs)


def _run_to_end(frame: Frame, program: Program, start: Start) -> tuple[Status, Json, str | None, str | None]:
    try:
        output = run_branch(frame, program, start.input, start.point)
    except StateFailed as failure:
        frame.record("ExecutionFailed", {"error": failure.error, "cause": failure.cause})
        return "FAILED", None, failure.error, failure.cause
    except HistoryFullError:
        cause = f"The execution reached the maximum number of history events ({HISTORY_EVENTS})."
        frame.record("ExecutionFailed", {"error": RUNTIME, "cause": cause})
        return "FAILED", None, RUNTIME, cause
    except MachineTimedOut:
        frame.record("ExecutionTimedOut", {"error": TIMEOUT})
        return "TIMED_OUT", None, TIMEOUT, None
    finally:
        frame.caller.close()
    frame.record("ExecutionSucceeded", {"output": output})
    return "SUCCEEDED", output, None, None


def run_branch(frame: Frame, program: Program, document: Json, point: Point | None = None) -> Json:
    """Run the states of a branch until one ends it, and return its output.

    Args:
        frame: the branch.
        program: the branch's states.
        document: the branch's input.
        point: where to continue after a redrive.

    Raises:
        StateFailed: a state failed and no Catch rule matched.
        MachineTimedOut: the execution's deadline has passed.
        BranchCancelled: a sibling has failed.
    """
    name: str | None = program.start_at
    if point is not None:
        name, document, frame.variables = point.state, point.document, {**frame.variables, **point.variables}
    while name is not None:
        if frame.cancelled.is_set():
            raise BranchCancelled
        if frame.deadline is not None and frame.clock.now() >= frame.deadline:
            raise MachineTimedOut
        step = Step(frame, program.nodes[name], document, point)
        document, name, point = step.visit(), step.next, None
    return document


def _checked_name(name: str | None) -> str:
    if name is None:
        return new_id()
    if _NAME.fullmatch(name) is None:
        most = STEP_FUNCTIONS_NAME_CHARACTERS
        words = f'{name!r}: 1-{most} characters without white space or ?*<>{{}}[]"#%'
        raise ExecutionFailedError("InvalidName", words)
    return name


def _checked_input(document: object) -> Json:
    try:
        copy = plain(document)
    except (TypeError, ValueError) as error:
        raise ExecutionFailedError("InvalidExecutionInput", f"the input is not JSON: {error}") from error
    if not fits(copy):
        raise ExecutionFailedError("InvalidExecutionInput", f"the input is larger than {STATE_BYTES:,} bytes")
    return copy


def _execution_context(start: Start, options: Options, clock: Clock) -> Mapping[str, Json]:
    standard, machine = options.kind == "STANDARD", options.machine_name
    arn = (
        f"{_ARN}:execution:{machine}:{start.name}" if standard else f"{_ARN}:express:{machine}:{start.name}:{new_id()}"
    )
    context: dict[str, Json] = {
        "Id": arn,
        "Input": start.input,
        "Name": start.name,
        "RoleArn": "arn:aws:iam::111111111111:role/StateMachine",
        "StartTime": format_timestamp(clock.timestamp()),
    }
    if standard:
        context["RedriveCount"] = start.redrives
    if start.redrives:
        context["RedriveTime"] = context["StartTime"]
        context["StartTime"] = format_timestamp(start.events[0].timestamp)
    return context
