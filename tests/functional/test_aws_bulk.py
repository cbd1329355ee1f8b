"""Bulk runs on AWS: started, followed, gone on with, and told of by boto3 over HTTP; batches are really classified."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from PIL import Image

from scones_ml import backends
from scones_ml.aws.bulk import StepFunctionsBulk
from scones_ml.cli import main
from scones_ml.errors import ExecutionFailedError, WorkflowError
from scones_ml.ports import BulkRequest

if TYPE_CHECKING:
    from conftest import StepFunctions

FUNCTION = "scones-ClassifyBatchFunction-aB3dE5fG7h"
REQUEST = BulkRequest("s3://pictures/images/")
LATER = 4_000_000_000.0  # executions are named by the second in which they start
OPERATIONS = ["DescribeStateMachine", "ListExecutions", "StartExecution", "DescribeExecution", "ListMapRuns"]


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def deployed(aws: StepFunctions, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StepFunctions]:
    """The account, ClassifyBatch deployed with a model and a threshold, and nine images, one of them broken."""
    variables = {"SCONES_CLASSIFIER": f"onnx:{tiny_model}", "SCONES_THRESHOLD": "0.9", "SCONES_IMAGE_SIZE": "8"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    iam, functions = boto3.client("iam"), boto3.client("lambda")
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions.create_function(
        FunctionName=FUNCTION,
        Role=role,
        Runtime="python3.13",
        Handler="classify_batch.lambda_handler",
        Code={"ZipFile": b"code"},
        Environment={"Variables": variables},
    )
    s3 = boto3.client("s3")
    for number in range(8):
        s3.put_object(Bucket="pictures", Key=f"images/{number}.png", Body=make_image(255 if number % 2 else 128))
    s3.put_object(Bucket="pictures", Key="images/page.png", Body=b"<html>")
    s3.put_object(Bucket="pictures", Key="images/list.lst", Body=b"0\t0\ta.png")
    yield aws
    functions.delete_function(FunctionName=FUNCTION)
    iam.delete_role(RoleName="batch")


def bulk(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["run", "s3://pictures/images/", "--bulk", "--on", "aws", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_every_image_under_the_prefix_is_classified(
    deployed: StepFunctions, capsys: pytest.CaptureFixture[str]
) -> None:
    """One execution classifies all images; counts come from its result files, answers are JSON Lines objects."""
    result = bulk(capsys)
    assert (result["images"], result["finished_before"]) == (9, 0)
    assert result["outcomes"] == {"accepted": 4, "review": 4, "quarantined": 1}
    assert result["results"] == f"s3://outcomes/bulk/{result['run']}/"
    assert deployed.operations() == [*OPERATIONS, "DescribeMapRun"]
    (arn,) = deployed.executions
    assert arn.split(":")[7].startswith(f"{result['run']}-")
    s3 = boto3.client("s3")
    written = s3.list_objects_v2(Bucket="outcomes", Prefix=f"bulk/{result['run']}/")["Contents"]
    lines = [
        line
        for found in written
        for line in s3.get_object(Bucket="outcomes", Key=found["Key"])["Body"].read().splitlines()
    ]
    assert len(lines) == 9


def test_the_same_command_goes_on(deployed: StepFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run finds what is finished; one whose images are new computes these alone."""
    first = bulk(capsys)
    second = StepFunctionsBulk(clock=lambda: LATER).run(REQUEST)
    assert second.run == first["run"]
    assert (second.images, second.finished_before, second.outcomes) == (9, 9, {})


def test_another_model_is_another_run(deployed: StepFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    """When the function's configuration or its code changes, nothing counts as finished."""
    first = bulk(capsys)["run"]
    changed = {"SCONES_CLASSIFIER": "onnx:/var/task/model", "SCONES_THRESHOLD": "0.95"}
    boto3.client("lambda").update_function_configuration(FunctionName=FUNCTION, Environment={"Variables": changed})
    second = bulk(capsys)["run"]
    boto3.client("lambda").update_function_code(FunctionName=FUNCTION, ZipFile=b"other code")
    assert len({first, second, bulk(capsys)["run"]}) == 3


def test_a_model_replaced_in_place_is_another_run(deployed: StepFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    """A model archive in S3 that was written anew under its name is noticed by its etag."""
    runs = set()
    boto3.client("lambda").update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": {"SCONES_CLASSIFIER": "onnx:s3://outcomes/models/m.tar.gz"}}
    )
    for body in (b"old", b"new"):
        boto3.client("s3").put_object(Bucket="outcomes", Key="models/m.tar.gz", Body=body)
        runs.add(bulk(capsys)["run"])
    assert len(runs) == 2


def test_what_still_runs_is_followed_not_started_again(deployed: StepFunctions) -> None:
    """Ctrl-C lets go of the execution and says how to come back; the same command follows it to its end."""
    deployed.looks = 2

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(WorkflowError, match="the same command follows it again, `aws stepfunctions stop-execution"):
        StepFunctionsBulk(pause=interrupt).run(REQUEST)
    seen: list[tuple[int, int]] = []
    result = StepFunctionsBulk(pause=lambda _: None).run(REQUEST, lambda *done: seen.append(done))
    assert deployed.operations().count("StartExecution") == 1
    assert (result.images, seen[-1]) == (9, (10, 10))


def test_a_failed_run_keeps_what_is_finished(deployed: StepFunctions, monkeypatch: pytest.MonkeyPatch) -> None:
    """More failed batches than are tolerated end the run with error and cause; the same command does the rest."""
    monkeypatch.setenv("SCONES_THRESHOLD", "93 %")
    with pytest.raises(ExecutionFailedError, match=r"^States\.ExceedToleratedFailureThreshold: .*does the rest$"):
        StepFunctionsBulk().run(REQUEST)
    monkeypatch.setenv("SCONES_THRESHOLD", "0.9")
    assert StepFunctionsBulk(clock=lambda: LATER).run(REQUEST).images == 9


def test_a_prefix_without_images(deployed: StepFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing under the prefix is one line."""
    assert main(["run", "s3://pictures/nothing/", "--bulk", "--on", "aws"]) == 1
    assert "s3://pictures/nothing/ holds no images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://elsewhere/images/", "reads only s3://pictures: put the images there"),
        ("photos", "'photos' is not s3://bucket/prefix"),
    ],
)
def test_what_the_machine_may_not_read_is_refused(
    source: str, said: str, aws: StepFunctions, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another bucket, or a folder of this machine, is refused before anything is asked."""
    assert main(["run", source, "--bulk", "--on", "aws"]) == 1
    assert said in capsys.readouterr().err
    assert aws.calls == []


def test_captures_are_found_where_endpoints_keep_them(
    aws: StepFunctions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`scones monitor --on aws` without a path reads all captures of the place, page by page, file by file."""
    backends._object_store.cache_clear()
    monkeypatch.setenv("SCONES_BUCKET", "s3://outcomes/vehicles")
    record = {
        "captureData": {
            "endpointInput": {"observedContentType": "image/png", "mode": "INPUT", "data": "", "encoding": "BASE64"},
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": "[0.97, 0.03]",
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"eventId": "0", "inferenceTime": "2026-11-01T08:00:00Z"},
        "eventVersion": "0",
    }
    for number in range(3):
        key = f"vehicles/captures/scones/AllTraffic/2026/11/01/08/00-00-00{number}-a.jsonl"
        boto3.client("s3").put_object(Bucket="outcomes", Key=key, Body=json.dumps(record).encode())
    assert main(["monitor", "--on", "aws", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 3
