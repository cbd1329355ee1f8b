"""Resources on AWS by kind and name: made, found, told to be ours and removed, as the table of kinds says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final, cast

from botocore import xform_name

from scones_ml.aws import clients as aws_clients
from scones_ml.aws.errors import translated
from scones_ml.aws.requests import check_request
from scones_ml.errors import ConfigurationError, DeploymentError
from scones_ml.plans import Change, Run
from scones_ml.sagemaker.resource_kinds import KINDS

__all__ = ["MOVING", "PROJECT", "RUNNING", "Resources", "status_of", "tags_of"]

PROJECT: Final = "scones"
"""Value of the tag ``scones:project``: what bears another one, or none, is not ours and is never touched."""

MOVING: Final = ("Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating")
"""Statuses of an endpoint during which AWS neither updates nor deletes it."""

RUNNING: Final = ("InProgress", "Stopping")
"""Statuses of a job that has not ended."""

_MISSING: Final = ("ObjectNotFoundException", "ResourceNotFound", "ResourceNotFoundException")

_MISSING_OR_MALFORMED: Final = {"sagemaker": "ValidationException"}
"""The code that a service gives both to a missing resource and to an invalid request, with a message that differs from
operation to operation; SageMaker has a code of its own for the first and does not use it
(https://github.com/aws/aws-sdk/issues/165). A Describe operation's only parameter is the name, which is checked against
AWS's own pattern before it is sent, so that there the code means a missing resource. Other operations have more to
refuse: after those a Describe decides."""

_TAGS: Final = {
    "sagemaker": ("ListTags", "ResourceArn"),
    "cloudwatch": ("ListTagsForResource", "ResourceARN"),
}
_UNTAGGED: Final = ("scaling policy",)


class Resources:
    """Resources of one account and region, made, found and removed by their kind and name.

    Args:
        clients: makes the client of a service; None makes them from the environment.
    """

    def __init__(self, clients: Callable[[str], object] | None = None) -> None:
        self._clients = lru_cache(maxsize=None)(
            clients or partial(aws_clients.client, config=aws_clients.CONTROL_PLANE)
        )

    def find(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource; None when there is none of that name.

        Raises:
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or out of reach.
        """
        how = KINDS[kind]
        try:
            answer = self.call(how.service, how.describe.operation, how.describe.request(name), f"{kind} {name}")
        except ConfigurationError as exc:
            if exc.code in _MISSING or exc.code == _MISSING_OR_MALFORMED.get(how.service):
                return None
            raise
        if how.describe.operation != how.listing.call.operation:
            return answer
        return next(iter(answer[how.listing.items]), None)

    def names(self, kind: str, containing: str = "") -> Iterator[str]:
        """The names of all of a kind in the region, whosever they are.

        Args:
            kind: of the table.
            containing: only names that have this in them, or begin with it.

        Raises:
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or out of reach.
        """
        listing = KINDS[kind].listing
        request = dict(listing.call.parameters) | ({listing.filter: containing} if containing else {})
        while True:
            answer = self.call(KINDS[kind].service, listing.call.operation, request, f"every {kind}")
            yield from (item[listing.name] for item in answer[listing.items])
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def tags(self, kind: str, name: str, found: Mapping[str, Any] | None = None) -> Mapping[str, str]:
        """The tags of a resource, or of the one that it belongs to; empty when there is none of that name.

        Args:
            kind: of the table.
            name: of the resource.
            found: its description, where it is at hand.

        Raises:
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or out of reach.
        """
        how = KINDS[kind]
        if how.owner:
            return self.tags(how.owner, name.split("/")[1])
        found = found or self.find(kind, name)
        if found is None:
            return {}
        operation, parameter = _TAGS[how.service]
        request: dict[str, object] = {parameter: found[how.arn]}
        tags: dict[str, str] = {}
        while True:
            answer = self.call(how.service, operation, request, f"{kind} {name}")
            tags |= {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
            if not answer.get("NextToken"):
                return tags
            request["NextToken"] = answer["NextToken"]

    def is_ours(self, kind: str, name: str, found: Mapping[str, Any] | None = None) -> bool:
        """Whether a resource bears our tag, or the one that it belongs to does.

        Args:
            kind: of the table.
            name: of the resource.
            found: its description, where it is at hand.
        """
        return self.tags(kind, name, found).get("scones:project") == PROJECT

    def find_ours(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource of ours; None when there is none of that name.

        Raises:
            DeploymentError: there is one, and it is not ours.
        """
        found = self.find(kind, name)
        if found is not None and not self.is_ours(kind, name, found):
            raise DeploymentError(
                f"{kind} {name} is there and is not ours (it has no tag scones:project={PROJECT}): choose another name"
            )
        return found

    def find_if_ours(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource of ours; None when there is none of that name, or it is somebody else's."""
        found = self.find(kind, name)
        return found if found and self.is_ours(kind, name, found) else None

    def perform(self, change: Change, run: Run) -> None:
        """Make one change, after its request was checked; what is created is tagged.

        Args:
            change: of a kind that the table names.
            run: that it belongs to.

        Raises:
            ConfigurationError: a request that AWS refuses, no permission, no quota.
            TransientServiceError: throttled or out of reach.
        """
        how, what = KINDS[change.kind], f"{change.kind} {change.name}"
        if change.action in ("delete", "stop"):
            try:
                self.call(how.service, how.delete.operation, how.delete.request(change.name), what)
            except ConfigurationError as exc:
                unclear = exc.code == _MISSING_OR_MALFORMED.get(how.service)
                if exc.code not in _MISSING and not (unclear and self.find(change.kind, change.name) is None):
                    raise
            return
        creates = change.action == "create"
        request = dict(change.request)
        if creates and change.kind not in _UNTAGGED:
            tags = tags_of(run)
            request["Tags"] = tags if how.service == "application-autoscaling" else _listed(tags)
        answer = self.call(how.service, how.create if creates else how.update, request, what)
        if change.action == "update" and how.service == "sagemaker":
            self._tag_anew(change, answer, run)

    def _tag_anew(self, change: Change, answer: Mapping[str, Any], run: Run) -> None:
        """Say that a resource belongs to this run now."""
        arn, what, tags = answer[KINDS[change.kind].arn], f"{change.kind} {change.name}", tags_of(run)
        before = self.tags(change.kind, change.name, answer)
        outlived = [key for key in before if key.startswith("scones:") and key not in tags]
        self.call("sagemaker", "AddTags", {"ResourceArn": arn, "Tags": _listed(tags)}, what)
        if outlived:
            self.call("sagemaker", "DeleteTags", {"ResourceArn": arn, "TagKeys": outlived}, what)

    def check(self, change: Change) -> None:
        """Refuse a change whose request AWS's own model says is wrong; nothing is sent.

        Raises:
            ConfigurationError: names the operation, the parameter and what it must be.
        """
        if change.action in ("create", "update") and change.kind in KINDS:
            how = KINDS[change.kind]
            check_request(how.service, how.create if change.action == "create" else how.update, change.request)

    def url(self, service: str) -> str:
        """Where a service is."""
        return str(cast("Any", self._clients(service)).meta.endpoint_url)

    def call(self, service: str, operation: str, request: Mapping[str, object], what: str) -> Mapping[str, Any]:
        """Check a request, send it, and return the answer.

        Args:
            service: boto3's name of it.
            operation: its name in the API.
            request: its parameters.
            what: the thing that it is about; messages start with it.

        Raises:
            ConfigurationError: a request that AWS refuses, no permission, no quota.
            TransientServiceError: throttled or out of reach.
        """
        check_request(service, operation, request)
        with translated(what, aws_clients.caller):
            return cast("Mapping[str, Any]", getattr(self._clients(service), xform_name(operation))(**request))


def status_of(found: Mapping[str, Any] | None) -> str:
    """The status in the description of an endpoint or a job; empty for what is gone, or has none."""
    statuses = (str(value) for key, value in (found or {}).items() if key.endswith(("EndpointStatus", "JobStatus")))
    return next(statuses, "")


def tags_of(run: Run) -> dict[str, str]:
    """The tags that everything bears that a run makes."""
    expires = {} if run.expires is None else {"scones:expires": f"{run.expires:%Y-%m-%dT%H:%M:%SZ}"}
    return {"scones:project": PROJECT, "scones:run": run.id, **expires}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
