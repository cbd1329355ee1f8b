"""The intrinsic functions."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.asl.failures import EvaluationFailed
from scones_ml.asl.intrinsics import FUNCTIONS, compile_call
from scones_ml.asl.paths import PathSyntaxError
from scones_ml.asl.scope import Scope

CONTEXT = {"Execution": {"Name": "run-1"}}


def call(source: str, document: object = None, **variables: object) -> object:
    return compile_call(source)(Scope(document, lambda: CONTEXT, variables))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("States.Array()", []),
        ("States.Array('a', 1, null, true, $.x)", ["a", 1, None, True, 5]),
        ("States.ArrayPartition($.list, 2)", [[1, 2], [3, 4], [5]]),
        ("States.ArrayContains($.list, 3)", True),
        ("States.ArrayContains($.list, '3')", False),
        ("States.ArrayContains(States.Array(1), true)", False),
        ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(3, 1, -1)", [3, 2, 1]),
        ("States.ArrayGetItem($.list, 4)", 5),
        ("States.ArrayLength($.list)", 5),
        ("States.ArrayUnique($.twice)", [1, "1", True, None]),
        ("States.Base64Encode('Data to encode')", "RGF0YSB0byBlbmNvZGU="),
        ("States.Base64Decode('RGVjb2RlZCBkYXRh')", "Decoded data"),
        ("States.JsonMerge($.o, $.p, false)", {"a": 1, "b": {"y": 2}}),
        ("States.StringToJson('{\"a\": [1]}')", {"a": [1]}),
        ("States.JsonToString($.o)", '{"a":1,"b":{"x":1}}'),
        ("States.MathAdd(111, -1)", 110),
        ("States.StringSplit('1,2.3', ',.')", ["1", "2", "3"]),
        ("States.StringSplit('a||b', '|')", ["a", "b"]),
        ("States.Format('{} is {}', $$.Execution.Name, $.o)", "run-1 is {a=1, b={x=1}}"),
        ("States.Format('it\\'s \\{{}\\}', $.x)", "it's {5}"),
        ("States.Format('{}', States.MathAdd($.x, $n))", "7"),
        ("States.ArrayGetItem(States.StringSplit($.text, ' '), 0)", "one"),
        ("States.Format('{}', $['sp ace'])", "s"),
    ],
)
def test_a_function_gives_what_aws_documents(source: str, value: object) -> None:
    """Each function gives the result of AWS's documentation, nested and with paths of every kind."""
    document = {
        "x": 5,
        "list": [1, 2, 3, 4, 5],
        "twice": [1, "1", 1, True, None, True, None],
        "o": {"a": 1, "b": {"x": 1}},
        "p": {"b": {"y": 2}},
        "text": "one two",
        "sp ace": "s",
    }
    assert call(source, document, n=2) == value
    assert type(call(source, document, n=2)) is type(value)


def test_there_are_eighteen() -> None:
    """All intrinsic functions of the language exist."""
    assert len(FUNCTIONS) == 18


@pytest.mark.parametrize("name", ["MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"])
def test_hashes_are_those_of_the_standard_library(name: str) -> None:
    """Every algorithm hashes the UTF-8 of a text."""
    expected = hashlib.new(name.replace("-", ""), "dätä".encode()).hexdigest()
    assert call(f"States.Hash('dätä', '{name}')") == expected


def test_a_uuid_is_random_and_of_version_four() -> None:
    """Two calls give two version-4 UUIDs."""
    first, second = call("States.UUID()"), call("States.UUID()")
    assert first != second
    assert uuid.UUID(str(first)).version == 4


def test_a_seed_makes_random_numbers_repeat() -> None:
    """The same seed gives the same number; every number is at least the start and below the end."""
    assert call("States.MathRandom(1, 999, 7)") == call("States.MathRandom(1, 999, 7)")
    assert all(call("States.MathRandom(1, 3)") in (1, 2) for _ in range(20))


@pytest.mark.parametrize(
    "source",
    [
        "States.ArrayGetItem($.list, 3)",
        "States.ArrayGetItem($.list, -1)",
        "States.ArrayPartition($.list, 0)",
        "States.ArrayLength('text')",
        "States.ArrayRange(1, 2, 0)",
        "States.ArrayRange(1, 5000, 1)",
        "States.Base64Decode('!')",
        "States.StringToJson('{')",
        "States.StringToJson(3)",
        "States.JsonMerge($, $, true)",
        "States.JsonMerge($, 1, false)",
        "States.MathAdd('1', 2)",
        "States.MathAdd(true, 2)",
        "States.MathAdd(1)",
        "States.MathRandom(5, 5)",
        "States.Hash('a', 'CRC32')",
        "States.Format('{} {}', 1)",
        "States.Format(1)",
        "States.UUID(1)",
    ],
)
def test_wrong_arguments_are_an_intrinsic_failure(source: str) -> None:
    """What a function cannot take fails with States.IntrinsicFailure and names the call."""
    with pytest.raises(EvaluationFailed) as caught:
        call(source, {"list": [1, 2, 3]})
    assert caught.value.error == "States.IntrinsicFailure"
    assert source in str(caught.value.cause)


def test_a_path_to_nowhere_is_an_error_of_the_definition() -> None:
    """A missing argument fails with States.Runtime, in AWS's words, and not with the function's own error."""
    with pytest.raises(EvaluationFailed) as caught:
        call("States.Format('{}', $.nope)", {"a": 1})
    assert caught.value.error == "States.Runtime"
    assert caught.value.cause == (
        "The function 'States.Format('{}', $.nope)' had the following error: "
        "The JsonPath argument for the field '$.nope' could not be found in the input '{\"a\":1}'"
    )


@pytest.mark.parametrize(
    "source",
    [
        "States.Nope()",
        "States.Array(",
        "States.Array(1 2)",
        "States.Array(,)",
        "States.Array(1,)",
        "Array(1)",
        "States.UUID() x",
    ],
)
def test_text_that_is_no_call_is_refused(source: str) -> None:
    """Unknown functions and broken syntax are found before anything runs."""
    with pytest.raises(PathSyntaxError):
        compile_call(source)


@given(st.text(max_size=50))
def test_base64_and_json_round_trip(text: str) -> None:
    """Encoding and decoding give any text back."""
    encoded = call("States.Base64Encode($)", text)
    assert encoded == base64.b64encode(text.encode()).decode()
    assert call("States.Base64Decode($)", encoded) == text
    assert call("States.StringToJson(States.JsonToString($))", text) == text
    assert json.loads(str(call("States.JsonToString($)", text))) == text


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_chunks_put_together_are_the_array(items: list[int], length: int) -> None:
    """Partitioning loses nothing, keeps the order and fills every chunk but the last."""
    chunks = call("States.ArrayPartition($, $n)", items, n=length)
    assert isinstance(chunks, list)
    assert [item for chunk in chunks for item in chunk] == items
    assert all(len(chunk) == length for chunk in chunks[:-1])


@given(st.text(alphabet="ab, ;", max_size=20))
def test_splitting_gives_the_parts_between_separators(text: str) -> None:
    """Every character of the separator splits, and empty parts are left out."""
    assert call("States.StringSplit($, ',;')", text) == [part for part in text.replace(";", ",").split(",") if part]
