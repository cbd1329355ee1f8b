"""Records that lie: whatever a ledger says, nothing of somebody else's is touched on AWS, which moto plays.

One generator writes all of them. Everything that is not ours is counted before and after, by name and by content.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from scones_ml import lifecycle
from scones_ml.aws.backend import AwsBackend
from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.inventory import AwsInventory
from scones_ml.aws.resources import Resources
from scones_ml.ports import mark_prefix
from scones_ml.sagemaker.resource_kinds import KINDS

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/somebody"
OURS = "scones:project"
BUCKETS = ("foreign-data", "foreign-plain", "scones-lookalike")
KEYS = ("data/a.png", "data/b.png", "models/m/model.tar.gz", "runs/1/a.png", "notes.txt", "data/", "runs/1/")
NAMES = ("scones", "theirs", "scones-1f2e3d4c5b6a", "endpoint/scones/variant/AllTraffic")
TAGS: tuple[dict[str, str], ...] = (
    {},
    {OURS: "another"},
    {"scones:run": "20261125-183520-a86377"},
    {OURS: "scones", "aws:cloudformation:stack-name": "scones-prod"},
)
"""Tags that make nothing ours: the last one's stack is there, so that what it owns goes with it alone."""


def backend_of(service: str) -> Any:
    """What moto's server knows of a service."""
    return get_backend(service)[ACCOUNT][REGION]  # type: ignore[call-overload]


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Makes clients of an empty account of moto's, in this process: calls are many, and need no network."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "SCONES_BUCKET": "foreign-data",
        "SCONES_ROLE": ROLE,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        yield lru_cache(boto3.client)


def settle(aws: Callable[[str], Any], put_alarm: Callable[..., None]) -> None:
    """What somebody else has in the account: buckets with data, one thing of each kind for each name, two stacks."""
    s3, sagemaker = aws("s3"), aws("sagemaker")
    store = AwsBackend(Path("elsewhere")).store
    for number, bucket in enumerate(BUCKETS):
        s3.create_bucket(Bucket=bucket)
        if number != 1:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key in KEYS:
            s3.put_object(Bucket=bucket, Key=key, Body=f"{bucket} {key}".encode())
        s3.delete_object(Bucket=bucket, Key="data/b.png")
    # A copy of something that we wrote, with its mark, is no longer at the place that the mark names.
    s3.create_bucket(Bucket="origin")
    mark_prefix(store, "origin", "data/")
    s3.copy_object(Bucket="foreign-plain", Key="data/", CopySource={"Bucket": "origin", "Key": "data/"})
    s3.delete_object(Bucket="origin", Key="data/")
    for number, name in enumerate(NAMES[:3]):
        tags = [{"Key": key, "Value": value} for key, value in TAGS[number + 1].items()]
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, Tags=tags)
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large"}
        config = [{**variant, "InitialInstanceCount": 1}]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=config, Tags=tags)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
        aws("logs").create_log_group(logGroupName=log_group(name))
        sagemaker.create_training_job(**training_job(name), Tags=tags)
        backend_of("sagemaker").training_jobs[name].training_job_status = "InProgress"
        put_alarm(aws("cloudwatch"), name, *tags)
    aws("logs").create_log_group(logGroupName="/aws/lambda/theirs")
    body = {"Resources": {"Photos": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "stacked"}}}}
    for stack in ("scones", "scones-prod"):
        body["Resources"]["Photos"]["Properties"]["BucketName"] = f"stacked-{stack}"  # type: ignore[index]
        aws("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps(body))
        s3.put_object(Bucket=f"stacked-{stack}", Key="a", Body=b"1")


def training_job(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://foreign-data/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def bystanders(aws: Callable[[str], Any], resources: Resources) -> set[tuple[str, ...]]:
    """Everything in the account: resources with their state and tags, versions of objects, log groups, stacks."""
    found = {(kind, name) for kind in KINDS for name in resources.names(kind)}
    running = {job.training_job_name for job in backend_of("sagemaker").training_jobs.values()}
    found |= {("running", name) for name in running if status(aws, name) == "InProgress"}
    for bucket in aws("s3").list_buckets()["Buckets"]:
        answer = aws("s3").list_object_versions(Bucket=bucket["Name"])
        for one in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
            found.add((bucket["Name"], one["Key"], one["VersionId"], one.get("ETag", "")))  # type: ignore[arg-type]
        found.add(("bucket", bucket["Name"]))
    for group in aws("logs").describe_log_groups()["logGroups"]:
        tags = aws("logs").list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"]
        found.add((group["logGroupName"], str(tags)))  # type: ignore[arg-type]
    stacks = aws("cloudformation").describe_stacks()["Stacks"]
    return found | {(stack["StackName"], stack["StackStatus"]) for stack in stacks}  # type: ignore[return-value]


def status(aws: Callable[[str], Any], name: str) -> str:
    return str(aws("sagemaker").describe_training_job(TrainingJobName=name)["TrainingJobStatus"])


def hostile_lines(rng: random.Random) -> Iterator[dict[str, object]]:
    """Lines of a ledger, each of which names something of somebody else's, of every kind that a line can have."""
    now = datetime.now(UTC)
    for _ in range(rng.randint(1, 6)):
        kind = rng.choice([*KINDS, "object", "objects", "objects", "log group", "stack", "bucket", "function"])
        yield {
            "format": 1,
            "time": (now - timedelta(days=rng.choice([-1, 0, 400]))).isoformat(),
            "run": rng.choice(["20261125-183520-a86377", "", "x"]),
            "state": rng.choice(["creating", "created", "deleting"]),
            "place": f"aws:{REGION}",
            "kind": kind,
            "name": _name(kind, rng),
            "dollars_per_hour": 0.0,
            "expires": None,
        }


def _name(kind: str, rng: random.Random) -> str:
    bucket = rng.choice([*BUCKETS, "stacked-scones", "stacked-scones-prod", "no-such-bucket"])
    if kind == "objects":
        return f"s3://{bucket}/{rng.choice(['', 'data/', 'data', 'runs/', 'runs/1/', 'models/m/', '../', 'data//'])}"
    if kind == "object":
        return f"s3://{bucket}/{rng.choice(KEYS)}"
    if kind == "log group":
        return rng.choice([*map(log_group, NAMES[:3]), "/aws/lambda/theirs"])
    if kind in ("stack", "bucket"):
        return rng.choice(["scones", "scones-prod", *BUCKETS])
    return rng.choice([*NAMES, "../scones", "s3://foreign-data/data/", "*"])


def hostile_runs(
    count: int, first: int, aws: Callable[[str], Any], put_alarm: Callable[..., None], folder: Path
) -> None:
    """Clean up by so many hostile ledgers, and by some everything that there is; nothing changes."""
    settle(aws, put_alarm)
    resources = Resources(aws)
    before = bystanders(aws, resources)
    assert len(before) > 50
    for seed in range(first, first + count):
        rng = random.Random(seed)
        workspace = folder / f"w{seed}"
        workspace.mkdir()
        lines = "".join(json.dumps(line) + "\n" for line in hostile_lines(rng))
        (workspace / "ledger.jsonl").write_text(lines)
        everything = rng.random() < 0.15  # takes ten times as many calls
        backend = AwsBackend(workspace)
        backend.inventory = AwsInventory(
            backend.place_name, backend.ledger, backend.current_run, "scones", resources
        )  # clients are slow to make
        lifecycle.cleanup(backend, everything=everything, pause=pytest.fail)
        assert bystanders(aws, resources) == before, f"seed {seed}, everything={everything}:\n{lines}"


def test_no_ledger_makes_anything_ours(
    aws: Callable[[str], Any], put_alarm: Callable[..., None], tmp_path: Path
) -> None:
    """Of 60 ledgers that name other people's things, of every kind, none has anything removed, emptied or tagged."""
    hostile_runs(60, 0, aws, put_alarm, tmp_path)


@pytest.mark.reliability
def test_no_ledger_of_many_makes_anything_ours(
    aws: Callable[[str], Any], put_alarm: Callable[..., None], tmp_path: Path
) -> None:
    """The same of 500."""
    hostile_runs(500, 1_000, aws, put_alarm, tmp_path)
