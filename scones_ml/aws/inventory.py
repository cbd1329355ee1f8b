"""What is ours on AWS: what the ledger names and, when asked, all that bears our tag; and how it is removed.

Nothing is deleted before AWS has said that it bears the tag ``scones:project``. Objects in S3 bear none: they are ours
when the ledger says so, or when they lie in a bucket of our stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from scones_ml.aws.emptying import delete_objects, has_objects
from scones_ml.aws.resources import KINDS, PROJECT, Resources
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError, TransientServiceError
from scones_ml.infrastructure.designs import HOURS
from scones_ml.infrastructure.prices import price_table
from scones_ml.ledger import Ledger, Resource
from scones_ml.plans import Action, Change, Run

__all__ = ["AwsInventory"]

_ORDER: Final = (
    *("scaling policy", "scaling target", "endpoint", "log group", "endpoint config", "model", "alarm"),
    *("transform job", "training job", "stack"),
)
"""What depends on others goes first."""
_JOBS: Final = ("training job", "transform job")
_RUNNING: Final = ("InProgress", "Stopping")
_MOVING: Final = ("Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating")
_ENDPOINT_LOGS: Final = "/aws/sagemaker/Endpoints/"
_FOR_NOW: Final = ("ConcurrentUpdate", "ConcurrentModification", "Conflict", "OperationAborted", "ResourceInUse")
_PERMISSIONS: Final = {
    "log group": "logs:DeleteLogGroup",
    "object": "s3:DeleteObjectVersion",
    "objects": "s3:DeleteObjectVersion",
    "stack": "cloudformation:DeleteStack",
}


class AwsInventory:
    """Resources of one account and region.

    Args:
        place_name: ``"aws:REGION"``.
        ledger: of the workspace.
        run: that removes.
        stack: name of the CloudFormation stack that may be ours.
        resources: makes AWS's calls; none is made before it is needed.
    """

    def __init__(self, place_name: str, ledger: Ledger, run: Run, stack: str, resources: Resources) -> None:
        self._place, self._ledger, self._run = place_name, ledger, run
        self._stack, self._aws = stack, resources
        self._refused_stacks: set[str] = set()

    def resources(self, everything: bool = False) -> Sequence[Resource]:
        """See :meth:`scones_ml.ports.Inventory.resources`; without ``everything`` AWS is not asked."""
        found = list(_with_logs(one for one in self._ledger.resources() if one.place == self._place))
        if everything:
            known = {(one.kind, one.name) for one in found}
            found += [one for one in self._tagged() if (one.kind, one.name) not in known]
        return found

    def plan_removal(self, resource: Resource) -> Change:
        """See :meth:`scones_ml.ports.Inventory.plan_removal`."""
        why = f"of run {resource.run}" if resource.run else "bears our tag"
        action: Action = "stop" if resource.kind in _JOBS else "delete"
        how = KINDS.get(resource.kind)
        permission = _PERMISSIONS.get(resource.kind) or (f"{how.service}:{how.delete.operation}" if how else "")
        return Change(action, resource.kind, resource.name, why, permission, resource.dollars_per_hour)

    def remove(self, change: Change) -> None:
        """See :meth:`scones_ml.ports.Inventory.remove`; refused for now is also what AWS is still busy with."""
        with _refused_for_now():
            if change.kind in ("object", "objects"):
                self._empty(change.name)
            elif change.kind == "log group":
                self._remove_log_group(change.name)
            elif change.kind == "stack":
                self._remove_stack(change.name)
            elif change.kind in KINDS:
                self._remove(change)
            else:
                raise DeploymentError(f"cleanup knows no {change.kind}: remove it by hand")

    def is_there(self, change: Change) -> bool:
        """See :meth:`scones_ml.ports.Inventory.is_there`."""
        if change.kind in ("object", "objects"):
            return has_objects(self._aws, change.name)
        if change.kind == "log group":
            return change.name in self._log_groups(change.name)
        if change.kind == "stack":
            return self._describe_stack(change.name) is not None
        if change.kind not in KINDS:
            return True
        found = self._aws.find(change.kind, change.name)
        if found is None or (change.kind in _JOBS and _status(found) not in _RUNNING):
            return False
        return self._aws.is_ours(change.kind, change.name, found)

    def _remove(self, change: Change) -> None:
        found = self._aws.find(change.kind, change.name)
        if found is None or not self._aws.is_ours(change.kind, change.name, found):
            return
        what, status = f"{change.kind} {change.name}", _status(found)
        if change.kind in _JOBS and status not in _RUNNING:
            return
        if status in _MOVING or status == "Stopping":
            raise TransientServiceError(f"{what} is {status}: AWS removes none before that has ended")
        self._aws.perform(change, self._run)
        if change.kind in ("endpoint", *_JOBS) and self.is_there(change):
            raise TransientServiceError(f"{what} is about to go")

    def _empty(self, uri: str) -> None:
        if not uri.removeprefix("s3://").partition("/")[2]:
            raise DeploymentError(f"{uri} is a whole bucket: only that of a stack is emptied")
        delete_objects(self._aws, uri)

    def _log_groups(self, prefix: str) -> set[str]:
        request = {"logGroupNamePrefix": prefix}
        answer = self._aws.call("logs", "DescribeLogGroups", request, f"log group {prefix}")
        return {group["logGroupName"] for group in answer["logGroups"]}

    def _remove_log_group(self, name: str) -> None:
        endpoint = name.removeprefix(_ENDPOINT_LOGS)
        if name in self._log_groups(name) and self._aws.find("endpoint", endpoint) is None:
            self._aws.call("logs", "DeleteLogGroup", {"logGroupName": name}, f"log group {name}")

    def _describe_stack(self, name: str) -> Mapping[str, Any] | None:
        """A stack of ours; None when there is none, or it is not ours."""
        try:
            answer = self._aws.call("cloudformation", "DescribeStacks", {"StackName": name}, f"stack {name}")
        except ConfigurationError as exc:
            if "does not exist" in str(exc):
                return None
            raise
        (found,) = answer["Stacks"]
        if found["StackStatus"] == "DELETE_COMPLETE":
            return None
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        ours = tags.get("scones:project") == PROJECT or any(map(self._is_our_bucket, self._buckets(name)))
        return found if ours else None

    def _buckets(self, stack: str) -> list[str]:
        request = {"StackName": stack}
        answer = self._aws.call("cloudformation", "DescribeStackResources", request, f"stack {stack}")
        return [
            item["PhysicalResourceId"]
            for item in answer["StackResources"]
            if item["ResourceType"] == "AWS::S3::Bucket"
            and item.get("PhysicalResourceId")
            and item["ResourceStatus"] != "DELETE_COMPLETE"
        ]

    def _is_our_bucket(self, bucket: str) -> bool:
        try:
            answer = self._aws.call("s3", "GetBucketTagging", {"Bucket": bucket}, f"s3://{bucket}")
        except SconesError as exc:
            if "NoSuchTagSet" in str(exc) or "NoSuchBucket" in str(exc):
                return False
            raise
        return {"Key": "scones:project", "Value": PROJECT} in answer["TagSet"]

    def _remove_stack(self, name: str) -> None:
        found = self._describe_stack(name)
        if found is None:
            return
        status = found["StackStatus"]
        if status == "DELETE_FAILED" and name in self._refused_stacks:
            raise DeploymentError(
                f"stack {name} cannot be deleted: {found.get('StackStatusReason', 'no reason given')}"
            )
        if status != "DELETE_IN_PROGRESS":
            for bucket in self._buckets(name):  # CloudFormation deletes none that holds anything
                delete_objects(self._aws, f"s3://{bucket}/")
            self._aws.call("cloudformation", "DeleteStack", {"StackName": name}, f"stack {name}")
            self._refused_stacks.add(name)
        if self._describe_stack(name) is not None:
            raise TransientServiceError(f"stack {name} is being deleted")

    def _tagged(self) -> Iterator[Resource]:
        for kind in _ORDER:
            if kind == "stack":
                if self._describe_stack(self._stack) is not None:
                    yield self._found("stack", self._stack, {})
            elif kind in KINDS:
                for name in self._aws.names(kind):
                    tags = self._aws.tags(kind, name)
                    change = Change("delete", kind, name, "")
                    if tags.get("scones:project") == PROJECT and (kind not in _JOBS or self.is_there(change)):
                        yield from _with_logs([self._found(kind, name, tags)])

    def _found(self, kind: str, name: str, tags: Mapping[str, str]) -> Resource:
        expires = tags.get("scones:expires")
        return Resource(
            place=self._place,
            kind=kind,
            name=name,
            run=tags.get("scones:run", ""),
            state="created",
            since=datetime.now(UTC),
            dollars_per_hour=self._dollars_per_hour(kind, name),
            expires=datetime.fromisoformat(expires) if expires else None,
        )

    def _dollars_per_hour(self, kind: str, name: str) -> float | None:
        """At list price; None where no price is known."""
        try:
            prices = price_table(self._place.removeprefix("aws:"))
            if kind == "alarm":
                return prices.item("alarm") / HOURS
            if kind != "endpoint":
                return None if kind in (*_JOBS, "stack") else 0.0
            config = self._aws.find("endpoint config", (self._aws.find(kind, name) or {})["EndpointConfigName"]) or {}
            return sum(
                int(variant["InitialInstanceCount"]) * prices.instance(variant["InstanceType"])
                for variant in config["ProductionVariants"]
                if "InstanceType" in variant
            )
        except (ConfigurationError, KeyError):
            return None


def _status(found: Mapping[str, Any]) -> str:
    """An endpoint's or a job's status; empty for what has none."""
    return next((str(value) for key, value in found.items() if key.endswith(("EndpointStatus", "JobStatus"))), "")


def _with_logs(resources: Iterable[Resource]) -> Iterator[Resource]:
    """Each endpoint and, after it, the log group that SageMaker makes for it and forgets."""
    for one in resources:
        yield one
        if one.kind == "endpoint":
            yield Resource(
                one.place, "log group", f"{_ENDPOINT_LOGS}{one.name}", one.run, one.state, one.since, 0.0, one.expires
            )


@contextmanager
def _refused_for_now() -> Iterator[None]:
    """AWS's word for "not while something else goes on" as the error that is tried again."""
    try:
        yield
    except ConfigurationError as exc:
        said = str(exc)
        if "in-progress" in said or any(word in said for word in _FOR_NOW):
            raise TransientServiceError(said) from exc
        raise
