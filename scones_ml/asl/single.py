"""`test_state`: a single state with the data after each step of its data flow, like AWS's TestState."""

# ruff: noqa: PT028 - test_state is no test
from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from scones_ml import strict_json
from scones_ml.asl.clock import Clock
from scones_ml.asl.execution import Frame, Shared
from scones_ml.asl.failures import StateFailed
from scones_ml.asl.history import Recorder
from scones_ml.asl.program import Node, load
from scones_ml.asl.recovery import Retries, catcher_for
from scones_ml.asl.resources import Resource
from scones_ml.asl.scope import Scope
from scones_ml.asl.states import State
from scones_ml.asl.step import Step
from scones_ml.asl.values import Json, plain
from scones_ml.errors import InvalidDefinitionError

__all__ = ["StateTest", "test_state"]


@dataclass(frozen=True)
class StateTest:
    """The result of one visit to a state.

    Attributes:
        status: SUCCEEDED; RETRIABLE if a Retry rule matches the error, CAUGHT_ERROR if a Catch rule does; FAILED.
        output: the input of the next state.
        error: the error's name.
        cause: the error's explanation.
        next_state: the name of the next state.
        data: the data after each step of the data flow that was reached: ``input``, ``afterInputPath``,
            ``afterParameters`` (JSONata: ``afterArguments``), ``result``, ``afterResultSelector``, ``afterResultPath``.
        variables: the variables that the state assigned.
    """

    status: Literal["SUCCEEDED", "FAILED", "RETRIABLE", "CAUGHT_ERROR"]
    output: Json = None
    error: str | None = None
    cause: str | None = None
    next_state: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)
    variables: Mapping[str, Json] = field(default_factory=dict)


def test_state(
    state: State | Mapping[str, Json] | str,
    input: Json = None,  # noqa: A002 - AWS's name
    *,
    resources: Mapping[str, Resource] | None = None,
    context: Mapping[str, Json] | None = None,
    variables: Mapping[str, Json] | None = None,
) -> StateTest:
    """Run one state once, without its machine and without waiting for retries.

    Args:
        state: a typed state, the same as a dict, or its JSON text.
        input: the state's input; None stands for ``{}``.
        resources: as for `run`.
        context: fields of the context object ``$$``.
        variables: variables set by earlier states.

    Raises:
        InvalidDefinitionError: AWS would reject the state.
    """
    document = plain({} if input is None else input)
    frame = _frame(resources or {}, variables or {})
    step = Step(frame, _node(state), document)
    if context is not None:
        given = context
        step.scope = Scope(document, lambda: {**step.context(), **given}, frame.variables)
    data: dict[str, Json] = {"input": document}
    try:
        return _visited(step, data)
    except StateFailed as raised:
        return _failed(step, step.described(raised), data)
    finally:
        frame.caller.close()


test_state.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _visited(step: Step, data: dict[str, Json]) -> StateTest:
    data.update(step.flow.before(step.scope))
    result = step.node.state._execute(step)
    data.update(step.flow.after(step.scope, result))
    output, variables = step.finish(result)
    return StateTest("SUCCEEDED", output, next_state=step.next, data=data, variables=variables)


def _failed(step: Step, failure: StateFailed, data: Mapping[str, Json]) -> StateTest:
    state = step.node.state
    if Retries(getattr(state, "retry", None) or (), None).pause(failure.name) is not None:
        return StateTest("RETRIABLE", None, failure.error, failure.cause, data=data)
    catcher = catcher_for(getattr(state, "catch", None) or (), failure.name)
    if catcher is None:
        return StateTest("FAILED", None, failure.error, failure.cause, data=data)
    output, variables = step.flow.caught(catcher, step.scope, failure.output)
    return StateTest("CAUGHT_ERROR", output, failure.error, failure.cause, catcher.next, data, variables)


def _frame(resources: Mapping[str, Resource], variables: Mapping[str, Json]) -> Frame:
    recorder = Recorder(keep=False, limit=None, listener=None)
    clock = Clock(lambda _: None, time.time(), time.monotonic())
    execution: dict[str, Json] = {
        "Id": "arn:aws:states:us-east-1:111111111111:execution:StateMachine:test",
        "Name": "test",
    }
    machine: dict[str, Json] = {"Id": "arn:aws:states:us-east-1:111111111111:stateMachine:StateMachine"}
    return Frame(Shared(resources, recorder, execution, machine, 1), clock, variables=dict(variables))


def _node(state: State | Mapping[str, Json] | str) -> Node:
    """The compiled state, in a machine that contains every state it can go to."""
    if isinstance(state, State):
        document: Json = state.to_json()
    else:
        document = _parse(state) if isinstance(state, str) else state
    if not isinstance(document, Mapping):
        raise InvalidDefinitionError("a state must be a JSON object")
    targets = {str(target) for target in _targets(document)} - {"State"}
    ends: dict[str, Json] = {target: {"Type": "Succeed"} for target in sorted(targets)}
    machine: dict[str, Json] = {"StartAt": "State", "States": {"State": document, **ends}}
    if not ends and "End" not in document and document.get("Type") not in ("Succeed", "Fail"):
        machine["States"] = {"State": {**document, "End": True}}
    return load(machine).nodes["State"]


def _parse(state: str) -> Json:
    try:
        return cast("Json", strict_json.parse(state))
    except ValueError as error:
        raise InvalidDefinitionError(f"the state {error}") from error


def _targets(document: Json) -> list[Json]:
    if not isinstance(document, Mapping):
        return []
    found = [document[name] for name in ("Next", "Default") if name in document]
    for name in ("Choices", "Catch"):
        rules = document.get(name)
        found += [target for rule in (rules if isinstance(rules, list | tuple) else ()) for target in _targets(rule)]
    return found
