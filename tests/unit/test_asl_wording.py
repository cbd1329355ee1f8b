"""What AWS says when data do not fit a definition: error names and causes as it reports them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from scones_ml import asl

WHERE = "An error occurred while executing the state 'S' (entered at the event id #2). "
ITEM = {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **ITEM}
GET = "arn:aws:states:::s3:getObject"


def run(state: Mapping[str, object], document: asl.Json, **machine: object) -> asl.Execution:
    return asl.run({"StartAt": "S", "States": {"S": {"End": True, **state}}, **machine}, document, resources={})


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ({"Type": "Pass", "InputPath": "$.x"}, "Invalid path '$.x' : No results for path: $['x']"),
        ({"Type": "Pass", "InputPath": "$.a.x"}, "Invalid path '$.a.x' : No results for path: $['a']['x']"),
        ({"Type": "Pass", "OutputPath": "$.x.y"}, "Invalid path '$.x.y' : Missing property in path $['x']"),
        (
            {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSecondsPath": "$.x"},
            "Invalid path '$.x' : No results for path: $['x']",
        ),
        ({"Type": "Wait", "SecondsPath": "$.x"}, "The SecondsPath parameter does not reference an input value: $.x"),
        (
            {"Type": "Wait", "SecondsPath": "$.t"},
            "The SecondsPath parameter cannot be parsed as a long value: $.t == z",
        ),
        (
            {"Type": "Map", "ItemsPath": "$.l", "MaxConcurrencyPath": "$.n", "ItemProcessor": ITEM},
            "Expected non-negative integer for MaxConcurrency, got '-1' instead.",
        ),
        (
            {"Type": "Map", "ItemsPath": "$.l", "ToleratedFailureCountPath": "$.n", "ItemProcessor": DISTRIBUTED},
            "ToleratedFailureCount cannot be negative.",
        ),
    ],
)
def test_paths_that_lead_nowhere_are_named(state: Mapping[str, object], cause: str) -> None:
    """Each field that a path fails in has AWS's sentence, States.Runtime and the state's name."""
    if state["Type"] == "Task":
        execution = asl.run(
            {"StartAt": "S", "States": {"S": {"End": True, **state}}}, {}, resources={str(state["Resource"]): print}
        )
    else:
        execution = run(state, {"a": {}, "t": "z", "l": [1], "n": -1})
    assert (execution.error, execution.cause) == ("States.Runtime", WHERE + cause)


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ({"Type": "Pass", "Result": 1, "ResultPath": "$.a.b"}, "b"),
        ({"Type": "Map", "ItemsPath": "$.x.items", "ItemProcessor": ITEM}, "x"),
    ],
)
def test_reference_paths_that_do_not_fit_are_a_conflict(state: Mapping[str, object], step: str) -> None:
    """ResultPath into a number and ItemsPath to nothing are States.ReferencePathConflict, naming the step."""
    execution = run(state, {"a": 1})
    expected = ("States.ReferencePathConflict", f'Unable to apply step "{step}" to input {{"a":1}}')
    assert (execution.error, execution.cause) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 + 'x'", 'T2002: The right side of the "+" operator must evaluate to a number'),
        ("$nothing(1)", "T1006: Attempted to invoke a non-function"),
        ("$sum('a')", 'T0412: Argument 1 of function "sum" must be an array of "numbers"'),
        ("1 > 'b'", 'T2009: The values 1 and "b" either side of operator ">" must be of the same data type'),
        ("$range('0', 3, 1)", 'T0410: Argument 1 of function "range" does not match function signature'),
        ("$number('x')", 'D3030: Unable to cast value to a number: "x"'),
        ("1 / 0", "D1001: Number out of range: null"),
        ("$error('why')", "D3137: why"),
    ],
)
def test_jsonata_explains_itself_as_in_javascript(expression: str, reason: str) -> None:
    """An expression that fails has the code and the sentence of the JSONata library that AWS runs."""
    execution = run({"Type": "Pass", "Output": f"{{% {expression} %}}"}, {}, QueryLanguage="JSONata")
    where = f"The JSONata expression '{expression}' specified for the field 'Output' threw an error during evaluation. "
    assert (execution.error, execution.cause) == ("States.QueryEvaluationError", WHERE + where + reason)


def test_ranges_without_an_item_are_nothing() -> None:
    """$range that leads nowhere, or lacks an argument, is undefined, as on AWS; one item is itself."""
    for expression in ("$range(3, 1, 1)", "$range(1, 3, 0)", "$range(1, 3)"):
        execution = run({"Type": "Pass", "Output": f"{{% {expression} %}}"}, {}, QueryLanguage="JSONata")
        assert str(execution.cause).endswith("returned nothing (undefined)."), expression
    assert run({"Type": "Pass", "Output": "{% $range(3, 3, 1) %}"}, {}, QueryLanguage="JSONata").output == 3


def test_a_limit_of_items_that_is_no_number_fails_the_reader() -> None:
    """MaxItemsPath to a text is States.ItemReaderFailed with the value and the path."""
    reader = {"Resource": GET, "ReaderConfig": {"MaxItemsPath": "$.m"}, "Parameters": {"Bucket": "b", "Key": "k"}}
    execution = run({"Type": "Map", "ItemReader": reader, "ItemProcessor": DISTRIBUTED}, {"m": "x"})
    cause = 'The MaxItemsPath field refers to value "x" which is not a valid integer: $.m'
    assert (execution.error, execution.cause) == ("States.ItemReaderFailed", cause)


def test_items_know_where_they_come_from() -> None:
    """$$.Map.Item has Index, Value and Source, and Key for a member of an object; the item itself is the pair."""
    selector = {"item.$": "$$.Map.Item"}
    inline = run({"Type": "Map", "ItemSelector": selector, "ItemProcessor": ITEM}, ["a"])
    assert inline.output == [{"item": {"Index": 0, "Value": "a", "Source": "STATE_DATA"}}]
    members = run({"Type": "Map", "ItemSelector": selector, "ItemProcessor": DISTRIBUTED}, {"k": 1})
    assert members.output == [{"item": {"Index": 0, "Key": "k", "Value": 1, "Source": "STATE_DATA"}}]
    assert run({"Type": "Map", "ItemProcessor": DISTRIBUTED}, {"k": 1}).output == [{"Key": "k", "Value": 1}]
    reader = {"Resource": GET, "ReaderConfig": {"InputType": "JSON"}, "Parameters": {"Bucket": "b", "Key": "k.json"}}
    state = {"Type": "Map", "ItemReader": reader, "ItemSelector": selector, "ItemProcessor": DISTRIBUTED, "End": True}
    read = asl.run({"StartAt": "S", "States": {"S": state}}, {}, resources={GET: lambda request: {"Body": b"[5]"}})
    assert read.output == [{"item": {"Index": 0, "Value": 5, "Source": "S3://b/k.json"}}]


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"ToleratedFailureCount": 3, "ToleratedFailurePercentage": 10}, "FAILED"),
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 90}, "FAILED"),
        ({"ToleratedFailureCount": 2, "ToleratedFailurePercentage": 50}, "SUCCEEDED"),
    ],
)
def test_either_limit_of_failures_counts(limits: Mapping[str, int], status: str) -> None:
    """With a count and a percentage the run fails as soon as one of them is passed; a failed batch is all its items."""
    work = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.Items[0]", "NumericLessThan": 2, "Next": "F"}],
                "Default": "D",
            },
            "D": {"Type": "Succeed"},
            "F": {"Type": "Fail", "Error": "E"},
        },
    }
    processor = {**DISTRIBUTED, **work}
    state = {"Type": "Map", "ItemProcessor": processor, "ItemBatcher": {"MaxItemsPerBatch": 2}, **limits}
    assert run(state, [0, 1, 2, 3]).status == status
