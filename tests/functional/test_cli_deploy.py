"""``scones deploy --on aws`` as its user sees it; moto's server plays AWS."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import boto3
import pytest

from scones_ml.cli import main

BUILT_IN = "s3://course/models/job/output/model.tar.gz"


@pytest.fixture
def account(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with a role and a bucket, as the environment names them."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
        "SCONES_BUCKET": "s3://scones-cli/vehicles",
        "SCONES_ROLE": "arn:aws:iam::123456789012:role/scones",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="scones-cli")


def test_deploy_on_aws(account: None, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command makes the endpoint, says each step, its cost and what comes next; again, it has nothing to do."""
    command = ["deploy", str(tiny_model), "--on", "aws", "--name", "cli", "--workspace", str(tmp_path)]
    assert main(command) == 0
    said = capsys.readouterr()
    steps = [line.split()[:3] for line in said.err.splitlines() if re.match(r"  \w", line)]
    assert [" ".join(step[:2]) for step in steps] == [
        "create object",
        "create model",
        "create endpoint",
        "create alarm",
        "create endpoint",
    ]
    assert "captures go to s3://scones-cli/vehicles/captures/cli" in said.err
    assert "$0.11514 an hour, $84.05 a month" in said.err
    assert "with --instances 2 the endpoint survives" in said.err
    assert "EndpointName=cli Labels=bicycle,motorcycle Threshold=0.9 ImageSize=8" in said.err
    found = boto3.client("sagemaker").describe_endpoint(EndpointName="cli")
    assert found["EndpointStatus"] == "InService"

    assert main([*command, "--json"]) == 0
    said = capsys.readouterr()
    assert "endpoint cli is up to date" in said.err
    document = json.loads(said.out)
    assert (document["name"], document["labels"], document["threshold"]) == ("cli", ["bicycle", "motorcycle"], 0.9)


def test_the_documented_transform_runs(
    account: None, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The batch transform of docs/deploy.md runs as it stands there, and its model goes."""
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"<!-- begin: transform -->\n```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, "model")
    exec(compile(example.replace("BUCKET", "scones-cli"), "docs/deploy.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "create model june",
        "create transform job june",
        "delete model june",
    ]


def test_a_plan_of_what_changes(
    account: None, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an account the plan holds what will change on what exists, and says so; nothing of it is done."""
    command = ["deploy", str(tiny_model), "--on", "aws", "--name", "planned", "--workspace", str(tmp_path)]
    assert main([*command, "--dry-run"]) == 0
    shown, said = capsys.readouterr()
    assert "compared with what exists in us-east-1" in said
    assert "create   endpoint " in shown
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out == "deploy: nothing to do\n"
    assert main([*command, "--capture-percentage", "5", "--dry-run", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert [(change["action"], change["kind"]) for change in document["changes"]] == [
        ("create", "endpoint config"),
        ("update", "endpoint"),
        ("delete", "endpoint config"),
    ]
    assert document["unseen"] == ""
    assert boto3.client("sagemaker").describe_endpoint(EndpointName="planned")["EndpointStatus"] == "InService"


def test_a_plan_without_an_account(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan is shown with its price and permissions where there are no credentials, no role and no bucket."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    command = ["deploy", str(tiny_model), "--on", "aws", "--instances", "2-4", "--dry-run"]
    assert main(command) == 0
    shown, said = capsys.readouterr()
    assert "as if nothing existed yet, since it could not be checked: SCONES_ROLE is not set" in said
    assert "s3://SCONES_BUCKET/models/" in shown
    assert "application-autoscaling:PutScalingPolicy" in shown
    assert "$0.23014 an hour" in shown
    assert main([*command, "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["dollars_per_hour"] == pytest.approx(0.23014, abs=1e-5)
    assert [change["kind"] for change in document["changes"]][-2:] == ["scaling target", "scaling policy"]


def test_what_the_built_in_algorithm_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive in S3 is deployed where it lies, with the classes, size and threshold that are given."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    options = ["--classes", "bicycle,motorcycle", "--image-size", "32", "--threshold", "0.93", "--serverless"]
    assert main(["deploy", BUILT_IN, "--on", "aws", *options, "--dry-run", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert [change["kind"] for change in document["changes"]] == ["model", "endpoint config", "endpoint"]
    container = document["changes"][0]["request"]["PrimaryContainer"]
    assert container["ModelDataUrl"] == BUILT_IN
    assert container["Environment"] == {
        "SCONES_LABELS": "bicycle,motorcycle",
        "SCONES_IMAGE_SIZE": "32",
        "SCONES_THRESHOLD": "0.93",
    }


def test_a_threshold_out_of_range_is_named_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    """A threshold that is not in (0, 1] is refused by the option's name, before anything is asked."""
    options = ["--classes", "bicycle,motorcycle", "--threshold", "93", "--on", "aws", "--dry-run"]
    assert main(["deploy", BUILT_IN, *options]) == 1
    assert "--threshold is 93: did you mean 0.93?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--instances", "2"], "--container are SageMaker's: add --on aws"),
        (["--serverless"], "--container are SageMaker's: add --on aws"),
        (["--on", "aws", "--port", "8080"], "--port is of an endpoint on this machine"),
        (["--on", "aws", "--serverless", "--instances", "2"], "a serverless endpoint has no machines"),
        (["--on", "aws", "--serverless", "--memory", "3000"], "memory of 3000 MB: give one of 1024, 2048"),
        (["--on", "aws", "--serverless", "--capture-percentage", "5"], "does not support data capture"),
        (["--on", "aws", "--memory", "2048"], "--memory is a serverless endpoint's: add --serverless"),
        (["--on", "aws", "--instances", "many"], "--instances 'many': give a number, or two as in 2-6"),
        (["--on", "aws", "--instances", "4-2"], "instances 4-2: the second must be larger"),
        (["--on", "aws", "--instance-type", "ml.m9.huge"], "InstanceType is 'ml.m9.huge', not one of"),
        (["--on", "aws", "--classes", "a,b"], "knows its classes, threshold and fit"),
        (["--on", "aws", "--name", "two words"], "is not a valid endpoint name"),
        (["--on", "aws"], "SCONES_ROLE is not set"),
    ],
)
def test_options_that_do_not_go_together(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    """What cannot be is one line that names the option and the remedy, and nothing is made."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert main(["deploy", str(tiny_model), "--workspace", str(tmp_path / "w"), *options]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("scones: ")
    assert message in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([BUILT_IN, "--on", "aws"], "give --classes"), ([BUILT_IN, "--classes", "a,b"], "deploy it with --on aws")],
)
def test_archives_in_s3(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive in S3 needs its classes, and AWS."""
    assert main(["deploy", *arguments]) == 1
    assert message in capsys.readouterr().err
