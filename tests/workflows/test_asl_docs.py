"""docs/asl.md says what is true: its code runs, and each feature that it claims is shown here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scones_ml import asl, workflows
from scones_ml.asl.intrinsics import FUNCTIONS
from scones_ml.asl.states import STATES
from scones_ml.testing import StateMachineRunner

PAGE = (Path(__file__).parents[2] / "docs" / "asl.md").read_text(encoding="utf-8")
ARN = "arn:aws:states:::lambda:invoke"


def run(state: dict[str, object], document: asl.Json = None, **options: object) -> asl.Execution:
    options.setdefault("resources", {ARN: lambda parameters: parameters})
    options.setdefault("sleep", lambda seconds: None)
    terminal = {} if state["Type"] in ("Succeed", "Fail", "Choice") else {"End": True}
    more = {"C": {"Type": "Succeed"}} if "Catch" in state or state["Type"] == "Choice" else {}
    return asl.run({"StartAt": "S", "States": {"S": {**terminal, **state}, **more}}, document, **options)


def _distributed() -> bool:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "I",
        "States": {"I": {"Type": "Pass", "End": True}},
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSONL"},
        "Parameters": {"Bucket": "b", "Key": "k"},
    }
    state = {"Type": "Map", "ItemReader": reader, "ItemBatcher": {"MaxItemsPerBatch": 2}, "ItemProcessor": processor}
    resources = {"arn:aws:states:::s3:getObject": lambda request: {"Body": b"1\n2\n3\n"}}
    return run(state, resources=resources).output == [{"Items": [1, 2]}, {"Items": [3]}]


def _token() -> bool:
    def work(parameters: asl.Json) -> asl.Json:
        asl.send_task_success(parameters["token"], 5)
        return None

    state = {"Type": "Task", "Resource": f"{ARN}.waitForTaskToken", "Parameters": {"token.$": "$$.Task.Token"}}
    return run(state, resources={ARN: work}).output == 5


def _retried() -> bool:
    waits: list[float] = []

    def fails(parameters: asl.Json) -> asl.Json:
        raise asl.TaskFailed("E")

    retry = [{"ErrorEquals": ["E"], "MaxAttempts": 3, "MaxDelaySeconds": 2, "JitterStrategy": "FULL"}]
    state = {"Type": "Task", "Resource": ARN, "Retry": retry, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}]}
    execution = run(state, resources={ARN: fails}, sleep=waits.append)
    return execution.output == {"Error": "E", "Cause": ""} and len(waits) == 3 and max(waits) <= 2


def _redriven() -> bool:
    calls: list[asl.Json] = []

    def work(item: asl.Json) -> asl.Json:
        calls.append(item)
        if calls == ["a", "b"]:
            raise asl.TaskFailed("E")
        return item

    inner = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": ARN, "End": True}}}
    failed = run({"Type": "Map", "ItemProcessor": inner}, ["a", "b"], resources={ARN: work}, max_workers=1)
    return asl.redrive(failed, resources={ARN: work}).output == ["a", "b"] and calls == ["a", "b", "b"]


SHOWN: dict[str, Callable[[], bool]] = {
    "Pass, Task, Choice, Wait, Succeed, Fail, Parallel, Map": lambda: (
        set(STATES) == {"Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}
    ),
    "JSONPath: InputPath, Parameters, ResultSelector, ResultPath, OutputPath, filters, slices, $$": lambda: (
        run(
            {"Type": "Pass", "Parameters": {"f.$": "$.l[?(@.n > 1)].n", "s.$": "$.l[0:1]", "n.$": "$$.State.Name"}},
            {"l": [{"n": 1}, {"n": 2}]},
        ).output
        == {"f": [2], "s": [{"n": 1}], "n": "S"}
    ),
    "the 18 intrinsic functions": lambda: len(FUNCTIONS) == 18,
    "JSONata: Arguments, Output, Items, Condition, AWS's functions": lambda: (
        run(
            {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $partition($states.input, 2) %}"}, [1, 2, 3]
        ).output
        == [[1, 2], [3]]
    ),
    "variables (Assign) with their scopes": lambda: (
        asl.test_state({"Type": "Pass", "Assign": {"v.$": "$.a"}, "End": True}, {"a": 1}).variables == {"v": 1}
    ),
    "Retry and Catch, jitter, MaxDelaySeconds, AWS's matching rules": _retried,
    "TimeoutSeconds, HeartbeatSeconds, their paths, the machine's TimeoutSeconds": lambda: (
        asl.run(
            {"StartAt": "W", "TimeoutSeconds": 5, "States": {"W": {"Type": "Wait", "Seconds": 9, "End": True}}},
            {},
            resources={},
            sleep=lambda seconds: None,
        ).status
        == "TIMED_OUT"
    ),
    ".waitForTaskToken and .sync": _token,
    "Distributed Map: ItemReader (JSON, JSONL, CSV, S3 Inventory, listings), ItemBatcher, tolerance, ResultWriter": (
        _distributed
    ),
    "quotas: 262,144 bytes, 25,000 events, names; Express and Standard": lambda: (
        run({"Type": "Pass", "Result": "a" * 262_143}).error == "States.DataLimitExceeded"
    ),
    "history with AWS's event names": lambda: (
        [event.type for event in run({"Type": "Succeed"}).history]
        == ["ExecutionStarted", "SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"]
    ),
    "validation with paths and remedies": lambda: (
        "did you mean 'A'?" in asl.validate({"StartAt": "a", "States": {"A": {"Type": "Succeed"}}})[0].message
    ),
    "redrive of only the states, branches and items that failed": _redriven,
    "test of a single state, graphs as SVG and Mermaid": lambda: (
        asl.test_state({"Type": "Succeed"}, 1).output == 1
        and "flowchart" in asl.mermaid({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
        and "<svg" in asl.svg({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    ),
}


def test_the_image_is_the_workflow_as_it_is() -> None:
    """The image in docs/ is what `scones asl graph --output docs/image_classification.svg` writes today."""
    image = Path(__file__).parents[2] / "docs" / "image_classification.svg"
    assert image.read_text(encoding="utf-8") == asl.svg(workflows.image_classification())


def _rows() -> dict[str, str]:
    return dict(re.findall(r"^\| (?!feature|---)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE))


def test_the_table_claims_what_is_shown() -> None:
    """The features that the page calls covered are those that are shown below, no more and no fewer."""
    assert {feature for feature, here in _rows().items() if here == "yes"} == set(SHOWN)


@pytest.mark.parametrize("feature", SHOWN)
def test_a_covered_feature_works(feature: str) -> None:
    """Each feature that the page calls covered does what it says."""
    assert SHOWN[feature]()


def test_the_page_s_code_runs() -> None:
    """The page's Python, put together, runs and its assertions hold."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert code.count("assert") >= 6
    exec(compile(code, "docs/asl.md", "exec"), {})


def test_the_page_s_pytest_example_passes(tmp_path: Path) -> None:
    """The example of how to test one's own machine is a test module that pytest runs with the package's fixture."""
    examples = re.findall(r'^```python title="test_machine.py"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) == 1
    (tmp_path / "test_machine.py").write_text(examples[0])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "scones_ml.testing", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_runner_says_when_an_answer_is_missing(tmp_path: Path) -> None:
    """A machine may be a file; a Resource that is called too often fails the test, even if a rule catches all."""
    state = {"Type": "Task", "Resource": ARN, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}], "Next": "C"}
    file = tmp_path / "machine.json"
    file.write_text(json.dumps({"StartAt": "S", "States": {"S": state, "C": {"Type": "Succeed"}}}))
    assert StateMachineRunner(file, {ARN: lambda parameters: 7})({}).output == 7
    runner = StateMachineRunner(str(file), {ARN: [1]})
    assert runner({}).output == 1
    with pytest.raises(AssertionError, match="no result is left for arn:aws:states:::lambda:invoke"):
        runner({})
