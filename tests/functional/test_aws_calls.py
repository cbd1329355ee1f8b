"""Which calls each verb makes on AWS, in their order, as the documentation lists them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.aws import clients
from scones_ml.cli import main
from scones_ml.cli.context import Backends

if TYPE_CHECKING:
    from conftest import StepFunctions

PAGE = Path(__file__).parents[2] / "docs" / "aws.md"
FUNCTION = "scones-ClassifyBatchFunction-aB3dE5fG7h"


class Recorder:
    """Notes each call of our clients; where SageMaker would train, it writes the model that a job leaves."""

    def __init__(self, aws: StepFunctions, model: Path) -> None:
        self.calls: list[str] = []
        self._aws, self._model = aws, model

    def __call__(self, model: Any, params: Any, **_: object) -> None:
        if self._aws.busy:
            return
        self.calls.append(f"{model.service_model.service_name}:{model.name}")
        if model.name == "CreateTrainingJob":
            job = json.loads(params["body"])
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
                for path in self._model.iterdir():
                    archive.add(path, path.name)
            bucket, prefix = job["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://").split("/", 1)
            key = f"{prefix}/{job['TrainingJobName']}/output/model.tar.gz"
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=buffer.getvalue())


@pytest.fixture
def recorder(
    aws: StepFunctions, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorder]:
    """The account as `sam deploy` leaves it: nothing in the environment but credentials, region and the stack."""
    variables = {"SCONES_CLASSIFIER": f"onnx:{tiny_model}", "SCONES_THRESHOLD": "0.9", "SCONES_IMAGE_SIZE": "8"}
    role = boto3.client("iam").create_role(RoleName="all", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    outputs = {"InputBucketName": "pictures", "OutputBucketName": "outcomes", "SageMakerRoleArn": role}
    for name, output in {"STATE_MACHINE": "StateMachineArn", "BATCH_STATE_MACHINE": "BatchStateMachineArn"}.items():
        outputs[output] = (
            f"arn:aws:states:us-east-1:123456789012:stateMachine:{'batches' if 'BATCH' in name else 'images'}"
        )
        monkeypatch.delenv(f"SCONES_{name}")
    for name in ("SCONES_INPUT_BUCKET", "SCONES_OUTPUT_BUCKET"):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(StackName="scones", TemplateBody=json.dumps(body))
    boto3.client("lambda").create_function(
        FunctionName=FUNCTION,
        Role=role,
        Runtime="python3.13",
        Handler="classify_batch.lambda_handler",
        Code={"ZipFile": b"code"},
        Environment={"Variables": variables},
    )
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(aws, tiny_model)
    clients.session().register("before-call", recorder)
    yield recorder
    boto3.client("lambda").delete_function(FunctionName=FUNCTION)
    boto3.client("cloudformation").delete_stack(StackName="scones")
    boto3.client("iam").delete_role(RoleName="all")


def test_the_page_lists_the_calls_of_each_verb(
    aws: StepFunctions, recorder: Recorder, hurried: Backends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From staging to cleaning up, each command's calls and their order are those on the page."""
    photos = tmp_path / "photos"
    for name, red in (("bicycle", 0), ("motorcycle", 255)):
        (photos / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (abs(red - number), number, 0)).save(photos / name / f"{number}.png")
    rows = ["| command | calls, in their order |", "| --- | --- |"]

    def command(shown: str, *arguments: str, code: int = 0) -> None:
        recorder.calls.clear()
        assert main(arguments, hurried) == code
        calls = ", ".join(f"`{call}`" for call in dict.fromkeys(recorder.calls))
        rows.append(f"| `scones {shown}` | {calls} |")

    stage = ["stage", str(photos), "s3://outcomes/sets/vehicles", "--image-size", "8"]
    command("stage PHOTOS s3://BUCKET/PREFIX", *stage)
    data = str(tmp_path / ".scones/staged/outcomes/sets/vehicles")
    assert dataset.load(Path(data)).classes == ("bicycle", "motorcycle")
    command("train DATA --on aws", "train", data, "--on", "aws")
    command("deploy MODEL --on aws", "deploy", ".scones/model", "--on", "aws")
    command("run PHOTOS --on aws", "run", str(photos), "--on", "aws")
    monkeypatch.setenv("SCONES_THRESHOLD", "93 %")
    main(["run", str(photos / "bicycle" / "0.png"), "--on", "aws"])
    monkeypatch.setenv("SCONES_THRESHOLD", "0.9")
    failed = next(arn for arn, ended in aws.executions.items() if ended.status == "FAILED")
    command("asl redrive EXECUTION_ARN", "asl", "redrive", failed)
    command("run s3://BUCKET/PREFIX --bulk --on aws", "run", "s3://pictures/runs/", "--bulk", "--on", "aws")
    command("monitor --on aws", "monitor", "--on", "aws", code=1)  # nobody has asked the endpoint yet
    command("status --on aws", "status", "--on", "aws")
    command("cleanup --on aws", "cleanup", "--on", "aws")
    expected = "\n".join(rows) + "\n"
    held = PAGE.read_text(encoding="utf-8").split("<!-- begin: calls -->\n")[1].split("<!-- end: calls -->")[0]
    assert held == expected, f"renew the table in docs/aws.md with:\n{expected}"
