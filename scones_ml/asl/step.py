"""One visit to one state: enter, execute, retry or catch, exit."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from scones_ml.asl.choice import ChoiceRule
from scones_ml.asl.execution import Frame, Point
from scones_ml.asl.failures import RUNTIME, EvaluationFailed, StateFailed, too_large
from scones_ml.asl.parts import Catcher
from scones_ml.asl.program import Node
from scones_ml.asl.recovery import Retries, catcher_for
from scones_ml.asl.scope import Scope
from scones_ml.asl.states import Map, Parallel, Task, Wait
from scones_ml.asl.timestamps import format_timestamp, parse_timestamp
from scones_ml.asl.values import UNSET, Json, fits

__all__ = ["BranchCancelled", "MachineTimedOut", "Step"]

_QUERY_ERROR = "States.QueryEvaluationError"


class MachineTimedOut(Exception):  # noqa: N818
    """The execution's deadline has passed."""


class BranchCancelled(Exception):  # noqa: N818
    """A sibling branch has failed, which cancels this one."""


class Step:
    """One visit to a state.

    Attributes:
        frame: the branch of the execution.
        node: the state, its data flow and its branches.
        raw: the state's raw input.
        name: the state's name.
        flow: the state's data flow.
        entered: number of the StateEntered event.
        next: name of the next state, None at the end.
        attempt: number of retries so far.
        point: progress of a redriven Parallel or Map state; a retry starts over.
    """

    def __init__(self, frame: Frame, node: Node, raw: Json, point: Point | None = None) -> None:
        self.frame, self.node, self.raw = frame, node, raw
        self.name, self.flow = node.name, node.flow
        self.next: str | None = getattr(node.state, "next", None)
        self.attempt = 0
        self.point = point
        self.task_token: str | None = None
        self._rule: ChoiceRule | None = None
        self._entered_at = frame.clock.timestamp()
        self.entered = frame.record(f"{node.state.type}StateEntered", {"name": self.name, "input": raw})
        self.scope = Scope(raw, self.context, frame.variables)

    @functools.cached_property
    def input(self) -> Json:
        """The state's effective input."""
        return self.flow.input(self.scope)

    @property
    def done(self) -> Point:
        """The progress of the inner branches before a redrive."""
        return self.point or Point(self.name, self.raw)

    @property
    def arguments(self) -> Json:
        """The arguments of the state's work."""
        return self.flow.arguments(self.scope)

    def context(self) -> Mapping[str, Json]:
        """The context object."""
        state: dict[str, Json] = {"Name": self.name, "EnteredTime": format_timestamp(self._entered_at)}
        if isinstance(self.node.state, Task | Map | Parallel):
            state["RetryCount"] = self.attempt
        context: dict[str, Json] = {
            "Execution": self.frame.shared.execution,
            "StateMachine": self.frame.shared.machine,
            "State": state,
        }
        if self.frame.item is not None:
            context["Map"] = self.frame.item
        if self.task_token is not None:
            context["Task"] = {"Token": self.task_token}
        return context

    def record(self, kind: str, data: Mapping[str, object]) -> int:
        """Record an event of this state."""
        return self.frame.record(kind, data)

    def take(self, rule: ChoiceRule) -> None:
        """Set the next state from a Choice rule."""
        self._rule, self.next = rule, rule.next

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` have passed or the execution's deadline is reached.

        Raises:
            MachineTimedOut: the deadline comes first.
            BranchCancelled: a sibling failed during the wait.
        """
        frame = self.frame
        left = None if frame.deadline is None else frame.deadline - frame.clock.now()
        if left is not None and seconds > left:
            frame.clock.sleep(left, frame.cancelled)
            raise MachineTimedOut
        frame.clock.sleep(seconds, frame.cancelled)
        if frame.cancelled.is_set():
            raise BranchCancelled

    def _field(self, owner: object, field: str) -> Json:
        value = self.flow.value(owner, field, self.scope.on(self.input))
        return None if value is UNSET else value

    def text(self, owner: object, field: str) -> str | None:
        """The value of a string field, literal or dynamic."""
        value = self._field(owner, field)
        if value is not None and not isinstance(value, str):
            raise self.flow.wrong(owner, field, value, "string")
        return value

    def integer(self, owner: object, field: str, *, expected: str = "integer") -> int | None:
        """The value of an integer field, literal or dynamic; a string of digits is accepted."""
        value = self.number(owner, field, expected=expected)
        if value is not None and value != int(value):
            raise self.flow.wrong(owner, field, value, expected)
        return None if value is None else int(value)

    def number(self, owner: object, field: str, *, expected: str = "float") -> float | None:
        """The value of a number field, literal or dynamic."""
        value = self._field(owner, field)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        try:
            return float(str(value))
        except ValueError as error:
            raise self.flow.wrong(owner, field, value, expected) from error

    def wait_seconds(self, wait: Wait) -> float:
        """The remaining seconds of a Wait state."""
        seconds = self.integer(wait, "seconds", expected="long")
        if seconds is not None:
            if seconds < 0:
                raise self.flow.wrong(wait, "seconds", seconds, "positive")
            return seconds
        timestamp = self.text(wait, "timestamp")
        try:
            whole, nanoseconds = parse_timestamp(str(timestamp))
        except ValueError as error:
            raise self.flow.wrong(wait, "timestamp", timestamp, "timestamp") from error
        return self.frame.clock.since(whole + nanoseconds / 1e9)

    def visit(self) -> Json:
        """Run the state to its end and return its output.

        Raises:
            StateFailed: its error matched no Retry rule with attempts left and no Catch rule.
        """
        retries: Retries | None = None
        while True:
            try:
                return self._leave(*self._work())
            except StateFailed as raised:
                failure = self.described(raised)
            retries = retries or Retries(getattr(self.node.state, "retry", None) or (), self.frame.shared.seed)
            pause = retries.pause(failure.name)
            if pause is not None:
                self.sleep(pause)
                self.attempt += 1
                self.point = None
                continue
            if isinstance(self.node.state, Map | Parallel) and failure.error != RUNTIME:
                data = {"error": failure.error, "cause": failure.cause}
                self.record(f"{self.node.state.type}StateFailed", data)
            catcher = catcher_for(getattr(self.node.state, "catch", None) or (), failure.name)
            if catcher is None:
                raise failure
            return self._recover(catcher, failure)

    def _work(self) -> tuple[Json, Mapping[str, Json]]:
        return self.finish(self.node.state._execute(self))

    def finish(self, result: Json) -> tuple[Json, Mapping[str, Json]]:
        """The output and the variables for a result."""
        return self.flow.output(self.scope, result, self._rule), self.flow.assign(self.scope, result, self._rule)

    def _recover(self, catcher: Catcher, failure: StateFailed) -> Json:
        self.next = catcher.next
        return self._leave(*self.flow.caught(catcher, self.scope, failure.output))

    def _leave(self, output: Json, variables: Mapping[str, Json]) -> Json:
        if output is not self.raw and not fits(output):
            raise too_large(self.name)
        data: dict[str, object] = {"name": self.name, "output": output}
        if variables:
            self.frame.variables = {**self.frame.variables, **variables}
            data["assigned_variables"] = variables
        self.record(f"{self.node.state.type}StateExited", data)
        return output

    def described(self, failure: StateFailed) -> StateFailed:
        """The failure with AWS's message: a failed evaluation names the state and its StateEntered event."""
        if not isinstance(failure, EvaluationFailed):
            return failure
        cause = f"An error occurred while executing the state '{self.name}' (entered at the event id #{self.entered}). "
        described = StateFailed(failure.error, cause + str(failure.cause))
        if failure.error == _QUERY_ERROR:
            data = {"error": failure.error, "cause": described.cause, "location": failure.field, "state": self.name}
            self.record("EvaluationFailed", data)
        return described
