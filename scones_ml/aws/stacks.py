"""The CloudFormation stack: described and, when it is ours, priced and deleted with what its buckets hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scones_ml.aws.objects import delete_objects
from scones_ml.aws.resources import PROJECT, Resources
from scones_ml.errors import ConfigurationError, DeploymentError, TransientServiceError

__all__ = ["Stacks", "describe_stack"]


def describe_stack(aws: Resources, name: str) -> Mapping[str, Any] | None:
    """What CloudFormation says of a stack; None when there is none of that name.

    Args:
        aws: makes the calls.
        name: of the stack.

    Raises:
        ConfigurationError: no permission to ask, no credentials or no region.
        TransientServiceError: throttled or out of reach.
    """
    try:
        answer = aws.call("cloudformation", "DescribeStacks", {"StackName": name}, f"stack {name}")
    except ConfigurationError as exc:
        if exc.code == "ValidationError":  # "If the stack doesn't exist, a ValidationError is returned" (its reference)
            return None
        raise
    found: Mapping[str, Any] = answer["Stacks"][0]
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


class Stacks:
    """Stacks of one account and region; one is ours when it, or a bucket in it, bears our tag.

    Args:
        aws: makes the calls.
    """

    def __init__(self, aws: Resources) -> None:
        self._aws = aws
        self._tried: set[str] = set()

    def find(self, name: str) -> Mapping[str, Any] | None:
        """Describe a stack of ours; None when there is none, or it is not ours."""
        found = describe_stack(self._aws, name)
        if found is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        ours = tags.get("scones:project") == PROJECT or any(map(self._is_our_bucket, self._members(name, "S3::Bucket")))
        return found if ours else None

    def alarms(self, name: str) -> int:
        """How many alarms a stack has: they alone cost something while nothing happens."""
        return len(self._members(name, "CloudWatch::Alarm"))

    def remove(self, name: str) -> None:
        """Empty its buckets and have it deleted; nothing happens when there is none of that name, or it is not ours.

        Raises:
            TransientServiceError: it is being deleted.
            DeploymentError: CloudFormation cannot delete it; the message holds its reason.
        """
        found = self.find(name)
        if found is None:
            return
        status = found["StackStatus"]
        # A deletion that failed before our own is tried again; after ours the failure is final.
        if status == "DELETE_FAILED" and name in self._tried:
            raise DeploymentError(
                f"stack {name} cannot be deleted: {found.get('StackStatusReason', 'no reason given')}"
            )
        if status != "DELETE_IN_PROGRESS":
            for bucket in self._members(name, "S3::Bucket"):  # CloudFormation deletes none that holds anything
                delete_objects(self._aws, f"s3://{bucket}/")
            self._aws.call("cloudformation", "DeleteStack", {"StackName": name}, f"stack {name}")
            self._tried.add(name)
        if self.find(name) is not None:
            raise TransientServiceError(f"stack {name} is being deleted")

    def _members(self, stack: str, kind: str) -> list[str]:
        answer = self._aws.call("cloudformation", "DescribeStackResources", {"StackName": stack}, f"stack {stack}")
        return [
            item["PhysicalResourceId"]
            for item in answer["StackResources"]
            if item["ResourceType"] == f"AWS::{kind}"
            and item.get("PhysicalResourceId")
            and item["ResourceStatus"] != "DELETE_COMPLETE"
        ]

    def _is_our_bucket(self, bucket: str) -> bool:
        try:
            answer = self._aws.call("s3", "GetBucketTagging", {"Bucket": bucket}, f"s3://{bucket}")
        except ConfigurationError as exc:
            if exc.code in ("NoSuchBucket", "NoSuchTagSet"):
                return False
            raise
        return {"Key": "scones:project", "Value": PROJECT} in answer["TagSet"]
