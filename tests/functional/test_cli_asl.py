"""``scones asl``: run, validate and draw a state machine from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scones_ml.cli import main
from scones_ml.dataset.synthetic import draw_png

ROOT = Path(__file__).parents[2]
ARN = "arn:aws:states:::lambda:invoke"
MACHINE = {
    "StartAt": "Double",
    "TimeoutSeconds": 60,
    "States": {"Double": {"Type": "Task", "Resource": ARN, "TimeoutSeconds": 5, "End": True}},
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine of one Task in a file, and functions beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machine.json").write_text(json.dumps(MACHINE))
    (tmp_path / "my_functions.py").write_text(
        "def double(event):\n    return event['number'] * 2\n\n\ndef fail(event):\n    raise KeyError('no number')\n"
    )
    return "machine.json"


def test_run_puts_your_functions_behind_resources(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A function of a module in the working directory answers the Task; its result is the output."""
    arguments = ["asl", "run", machine, "--input", '{"number": 21}', "--resource", f"{ARN}=my_functions:double"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == 42
    assert captured.err.strip() == "Double"


def test_input_comes_from_a_file_too(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--input @FILE reads the document from a file; a byte order mark in front of it or of a definition is no harm."""
    (tmp_path / "input.json").write_text('\ufeff{"number": 4}')
    (tmp_path / machine).write_text("\ufeff" + (tmp_path / machine).read_text())
    assert main(["asl", "run", machine, "--input", "@input.json", "--resource", f"{ARN}=my_functions:double"]) == 0
    assert json.loads(capsys.readouterr().out) == 8


def test_our_definition_runs_with_our_handlers(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of docs/asl.md goes through the states that it shows, and its outcome is in the workspace."""
    (command,) = re.findall(r"\$ (scones asl run workflows/.*)", (ROOT / "docs" / "asl.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    (tmp_path / ".scones" / "demo").mkdir(parents=True)
    (tmp_path / ".scones" / "demo" / "model").symlink_to(tiny_model)
    (tmp_path / "photo.png").write_bytes(draw_png("bicycle", 0, 0))
    assert main([*command.split()[1:], "--threshold", "0.1"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["s3_key"], document["outcome"]) == ("photo.png", "accepted")
    assert captured.err.split() == re.findall(r"^  ([A-Z]\w+)$", (ROOT / "docs" / "asl.md").read_text(), re.MULTILINE)
    assert len(list((tmp_path / ".scones" / "buckets" / "scones-output").rglob("*.json"))) == 1


def test_handlers_are_called_as_lambda_calls_them(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A function of an event and a context gets the payload and a context, and its answer is wrapped as Lambda's is."""
    Path("my_handler.py").write_text(
        "def lambda_handler(event, context):\n    return [event, context.function_name, context.aws_request_id != '']\n"
    )
    task = {"FunctionName": "any", "Payload.$": "$"}
    wrapped = {**MACHINE["States"]["Double"], "Parameters": task, "OutputPath": "$.Payload"}  # type: ignore[index]
    Path(machine).write_text(json.dumps({"StartAt": "A", "States": {"A": wrapped}}))
    assert main(["asl", "run", machine, "--input", "7", "--resource", f"{ARN}=my_handler:lambda_handler"]) == 0
    assert json.loads(capsys.readouterr().out) == [7, "lambda_handler", True]


def test_a_failed_execution_is_exit_code_1(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The function's error ends the command with its name; --json still prints the whole execution."""
    assert main(["asl", "run", machine, "--json", "--resource", f"{ARN}=my_functions:fail"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["status"], document["error"]) == ("FAILED", "KeyError")
    assert captured.err.strip().splitlines()[-1] == "scones: KeyError: 'no number'"
    assert document["events"][0]["type"] == "ExecutionStarted"
    assert json.loads(document["events"][0]["executionStartedEventDetails"]["input"]) == {}


def test_the_graph_shows_what_failed(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With an execution given, the drawing colours its states."""
    main(["asl", "run", machine, "--json", "--resource", f"{ARN}=my_functions:fail"])
    (tmp_path / "run.json").write_text(capsys.readouterr().out)
    assert main(["asl", "graph", machine, "--execution", "run.json"]) == 0
    drawing = capsys.readouterr().out
    assert drawing.startswith("flowchart TD")
    assert "failed" in drawing.splitlines()[-1]


def test_the_graph_is_an_image_or_text(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file's suffix or --format chooses SVG; without a definition our own workflow is drawn, and others by name."""
    assert main(["asl", "graph", machine, "--format", "svg"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("<svg ")
    assert main(["asl", "graph", machine, "--output", "new/graph.svg"]) == 0
    assert (tmp_path / "new/graph.svg").read_text(encoding="utf-8") == printed
    assert main(["asl", "graph", "--output", "graph.mmd"]) == 0
    assert "SerializeImageData" in (tmp_path / "graph.mmd").read_text(encoding="utf-8")
    assert "new/graph.svg" in (capsys.readouterr()).err
    assert main(["asl", "graph", "batch_classification"]) == 0
    assert "ClassifyBatch" in capsys.readouterr().out


def test_the_graph_reads_a_history_of_aws(machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What `aws stepfunctions get-execution-history` printed colours the states, too."""
    when = "2026-11-23T09:00:00.000000+00:00"
    entered = {"stateEnteredEventDetails": {"name": "Double", "input": "{}"}}
    events = [
        {"timestamp": when, "type": "TaskStateEntered", "id": 2, "previousEventId": 0, **entered},
        {"timestamp": when, "type": "ExecutionStarted", "id": 1, "previousEventId": 0},
        {
            "timestamp": when,
            "type": "TaskFailed",
            "id": 3,
            "previousEventId": 2,
            "taskFailedEventDetails": {"error": "E"},
        },
    ]
    (tmp_path / "history.json").write_text(json.dumps({"events": events}))
    assert main(["asl", "graph", machine, "--execution", "history.json"]) == 0
    assert "class m0 failed" in capsys.readouterr().out


def test_a_definition_may_begin_with_a_byte_order_mark(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Definition, input and history are read as Windows writes them; a field that stands twice is an error."""
    text = Path(machine).read_text()
    Path("bom.json").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    Path("input.json").write_bytes(b'\xef\xbb\xbf{"number": 21}\r\n')
    assert main(["asl", "validate", "bom.json"]) == 0
    resource = f"{ARN}=my_functions:double"
    assert main(["asl", "run", "bom.json", "--input", "@input.json", "--resource", resource]) == 0
    capsys.readouterr()
    Path("twice.json").write_text('{"StartAt": "A", "States": {"A": {"Type": "Succeed"}, "A": {"Type": "Fail"}}}')
    assert main(["asl", "validate", "twice.json"]) == 1
    assert "names the field 'A' twice" in capsys.readouterr().out


def test_validate_lists_problems_with_their_place(
    machine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sound file passes; a broken one is listed by path and makes exit code 1."""
    assert main(["asl", "validate", machine]) == 0
    capsys.readouterr()
    (tmp_path / "broken.json").write_text('{"StartAt": "A", "States": {"A": {"Type": "Pass", "Nxt": "B"}}}')
    assert main(["asl", "validate", machine, "broken.json"]) == 1
    assert "$.States.A.Nxt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "gone.json"], "there is no file gone.json"),
        (["run", "machine.json", "--input", "{"], "--input is not JSON"),
        (["run", "machine.json", "--input", "@gone.json"], "there is no file gone.json"),
        (
            ["run", "machine.json", "--input", "latin.json"],
            "--input latin.json is the name of a file: give @latin.json",
        ),
        (["run", "machine.json", "--image", "a.png"], "--image and --threshold are for our own handlers: add --model"),
        (["run", "machine.json", "--input", "[" * 1_000], "--input is nested deeper than 100 levels"),
        (["run", "machine.json", "--input", '{"a": 1, "a": 2}'], "--input names the field 'a' twice"),
        (["run", "machine.json", "--input", "1e999"], "--input holds the number 1e999"),
        (["run", "/dev/zero"], "/dev/zero is not a regular file"),
        (["run", "."], ". cannot be read: Is a directory"),
        (["graph", "machine.json", "--execution", "latin.json"], "latin.json is not a text file in UTF-8"),
        (["graph", "batch"], "batch is neither a file nor one of the workflows image_classification, batch"),
        (["graph", "--output", "machine.json/g.svg"], "--output: machine.json/g.svg cannot be written"),
        (["run", "machine.json", "--resource", "nothing"], "ARN=module:function"),
        (["run", "machine.json", "--resource", f"{ARN}=nowhere:f"], "there is no module nowhere"),
        (["run", "machine.json", "--resource", f"{ARN}=my_functions:f"], "has no function f"),
        (["run", "machine.json"], f"no function for the Resource {ARN}: give --resource {ARN}=module:function"),
        (["graph", "machine.json", "--execution", "machine.json"], "is not what `scones asl run --json` or"),
    ],
)
def test_bad_input_is_one_clear_line(
    machine: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Missing files, broken JSON and unknown functions are named, each in one line."""
    Path("latin.json").write_bytes('{"a": "\u00e9"}'.encode("latin-1"))
    assert main(["asl", *arguments]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("scones: ")
    assert words in last
