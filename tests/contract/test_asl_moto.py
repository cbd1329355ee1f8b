"""Random machines come out the same here and in moto's interpreter, which was built from what AWS answers.

moto runs in a process of its own. Its machines stay within JSONPath; what differs is in known_differences.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from scones_ml import asl

Engine = Callable[[Mapping[str, object], object], Mapping[str, object]]


@pytest.fixture(scope="module")
def moto_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Runs a definition on moto."""
    log = tmp_path_factory.mktemp("moto") / "stderr.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("moto_engine.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def run(definition: Mapping[str, object], document: object) -> Mapping[str, object]:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.poll() is None, log.read_text()
        process.stdin.write(json.dumps({"definition": definition, "input": document}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    with process:
        yield run


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "2026-11-23T09:00:00Z", "7"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
DOCUMENTS = st.fixed_dictionaries({"a": VALUES, "b": SCALARS, "list": st.lists(VALUES, max_size=4)})
PATHS = st.sampled_from(
    ["$", "$.a", "$.b", "$.list", "$.a.b", "$.list[0]", "$.list[*].a", "$.list[0:2]", "$.nope", "$['a']"]
)
CALLS = st.sampled_from(
    [
        "States.Array($.a, $.b)",
        "States.ArrayLength($.list)",
        "States.ArrayContains($.list, $.b)",
        "States.ArrayPartition($.list, 2)",
        "States.JsonToString($.a)",
        "States.Format('{} and {}', $.b, 'x')",
        "States.MathAdd(3, -5)",
        "States.ArrayRange(1, 7, 3)",
        "States.StringSplit('a,b,,c', ',')",
        "States.Base64Encode('abc')",
        "States.Hash('abc', 'SHA-256')",
        "States.ArrayGetItem(States.Array(1, 2, 3), 1)",
    ]
)
TEMPLATES = st.dictionaries(NAMES, VALUES, max_size=2).flatmap(
    lambda plain: st.dictionaries(
        st.sampled_from(["p", "q"]).map(lambda name: f"{name}.$"), PATHS | CALLS, max_size=2
    ).map(lambda dynamic: {**plain, **dynamic})
)
RESULT_PATHS = st.sampled_from(["$", "$.r", "$.b"]) | st.none()
PASSES = st.fixed_dictionaries(
    {"Type": st.just("Pass")},
    optional={
        "InputPath": PATHS,
        "Parameters": TEMPLATES,
        "ResultPath": RESULT_PATHS,
        "OutputPath": st.sampled_from(["$", "$.a", "$.list", "$.r"]),
    },
) | st.fixed_dictionaries(
    {"Type": st.just("Pass"), "Result": VALUES.filter(lambda value: value is not None)},
    optional={"ResultPath": RESULT_PATHS},
)
COMPARISONS = st.one_of(
    st.builds(
        lambda kind, order, value: {"Variable": "$.b", f"{kind}{order}": value},
        st.just("Numeric"),
        st.sampled_from(["Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals"]),
        st.integers(-3, 3),
    ),
    st.builds(
        lambda order, value: {"Variable": "$.b", f"String{order}": value},
        st.sampled_from(["Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals", "Matches"]),
        st.sampled_from(["", "x", "7", "2*"]),
    ),
    st.builds(
        lambda name, variable, value: {"Variable": variable, name: value},
        st.sampled_from(["IsNull", "IsBoolean", "IsNumeric", "IsString", "IsTimestamp", "IsPresent"]),
        st.sampled_from(["$.a", "$.b"]),
        st.booleans(),
    ),
    st.builds(lambda value: {"Variable": "$.b", "BooleanEquals": value}, st.booleans()),
)
RULES = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds(lambda rule: {"Not": rule}, inner)
        | st.builds(
            lambda name, rules: {name: rules}, st.sampled_from(["And", "Or"]), st.lists(inner, min_size=1, max_size=3)
        )
    ),
    max_leaves=4,
)
PASS_MACHINE = {"StartAt": "Inner", "States": {"Inner": {"Type": "Pass", "End": True}}}
BRANCHES = st.builds(
    lambda inner, path: {
        "Type": "Parallel",
        "Branches": [{"StartAt": "One", "States": {"One": {**inner, "End": True}}}],
        "ResultPath": path,
    },
    PASSES,
    RESULT_PATHS,
) | st.builds(
    lambda path: {"Type": "Map", "ItemsPath": path, "ItemProcessor": PASS_MACHINE, "MaxConcurrency": 1},
    st.sampled_from(["$.list", "$.list[0:2]"]),
)


def _renamed(state: dict[str, object], index: int) -> dict[str, object]:
    """State names are unique in the whole machine."""
    text = json.dumps(state).replace('"One"', f'"One{index}"').replace('"Inner"', f'"Inner{index}"')
    renamed: dict[str, object] = json.loads(text)
    return renamed


def _machine(states: list[dict[str, object]], rule: dict[str, object] | None) -> dict[str, object]:
    named = {f"S{index}": {**_renamed(state, index), "Next": f"S{index + 1}"} for index, state in enumerate(states)}
    last = f"S{len(states)}"
    if rule is None:
        named[last] = {"Type": "Succeed"}
    else:
        named[last] = {"Type": "Choice", "Choices": [{**rule, "Next": "Yes"}], "Default": "No"}
        named["Yes"] = {"Type": "Pass", "Result": "yes", "End": True}
        named["No"] = {"Type": "Fail", "Error": "No", "Cause": "no rule"}
    return {"StartAt": "S0", "States": named}


MACHINES = st.builds(_machine, st.lists(PASSES | BRANCHES, max_size=3), st.none() | RULES)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(MACHINES, DOCUMENTS)
def test_random_machines_agree(moto_engine: Engine, definition: dict[str, object], document: object) -> None:
    """Status, output and error name of random machines on random inputs are the same in both interpreters."""
    here = asl.run(definition, document, resources={}, max_workers=1)
    there = moto_engine(definition, document)
    note(json.dumps(definition))
    note(f"here {here}, moto {there}")
    assume(here.error != "States.ReferencePathConflict")  # moto: a Python TypeError, reported as States.Runtime
    assume("Invalid path" not in str(here.cause))  # moto: a rule whose Variable leads nowhere does not hold
    assert (here.status, here.error) == (there["status"], there["error"])
    if here.status == "SUCCEEDED":
        assert _same(here.output, there["output"])


def _same(here: object, there: object) -> bool:
    """moto writes a text output without its quotes, and null as nothing."""
    if isinstance(here, str):
        return there in (here, json.dumps(here))
    return json.loads(str(there or "null")) == here
