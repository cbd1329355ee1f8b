"""JSONata machines."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import asl

ARN = "arn:aws:states:::lambda:invoke"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def run(states: Mapping[str, object], document: asl.Json = None, **options: object) -> asl.Execution:
    machine = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    options.setdefault("resources", {})
    options.setdefault("sleep", lambda seconds: None)
    return asl.run(machine, document, **options)


def output(expression: object, document: asl.Json = None) -> asl.Json:
    execution = run({"P": {"Type": "Pass", "Output": expression, "End": True}}, document)
    assert execution.status == "SUCCEEDED", execution.cause
    return execution.output


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{% $states.input.a + 1 %}", 6),
        ("{% $states.input.list[x > 1].x %}", [2, 3]),
        ("{% $states.input.nothing %}", None),
        ("{% null %}", None),
        ("{% {'n': null, 'l': [null]} %}", {"n": None, "l": [None]}),
        ("{% $states.context.State.Name %}", "P"),
        ("{% $partition([1,2,3], 2) %}", [[1, 2], [3]]),
        ("{% $range(1, 9, 2) %}", [1, 3, 5, 7, 9]),
        ("{% $hash('input data', 'SHA-1') %}", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ("{% $parse('{\"a\": [1]}') %}", {"a": [1]}),
        ("{% $length($uuid()) %}", 36),
        ("{% $random(3) = $random(3) and $random() < 1 %}", True),
        (
            {"a": ["{% 1 %}", {"b": "{% 'x' & 'y' %}"}], "c": "plain {% 1 %}"},
            {"a": [1, {"b": "xy"}], "c": "plain {% 1 %}"},
        ),
        (7, 7),
    ],
)
def test_expressions_have_their_value(expression: object, value: object) -> None:
    """Strings that are an expression are evaluated, other values are copied, and null differs from undefined."""
    document = {"a": 5, "list": [{"x": 1}, {"x": 2}, {"x": 3}], "nothing": None}
    assert output(expression, document) == value


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("{% $states.input.nope %}", "returned nothing (undefined)."),
        ("{% $nope %}", "returned nothing (undefined)."),
        ("{% 1 + 'a' %}", "threw an error during evaluation. T2002"),
        ("{% function($x){$x} %}", "returned an unsupported result type."),
    ],
)
def test_an_expression_without_a_value_fails_in_aws_s_words(expression: str, cause: str) -> None:
    """States.QueryEvaluationError names the state, the expression and the field, and can be caught."""
    execution = run({"P": {"Type": "Pass", "Output": {"a": expression}, "End": True}}, {})
    assert execution.error == "States.QueryEvaluationError"
    assert str(execution.cause).startswith(
        "An error occurred while executing the state 'P' (entered at the event id #2). "
    )
    assert f"specified for the field 'Output/a' {cause}" in str(execution.cause)
    assert [event.type for event in execution.history][-2:] == ["EvaluationFailed", "ExecutionFailed"]


def test_a_task_has_arguments_a_result_and_an_error_output() -> None:
    """Arguments go in, $states.result comes out, $states.errorOutput is there in Catch."""
    seen = []

    def work(arguments: asl.Json) -> asl.Json:
        seen.append(arguments["Payload"])
        if arguments["Payload"] == 2:
            raise asl.TaskFailed("Oops", "why")
        return {"Payload": arguments["Payload"] * 10}

    task = {
        "Type": "Task",
        "Resource": ARN,
        "Arguments": {"FunctionName": "f", "Payload": "{% $states.input.n %}"},
        "Assign": {"got": "{% $states.result.Payload %}"},
        "Output": "{% $states.result.Payload + $states.input.n %}",
        "Catch": [
            {
                "ErrorEquals": ["Oops"],
                "Assign": {"got": "none"},
                "Output": "{% $states.errorOutput.Error %}",
                "Next": "See",
            }
        ],
        "Next": "See",
    }
    see = {"Type": "Pass", "Output": {"got": "{% $got %}", "in": "{% $states.input %}"}, "End": True}
    assert run({"T": task, "See": see}, {"n": 1}, resources={ARN: work}).output == {"got": 10, "in": 11}
    assert run({"T": task, "See": see}, {"n": 2}, resources={ARN: work}).output == {"got": "none", "in": "Oops"}
    assert seen == [1, 2]


def test_a_choice_decides_by_conditions() -> None:
    """The first condition that is true decides, with its own output and variables; others than booleans fail."""
    choice = {
        "Type": "Choice",
        "Choices": [
            {
                "Condition": "{% $states.input > 10 %}",
                "Next": "Big",
                "Output": "{% $states.input * 2 %}",
                "Assign": {"v": 1},
            },
            {"Condition": "{% $states.input > 5 %}", "Next": "Big"},
        ],
        "Default": "Small",
        "Output": "default",
    }
    states = {"C": choice, "Big": {"Type": "Succeed"}, "Small": {"Type": "Succeed"}}
    assert [run(states, n).output for n in (20, 7, 1)] == [40, 7, "default"]
    wrong = {**choice, "Choices": [{"Condition": "{% 1 %}", "Next": "Big"}]}
    execution = run({**states, "C": wrong}, 1)
    assert execution.error == "States.QueryEvaluationError"
    assert "Expected 'boolean', but was 'number'" in str(execution.cause)


def test_dynamic_fields_are_expressions() -> None:
    """Seconds, TimeoutSeconds, Items, MaxConcurrency, Error and Cause can be computed."""
    waits: list[float] = []
    inner = {
        "StartAt": "I",
        "States": {"I": {"Type": "Pass", "Output": "{% $states.context.Map.Item.Value + $x %}", "End": True}},
    }
    states = {
        "W": {"Type": "Wait", "Seconds": "{% $states.input.n + 1 %}", "Assign": {"x": 100}, "Next": "M"},
        "M": {"Type": "Map", "Items": "{% [1..3] %}", "MaxConcurrency": "{% 1 %}", "ItemProcessor": inner, "Next": "F"},
        "F": {"Type": "Fail", "Error": "{% 'E' & $x %}", "Cause": "{% $string($states.input) %}"},
    }
    execution = run(states, {"n": 2}, sleep=waits.append)
    assert waits == [3]
    assert (execution.error, execution.cause) == ("E100", "[101,102,103]")


def test_languages_mix_by_state() -> None:
    """A JSONPath state can follow a JSONata one and see its variables and its output."""
    states = {
        "A": {"Type": "Pass", "Assign": {"v": "{% 1 + 1 %}"}, "Output": {"o": "{% $states.input %}"}, "Next": "B"},
        "B": {"Type": "Pass", "QueryLanguage": "JSONPath", "Parameters": {"v.$": "$v", "o.$": "$.o"}, "End": True},
    }
    assert run(states, 5).output == {"v": 2, "o": 5}


@given(JSON)
def test_any_input_comes_through_unchanged(document: object) -> None:
    """Whatever JSON goes in comes out the same, nulls and empty lists included, and is not changed on the way."""
    before = json.dumps(document)
    expected = document if document is not None else {}
    assert output({"x": "{% $states.input %}"}, document) == {"x": expected}
    assert json.dumps(document) == before


def test_threads_do_not_share_an_engine() -> None:
    """Machines in many threads at once evaluate their own expressions on their own data."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda n: output(
                    "{% $map($states.input.l, function($v){$v * $states.input.n}) %}", {"n": n, "l": [1, 2]}
                ),
                range(64),
            )
        )
    assert found == [[n, 2 * n] for n in range(64)]
