"""Executions on AWS: started, followed and told of by boto3 over HTTP, from a server that really runs them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from scones_ml import backends, lifecycle
from scones_ml.aws.executions import EndedExecution, StateMachineExecutions
from scones_ml.aws.workflow import StepFunctionsRunner
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError, WorkflowError
from scones_ml.events import ImageRef
from scones_ml.ports import ImageResult, WorkflowRequest

if TYPE_CHECKING:
    from conftest import StepFunctions

ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:images"


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A confident image, a doubtful one, and a page that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in {"red.png": make_image(255), "half.png": make_image(128), "page.png": b"<html>"}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def deployed(aws: StepFunctions, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> StepFunctions:
    """The account, its functions deployed with a model and a threshold."""
    monkeypatch.setenv("SCONES_CLASSIFIER", f"onnx:{tiny_model}")
    monkeypatch.setenv("SCONES_THRESHOLD", "0.9")
    monkeypatch.setenv("SCONES_IMAGE_SIZE", "8")
    return aws


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def runner(clock: Clock) -> StepFunctionsRunner:
    return StepFunctionsRunner(StateMachineExecutions(ARN), clock.pause, clock)


def test_run_prints_the_same_table_as_locally(
    deployed: StepFunctions,
    tiny_model: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`scones run --on aws` shows what `scones run` shows: the same images, labels, confidences and outcomes."""
    assert main(["run", str(photos), "--model", str(tiny_model), "--workspace", str(tmp_path / "ws")]) == 0
    here = capsys.readouterr().out
    assert main(["run", str(photos), "--on", "aws"]) == 0
    assert capsys.readouterr().out == here
    assert [name for name in deployed.operations() if name == "StartExecution"] == ["StartExecution"] * 3


def test_outcomes_are_where_the_workflow_writes_them(deployed: StepFunctions, photos: Path, tmp_path: Path) -> None:
    """Uploads lie under a prefix that starts nothing; outcomes are objects of the output bucket."""
    backend = backends.backend("aws", tmp_path)
    refs = lifecycle.upload(backend, [(path.name, path.read_bytes()) for path in sorted(photos.iterdir())])
    assert all(ref.s3_key.startswith("runs/") for ref in refs)
    backend.runner = runner(Clock())  # type: ignore[misc]
    results = {result.image.image_id: result for result in lifecycle.run(backend, refs)}
    assert [results[ref.image_id].outcome for ref in refs] == ["review", "quarantined", "accepted"]
    keys = {found.key for found in backend.store.list("outcomes")}
    assert keys == {f"outcomes/{results[ref.image_id].outcome}/{ref.image_id}.json" for ref in refs}
    assert all(result.execution and result.execution.endswith(f":{key}") for key, result in results.items())


def test_an_execution_that_is_there_already_is_followed(deployed: StepFunctions, photos: Path) -> None:
    """The same object version is run once: what another has started is followed to the same result."""
    backend = backends.backend("aws", photos)
    refs = lifecycle.upload(backend, [("red.png", make_image(255))])
    request = WorkflowRequest(refs, "outcomes")
    (first,) = runner(Clock()).run(request)
    (second,) = runner(Clock()).run(request)
    assert (first.outcome, first.execution, first.confidence) == (second.outcome, second.execution, second.confidence)
    assert len(deployed.executions) == 1


def test_a_failed_execution_is_told_downloaded_and_run_again_here(
    deployed: StepFunctions,
    tiny_model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What failed on AWS is shown with its error and its cause; its history and the real handlers finish it here."""
    monkeypatch.setenv("SCONES_THRESHOLD", "93 %")
    assert main(["run", str(photos / "red.png"), "--on", "aws"]) == 1
    shown = capsys.readouterr()
    assert "failed" in shown.out
    assert "ConfigurationError: SCONES_THRESHOLD is '93 %'" in shown.out
    (arn,) = deployed.executions
    assert shown.err.splitlines()[-2].endswith(f"`scones asl redrive {arn}`")
    assert shown.err.splitlines()[-1].startswith("scones: SCONES_THRESHOLD is '93 %'")

    workspace = tmp_path / "here"
    assert main(["asl", "redrive", arn, "--model", str(tiny_model), "--workspace", str(workspace)]) == 0
    redriven = capsys.readouterr()
    output = json.loads(redriven.out)
    assert (output["outcome"], output["label"], output["threshold"]) == ("accepted", "motorcycle", 0.9)
    assert redriven.err.split() == ["FilterLowConfidence", "IsConfident", "AcceptImage", "WriteOutcome"]
    assert (workspace / "buckets" / "outcomes" / "outcomes" / "accepted" / f"{output['image_id']}.json").is_file()
    assert json.loads((workspace / "workspace.json").read_text())["format"] == 2
    assert deployed.operations().count("GetExecutionHistory") > 1


def test_so_many_executions_run_at_a_time(
    deployed: StepFunctions, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images wait to be sent while as many executions run as are let in; each has its result in the end."""
    monkeypatch.setattr("scones_ml.aws.workflow._MOST_RUNNING", 2)
    refs = lifecycle.upload(
        backends.backend("aws", photos), [(f"{number}.png", make_image(255)) for number in range(5)]
    )
    sent: list[int] = []

    def arriving() -> Iterator[ImageRef]:
        for ref in refs:
            sent.append(len(ended))
            yield ref

    ended: list[ImageResult] = []
    runner = StepFunctionsRunner(StateMachineExecutions(ARN), lambda _: None)
    for result in runner.run(WorkflowRequest(arriving(), "outcomes")):
        ended.append(result)
    assert len(ended) == 5
    assert all(number - done <= 2 for number, done in enumerate(sent))


def test_ctrl_c_lets_go_of_what_runs(deployed: StepFunctions, photos: Path) -> None:
    """Ctrl-C while executions run says how many go on, and where their outcomes will be."""
    deployed.looks = 9
    refs = lifecycle.upload(
        backends.backend("aws", photos), [("red.png", make_image(255)), ("half.png", make_image(128))]
    )

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    stopped = StepFunctionsRunner(StateMachineExecutions(ARN), interrupt)
    with pytest.raises(WorkflowError, match=r"^2 executions continue: .* under s3://outcomes/outcomes/$"):
        list(stopped.run(WorkflowRequest(refs, "outcomes")))


def test_an_express_machine_is_refused_before_anything_starts(deployed: StepFunctions, photos: Path) -> None:
    """Executions of an EXPRESS machine cannot be looked at: one line says so, and none is started."""
    deployed.kind = "EXPRESS"
    with pytest.raises(ConfigurationError, match="is EXPRESS: Step Functions keeps no history"):
        runner(Clock()).run(WorkflowRequest([], "outcomes"))
    assert deployed.operations() == ["DescribeStateMachine"]
    assert main(["asl", "redrive", ARN.replace("stateMachine", "express") + ":a:b"]) == 1


def test_throttling_is_waited_out(deployed: StepFunctions, photos: Path) -> None:
    """A throttled call is tried again, and the result is as ever."""
    deployed.refuse = {"StartExecution": ["ThrottlingException"], "DescribeExecution": ["ThrottlingException"]}
    refs = lifecycle.upload(backends.backend("aws", photos), [("red.png", make_image(255))])
    (result,) = runner(Clock()).run(WorkflowRequest(refs, "outcomes"))
    assert result.outcome == "accepted"
    assert deployed.operations() == [
        "DescribeStateMachine",
        *["StartExecution"] * 2,
        *["DescribeExecution"] * 2,
    ]


@pytest.mark.parametrize(
    "options", [["--model", "model"], ["--endpoint", "scones"], ["--threshold", "0.5"]], ids=lambda options: options[0]
)
def test_what_the_stack_holds_is_not_given_again(
    options: list[str], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model, endpoint and threshold belong to the deployed functions: given with --on aws they are refused."""
    assert main(["run", str(photos), "--on", "aws", *options]) == 1
    assert "the stack sets the model and the threshold" in capsys.readouterr().err


class Stubborn:
    """Executions that take their time, on a clock of the test's own."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.started: dict[str, float] = {}
        self.looks: list[float] = []

    def check(self) -> None:
        """Any machine will do."""

    def start(self, _image: ImageRef, name: str | None = None) -> str:
        assert name not in self.started
        self.started[str(name)] = self.clock.now
        return str(name)

    def ended(self, arn: str) -> EndedExecution | None:
        self.looks.append(self.clock.now)
        if self.clock.now < self.started[arn] + self.seconds:
            return None
        return EndedExecution({"outcome": "accepted"}, None, None, self.seconds)


def test_following_keeps_within_what_every_region_grants() -> None:
    """However many executions run, never more than 250 looks at once and 10 a second follow; all are told of."""
    clock = Clock()
    executions = Stubborn(clock, seconds=5)
    images = [ImageRef(s3_bucket="pictures", s3_key=f"{number}.png") for number in range(600)]
    following = StepFunctionsRunner(executions, clock.pause, clock)  # type: ignore[arg-type]
    results = list(following.run(WorkflowRequest(images, "outcomes")))
    assert {result.image for result in results} == set(images)
    looks = executions.looks
    for first in range(0, len(looks), 7):
        for last in range(first, len(looks), 11):
            assert last - first + 1 <= 250 + 10 * (looks[last] - looks[first])
    assert clock.now < len(looks) / 10 + 20, "and waits no longer than that takes"


def test_following_holds_up_no_arrival() -> None:
    """Images that arrive faster than executions may be looked at are sent at once, and looked at later."""
    clock = Clock()
    executions = Stubborn(clock, seconds=1)

    def arriving() -> Iterator[ImageRef]:
        for number in range(500):
            clock.now = number / 50
            yield ImageRef(s3_bucket="pictures", s3_key=f"{number}.png")

    following = StepFunctionsRunner(executions, clock.pause, clock)  # type: ignore[arg-type]
    results = list(following.run(WorkflowRequest(arriving(), "outcomes")))
    assert list(executions.started.values()) == [number / 50 for number in range(500)]
    assert [result.started for result in sorted(results, key=lambda one: one.started)] == [n / 50 for n in range(500)]


def test_slow_executions_are_looked_at_more_and_more_seldom() -> None:
    """A minute's execution takes a dozen looks or so, not sixty; its time is Step Functions' own."""
    clock = Clock()
    executions = Stubborn(clock, seconds=60)
    image = ImageRef(s3_bucket="pictures", s3_key="a.png")
    following = StepFunctionsRunner(executions, clock.pause, clock)  # type: ignore[arg-type]
    (result,) = following.run(WorkflowRequest([image], "outcomes"))
    assert result.seconds == 60
    assert len(executions.looks) <= 14


def test_the_same_image_may_be_sent_several_times() -> None:
    """A load draws images with repetition: each draw is an execution of its own."""
    clock = Clock()
    executions = Stubborn(clock, seconds=0)
    image = ImageRef(s3_bucket="pictures", s3_key="a.png")
    following = StepFunctionsRunner(executions, clock.pause, clock)  # type: ignore[arg-type]
    assert len(list(following.run(WorkflowRequest([image] * 3, "outcomes")))) == 3
    assert list(executions.started) == [image.image_id, f"{image.image_id}-2", f"{image.image_id}-3"]


def test_a_load_runs_on_aws_too(deployed: StepFunctions, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`scones run --rate --on aws` sends what it draws, and takes its latencies from Step Functions' own clock."""
    assert main(["run", str(photos), "--on", "aws", "--rate", "20", "--duration", "0.5s", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], sum(report["outcomes"].values())) == (10, 10)
    assert 900 <= report["latency_ms"]["p50"] < 2000
    assert len(deployed.executions) == 10
