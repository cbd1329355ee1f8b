"""Whole machines: data flow, limits, history, and starting an execution."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping

import pytest

from scones_ml import asl
from scones_ml.errors import ExecutionFailedError, WorkflowError
from scones_ml.limits import HISTORY_EVENTS

ARN = "arn:aws:states:::lambda:invoke"


def run(states: Mapping[str, object], document: asl.Json = None, **options: object) -> asl.Execution:
    machine = {"StartAt": next(iter(states)), "States": states}
    options.setdefault("resources", {})
    options.setdefault("sleep", lambda seconds: None)
    return asl.run(machine, document, **options)


def test_the_five_fields_apply_in_their_order() -> None:
    """InputPath, Parameters, ResultSelector, ResultPath and OutputPath shape the data one after the other."""
    seen = []

    def work(parameters: asl.Json) -> asl.Json:
        seen.append(parameters)
        return {"value": 7, "noise": 1}

    execution = asl.run(
        {
            "StartAt": "Work",
            "States": {
                "Work": {
                    "Type": "Task",
                    "Resource": ARN,
                    "InputPath": "$.a",
                    "Parameters": {"x.$": "$.b", "name.$": "$$.Execution.Name", "k": 1},
                    "ResultSelector": {"v.$": "$.value", "run.$": "$$.State.Name"},
                    "ResultPath": "$.out.here",
                    "OutputPath": "$.out",
                    "End": True,
                }
            },
        },
        {"a": {"b": 5}, "out": {"kept": True}},
        resources={ARN: work},
        name="run-1",
    )
    assert seen == [{"x": 5, "name": "run-1", "k": 1}]
    assert execution.output == {"kept": True, "here": {"v": 7, "run": "Work"}}


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"Result": 1}, 1),
        ({"Result": None}, None),
        ({"Result": 1, "ResultPath": "$.r"}, {"in": 0, "r": 1}),
        ({"Result": 1, "ResultPath": None}, {"in": 0}),
        ({"InputPath": None}, {}),
        ({"OutputPath": None}, {}),
        ({"InputPath": "$.in"}, 0),
        (
            {"Parameters": {"a": {"b.$": "$.in", "c": ["$.in", {"d.$": "$.in"}]}}},
            {"a": {"b": 0, "c": ["$.in", {"d": 0}]}},
        ),
        ({"OutputPath": "$$.State.Name"}, "P"),
    ],
)
def test_pass_shapes_data(fields: dict[str, object], output: object) -> None:
    """A Pass state gives its result, parameters or input; null paths give an empty object or drop the result."""
    assert run({"P": {"Type": "Pass", "End": True, **fields}}, {"in": 0}).output == output


def test_variables_live_until_the_end_and_belong_to_their_branch() -> None:
    """What Assign sets is seen by later states and inner branches; what a branch sets stays there."""
    execution = run(
        {
            "Set": {"Type": "Pass", "Assign": {"x": 1, "y.$": "$.in"}, "Next": "Both"},
            "Both": {
                "Type": "Parallel",
                "Branches": [
                    {
                        "StartAt": "Inner",
                        "States": {
                            "Inner": {"Type": "Pass", "Assign": {"x": 99}, "Next": "See"},
                            "See": {"Type": "Pass", "Parameters": {"x.$": "$x", "y.$": "$y"}, "End": True},
                        },
                    }
                ],
                "ResultPath": "$.inner",
                "Next": "Last",
            },
            "Last": {"Type": "Pass", "Parameters": {"x.$": "$x", "inner.$": "$.inner"}, "End": True},
        },
        {"in": 5},
    )
    assert execution.output == {"x": 1, "inner": [{"x": 99, "y": 5}]}


def test_a_choice_without_a_match_has_its_own_error() -> None:
    """No rule and no Default is States.NoChoiceMatched."""
    rule = {"Variable": "$.n", "NumericEquals": 1, "Next": "End"}
    execution = run({"C": {"Type": "Choice", "Choices": [rule]}, "End": {"Type": "Succeed"}}, {"n": 2})
    assert (execution.status, execution.error) == ("FAILED", "States.NoChoiceMatched")


def test_a_missing_path_is_a_runtime_error_that_nothing_catches() -> None:
    """A path that does not exist fails with States.Runtime and AWS's message; States.ALL does not match it."""
    execution = run(
        {
            "T": {
                "Type": "Task",
                "Resource": ARN,
                "Parameters": {"a.$": "$.nope"},
                "End": True,
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
            },
            "Caught": {"Type": "Succeed"},
        },
        resources={ARN: lambda parameters: 1},
    )
    assert execution.error == "States.Runtime"
    assert execution.cause == (
        "An error occurred while executing the state 'T' (entered at the event id #2). "
        "The JSONPath '$.nope' specified for the field 'a.$' could not be found in the input '{}'"
    )


def test_a_wait_takes_its_time() -> None:
    """Seconds, a path to them and a timestamp are waited for; what has passed is not."""
    for fields, seconds in [
        ({"Seconds": 3}, [3]),
        ({"SecondsPath": "$.s"}, [4]),
        ({"Timestamp": "2016-03-14T01:59:00Z"}, []),
    ]:
        waits: list[float] = []
        assert run({"W": {"Type": "Wait", "End": True, **fields}}, {"s": 4}, sleep=waits.append).status == "SUCCEEDED"
        assert waits == seconds


def test_the_limit_counts_bytes() -> None:
    """262,144 bytes of JSON pass, one more is States.DataLimitExceeded; an umlaut counts twice."""
    for result in ("a" * 262_142, "ä" * 131_071):
        assert run({"P": {"Type": "Pass", "Result": result, "End": True}}).status == "SUCCEEDED"
        execution = run({"P": {"Type": "Pass", "Result": result + "a", "End": True}})
        assert execution.error == "States.DataLimitExceeded"


def test_a_task_s_parameters_and_answer_are_limited_too() -> None:
    """Too much on the way in or out of a task fails it, and only a rule that names the error catches that."""
    task = {"Type": "Task", "Resource": ARN, "End": True}
    big = {"Payload": "a" * 262_144}
    for catch, status in [("States.ALL", "FAILED"), ("States.DataLimitExceeded", "SUCCEEDED")]:
        states = {"T": {**task, "Catch": [{"ErrorEquals": [catch], "Next": "C"}]}, "C": {"Type": "Succeed"}}
        execution = run(states, resources={ARN: lambda parameters: big})
        assert execution.status == status
    execution = run(
        {"T": {**task, "Parameters": {"a.$": "States.Format('{}{}', $.t, $.t)"}}},
        {"t": "a" * 200_000},
        resources={ARN: lambda parameters: 1},
    )
    assert execution.error == "States.DataLimitExceeded"


def test_an_execution_that_aws_would_not_start_is_refused() -> None:
    """Too large an input, no JSON, and a name with forbidden characters are refused under AWS's error names."""
    states = {"P": {"Type": "Pass", "End": True}}
    for document, name, error in [
        ("a" * 262_144, None, "InvalidExecutionInput"),
        (object(), None, "InvalidExecutionInput"),
        ({}, "a b", "InvalidName"),
        ({}, "a" * 81, "InvalidName"),
        ({}, "", "InvalidName"),
        ({}, "a*", "InvalidName"),
    ]:
        with pytest.raises(ExecutionFailedError) as caught:
            run(states, document, name=name)
        assert caught.value.error == error


def test_a_standard_history_ends_at_its_limit() -> None:
    """A loop without end fails at 25,000 events; Express has no such limit."""
    turns = 9_000
    loop = {
        "Add": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "More"},
        "More": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericLessThan": turns, "Next": "Add"}],
            "Default": "Done",
        },
        "Done": {"Type": "Succeed"},
    }
    execution = run(loop, {"n": 0})
    assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
    assert execution.cause == "The execution reached the maximum number of history events (25000)."
    assert len(execution.history) == HISTORY_EVENTS == execution.history[-1].id
    assert run(loop, {"n": 0}, history=False).status == "FAILED"
    express = run(loop, {"n": 0}, kind="EXPRESS", history=False)
    assert (express.status, express.output, express.history) == ("SUCCEEDED", {"n": turns}, ())


def test_express_executions_end_after_five_minutes() -> None:
    """An Express execution that waits longer times out."""
    assert run({"W": {"Type": "Wait", "Seconds": 301, "End": True}}, kind="EXPRESS").status == "TIMED_OUT"
    assert run({"W": {"Type": "Wait", "Seconds": 299, "End": True}}, kind="EXPRESS").status == "SUCCEEDED"


def test_a_string_payload_that_is_json_arrives_parsed() -> None:
    """lambda:invoke parses a text payload that is JSON, and leaves any other text alone."""
    seen = []

    def invoke(parameters: asl.Json) -> asl.Json:
        seen.append(parameters["Payload"])
        return {"Payload": None}

    for payload in ('{"a": 1}', "plain", "[1", "3"):
        run(
            {
                "T": {
                    "Type": "Task",
                    "Resource": ARN,
                    "Parameters": {"FunctionName": "f", "Payload": payload},
                    "End": True,
                }
            },
            resources={ARN: invoke},
        )
    assert seen == [{"a": 1}, "plain", "[1", 3]


def test_bytes_of_an_answer_come_out_as_text() -> None:
    """Bytes in a function's answer become text, as the Python Lambda runtime has it."""
    execution = run(
        {"T": {"Type": "Task", "Resource": ARN, "End": True}}, resources={ARN: lambda parameters: {"a": b"x"}}
    )
    assert execution.output == {"a": "x"}


def test_the_history_reads_like_aws_s() -> None:
    """Events carry AWS's names, numbers, links and details."""
    states = {"T": {"Type": "Task", "Resource": ARN, "TimeoutSeconds": 9, "Assign": {"v": 1}, "End": True}}
    execution = run(states, {"in": 1}, resources={ARN: lambda parameters: {"out": 2}})
    events = [event.to_json() for event in execution.history]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert [event["previousEventId"] for event in events] == [0, 1, 2, 3, 4, 5, 6]
    assert events[0]["executionStartedEventDetails"]["input"] == '{"in":1}'
    assert events[1]["stateEnteredEventDetails"] == {"name": "T", "input": '{"in":1}'}
    assert events[2]["taskScheduledEventDetails"] == {
        "resourceType": "lambda",
        "resource": "invoke",
        "region": "us-east-1",
        "parameters": '{"in":1}',
        "timeoutInSeconds": 9,
    }
    assert events[4]["taskSucceededEventDetails"]["output"] == '{"out":2}'
    assert events[5]["stateExitedEventDetails"] == {"name": "T", "output": '{"out":2}', "assignedVariables": {"v": "1"}}
    assert json.loads(json.dumps(events)) == events


@pytest.mark.parametrize(
    ("resource", "family"),
    [
        ("arn:aws:lambda:us-east-1:111111111111:function:f", "LambdaFunction"),
        ("arn:aws:states:us-east-1:111111111111:activity:a", "Activity"),
        ("arn:aws:states:::sqs:sendMessage", "Task"),
        ("arn:aws:states:::aws-sdk:s3:putObject", "Task"),
    ],
)
def test_events_are_named_after_the_kind_of_task(resource: str, family: str) -> None:
    """Functions, activities and services have event names of their own."""
    execution = run(
        {"T": {"Type": "Task", "Resource": resource, "End": True}}, resources={resource: lambda parameters: 1}
    )
    assert [event.type for event in execution.history][2:5] == [
        f"{family}Scheduled",
        f"{family}Started",
        f"{family}Succeeded",
    ]


def test_a_sync_resource_needs_no_function_of_its_own() -> None:
    """A Resource with .sync falls back to the function of the plain one, and its submission is recorded."""
    arn = "arn:aws:states:::sagemaker:createTrainingJob"
    execution = run(
        {"T": {"Type": "Task", "Resource": f"{arn}.sync", "End": True}}, resources={arn: lambda parameters: 1}
    )
    assert [event.type for event in execution.history][3:6] == ["TaskStarted", "TaskSubmitted", "TaskSucceeded"]


def test_events_are_told_as_they_happen() -> None:
    """on_event is called once for every event, in order, even if none are kept."""
    heard: list[asl.Event] = []
    execution = run({"P": {"Type": "Pass", "End": True}}, on_event=heard.append, history=False)
    assert [event.type for event in heard] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert execution.history == ()


def test_a_token_is_waited_for() -> None:
    """.waitForTaskToken ends when its token comes back, from whichever thread."""
    task = {
        "Type": "Task",
        "Resource": f"{ARN}.waitForTaskToken",
        "TimeoutSeconds": 20,
        "End": True,
        "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}},
    }

    def later(parameters: asl.Json) -> asl.Json:
        token = parameters["Payload"]["token"]
        threading.Timer(0.01, lambda: (asl.send_task_heartbeat(token), asl.send_task_success(token, {"ok": 1}))).start()
        return {"ignored": True}

    execution = run({"T": task}, resources={ARN: later})
    assert execution.output == {"ok": 1}
    assert "TaskSubmitted" in [event.type for event in execution.history]

    def fails(parameters: asl.Json) -> asl.Json:
        asl.send_task_failure(parameters["Payload"]["token"], "Rejected", "by a person")
        return {}

    execution = run({"T": task}, resources={ARN: fails})
    assert (execution.error, execution.cause) == ("Rejected", "by a person")


@pytest.mark.parametrize(
    ("fields", "names"),
    [({"TimeoutSeconds": 1}, ["States.Timeout"]), ({"HeartbeatSeconds": 1}, ["States.HeartbeatTimeout"])],
)
def test_a_token_that_never_comes_times_out(fields: dict[str, int], names: list[str]) -> None:
    """Without the token, or without a heartbeat, the task ends as States.Timeout; rules can tell the two apart."""
    tokens = []

    def forgets(parameters: asl.Json) -> asl.Json:
        tokens.append(parameters["token"])
        return {}

    task = {
        "Type": "Task",
        "Resource": f"{ARN}.waitForTaskToken",
        "Parameters": {"token.$": "$$.Task.Token"},
        "End": True,
    }
    caught = {"Catch": [{"ErrorEquals": names, "Next": "Late"}]}
    late = {"Type": "Fail", "ErrorPath": "$.Error", "Cause": "late"}
    execution = run({"T": {**task, **fields, **caught}, "Late": late}, resources={ARN: forgets})
    assert (execution.error, execution.cause) == ("States.Timeout", "late")
    assert [event.type for event in execution.history if event.type.endswith("TimedOut")] == ["TaskTimedOut"]
    with pytest.raises(WorkflowError, match="no task is waiting"):
        asl.send_task_success(tokens[0], 1)


def test_importing_the_package_needs_no_optional_one() -> None:
    """The typed states load without pydantic, jsonpath-ng or jsonata-python, and a plain machine runs without them."""
    code = (
        "import sys; from scones_ml import asl; "
        "m = asl.StateMachine(start_at='P', states={'P': asl.Pass(parameters={'a.$': '$.b'}, end=True)}); "
        "assert asl.run(m, {'b': 1}, resources={}).output == {'a': 1}; "
        "assert not {'pydantic', 'jsonpath_ng', 'jsonata', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that needs jsonpath-ng, or a JSONata machine, says what to install."""
    from scones_ml.asl import paths
    from scones_ml.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "jsonpath_ng.ext.parser", None)
    paths.parse.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'scones-ml\[asl\]'"):
        paths.parse("$.a[?(@.unlikely == 1)]")
