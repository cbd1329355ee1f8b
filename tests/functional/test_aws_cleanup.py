"""Cleanup on AWS: from the record, by tag, with what AWS refuses for now; moto's server plays AWS."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from moto.backends import get_backend

from scones_ml import lifecycle
from scones_ml.aws.backend import AwsBackend
from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.inventory import AwsInventory
from scones_ml.aws.objects import delete_objects, has_objects, ours_since
from scones_ml.aws.resources import Resources
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError, SconesError, TransientServiceError
from scones_ml.events import FilteredImage
from scones_ml.plans import Change, Ledger, Plan, Resource, Run, execute
from scones_ml.ports import mark_prefix
from scones_ml.review.annotations import Annotation, AnnotationFile
from scones_ml.sagemaker.resource_kinds import KINDS

BUCKET = "scones-cleanup"
ROLE = "arn:aws:iam::123456789012:role/scones"
OURS = [{"Key": "scones:project", "Value": "scones"}]
TEMPLATE = """
Resources:
  Images:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: {bucket}
      VersioningConfiguration: {{Status: Enabled}}
      Tags: [{{Key: "scones:project", Value: {project}}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """An empty account of moto's, to which commands go too."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
        "SCONES_BUCKET": BUCKET,
        "SCONES_ROLE": ROLE,
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    return boto3.client


def everything_there() -> list[tuple[str, str]]:
    return [(kind, name) for kind in KINDS for name in Resources().names(kind)]


def cleanup(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """The exit code of a cleanup on AWS, and what it printed."""
    capsys.readouterr()
    code = main(["cleanup", "--on", "aws", *options])
    return code, capsys.readouterr().out


def test_what_was_deployed_is_gone(
    folder: Path, aws: Callable[[str], Any], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cleanup removes all that a deployment made, its log and the versions of its package too, and proves it."""
    s3 = aws("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="not/ours.txt", Body=b"1")
    assert main(["deploy", str(tiny_model), "--on", "aws"]) == 0
    aws("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/scones")
    aws("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/scones-of-others")
    assert main(["cleanup", "--on", "aws", "--dry-run", "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [(change["kind"], change["permission"]) for change in plan["changes"]] == [
        ("endpoint", "sagemaker:DeleteEndpoint"),
        ("alarm", "cloudwatch:DeleteAlarms"),
        ("endpoint config", "sagemaker:DeleteEndpointConfig"),
        ("model", "sagemaker:DeleteModel"),
        ("log group", "logs:DeleteLogGroup"),
        ("object", "s3:DeleteObjectVersion"),
    ]
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert everything_there() == []
    (version,) = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert version["Key"] == "not/ours.txt"
    (group,) = aws("logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"].endswith("of-others")
    assert cleanup(capsys) == (0, "0 resources left\n")


def test_what_others_made_needs_all(
    folder: Path,
    aws: Callable[[str], Any],
    tiny_model: Path,
    put_alarm: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What another workspace made stays, and goes with --all, by its tag; what bears no tag stays in any case."""
    assert main(["deploy", str(tiny_model), "--on", "aws", "--workspace", "other"]) == 0
    aws("sagemaker").create_model(ModelName="theirs", ExecutionRoleArn=ROLE)
    aws("sagemaker").create_model(
        ModelName="another", ExecutionRoleArn=ROLE, Tags=[{"Key": "scones:project", "Value": "another"}]
    )
    put_alarm(aws("cloudwatch"), "theirs")
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert ("endpoint", "scones") in everything_there()
    assert main(["cleanup", "--on", "aws", "--all", "--dry-run"]) == 0
    assert "$0.115" in capsys.readouterr().out
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")
    assert sorted(everything_there()) == [("alarm", "theirs"), ("model", "another"), ("model", "theirs")]


def test_a_name_on_record_is_no_proof(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model and a log group on record that bear no tag of ours are somebody else's, and are not touched."""
    aws("sagemaker").create_model(ModelName="theirs", ExecutionRoleArn=ROLE)
    ledger = AwsBackend(folder / ".scones").ledger
    plan = Plan("deploy", "aws:us-east-1", (Change("create", "model", "theirs", ""),))
    execute(plan, lambda _: None, ledger, Run.new())
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert everything_there() == [("model", "theirs")]
    assert ledger.resources() == ()


def test_a_prefix_goes_with_its_versions(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Objects on record go with their older versions and delete markers, neighbours stay; no bucket is ever emptied."""
    s3 = aws("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    backend = AwsBackend(folder / ".scones")
    mark_prefix(backend.store, BUCKET, "data/")
    for key in ("data/a", "data/a", "data/b", "data-of-others/a"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"1")
    s3.delete_object(Bucket=BUCKET, Key="data/b")
    for uri in (f"s3://{BUCKET}/data/", f"s3://{BUCKET}/"):
        plan = Plan("stage", "aws:us-east-1", (Change("create", "objects", uri, ""),))
        execute(plan, lambda _: None, backend.ledger, backend.current_run)
    code, said = cleanup(capsys)
    assert code == 1
    assert said.splitlines() == [
        f"objects s3://{BUCKET}/: s3://{BUCKET}/ is a whole bucket: only a stack's buckets are emptied",
        "1 resource left",
    ]
    answer = s3.list_object_versions(Bucket=BUCKET)
    assert [version["Key"] for version in answer["Versions"]] == ["data-of-others/a"]
    assert "DeleteMarkers" not in answer


def on_record(backend: AwsBackend, kind: str, *names: str) -> None:
    """Write down that things were made."""
    plan = Plan("stage", "aws:us-east-1", tuple(Change("create", kind, name, "") for name in names))
    execute(plan, lambda _: None, backend.ledger, backend.current_run)


def test_what_bears_no_mark_is_named(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Objects on record that we did not write, or that somebody has replaced or copied, stay, with what to do."""
    s3, backend = aws("s3"), AwsBackend(folder / ".scones")
    s3.put_object(Bucket=BUCKET, Key="theirs/a", Body=b"1")
    backend.store.write(BUCKET, "ours.tar.gz", b"1", "application/gzip")
    s3.copy_object(Bucket=BUCKET, Key="copy.tar.gz", CopySource={"Bucket": BUCKET, "Key": "ours.tar.gz"})
    backend.store.write(BUCKET, "replaced.tar.gz", b"1", "application/gzip")
    s3.put_object(Bucket=BUCKET, Key="replaced.tar.gz", Body=b"2")
    on_record(backend, "objects", f"s3://{BUCKET}/theirs/")
    on_record(backend, "object", *(f"s3://{BUCKET}/{name}.tar.gz" for name in ("ours", "copy", "replaced")))
    for options in ((), ("--all",)):
        code, said = cleanup(capsys, *options)
        assert code == 1
        assert "3 resources left" in said
        assert re.search(
            f"^objects s3://{BUCKET}/theirs/: .* `aws s3 rm --recursive s3://{BUCKET}/theirs/`$", said, re.M
        )
        assert f"`aws s3 rm s3://{BUCKET}/copy.tar.gz`" in said
    assert main(["cleanup", "--on", "aws", "--all", "--dry-run"]) == 1
    assert "cleanup: nothing else is known to be ours" in capsys.readouterr().out
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["copy.tar.gz", "replaced.tar.gz", "theirs/a"]


def test_what_was_deleted_before_a_prefix_was_ours_stays(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody's photograph that was deleted before can still be brought back; what we wrote, and deleted, goes."""
    s3, backend = aws("s3"), AwsBackend(folder / ".scones")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=BUCKET, Key="holiday/beach.jpg", Body=b"the only copy")
    s3.delete_object(Bucket=BUCKET, Key="holiday/beach.jpg")
    for version in get_backend("s3")["123456789012"]["aws"].buckets[BUCKET].keys.getlist("holiday/beach.jpg"):
        version.last_modified -= timedelta(days=1)
    mark_prefix(backend.store, BUCKET, "holiday/")
    for key in ("holiday/beach.jpg", "holiday/hills.jpg"):
        backend.store.write(BUCKET, key, b"ours", "image/jpeg")
    backend.store.delete(BUCKET, "holiday/hills.jpg")
    backend.store.delete(BUCKET, "holiday/")
    on_record(backend, "objects", f"s3://{BUCKET}/holiday/")
    assert cleanup(capsys) == (0, "0 resources left\n")
    answer = s3.list_object_versions(Bucket=BUCKET)
    assert [(one["Key"], one["IsLatest"]) for one in answer["Versions"]] == [("holiday/beach.jpg", False)]
    assert len(answer["DeleteMarkers"]) == 1


def test_a_package_that_a_model_loads_stays(
    folder: Path, aws: Callable[[str], Any], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two endpoints share a package: cleaning up after the first one leaves it to the second, and says so."""
    for name in ("first", "second"):
        assert main(["deploy", str(tiny_model), "--on", "aws", "--name", name]) == 0
    ledger = AwsBackend(folder / ".scones").ledger
    (run,) = {one.run for one in ledger.resources() if one.name == "first"}
    code, said = cleanup(capsys, "--run", run)
    assert code == 1
    assert re.fullmatch(
        r"object s3://(\S+): s3://\1 is kept, because model second-\w+ loads it\n1 resource left\n", said
    )
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert everything_there() == []


def test_logs_outlive_their_endpoint_on_record(
    folder: Path, aws: Callable[[str], Any], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cleanup that was cut short after the endpoint still owes its log group, and the next one removes it."""
    assert main(["deploy", str(tiny_model), "--on", "aws"]) == 0
    aws("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/scones")
    backend = AwsBackend(folder / ".scones")
    (endpoint,) = [change for change in lifecycle.plan_cleanup(backend).changes if change.kind == "endpoint"]
    execute(
        Plan("cleanup", "aws:us-east-1", (endpoint,)), backend.inventory.remove, backend.ledger, backend.current_run
    )
    assert "log group" in [change.kind for change in lifecycle.plan_cleanup(backend).changes]
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert aws("logs").describe_log_groups()["logGroups"] == []
    assert lifecycle.plan_cleanup(backend).changes == ()


def test_a_log_group_that_is_older_stays(
    folder: Path, aws: Callable[[str], Any], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log group that was there before our endpoint is another endpoint's, too: it stays, untagged, and is named."""
    aws("logs").create_log_group(logGroupName=log_group("scones"))
    assert main(["deploy", str(tiny_model), "--on", "aws"]) == 0
    get_backend("sagemaker")["123456789012"]["us-east-1"].endpoints["scones"].creation_time += timedelta(days=1)
    capsys.readouterr()
    assert main(["cleanup", "--on", "aws"]) == 0
    said = capsys.readouterr()
    assert said.out == "0 resources left\n"
    assert f"log group {log_group('scones')} is kept: not ours: it has no tag scones:project=scones" in said.err
    assert len(aws("logs").describe_log_groups()["logGroups"]) == 1


def test_logs_go_when_somebody_deleted_the_endpoint(
    folder: Path, aws: Callable[[str], Any], tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log group bears our tag from the deployment on, so it goes though somebody else deleted the endpoint."""
    aws("logs").create_log_group(logGroupName=log_group("scones"))
    get_backend("logs")["123456789012"]["us-east-1"].groups[log_group("scones")].creation_time += timedelta(days=1)
    assert main(["deploy", str(tiny_model), "--on", "aws"]) == 0
    aws("sagemaker").delete_endpoint(EndpointName="scones")
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert aws("logs").describe_log_groups()["logGroups"] == []


def test_a_log_group_whose_name_somebody_took_stays(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Our tag on a log group does not outweigh that somebody else's endpoint writes to it now."""
    sagemaker, logs = aws("sagemaker"), aws("logs")
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="scones", EndpointConfigName="c")
    logs.create_log_group(logGroupName=log_group("scones"), tags={"scones:project": "scones", "scones:run": "1"})
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")
    assert len(logs.describe_log_groups()["logGroups"]) == 1


@pytest.mark.parametrize("project", ["scones", "another"])
def test_a_stack_goes_with_all_when_it_is_ours(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str], project: str
) -> None:
    """The stack is deleted after its buckets were emptied, but only when its buckets bear our tag."""
    aws("cloudformation").create_stack(
        StackName="scones", TemplateBody=TEMPLATE.format(bucket="scones-pictures", project=project)
    )
    for _ in range(2):
        aws("s3").put_object(Bucket="scones-pictures", Key="a", Body=b"1")
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")
    buckets = {bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]}
    assert buckets == {BUCKET} | ({"scones-pictures"} if project == "another" else set())


def test_a_stack_whose_buckets_bear_no_tag_stays(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack of our name with a bucket without tags, and one with a bucket that is gone, are somebody else's."""
    body = {"Resources": {"Pictures": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "untagged"}}}}
    aws("cloudformation").create_stack(StackName="scones", TemplateBody=json.dumps(body))
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")
    aws("s3").delete_bucket(Bucket="untagged")
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")
    assert len(aws("cloudformation").describe_stacks(StackName="scones")["Stacks"]) == 1


def test_a_bucket_that_is_gone_holds_nothing(aws: Callable[[str], Any]) -> None:
    """Objects on record whose bucket somebody has deleted are gone."""
    uri = "s3://scones-deleted-long-ago/data/"
    assert not has_objects(Resources(), uri)
    assert ours_since(Resources(), uri) is None
    delete_objects(Resources(), uri, datetime.now(UTC))


def test_a_job_is_stopped(folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A training job that has ended stays on AWS's record and counts as gone."""
    aws("sagemaker").create_training_job(
        TrainingJobName="scones-1",
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=OURS,
    )
    assert cleanup(capsys, "--all") == (0, "0 resources left\n")


class Busy(Resources):
    """AWS with one endpoint of ours that goes through given statuses, one a look; "" is gone."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.deleted: list[str] = []

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"EndpointStatus": status} if status else None

    def tags(self, kind: str, name: str, found: object = None) -> dict[str, str]:
        return {"scones:project": "scones", "scones:run": "1"}

    def call(self, service: str, operation: str, request: object, what: str) -> dict[str, Any]:
        assert operation == "DescribeLogGroups"
        return {"logGroups": []}

    def perform(self, change: Change, run: Run) -> None:
        self.deleted.append(change.name)


def busy_inventory(tmp_path: Path, *statuses: str) -> tuple[AwsInventory, Busy]:
    aws = Busy(*statuses)
    return AwsInventory("aws:us-east-1", Ledger(tmp_path / "ledger.jsonl"), Run("1"), "scones", aws), aws


def test_an_endpoint_that_changes_is_waited_for(tmp_path: Path) -> None:
    """While an endpoint is made or updated AWS deletes none: cleanup waits, deletes, and waits until it is gone."""
    inventory, aws = busy_inventory(tmp_path, "Creating", "Updating", "InService", "Deleting", "Deleting", "")
    waits, said = list[float](), list[str]()
    change = Change("delete", "endpoint", "scones", "")
    lifecycle.cleaning.retry_while_transient(lambda: inventory.remove(change), waits.append, said.append)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert [line.partition(":")[0] for line in said] == [
        "endpoint scones is Creating",
        "endpoint scones is Updating",
        "endpoint scones is being deleted",
        "endpoint scones is Deleting",
    ]
    assert aws.deleted == ["scones"]


class Refusing(Busy):
    """The same, and every deletion is refused."""

    def __init__(self, code: str, *statuses: str) -> None:
        super().__init__(*statuses)
        self.code = code

    def perform(self, change: Change, run: Run) -> None:
        raise ConfigurationError("endpoint scones: AWS said so", code=self.code)


@pytest.mark.parametrize(
    ("code", "statuses", "error"),
    [
        ("ValidationException", ("InService", "Updating"), TransientServiceError),
        ("ValidationException", ("InService",), ConfigurationError),
        ("AccessDeniedException", ("InService",), ConfigurationError),
        ("ResourceInUse", ("InService",), TransientServiceError),
    ],
)
def test_what_is_refused_for_now_is_known_by_code_and_status(
    tmp_path: Path, code: str, statuses: tuple[str, ...], error: type[SconesError]
) -> None:
    """A deletion is tried again when AWS says that the thing is in use, or when it has begun to change meanwhile."""
    aws = Refusing(code, *statuses)
    inventory = AwsInventory("aws:us-east-1", Ledger(tmp_path / "ledger.jsonl"), Run("1"), "scones", aws)
    with pytest.raises(SconesError) as caught:
        inventory.remove(Change("delete", "endpoint", "scones", ""))
    assert (type(caught.value), caught.value.code) == (error, code)


def test_a_failed_endpoint_is_deleted(tmp_path: Path) -> None:
    """An endpoint that has failed can be deleted at once."""
    inventory, aws = busy_inventory(tmp_path, "Failed", "")
    inventory.remove(Change("delete", "endpoint", "scones", ""))
    assert aws.deleted == ["scones"]


def test_an_unknown_kind_is_left_and_named(tmp_path: Path) -> None:
    """What a newer version of the library made is not guessed at: it is left over, and said to be."""
    inventory, _ = busy_inventory(tmp_path, "")
    change = Change("delete", "spaceship", "x", "")
    with pytest.raises(Exception, match="clean-up does not handle a spaceship: remove it by hand"):
        inventory.remove(change)
    assert inventory.is_there(change)


def test_resources_are_from_the_place_alone(tmp_path: Path) -> None:
    """What the ledger holds of another region or of this machine is none of this backend's business."""
    inventory, _ = busy_inventory(tmp_path, "")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for place, name in {"local": "/model", "aws:eu-west-1": "there", "aws:us-east-1": "here"}.items():
        execute(Plan("x", place, (Change("create", "model", name, ""),)), lambda _: None, ledger, Run("1"))
    found: list[Resource] = list(inventory.resources())
    assert [one.name for one in found] == ["here"]


def test_a_prefix_that_was_refused_is_never_emptied(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A staging that was refused because a prefix holds somebody's objects does not make them ours to remove."""
    s3 = aws("s3")
    s3.put_object(Bucket=BUCKET, Key="holiday/beach.jpg", Body=b"the only copy")
    assert main(["stage", "synthetic", f"s3://{BUCKET}/holiday", "--per-class", "20"]) == 1
    assert "holds 1 other object, such as beach.jpg: choose another prefix" in capsys.readouterr().err
    assert cleanup(capsys) == (0, "0 resources left\n")
    assert s3.get_object(Bucket=BUCKET, Key="holiday/beach.jpg")["Body"].read() == b"the only copy"


def stage_and_review(backend: AwsBackend, doubtful: Callable[..., FilteredImage]) -> str:
    """Three images of ours wait for a review, one of somebody else's does, too, and one of ours was answered."""
    s3 = boto3.client("s3")
    for bucket in ("scones-input", "scones-output"):
        s3.create_bucket(Bucket=bucket)
    mark_prefix(backend.store, "scones-input", "runs/1/")
    on_record(backend, "objects", "s3://scones-input/runs/1/")
    for key in ("runs/1/a.png", "runs/1/b.png", "runs/1/c.png", "theirs/d.png"):
        image = doubtful(backend.store, key, b"1", (0.4, 0.6), ("bicycle", "motorcycle"))
        if key.endswith("c.png"):
            answer = Annotation.to(image, "bicycle", id="1", time=datetime.now(UTC), reviewer="ann")
            AnnotationFile(backend.workspace / "reviews" / "answers.jsonl").append(answer)
    return "cleanup removes 3 images, 2 of them not reviewed yet"


@pytest.fixture
def waiting(
    folder: Path, aws: Callable[[str], Any], doubtful: Callable[..., FilteredImage], monkeypatch: pytest.MonkeyPatch
) -> str:
    """What cleanup says of a workspace of which images on AWS wait for a review."""
    monkeypatch.setenv("SCONES_INPUT_BUCKET", "scones-input")
    monkeypatch.setenv("SCONES_OUTPUT_BUCKET", "scones-output")
    return stage_and_review(AwsBackend(folder / ".scones"), doubtful)


def test_images_that_wait_for_a_review_go_when_told(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What goes is counted first; where nobody can be asked, unreviewed images go with --yes alone."""
    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket="scones-input")["Contents"]]
    assert main(["cleanup", "--on", "aws"]) == 1
    said = capsys.readouterr().err
    assert waiting in said
    assert re.search(r"2 images not reviewed yet .*`scones review` shows what waits; --yes removes it", said)
    assert keys == [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket="scones-input")["Contents"]]
    assert cleanup(capsys, "--yes") == (0, "0 resources left\n")
    (left,) = boto3.client("s3").list_objects_v2(Bucket="scones-input")["Contents"]
    assert left["Key"] == "theirs/d.png"


def test_a_queue_that_cannot_be_read_is_no_empty_one(waiting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where outcomes may not be read, images may wait for a review: they go with --yes alone."""
    backend = AwsBackend(Path(".scones"))
    plan = lifecycle.plan_cleanup(backend)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise ConfigurationError("not allowed", code="AccessDenied")

    backend.store.read = refuse  # type: ignore[method-assign]
    assert lifecycle.takings(backend, plan).unreviewed is None


def test_what_is_not_ours_is_not_counted(
    folder: Path, aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is on record and gone, or somebody else's, is no part of what cleanup says that it removes."""
    aws("sagemaker").create_model(ModelName="theirs", ExecutionRoleArn=ROLE)
    aws("s3").put_object(Bucket=BUCKET, Key="theirs/a.png", Body=b"1")
    backend = AwsBackend(folder / ".scones")
    on_record(backend, "model", "theirs", "gone")
    on_record(backend, "objects", f"s3://{BUCKET}/theirs/")
    assert lifecycle.takings(backend, lifecycle.plan_cleanup(backend)) == lifecycle.Takings({})
    main(["cleanup", "--on", "aws"])
    assert "cleanup removes" not in capsys.readouterr().err


class Counted(Resources):
    """AWS, each of whose calls is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def call(self, service: str, operation: str, request: Any, what: str) -> Any:
        self.calls.append(operation)
        return super().call(service, operation, request, what)


def test_models_are_asked_for_packages_alone(folder: Path, aws: Callable[[str], Any]) -> None:
    """Images are no model's to load; for packages each model is described once, whatever it loads them by."""
    backend, resources = AwsBackend(folder / ".scones"), Counted()
    container = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/many/"}
    aws("sagemaker").create_model(
        ModelName="many", ExecutionRoleArn=ROLE, PrimaryContainer={**container, "Mode": "MultiModel"}
    )
    pipeline = [{"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/second.tar.gz"}]
    aws("sagemaker").create_model(ModelName="pipeline", ExecutionRoleArn=ROLE, Containers=pipeline)
    backend.inventory = AwsInventory(backend.place_name, backend.ledger, backend.current_run, "scones", resources)
    mark_prefix(backend.store, BUCKET, "runs/")
    for key in ("runs/a.png", "many/first.tar.gz", "second.tar.gz", "third.tar.gz"):
        backend.store.write(BUCKET, key, b"1", "application/gzip")
    on_record(backend, "objects", f"s3://{BUCKET}/runs/")
    assert lifecycle.cleanup(backend) == ()
    assert "ListModels" not in resources.calls
    keys = ("many/first.tar.gz", "second.tar.gz", "third.tar.gz")
    on_record(backend, "object", *(f"s3://{BUCKET}/{key}" for key in keys))
    left = lifecycle.cleanup(backend)
    assert {one.name: one.reason.rpartition(" is kept, ")[2] for one in left} == {
        f"s3://{BUCKET}/many/first.tar.gz": "because model many loads it",
        f"s3://{BUCKET}/second.tar.gz": "because model pipeline loads it",
    }
    assert resources.calls.count("DescribeModel") == 2


class Locked(Resources):
    """S3 that refuses to delete some versions, each with a code."""

    def __init__(self, codes: dict[str, str]) -> None:
        super().__init__()
        self.codes = codes

    def call(self, service: str, operation: str, request: Any, what: str) -> Any:
        if operation != "DeleteObjects":
            return super().call(service, operation, request, what)
        versions = request["Delete"]["Objects"]
        errors = [{"Key": one["Key"], "Code": self.codes[one["Key"]]} for one in versions if one["Key"] in self.codes]
        others = [one for one in versions if one["Key"] not in self.codes]
        if others:
            super().call(service, operation, {**request, "Delete": {"Objects": others, "Quiet": True}}, what)
        return {"Errors": [{**error, "Message": "no"} for error in errors]}


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        ({"data/0001": "AccessDenied", "data/0002": "SlowDown"}, ConfigurationError),
        ({"data/0001": "SlowDown", "data/0002": "InternalError"}, TransientServiceError),
    ],
)
def test_a_locked_version_keeps_no_other_from_going(
    folder: Path, aws: Callable[[str], Any], codes: dict[str, str], error: type[SconesError]
) -> None:
    """Of 1,100 objects all go but those that S3 refuses; it is said how many, and what is throttled is tried again."""
    backend = AwsBackend(folder / ".scones")
    mark_prefix(backend.store, BUCKET, "data/")
    bucket = get_backend("s3")["123456789012"]["aws"]
    for number in range(1_100):
        bucket.put_object(BUCKET, f"data/{number:04}", b"1")
    uri = f"s3://{BUCKET}/data/"
    since = ours_since(Resources(), uri)
    assert since is not None
    with pytest.raises(error, match=f"s3://{BUCKET}/data/0001: {codes['data/0001']}: no, and 1 more versions"):
        delete_objects(Locked(codes), uri, since)
    keys = [item["Key"] for item in aws("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["data/", *codes]
