"""CloudFormation stacks: ownership, resources, and deletion with the contents of their buckets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from scones_ml.aws.objects import empty_bucket
from scones_ml.aws.resources import PROJECT, Resources
from scones_ml.errors import ConfigurationError, DeploymentError, TransientServiceError
from scones_ml.infrastructure.storage import BUCKETS
from scones_ml.infrastructure.template import DESCRIPTION, EARLIER_DESCRIPTIONS

__all__ = ["LOGICAL_ID", "STACK_ID", "Stacks", "bucket_tags", "describe_stack"]

_NAME: Final = "aws:cloudformation:stack-name"
STACK_ID: Final = "aws:cloudformation:stack-id"
LOGICAL_ID: Final = "aws:cloudformation:logical-id"
"""Tags that only CloudFormation can set."""
_GONE: Final = "DELETE_COMPLETE"


def describe_stack(aws: Resources, name: str) -> Mapping[str, Any] | None:
    """Describe a stack; None when it does not exist.

    Args:
        aws: makes the calls.
        name: name of the stack, or its id.

    Raises:
        ConfigurationError: permission, credentials or region are missing.
        TransientServiceError: throttled or unreachable.
    """
    try:
        answer = aws.call("cloudformation", "DescribeStacks", {"StackName": name}, f"stack {name}")
    except ConfigurationError as exc:
        if exc.code == "ValidationError":  # "If the stack doesn't exist, a ValidationError is returned" (its reference)
            return None
        raise
    found: Mapping[str, Any] = answer["Stacks"][0]
    return None if found["StackStatus"] == _GONE else found


def bucket_tags(aws: Resources, bucket: str) -> Mapping[str, str]:
    """Tags of a bucket; none when it is gone."""
    try:
        answer = aws.call("s3", "GetBucketTagging", {"Bucket": bucket}, f"s3://{bucket}")
    except ConfigurationError as exc:
        if exc.code in ("NoSuchBucket", "NoSuchTagSet"):
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


class Stacks:
    """Stacks of one account and region.

    A stack is ours, in any state, when it has our tag, when its description and the names of its resources are those of
    our template, or when a bucket in it has our tag.

    Args:
        aws: makes the calls.
    """

    def __init__(self, aws: Resources) -> None:
        self._aws = aws
        self._tried: set[str] = set()
        self._there: dict[str, bool] = {}
        self._owners: dict[str, str] | None = None

    def is_ours(self, found: Mapping[str, Any]) -> bool:
        """Whether a stack is ours.

        Args:
            found: description of the stack.
        """
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        if tags.get("scones:project") == PROJECT:
            return True
        members = self._members(found["StackName"])
        if found.get("Description") in (DESCRIPTION, *EARLIER_DESCRIPTIONS):
            # A stack that was rolled back, or never created, may have no resources at all.
            return not members or any(one["LogicalResourceId"] in BUCKETS for one in members)
        return any(self._bears_our_tag(bucket) for _, bucket in _buckets(members))

    def alarms(self, name: str) -> int:
        """Number of alarms in a stack, its only resources with a cost while idle."""
        return sum(one["ResourceType"] == "AWS::CloudWatch::Alarm" for one in self._members(name) if _exists(one))

    def owner(self, tags: Mapping[str, str], names: Iterable[str]) -> str:
        """The existing stack that owns a resource; empty when none does.

        Args:
            tags: tags of the resource.
            names: its possible names in CloudFormation: its name and its ARN.
        """
        stack = tags.get(STACK_ID) or tags.get(_NAME)
        if stack:
            if stack not in self._there:
                self._there[stack] = describe_stack(self._aws, stack) is not None
            return tags.get(_NAME, stack) if self._there[stack] else ""
        if "scones:run" in tags:  # created by a command of ours
            return ""
        if self._owners is None:
            self._owners = dict(self._owned())
        return next((self._owners[name] for name in names if name in self._owners), "")

    def remove(self, name: str) -> None:
        """Empty the buckets of our stack and start its deletion; does nothing when it is gone.

        Raises:
            TransientServiceError: the stack is being deleted, or another operation is in progress.
            DeploymentError: CloudFormation cannot or must not delete the stack; the message holds its reason.
        """
        found = describe_stack(self._aws, name)
        if found is None:
            return
        status = found["StackStatus"]
        if found.get("EnableTerminationProtection"):
            raise DeploymentError(
                f"stack {name} is protected: `aws cloudformation update-termination-protection --stack-name {name} "
                "--no-enable-termination-protection` first"
            )
        # A deletion that failed before ours is tried again; after ours the failure is final.
        if status == "DELETE_FAILED" and name in self._tried:
            raise DeploymentError(
                f"stack {name} cannot be deleted: {found.get('StackStatusReason', 'no reason given')}"
            )
        if status != "DELETE_IN_PROGRESS":
            self._delete(name, status)
        if describe_stack(self._aws, name) is not None:
            raise TransientServiceError(f"stack {name} is being deleted")
        self._there.clear()
        self._owners = None

    def emptied(self, name: str) -> tuple[str, ...]:
        """Buckets of our stack that are emptied before its deletion."""
        found = _buckets(self._members(name))
        return tuple(bucket for logical, bucket in found if logical in BUCKETS or self._bears_our_tag(bucket))

    def _delete(self, name: str, status: str) -> None:
        for bucket in self.emptied(name):  # CloudFormation deletes only empty buckets
            empty_bucket(self._aws, bucket)
        try:
            self._aws.call("cloudformation", "DeleteStack", {"StackName": name}, f"stack {name}")
        except ConfigurationError as exc:
            if status.endswith("_IN_PROGRESS"):
                raise TransientServiceError(f"stack {name} is {status}: {exc}", code=exc.code) from exc
            raise
        self._tried.add(name)

    def _members(self, stack: str) -> list[Mapping[str, Any]]:
        answer = self._aws.call("cloudformation", "DescribeStackResources", {"StackName": stack}, f"stack {stack}")
        return list(answer["StackResources"])

    def _owned(self) -> Iterator[tuple[str, str]]:
        """Stack names of all resources of all existing stacks."""
        for stack in self._listed("ListStacks", {}, "StackSummaries", "every stack"):
            if stack["StackStatus"] == _GONE:
                continue
            name = str(stack["StackName"])
            request: dict[str, object] = {"StackName": name}
            for one in self._listed("ListStackResources", request, "StackResourceSummaries", f"stack {name}"):
                if one.get("PhysicalResourceId") and _exists(one):
                    yield str(one["PhysicalResourceId"]), name

    def _listed(self, operation: str, request: dict[str, object], items: str, what: str) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._aws.call("cloudformation", operation, request, what)
            yield from answer[items]
            if not answer.get("NextToken"):
                return
            request = {**request, "NextToken": answer["NextToken"]}

    def _bears_our_tag(self, bucket: str) -> bool:
        return bucket_tags(self._aws, bucket).get("scones:project") == PROJECT


def _exists(member: Mapping[str, Any]) -> bool:
    return bool(member["ResourceStatus"] != _GONE)


def _buckets(members: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Logical and physical names of the existing buckets."""
    for one in members:
        if one["ResourceType"] == "AWS::S3::Bucket" and one.get("PhysicalResourceId") and _exists(one):
            yield str(one["LogicalResourceId"]), str(one["PhysicalResourceId"])
