"""Stacks that cleanup meets: ours in every state, other people's, and what a stack leaves; moto plays AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from scones_ml import lifecycle
from scones_ml.aws.backend import AwsBackend
from scones_ml.aws.inventory import AwsInventory
from scones_ml.aws.resources import Resources
from scones_ml.errors import ConfigurationError, TransientServiceError
from scones_ml.infrastructure.template import DESCRIPTION, EARLIER_DESCRIPTIONS, template
from scones_ml.lifecycle import RemainingResource, Takings
from scones_ml.plans import Change, Plan, Run, execute
from scones_ml.ports import LeftAlone

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/scones"
OURS = {"Key": "scones:project", "Value": "scones"}
ENDED = (
    *("CREATE_COMPLETE", "CREATE_FAILED", "DELETE_FAILED", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
    *("IMPORT_ROLLBACK_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "UPDATE_COMPLETE"),
    *("UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"),
)
"""States in which CloudFormation deletes a stack."""
BUSY = (
    *("CREATE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "IMPORT_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"),
    *("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"),
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
)
"""States in which it may refuse to."""


@lru_cache
def _client(service: str) -> Any:
    """Clients are slow to make; they outlive the account that they first spoke to."""
    return boto3.client(service)  # type: ignore[call-overload]


class Account(Resources):
    """An account of moto's whose calls are counted, and some of them refused.

    Attributes:
        refuse: operation to the error that it raises.
        answers: operation to what it answers instead of moto.
        calls: every operation, in order.
    """

    def __init__(self) -> None:
        self.client = _client
        super().__init__(self.client)
        self.refuse: dict[str, Exception] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []

    def call(self, service: str, operation: str, request: Any, what: str) -> Any:
        self.calls.append(operation)
        if operation in self.refuse:
            raise self.refuse[operation]
        if operation in self.answers:
            return self.answers[operation]
        return super().call(service, operation, request, what)

    def make_stack(self, name: str = "scones", project: str = "scones", **more: Any) -> None:
        """A stack like ours as far as moto knows its parts, with something in its buckets."""
        self.make(name, our_body(name, project), **more)

    def make(self, name: str, body: dict[str, Any], **more: Any) -> None:
        self.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(body), **more)
        s3 = self.client("s3")
        for resource in body["Resources"].values():
            if resource["Type"] == "AWS::S3::Bucket":
                s3.put_object(Bucket=resource["Properties"]["BucketName"], Key="images/a.png", Body=b"1")

    def stack(self, name: str = "scones") -> Any:
        """Moto's own object."""
        stacks = get_backend("cloudformation")[ACCOUNT][REGION].stacks.values()
        return next((stack for stack in stacks if stack.name == name), None)

    def buckets(self) -> set[str]:
        return {bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]}

    def cleanup(
        self, pause: Callable[[float], None] = pytest.fail, name: str = "scones"
    ) -> tuple[tuple[RemainingResource, ...], list[str]]:
        """What is left after `cleanup --all`, and what was said."""
        said: list[str] = []
        left = lifecycle.cleanup(self.backend(name), everything=True, pause=pause, steps=said.append)
        return left, said

    def backend(self, name: str = "scones") -> AwsBackend:
        backend = AwsBackend(Path(".scones"))
        backend.inventory = AwsInventory(backend.place_name, backend.ledger, backend.current_run, name, self)
        return backend


def owned_by(stack: str) -> dict[str, str]:
    """The tag by which CloudFormation says so."""
    return {"Key": "aws:cloudformation:stack-name", "Value": stack}


def our_body(name: str, project: str) -> dict[str, Any]:
    tags = [{"Key": "scones:project", "Value": project}]
    buckets = {
        logical: {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": f"{name}-{logical.lower()}",
                "VersioningConfiguration": {"Status": "Enabled"},
                "Tags": tags,
            },
        }
        for logical in ("InputBucket", "OutputBucket")
    }
    queue = {"DeadLetterQueue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": tags}}}
    return {"Description": DESCRIPTION, "Resources": {**buckets, **queue}}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An empty account, and an empty folder to work in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        yield Account()


@pytest.mark.parametrize("status", ENDED)
def test_our_stack_goes_in_every_state(account: Account, status: str) -> None:
    """In whatever state it is, and though its Project says vision, a stack of our template goes with its buckets."""
    account.make_stack(project="vision")
    account.stack().status = status
    assert account.cleanup() == ((), [])
    assert account.stack() is None
    assert account.buckets() == set()


@pytest.mark.parametrize("description", EARLIER_DESCRIPTIONS)
def test_a_stack_of_an_earlier_version_goes(account: Account, description: str) -> None:
    """Templates of earlier versions said it otherwise, and are known by it."""
    account.make("scones", {**our_body("scones", "vision"), "Description": description})
    assert account.cleanup() == ((), [])
    assert account.stack() is None


@pytest.mark.parametrize("status", BUSY)
def test_a_busy_stack_is_waited_for(account: Account, status: str) -> None:
    """CloudFormation that refuses to delete a stack while it works on it is asked again when it has ended."""
    account.make_stack()
    account.stack().status = status
    account.refuse["DeleteStack"] = ConfigurationError("stack scones: it is being updated", code="ValidationError")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        account.refuse.clear()

    left, said = account.cleanup(pause)
    assert left == ()
    assert waits == [1.0]
    assert said == [f"stack scones is {status}: stack scones: it is being updated"]
    assert account.stack() is None


def test_a_deletion_of_somebody_elses_is_waited_for_and_finished(account: Account) -> None:
    """A stack that is being deleted while its buckets hold something ends in DELETE_FAILED; then it is deleted anew."""
    account.make_stack()
    account.stack().status = "DELETE_IN_PROGRESS"

    def pause(_: float) -> None:
        account.stack().status = "DELETE_FAILED"

    left, said = account.cleanup(pause)
    assert (left, said) == ((), ["stack scones is being deleted"])
    assert account.stack() is None
    assert account.buckets() == set()


@pytest.mark.parametrize("status", ["DELETE_FAILED", "DELETE_IN_PROGRESS", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_without_resources_is_ours_by_its_description(account: Account, status: str) -> None:
    """A stack whose buckets are gone, or were never made, is no less ours."""
    account.make("scones", {"Description": DESCRIPTION, "Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    stack = account.stack()
    stack.status = status
    account.answers["DescribeStackResources"] = {"StackResources": []}

    def pause(_: float) -> None:
        stack.status = "DELETE_FAILED"

    assert account.cleanup(pause)[0] == ()
    assert account.stack() is None


def test_a_failure_after_our_own_deletion_is_named(account: Account) -> None:
    """What CloudFormation cannot delete, though its buckets are empty, is left over with CloudFormation's reason."""
    account.make_stack()
    stack = account.stack()

    def refuse() -> None:
        stack.status, stack.stack_status_reason = "DELETE_FAILED", "a role is in use"

    call = account.call
    account.call = lambda *what: refuse() if what[1] == "DeleteStack" else call(*what)  # type: ignore[method-assign]
    left, _ = account.cleanup(lambda _: None)
    assert [(one.kind, one.name) for one in left] == [("stack", "scones")]
    assert left[0].reason.startswith("stack scones cannot be deleted: ")


def test_a_protected_stack_keeps_what_it_holds(account: Account) -> None:
    """Of a stack with termination protection no bucket is emptied, and the remedy is named."""
    account.make_stack()
    call = account.call

    def protected(service: str, operation: str, request: Any, what: str) -> Any:
        answer = call(service, operation, request, what)
        if operation == "DescribeStacks":
            answer = {"Stacks": [{**answer["Stacks"][0], "EnableTerminationProtection": True}]}
        return answer

    account.call = protected  # type: ignore[method-assign]
    left, _ = account.cleanup()
    assert "--no-enable-termination-protection` first" in left[0].reason
    assert account.client("s3").list_objects_v2(Bucket="scones-inputbucket")["KeyCount"] == 1


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "DELETE_FAILED", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"]
)
def test_a_stack_of_somebody_else_is_named_and_stays(account: Account, status: str) -> None:
    """A stack of our name that bears neither tag nor description of ours is somebody else's, in whatever state."""
    body = {"Resources": {"InputBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "theirs"}}}}
    account.make("scones", body)
    account.stack().status = status
    left, said = account.cleanup()
    if status == "REVIEW_IN_PROGRESS":  # CloudFormation knows nothing of such a stack
        assert "`aws cloudformation delete-stack --stack-name scones`" in left[0].reason
    else:
        assert left == ()
        assert said == ["stack scones is kept: not ours: it has no tag scones:project=scones, and not our template"]
    assert account.stack().status == status
    assert account.buckets() == {"theirs"}


def test_a_nested_stack_goes_with_its_parent_alone(account: Account) -> None:
    """A stack of ours that is part of another application is left to that, and so is what it holds."""
    account.make_stack()
    (found,) = account.client("cloudformation").describe_stacks()["Stacks"]
    account.answers["DescribeStacks"] = {"Stacks": [{**found, "ParentId": "arn:aws:cloudformation:r:1:stack/shop/1"}]}
    left, said = account.cleanup()
    assert left == ()
    assert said == [
        "stack scones is kept: it is part of stack arn:aws:cloudformation:r:1:stack/shop/1, and is removed with that "
        "stack only"
    ]
    assert account.buckets() == {"scones-inputbucket", "scones-outputbucket"}


def test_another_bucket_in_our_stack_is_not_emptied(account: Account) -> None:
    """A bucket that somebody added to a stack of ours is not emptied: CloudFormation then says what is in the way."""
    body = our_body("scones", "vision")
    body["Resources"]["Archive"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "archive"}}
    account.make("scones", body)
    account.cleanup(lambda _: None)
    assert len(account.client("s3").list_objects_v2(Bucket="archive")["Contents"]) == 1


def test_what_another_stack_owns_goes_with_it_alone(account: Account, put_alarm: Callable[..., None]) -> None:
    """Cleaning stack scones touches nothing of stack scones-prod, told by CloudFormation's tags or by its own list."""
    account.make_stack()
    account.make_stack("scones-prod")
    put_alarm(account.client("cloudwatch"), "prod-errors", OURS, owned_by("scones-prod"))
    model = {"ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "image"}, "Tags": [OURS]}
    body = {"Resources": {"M": {"Type": "AWS::SageMaker::Model", "Properties": {**model, "ModelName": "theirs"}}}}
    account.make("unlike", body)
    put_alarm(account.client("cloudwatch"), "left-behind", OURS, owned_by("gone-by-now"))
    put_alarm(account.client("cloudwatch"), "made-by-hand", OURS)
    assert account.cleanup() == ((), [])
    assert account.stack() is None
    assert account.stack("scones-prod").status == "CREATE_COMPLETE"
    assert list(account.names("alarm")) == ["prod-errors"]
    assert len(list(account.names("model"))) == 1
    assert account.buckets() == {"scones-prod-inputbucket", "scones-prod-outputbucket"}


def test_what_a_stack_left_is_removed_or_named(account: Account) -> None:
    """Of a stack that is gone the log groups go by their tag; a bucket may hold something, and is named."""
    s3, logs = account.client("s3"), account.client("logs")
    s3.create_bucket(Bucket="left")
    s3.put_bucket_tagging(Bucket="left", Tagging={"TagSet": [OURS]})
    for name, tags in {"ours": {"scones:project": "scones"}, "theirs": {"scones:project": "another"}}.items():
        logs.create_log_group(logGroupName=f"/aws/lambda/{name}", tags=tags)
    left, said = account.cleanup()
    assert said == []
    assert [(one.kind, one.name) for one in left] == [("bucket", "left")]
    assert left[0].reason.endswith("if nobody needs it, run `aws s3 rb --force s3://left`")
    (group,) = logs.describe_log_groups()["logGroups"]
    assert group["logGroupName"] == "/aws/lambda/theirs"


GONE = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/gone/1"


def make_bucket(account: Account, name: str, tags: dict[str, str]) -> None:
    """A bucket with an image in it."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=name)
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    get_backend("s3")[ACCOUNT]["aws"].put_bucket_tagging(name, {one["Key"]: one["Value"] for one in tag_set})
    s3.put_object(Bucket=name, Key="a.png", Body=b"1")


def test_a_bucket_that_our_stack_left_goes(account: Account) -> None:
    """CloudFormation's own tags say that our template made a bucket; copied tags, and those of other stacks, do not."""
    made = {"aws:cloudformation:stack-id": GONE, "aws:cloudformation:logical-id": "InputBucket"}
    make_bucket(account, "left", {"scones:project": "scones", **made})
    make_bucket(account, "copied", {"scones:project": "scones"})
    make_bucket(account, "archive", {"scones:project": "scones", **made, "aws:cloudformation:logical-id": "Archive"})
    make_bucket(account, "vision", {"scones:project": "vision", **made})
    make_bucket(account, "plain", {})
    account.make_stack("scones-prod")
    kept = {"copied", "archive", "vision", "plain", "scones-prod-inputbucket", "scones-prod-outputbucket"}
    plan = lifecycle.plan_cleanup(account.backend(), everything=True)
    assert [(one.kind, one.name, one.permission) for one in plan.changes] == [("bucket", "left", "s3:DeleteBucket")]
    assert lifecycle.takings(account.backend(), plan) == Takings({"bucket": 1}, images=1)
    left, said = account.cleanup()
    assert {(one.kind, one.name) for one in left} == {("bucket", "copied"), ("bucket", "archive")}
    assert said == []
    assert account.buckets() == kept
    lines = [Change("create", "bucket", name, "") for name in (*sorted(kept), "no-such-bucket")]
    execute(Plan("x", f"aws:{REGION}", tuple(lines)), lambda _: None, account.backend().ledger, Run.new())
    account.cleanup()
    assert account.buckets() == kept


def test_a_bucket_of_another_account_is_not_ours(account: Account) -> None:
    """Names of buckets are the whole world's: what this account does not list by its tag is somebody else's."""
    made = {"aws:cloudformation:stack-id": GONE, "aws:cloudformation:logical-id": "InputBucket"}
    make_bucket(account, "elsewhere", {"scones:project": "scones", **made})
    account.answers["GetResources"] = {"ResourceTagMappingList": []}
    line = Change("create", "bucket", "elsewhere", "")
    execute(Plan("x", f"aws:{REGION}", (line,)), lambda _: None, account.backend().ledger, Run.new())
    _, said = account.cleanup()
    assert said == [
        "bucket elsewhere is kept: not ours: this account has no bucket of that name with our tag in this region"
    ]
    assert account.buckets() == {"elsewhere"}


def test_what_another_workspace_made_under_a_name_of_ours_stays(account: Account) -> None:
    """A name on record that another workspace has taken meanwhile is that workspace's; --all removes it, too."""
    other = [OURS, {"Key": "scones:run", "Value": "20261125-183520-a86377"}]
    account.client("sagemaker").create_model(ModelName="scones", ExecutionRoleArn=ROLE, Tags=other)
    backend = account.backend()
    plan = Plan("deploy", f"aws:{REGION}", (Change("create", "model", "scones", ""),))
    execute(plan, lambda _: None, backend.ledger, Run.new())
    said: list[str] = []
    assert lifecycle.cleanup(backend, steps=said.append) == ()
    assert said == [
        "model scones is kept: created by run 20261125-183520-a86377 of another workspace: `scones cleanup --on aws "
        "--all` removes it, too"
    ]
    assert list(account.names("model")) == ["scones"]
    assert account.cleanup() == ((), [])
    assert list(account.names("model")) == []


def test_what_scales_goes_before_its_endpoint(account: Account) -> None:
    """Only the endpoint tells whose its scaling is, so that goes first, also where the endpoint alone is on record."""
    sagemaker, scaling = account.client("sagemaker"), account.client("application-autoscaling")
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, Tags=[OURS])
    sagemaker.create_endpoint_config(EndpointConfigName="scones", ProductionVariants=[variant], Tags=[OURS])
    sagemaker.create_endpoint(EndpointName="scones", EndpointConfigName="scones", Tags=[OURS])
    target = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    target["ResourceId"] = "endpoint/scones/variant/AllTraffic"
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    plan = Plan("deploy", f"aws:{REGION}", (Change("create", "endpoint", "scones", ""),))
    execute(plan, lambda _: None, account.backend().ledger, Run.new())
    assert account.cleanup() == ((), [])
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("DescribeStacks", "stack"),
        ("DescribeStackResources", "stack"),
        ("ListEndpoints", "endpoint"),
        ("DescribeAlarms", "alarm"),
        ("ListTagsForResource", "alarm"),
        ("DescribeScalingPolicies", "scaling policy"),
        ("GetResources", "bucket"),
    ],
)
def test_what_could_not_be_looked_at_is_named(
    account: Account, operation: str, kind: str, put_alarm: Callable[..., None]
) -> None:
    """What AWS refuses to show is left over by name, in a plan, too; the rest is removed all the same."""
    account.make_stack(project="vision")
    put_alarm(account.client("cloudwatch"), "ours", OURS, {"Key": "scones:run", "Value": "1"})
    account.client("sagemaker").create_model(
        ModelName="ours", ExecutionRoleArn=ROLE, Tags=[OURS, {"Key": "scones:run", "Value": "1"}]
    )
    error = TransientServiceError if operation == "ListEndpoints" else ConfigurationError
    account.refuse[operation] = error("who am I may not do that")
    alone: list[LeftAlone] = []
    plan = lifecycle.plan_cleanup(account.backend(), everything=True, leave=alone.append)
    assert {one.kind for one in alone} == {kind}
    assert f"{kind} {alone[0].name}: could not be inspected: who am I may not do that" in plan.unseen
    left, _ = account.cleanup()
    assert {one.kind for one in left} == {kind}
    assert all(one.reason == "could not be inspected: who am I may not do that" for one in left)
    assert list(account.names("model")) == []


def test_a_clean_account_takes_few_calls(account: Account) -> None:
    """Cleaning up everything where there is nothing asks each service once before and once after."""
    assert account.cleanup() == ((), [])
    assert len(account.calls) == 2 * len(set(account.calls)) == 20


def test_the_page_names_what_cleaning_up_everything_takes(account: Account, put_alarm: Callable[..., None]) -> None:
    """Each call that removes a stack, what it left and what bears our tag is in docs/aws.md."""
    account.make_stack(project="vision")
    put_alarm(account.client("cloudwatch"), "made-by-hand", OURS)
    account.client("logs").create_log_group(logGroupName="/aws/lambda/left", tags={"scones:project": "scones"})
    assert account.cleanup() == ((), [])
    page = (Path(__file__).parents[2] / "docs" / "aws.md").read_text(encoding="utf-8")
    assert {call for call in account.calls if f":{call}`" not in page} == set()


def test_the_description_is_the_templates() -> None:
    """What cleanup knows our stacks by is in the template that is deployed."""
    assert template()["Description"] == DESCRIPTION
