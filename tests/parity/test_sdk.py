"""Our CreateTrainingJob request beside the one that the SageMaker SDK sends for the same job; nothing leaves here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from scones_ml.aws.model_trainer import to_model_trainer
from scones_ml.aws.training_jobs import TrainingJobs
from scones_ml.sagemaker.channels import (
    augmented_manifest_channels,
    image_channels,
    model_channel,
    recordio_channels,
    training_channel,
)
from scones_ml.sagemaker.hyperparameters import ImageClassification, ScriptMode
from scones_ml.sagemaker.training_job import Compute, Spot, TrainingJob

pytest.importorskip("sagemaker", reason="needs the SageMaker SDK: make parity-sdk")
pytestmark = pytest.mark.filterwarnings("ignore")

ROLE = "arn:aws:iam::123456789012:role/scones-training"
COMMON: dict[str, Any] = {"name": "scones-1", "role_arn": ROLE, "region": "us-east-1", "output": "s3://b/models"}
BUILT_IN = ImageClassification(num_classes=2, num_training_samples=800, image_shape=(3, 32, 32), epochs=5)
SCRIPT = ScriptMode(source="s3://b/source/abc.tar.gz", epochs=3, seed=7)
SPOT = Compute("ml.g5.xlarge", volume_gb=50, spot=Spot("s3://b/checkpoints/scones-1", 7_200))
QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
JOBS = {
    "pictures": TrainingJob(**COMMON, hyperparameters=BUILT_IN, channels=image_channels("s3://b/data")),
    "recordio": TrainingJob(
        **COMMON, hyperparameters=BUILT_IN, channels=recordio_channels("s3://b/train.rec", "s3://b/validation.rec")
    ),
    "manifest": TrainingJob(
        **COMMON,
        hyperparameters=BUILT_IN,
        channels=augmented_manifest_channels("s3://b/train.jsonl", "s3://b/validation.jsonl"),
    ),
    "machines": TrainingJob(
        **COMMON,
        hyperparameters=BUILT_IN,
        channels=(*image_channels("s3://b/data"), model_channel("s3://b/m/model.tar.gz")),
        compute=Compute("ml.p3.2xlarge", instance_count=2, max_runtime_seconds=7_200),
        tags={"scones:project": "scones"},
    ),
    "script": TrainingJob(**COMMON, hyperparameters=SCRIPT, channels=(training_channel("s3://b/data"),)),
    "script spot": TrainingJob(
        **COMMON,
        hyperparameters=SCRIPT,
        channels=(training_channel("s3://b/data"), model_channel("s3://b/m/model.tar.gz")),
        compute=SPOT,
        tags={"scones:run": "1", "scones:project": "scones"},
    ),
}


class Wire:
    """A boto3 session whose requests end here: they are kept, and answered as AWS would answer them."""

    def __init__(self) -> None:
        self.session = boto3.Session("test", "test", region_name="us-east-1")
        self.created: list[dict[str, Any]] = []
        self.session.events.register("before-send", self._answer)

    def _answer(self, request: AWSRequest, **_: object) -> AWSResponse:
        operation = str(request.headers.get("X-Amz-Target", b""))
        if "CreateTrainingJob" in operation:
            self.created.append(json.loads(request.body))
            arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/scones-1"
            return _response(request, 200, json.dumps({"TrainingJobArn": arn}))
        if "DescribeTrainingJob" in operation:
            return _response(request, 200, json.dumps({"TrainingJobName": "x", "TrainingJobStatus": "InProgress"}))
        refusal = "<Error><Code>AccessDenied</Code><Message>the SDK looks the role up</Message></Error>"
        return _response(request, 403, f"<ErrorResponse>{refusal}</ErrorResponse>")


def _response(request: AWSRequest, status: int, body: str) -> AWSResponse:
    class Raw:
        def stream(self) -> Iterator[bytes]:
            yield body.encode()

    return AWSResponse(request.url, status, {}, Raw())


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Where both requests end."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Wire()


@pytest.mark.parametrize("name", JOBS)
def test_the_sdk_sends_the_same_request(name: str, wire: Wire) -> None:
    """Parameter by parameter both requests are equal, but for the time that the SDK adds to the job's name."""
    from sagemaker.core.helper.session_helper import Session

    TrainingJobs(sagemaker=wire.session.client("sagemaker")).start(JOBS[name])
    session = Session(wire.session, default_bucket="b")
    session.sagemaker_config = {
        "SchemaVersion": "1.0",
        "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
    }
    to_model_trainer(JOBS[name], session).train(wait=False, logs=False)
    ours, theirs = wire.created
    assert theirs.pop("TrainingJobName").startswith("scones-1-")
    assert ours.pop("TrainingJobName") == "scones-1"
    assert theirs == ours
