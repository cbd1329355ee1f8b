"""Redrive, testing a single state, and drawing machines."""

from __future__ import annotations

import json
import re

import pytest

from scones_ml import asl
from scones_ml.errors import InvalidDefinitionError, WorkflowError

ARN = "arn:aws:states:::lambda:invoke"
MACHINE = {
    "StartAt": "Set",
    "States": {
        "Set": {"Type": "Pass", "Assign": {"v": 7}, "Parameters": {"n.$": "$.n"}, "Next": "Work"},
        "Work": {"Type": "Task", "Resource": ARN, "Next": "See"},
        "See": {
            "Type": "Pass",
            "Parameters": {
                "r.$": "$",
                "v.$": "$v",
                "again.$": "$$.Execution.RedriveCount",
                "in.$": "$$.Execution.Input",
            },
            "End": True,
        },
    },
}


def broken(parameters: asl.Json) -> asl.Json:
    raise ValueError("not today")


def fixed(parameters: asl.Json) -> asl.Json:
    return {"n": parameters["n"] * 2}


def failed() -> asl.Execution:
    execution = asl.run(MACHINE, {"n": 4}, resources={ARN: broken}, name="first")
    assert execution.status == "FAILED"
    return execution


def test_a_redriven_execution_goes_on_where_it_failed() -> None:
    """The failed state runs again with its input and the variables; what went before does not; the history goes on."""
    before = failed()
    after = asl.redrive(before, resources={ARN: fixed})
    assert after.status == "SUCCEEDED"
    assert after.output == {"r": {"n": 8}, "v": 7, "again": 1, "in": {"n": 4}}
    assert after.name == "first"
    assert after.history[: len(before.history)] == before.history
    added = [event.type for event in after.history[len(before.history) :]]
    assert added[:2] == ["ExecutionRedriven", "TaskStateEntered"]
    assert [event.id for event in after.history] == list(range(1, len(after.history) + 1))


def test_an_execution_can_be_redriven_until_it_succeeds() -> None:
    """Each redrive counts."""
    execution = asl.redrive(asl.redrive(failed(), resources={ARN: broken}), resources={ARN: fixed})
    assert execution.output["again"] == 2


def test_a_downloaded_history_can_be_redriven() -> None:
    """The JSON of GetExecutionHistory and the definition are enough."""
    history = json.loads(json.dumps({"events": [event.to_json() for event in failed().history]}))
    execution = asl.redrive(history, resources={ARN: fixed}, definition=MACHINE)
    assert execution.output == {"r": {"n": 8}, "v": 7, "again": 1, "in": {"n": 4}}


def test_what_cannot_be_redriven_says_why() -> None:
    """A success, an execution without its history, or a history without its machine is refused in one line."""
    succeeded = asl.run(MACHINE, {"n": 1}, resources={ARN: fixed})
    forgotten = asl.run(MACHINE, {"n": 1}, resources={ARN: broken}, history=False)
    for execution in (succeeded, forgotten):
        with pytest.raises(WorkflowError, match="only an execution that failed"):
            asl.redrive(execution, resources={ARN: fixed})
    with pytest.raises(WorkflowError, match="pass definition="):
        asl.redrive({"events": []}, resources={ARN: fixed})
    with pytest.raises(WorkflowError, match="no list of events"):
        asl.redrive({}, resources={ARN: fixed}, definition=MACHINE)


TASK = {
    "Type": "Task",
    "Resource": ARN,
    "InputPath": "$.in",
    "Parameters": {"p.$": "$.a", "who.$": "$$.Execution.Name", "v.$": "$v"},
    "ResultSelector": {"s.$": "$.r"},
    "ResultPath": "$.out",
    "OutputPath": "$.out.s",
    "Assign": {"got.$": "$.r"},
    "Next": "Later",
}


def test_a_state_shows_its_data_after_each_step() -> None:
    """test_state gives status, output, next state, variables and the data after each field of the data flow."""
    tested = asl.test_state(
        TASK,
        {"in": {"a": 1}},
        resources={ARN: lambda parameters: {"r": [parameters["p"], parameters["who"], parameters["v"]]}},
        context={"Execution": {"Name": "me"}},
        variables={"v": 9},
    )
    result = {"r": [1, "me", 9]}
    assert tested == asl.StateTest(
        status="SUCCEEDED",
        output=[1, "me", 9],
        next_state="Later",
        data={
            "input": {"in": {"a": 1}},
            "afterInputPath": {"a": 1},
            "afterParameters": {"p": 1, "who": "me", "v": 9},
            "result": result,
            "afterResultSelector": {"s": [1, "me", 9]},
            "afterResultPath": {"in": {"a": 1}, "out": {"s": [1, "me", 9]}},
        },
        variables={"got": [1, "me", 9]},
    )


@pytest.mark.parametrize(
    ("fields", "status", "following"),
    [
        ({}, "FAILED", None),
        ({"Retry": [{"ErrorEquals": ["ValueError"]}]}, "RETRIABLE", None),
        ({"Retry": [{"ErrorEquals": ["ValueError"], "MaxAttempts": 0}]}, "FAILED", None),
        ({"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Rescue", "ResultPath": "$.e"}]}, "CAUGHT_ERROR", "Rescue"),
    ],
)
def test_a_failing_state_says_what_would_follow(fields: dict[str, object], status: str, following: str | None) -> None:
    """An error is retriable, caught with the output of its rule, or final; nothing is waited for."""
    tested = asl.test_state({"Type": "Task", "Resource": ARN, "End": True, **fields}, {"a": 1}, resources={ARN: broken})
    assert (tested.status, tested.error, tested.next_state) == (status, "ValueError", following)
    assert "not today" in str(tested.cause)
    if following:
        assert tested.output["a"] == 1
        assert tested.output["e"]["Error"] == "ValueError"


def test_any_state_can_be_tested() -> None:
    """Typed states, JSON text, choices and JSONata are tested alike."""
    assert asl.test_state(asl.Pass(result=3, next="N")).output == 3
    assert asl.test_state('{"Type": "Succeed"}', 5).output == 5
    choice = {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "One"}], "Default": "Else"}
    assert [asl.test_state(choice, n).next_state for n in (1, 2)] == ["One", "Else"]
    jsonata = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $v + 1 %}", "End": True}
    assert asl.test_state(jsonata, variables={"v": 1}).output == 2
    assert asl.test_state({"Type": "Wait", "Seconds": 9999, "End": True}, 1).output == 1
    assert asl.test_state({"Type": "Fail", "Error": "E", "Cause": "c"}).error == "E"


def test_a_state_that_aws_would_refuse_is_refused() -> None:
    """An invalid state is named before it runs."""
    with pytest.raises(InvalidDefinitionError, match="Reslut"):
        asl.test_state({"Type": "Pass", "Reslut": 1, "End": True})


def test_a_machine_is_drawn_with_every_way_through_it() -> None:
    """Mermaid text has each state in its shape, each transition, and the rules that lead to it."""
    inner = asl.ItemProcessor(start_at="In", states={"In": asl.Pass(end=True)})
    machine = asl.StateMachine(
        start_at="Ask",
        states={
            "Ask": asl.Choice(
                choices=(asl.Comparison("$.n", "IsNull", True, next="Loop", comment="nothing"),), default="Stop"
            ),
            "Loop": asl.Map(
                item_processor=inner, next="Stop", catch=(asl.Catcher(error_equals=("Oops",), next='Say "no"'),)
            ),
            "Stop": asl.Succeed(),
            'Say "no"': asl.Fail(error="E"),
        },
    )
    chart = asl.mermaid(machine)
    assert chart.startswith("flowchart TD\n")
    for line in (
        'm0{"Ask"}',
        'm0 -->|"nothing"| m1',
        'm0 -->|"otherwise"| m2',
        'm1["Loop"]',
        "m1 --> m2",
        'm1 -.->|"Oops"| m3',
        'm2(["Stop"])',
        'm3(["Say #quot;no#quot;"])',
        'subgraph m1b0_box ["Loop"]',
        'm1b0_0["In"]',
    ):
        assert f"{line}\n" in chart.replace("    ", ""), line


def test_states_are_coloured_by_their_outcome() -> None:
    """With an execution the chart shows what succeeded, what was caught and what failed."""
    chart = asl.mermaid(MACHINE, failed())
    assert "class m0 succeeded" in chart
    assert "class m1 failed" in chart
    assert "class m2" not in chart
    assert re.search(r'm0\["Set<br/>(#lt;1|\d+) ms"\]', chart)
    caught = json.loads(json.dumps(MACHINE))
    caught["States"]["Work"]["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "See"}]
    assert "class m1 caught" in asl.mermaid(caught, asl.run(caught, {"n": 1}, resources={ARN: broken}))
    retried = json.loads(json.dumps(MACHINE))
    retried["States"]["Work"]["Retry"] = [{"ErrorEquals": ["States.ALL"]}]
    answers = iter([broken, fixed])
    execution = asl.run(retried, {"n": 1}, resources={ARN: lambda p: next(answers)(p)}, sleep=lambda seconds: None)
    assert "class m1 succeeded" in asl.mermaid(retried, execution)


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ({"Variable": "$.a", "NumericGreaterThanEquals": 0.9}, "$.a #gt;= 0.9"),
        ({"Variable": "$.a", "StringEqualsPath": "$.b"}, "$.a = $.b"),
        ({"Variable": "$.a", "IsPresent": False}, "$.a is not present"),
        ({"Variable": "$.a", "IsString": True}, "$.a is a string"),
        ({"Not": {"Variable": "$.a", "BooleanEquals": True}}, "not ($.a = true)"),
        (
            {"And": [{"Variable": "$.a", "StringMatches": "x*"}, {"Not": {"Variable": "$.a", "IsNull": True}}]},
            "$.a matches #quot;x*#quot; and (not ($.a is null))",
        ),
        ({"Variable": "$.a", "StringEquals": "x" * 99}, "$.a = #quot;" + "x" * 52 + "\u2026"),
        ({"Variable": "$.a", "IsNull": True, "Comment": "nothing there"}, "nothing there"),
    ],
)
def test_edges_of_a_choice_say_when(rule: dict[str, object], label: str) -> None:
    """The drawing names each rule's condition in a few words, or with its comment."""
    states = {"C": {"Type": "Choice", "Choices": [{**rule, "Next": "D"}]}, "D": {"Type": "Succeed"}}
    assert f'm0 -->|"{label}"| m1' in asl.mermaid({"StartAt": "C", "States": states})
