"""The example of the built-in algorithm: what it prints is what it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from scones_ml import dataset
from scones_ml.aws.requests import check_request

SCRIPT = Path(__file__).parents[2] / "examples" / "built_in_algorithm.py"
ROLE = "arn:aws:iam::123456789012:role/scones-training"
BUCKET = "scones-built-in-example"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged data set of drawings."""
    folder = tmp_path_factory.mktemp("example") / "data"
    return dataset.stage(dataset.Synthetic(per_class=10, size=32), folder).dataset.root


def run(data: Path, *options: str) -> str:
    """Run the example as its reader would."""
    command = [sys.executable, str(SCRIPT), str(data), f"s3://{BUCKET}/data", "--role", ROLE, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_sends_what_it_prints(data: Path, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both requests pass AWS's own model; with --send the data set lies in S3 and job and tuning are there."""
    notes, brace, document = run(data).partition("{")
    printed = json.loads(brace + document)
    assert notes == "note: mini_batch_size=32 is more than num_training_samples\n"
    check_request("sagemaker", "CreateTrainingJob", printed["job"])
    check_request("sagemaker", "CreateHyperParameterTuningJob", printed["tuning"])
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session()
    session.client("s3").create_bucket(Bucket=BUCKET)
    assert f"the model will be s3://{BUCKET}/data-models/example-job/output/model.tar.gz" in run(
        data, "--send", "--name", "example-job"
    )
    keys = {found["Key"] for found in session.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert {"data/train.lst", "data/validation.lst", "data/dataset.json"} < keys
    sagemaker = session.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName="example-job")
    assert job["HyperParameters"] == printed["job"]["HyperParameters"]
    name = "example-job-tuning"
    tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert tuning["HyperParameterTuningJobConfig"] == printed["tuning"]["HyperParameterTuningJobConfig"]
