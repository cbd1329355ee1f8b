"""Ownership of resources on AWS, proved by AWS's own data, never by a name or a record.

A resource is ours by the tag ``scones:project``, unless a stack owns it and removes it; an object in S3 by the mark
that we wrote; a stack by its tags or its template; a bucket that a stack left by CloudFormation's tags.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.log_groups import find_logs, is_of, tags_of_logs
from scones_ml.aws.objects import has_objects, ours_since
from scones_ml.aws.orphans import tagged_buckets_and_logs
from scones_ml.aws.resources import PROJECT, RUNNING, Resources, status_of
from scones_ml.aws.stacks import LOGICAL_ID, STACK_ID, Stacks, bucket_tags, describe_stack
from scones_ml.events import parse_uri
from scones_ml.infrastructure.storage import BUCKETS
from scones_ml.sagemaker.resource_kinds import KINDS

__all__ = ["JOBS", "OBJECTS", "OURS", "Look", "Ownership", "unproven"]

JOBS: Final = ("training job", "transform job")
OBJECTS: Final = ("object", "objects")


@dataclass(frozen=True, slots=True)
class Look:
    """Ownership of a resource, according to AWS.

    Attributes:
        there: whether it exists; a job that has ended does not.
        objection: why it is not ours, or not known to be; empty when it is ours.
        foreign: whether it is known to be someone else's.
        found: its description, for kinds in the table.
    """

    there: bool
    objection: str = ""
    foreign: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)


GONE: Final = Look(there=False)
OURS: Final = Look(there=True)


def _foreign(objection: str) -> Look:
    return Look(there=True, objection=objection, foreign=True)


def unproven(remove: str) -> str:
    """The reason why a resource with our tag is kept when no command of ours and no stack is known to have created it.

    Args:
        remove: the AWS CLI command that removes it.
    """
    return f"it has our tag and no stack owns it: if nobody needs it, run `aws {remove}`"


class Ownership:
    """Ownership of the resources in one account and region.

    Args:
        aws: makes the calls.
        stacks: stacks of the account and region.
        runs: ids of this workspace's runs.

    Attributes:
        of_any_run: whether resources of other workspaces count as ours.
    """

    def __init__(self, aws: Resources, stacks: Stacks, runs: Callable[[], Collection[str]]) -> None:
        self._aws, self._stacks, self._runs = aws, stacks, runs
        self.of_any_run = False

    def look(self, kind: str, name: str) -> Look:
        """Look up one resource.

        Raises:
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or unreachable.
        """
        if kind in OBJECTS:
            return self._look_at_objects(name)
        if kind == "log group":
            return self._look_at_logs(name)
        if kind == "stack":
            return self.look_at_stack(describe_stack(self._aws, name))
        if kind == "bucket":
            return self._look_at_bucket(name)
        if kind not in KINDS:
            return Look(there=True, objection=f"clean-up does not handle a {kind}: remove it by hand")
        found = self._aws.find(kind, name)
        if found is None or (kind in JOBS and status_of(found) not in RUNNING):
            return GONE
        look = self.look_at_tags(self._aws.tags(kind, name, found), name, str(found.get(KINDS[kind].arn, "")))
        return replace(look, found=found)

    def look_at_tags(self, tags: Mapping[str, str], *names: str) -> Look:
        """Ownership of an existing resource, by its tags.

        Args:
            tags: all its tags.
            names: its possible names in CloudFormation.
        """
        if tags.get("scones:project") != PROJECT:
            return _foreign(f"not ours: it has no tag scones:project={PROJECT}")
        run = tags.get("scones:run")
        if run and not self.of_any_run and run not in self._runs():
            return _foreign(
                f"created by run {run} of another workspace: `scones cleanup --on aws --all` removes it, too"
            )
        owner = self._stacks.owner(tags, names)
        return _foreign(f"stack {owner} owns it: it is removed with that stack only") if owner else OURS

    def _look_at_objects(self, uri: str) -> Look:
        if not parse_uri(uri)[1]:
            return Look(there=True, objection=f"{uri} is a whole bucket: only a stack's buckets are emptied")
        if ours_since(self._aws, uri):
            return OURS
        if not has_objects(self._aws, uri):
            return GONE
        recursive = " --recursive" if uri.endswith("/") else ""
        return Look(
            there=True,
            objection="left alone: it is on record, but has no mark of ours (version 0.1.0 wrote none; a record proves "
            f"nothing): if it is yours and not needed, run `aws s3 rm{recursive} {uri}`",
        )

    def _look_at_logs(self, group: str) -> Look:
        found = find_logs(self._aws, group)
        if found is None:
            return GONE
        endpoint = group.removeprefix(log_group(""))
        if endpoint != group:
            # Someone else's endpoint may have taken the name, and the log group with it.
            look = self.look("endpoint", endpoint)
            if look.objection or (look.there and is_of(found, look.found)):
                return look
        return self.look_at_tags(tags_of_logs(self._aws, group, found), group)

    def _look_at_bucket(self, name: str) -> Look:
        """Ownership of a bucket left by a stack of our template, proved by tags that only CloudFormation can set."""
        tags = bucket_tags(self._aws, name)
        if not tags:
            return GONE
        # Bucket names are global: a bucket listed by its tag is in this account and region.
        if not any(one.kind == "bucket" and one.name == name for one in tagged_buckets_and_logs(self._aws)):
            return _foreign("not ours: this account has no bucket of that name with our tag in this region")
        look = self.look_at_tags(tags, name)
        if look == OURS and not (STACK_ID in tags and tags.get(LOGICAL_ID) in BUCKETS):
            return Look(there=True, objection=unproven(f"s3 rb --force s3://{name}"))
        return look

    def look_at_stack(self, found: Mapping[str, Any] | None) -> Look:
        """Ownership of a stack.

        Args:
            found: its description; None when it is gone.
        """
        if found is None:
            return GONE
        if parent := found.get("ParentId"):
            return _foreign(f"it is part of stack {parent}, and is removed with that stack only")
        if self._stacks.is_ours(found):
            return OURS
        if found["StackStatus"] == "REVIEW_IN_PROGRESS":
            delete = f"aws cloudformation delete-stack --stack-name {found['StackName']}"
            return Look(
                there=True, objection=f"it is empty, and nothing shows whose it is: if it is yours, run `{delete}`"
            )
        return _foreign(f"not ours: it has no tag scones:project={PROJECT}, and not our template")
