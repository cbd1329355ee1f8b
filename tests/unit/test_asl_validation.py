"""What validation finds in definitions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from scones_ml import asl
from scones_ml.errors import InvalidDefinitionError

TASK = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 9, "End": True}


def machine(state: dict[str, object], **more: object) -> dict[str, object]:
    return {"StartAt": "A", "TimeoutSeconds": 60, "States": {"A": state, **more}}


def found(definition: object) -> list[tuple[str, str]]:
    return [(problem.path, problem.severity) for problem in asl.validate(definition)]


@pytest.mark.parametrize(
    ("definition", "path", "words"),
    [
        (machine({"Type": "Pass", "Next": "B"}), "$.States.A.Next", "names a state that does not exist: 'B'"),
        (machine({"Type": "Pass"}), "$.States.A", "either Next or"),
        (machine({"Type": "Pass", "Next": "A"}), "$.States", "no state ends the machine"),
        (machine({"Type": "Pass", "End": True}, B={"Type": "Succeed"}), "$.States.B", "unreachable"),
        ({"StartAt": "Aa", "States": {"A": {"Type": "Succeed"}}}, "$.StartAt", "did you mean 'A'?"),
        (machine({"Type": "Pas", "End": True}), "$.States.A.Type", "did you mean 'Pass'?"),
        (
            machine({"Type": "Pass", "ResultPaht": "$", "End": True}),
            "$.States.A.ResultPaht",
            "did you mean 'ResultPath'?",
        ),
        (machine({"Type": "Pass", "ResultPath": "$.a[*]", "End": True}), "$.States.A.ResultPath", "one place"),
        (machine({"Type": "Pass", "InputPath": "a.b", "End": True}), "$.States.A.InputPath", "is not"),
        (machine({"Type": "Pass", "Parameters": {"a.$": 1}, "End": True}), "$.States.A.Parameters.a.$", "path"),
        (
            machine({"Type": "Pass", "Parameters": {"a.$": "$", "a": 1}, "End": True}),
            "$.States.A.Parameters.a.$",
            "same field",
        ),
        (
            machine({"Type": "Pass", "Parameters": {"a.$": "States.Nope()"}, "End": True}),
            "$.States.A.Parameters.a.$",
            "States.Nope",
        ),
        (machine({"Type": "Pass", "Output": 1, "End": True}), "$.States.A.Output", "is a field of JSONata"),
        (
            machine({"Type": "Pass", "QueryLanguage": "JSONata", "Result": 1, "Parameters": {}, "End": True}),
            "$.States.A.Parameters",
            "is a field of JSONPath",
        ),
        (
            machine({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% 1 + %}", "End": True}),
            "$.States.A.Output",
            "is not valid JSONata",
        ),
        (
            machine({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% 1", "End": True}),
            "$.States.A.Output",
            "must begin with",
        ),
        (
            machine({"Type": "Pass", "Assign": {"states": 1}, "End": True}),
            "$.States.A.Assign.states",
            "cannot be named states",
        ),
        (machine({**TASK, "Resource": "lambda"}), "$.States.A.Resource", "is not an ARN"),
        (machine({"Type": "Task", "End": True}), "$.States.A", "Resource is missing"),
        (machine({**TASK, "HeartbeatSeconds": 9}), "$.States.A.HeartbeatSeconds", "less than TimeoutSeconds"),
        (machine({**TASK, "TimeoutSecondsPath": "$.t"}), "$.States.A", "has both"),
        (machine({**TASK, "TimeoutSeconds": 0}), "$.States.A.TimeoutSeconds", "at least 1"),
        (
            machine({**TASK, "Retry": [{"ErrorEquals": ["A"], "BackoffRate": 0.5}]}),
            "$.States.A.Retry[0].BackoffRate",
            "at least 1",
        ),
        (machine({**TASK, "Retry": [{"ErrorEquals": []}]}), "$.States.A.Retry[0].ErrorEquals", "at least one"),
        (
            machine({**TASK, "Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}]}),
            "$.States.A.Retry[0].ErrorEquals",
            "alone in its rule",
        ),
        (
            machine({**TASK, "Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "FUL"}]}),
            "$.States.A.Retry[0].JitterStrategy",
            "did you mean 'FULL'?",
        ),
        (
            machine({**TASK, "Catch": [{"ErrorEquals": ["A"]}]}),
            "$.States.A.Catch[0].Next",
            "names a state that does not exist",
        ),
        (machine({"Type": "Wait", "End": True}), "$.States.A", "exactly one of Seconds"),
        (
            machine({"Type": "Wait", "Seconds": 1, "Timestamp": "2026-11-23T09:00:00Z", "End": True}),
            "$.States.A",
            "exactly one",
        ),
        (machine({"Type": "Wait", "Timestamp": "tomorrow", "End": True}), "$.States.A.Timestamp", "not a timestamp"),
        (machine({"Type": "Choice", "Choices": []}), "$.States.A.Choices", "at least one rule"),
        (
            machine({"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEqual": "x", "Next": "A"}]}),
            "$.States.A.Choices[0].StringEqual",
            "did you mean 'StringEquals'?",
        ),
        (
            machine({"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": "1", "Next": "A"}]}),
            "$.States.A.Choices[0].NumericEquals",
            "must be a number",
        ),
        (
            machine(
                {"Type": "Choice", "Choices": [{"Not": {"Variable": "$.a", "IsNull": True, "Next": "A"}, "Next": "A"}]}
            ),
            "$.States.A.Choices[0].Not.Next",
            "outermost",
        ),
        (machine({"Type": "Map", "End": True}), "$.States.A", "exactly one of ItemProcessor"),
        (
            machine(
                {
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "X", "States": {"X": {"Type": "Pass", "Next": "A"}}}],
                    "End": True,
                }
            ),
            "$.States.A.Branches[0].States.X.Next",
            "names a state that does not exist",
        ),
        (
            machine(
                {"Type": "Parallel", "Branches": [{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}], "End": True}
            ),
            "$.States.A.Branches[0].States.A",
            "unique",
        ),
        (machine({"Type": "Fail", "Cause": "a", "CausePath": "$.a"}), "$.States.A", "has both"),
        (machine({"Type": "Fail", "CausePath": "States.MathAdd(1, 2)"}), "$.States.A.CausePath", "must be a string"),
        ({"StartAt": "A", "States": {}}, "$.States", "at least one state"),
        ("{", "$", "not JSON"),
        ("[]", "$", "not a JSON object"),
    ],
)
def test_a_problem_is_found_with_its_place_and_remedy(definition: object, path: str, words: str) -> None:
    """Each mistake is reported at its JSON path, in words that say what to do."""
    errors = [problem for problem in asl.validate(definition) if problem.severity == "error"]
    assert any(problem.path == path and words in problem.message for problem in errors), errors


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        ({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, "$"),
        (machine({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}), "$.States.A"),
        (machine({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{%1%}", "End": True}), "$.States.A.Output"),
    ],
)
def test_what_runs_but_should_not_is_a_warning(definition: object, path: str) -> None:
    """Missing time limits and odd spacing are warnings: the machine still runs."""
    assert found(definition) == [(path, "warning")]


EVERY_STATE = {
    "StartAt": "Wait",
    "TimeoutSeconds": 60,
    "States": {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Left", "States": {"Left": {"Type": "Pass", "Assign": {"v.$": "$"}, "End": True}}}
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Stop"}],
            "ResultSelector": {"n.$": "States.ArrayLength($)"},
            "Next": "Each",
        },
        "Each": {
            "Type": "Map",
            "Items": {"a": 1},
            "QueryLanguage": "JSONata",
            "MaxConcurrency": 2,
            "ToleratedFailurePercentage": 5,
            "ItemBatcher": {"MaxItemsPerBatch": 2},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Item",
                "States": {"Item": {"Type": "Succeed", "Output": "{% $states.input %}"}},
            },
            "Next": "Work",
        },
        "Work": {**TASK, "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}], "End": True},
        "Stop": {"Type": "Fail", "ErrorPath": "$.e.Error", "Cause": "c"},
    },
}


def places(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("value", [None, -7, True, 1.5, "x", [], {}, [1], ["x"], {"a": 1}, {"Type": []}], ids=repr)
def test_whatever_stands_somewhere_is_either_found_or_runs(value: object) -> None:
    """Any value in any place is reported as a problem, or the machine runs to an end; neither raises."""
    for path in places(EVERY_STATE):
        definition = copy.deepcopy(EVERY_STATE)
        parent: Any = definition
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
        if not [problem for problem in asl.validate(definition) if problem.severity == "error"]:
            resources = {"arn:aws:states:::lambda:invoke": lambda parameters: parameters}
            execution = asl.run(definition, {}, resources=resources, sleep=lambda seconds: None)
            assert execution.status in ("SUCCEEDED", "FAILED", "TIMED_OUT"), path


def test_a_sound_definition_has_no_problems() -> None:
    """A valid definition has no problems."""
    definition = machine(
        {**TASK, "End": None} | {"Next": "B", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}]},
        B={"Type": "Succeed"},
        C={"Type": "Fail"},
    )
    del definition["States"]["A"]["End"]
    assert asl.validate(definition) == []


def test_running_an_invalid_definition_names_its_problems() -> None:
    """run refuses what validate finds wrong, in one line with path and remedy."""
    with pytest.raises(
        InvalidDefinitionError, match=r"\$\.States\.A\.Nxet: unknown field 'Nxet'; did you mean 'Next'\?"
    ):
        asl.run(machine({"Type": "Pass", "Nxet": "A"}), {}, resources={})


def test_a_misspelled_field_is_an_error_of_the_builder() -> None:
    """A misspelled field of a typed state is an error at once."""
    with pytest.raises(TypeError):
        asl.Pass(reslut=1, end=True)  # type: ignore[call-arg]


def test_reading_names_the_state_and_the_nearest_field() -> None:
    """from_json refuses unknown fields, types and operators with the nearest known word."""
    for definition, words in [
        (
            machine({"Type": "Pass", "Reslut": 1, "End": True}),
            "Pass state 'A' has no field 'Reslut'; did you mean 'Result'?",
        ),
        (machine({"Type": "Tsak"}), "did you mean 'Task'?"),
        (machine({"Type": "Task", "End": True}), "lacks Resource"),
        (machine({"Type": "Choice", "Choices": [{"Variable": "$", "IsNul": True}]}), "did you mean 'IsNull'?"),
    ]:
        with pytest.raises(InvalidDefinitionError) as caught:
            asl.StateMachine.from_json(definition)
        assert words in str(caught.value)


def test_every_kind_of_state_round_trips() -> None:
    """What is read into typed states is written back the same, null fields included."""
    inner = {"StartAt": "X", "States": {"X": {"Type": "Succeed", "Comment": "in"}}}
    definition = {
        "Comment": "all of them",
        "QueryLanguage": "JSONPath",
        "StartAt": "A",
        "Version": "1.0",
        "TimeoutSeconds": 60,
        "States": {
            "A": {
                "Type": "Pass",
                "Result": None,
                "ResultPath": None,
                "InputPath": None,
                "OutputPath": None,
                "Next": "B",
            },
            "B": {**TASK, "HeartbeatSeconds": 3, "Credentials": {"RoleArn": "arn"}, "ResultSelector": {"a": 1}},
            "C": {
                "Type": "Choice",
                "Default": "A",
                "Choices": [
                    {
                        "And": [
                            {"Variable": "$.a", "IsNull": False},
                            {"Not": {"Variable": "$.b", "StringMatches": "x*"}},
                        ],
                        "Next": "A",
                    },
                    {
                        "Or": [{"Variable": "$.a", "NumericLessThanPath": "$.b"}],
                        "Next": "A",
                        "Assign": {"x": 1},
                        "Comment": "c",
                    },
                    {"Condition": "{% true %}", "Next": "A", "Output": None},
                ],
            },
            "D": {"Type": "Wait", "TimestampPath": "$.t", "End": True},
            "E": {"Type": "Parallel", "Branches": [inner, inner], "End": True},
            "F": {
                "Type": "Map",
                "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, **inner},
                "ItemReader": {
                    "Resource": "arn",
                    "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a"]},
                },
                "ItemBatcher": {"MaxItemsPerBatch": 3, "BatchInput": {"b": 1}},
                "ResultWriter": {"Resource": "arn", "WriterConfig": {"OutputType": "JSONL"}},
                "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 0}],
                "Catch": [{"ErrorEquals": ["X"], "Next": "A", "ResultPath": None}],
                "Label": "l",
                "End": True,
            },
            "G": {"Type": "Fail", "ErrorPath": "$.e", "Cause": "c"},
        },
    }
    before = copy.deepcopy(definition)
    assert asl.StateMachine.from_json(definition).to_json() == before == definition


def test_a_machine_that_has_run_can_be_pickled_and_copied() -> None:
    """What run prepares for the next time stays with the machine that it was prepared for."""
    machine = asl.StateMachine(start_at="P", states={"P": asl.Pass(parameters={"a.$": "$.b"}, end=True)})
    assert asl.run(machine, {"b": 1}, resources={}).output == {"a": 1}
    for twin in (pickle.loads(pickle.dumps(machine)), copy.deepcopy(machine)):
        assert twin == machine
        assert asl.run(twin, {"b": 2}, resources={}).output == {"a": 2}
