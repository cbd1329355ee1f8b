"""Resources on AWS by kind and name: create, find, check ownership and remove, by the table of kinds."""

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
"""Value of the tag ``scones:project``; resources with another value, or without the tag, are never touched."""

MOVING: Final = ("Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating")
"""Statuses of an endpoint during which AWS neither updates nor deletes it."""

RUNNING: Final = ("InProgress", "Stopping")
"""Statuses of a job that has not ended."""

_MISSING: Final = ("ObjectNotFoundException", "ResourceNotFound", "ResourceNotFoundException")

_MISSING_OR_MALFORMED: Final = {"sagemaker": "ValidationException"}
"""Code of both a missing resource and an invalid request, with a message that differs between operations; SageMaker has
a separate code for the first and does not use it (https://github.com/aws/aws-sdk/issues/165). A Describe operation's
only parameter is the name, which is checked against AWS's pattern before it is sent, so that there the code means a
missing resource. After other operations, a Describe decides."""

_TAGS: Final = {
    "sagemaker": ("ListTags", "ResourceArn"),
    "cloudwatch": ("ListTagsForResource", "ResourceARN"),
}
_UNTAGGED: Final = ("scaling policy",)


class Resources:
    """Resources of one account and region, by kind and name.

    Args:
        clients: creates the client of a service; None creates them from the environment.
    """

    def __init__(self, clients: Callable[[str], object] | None = None) -> None:
        self._clients = lru_cache(maxsize=None)(
            clients or partial(aws_clients.client, config=aws_clients.CONTROL_PLANE)
        )

    def find(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource; None when there is none of that name.

        Raises:
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or unreachable.
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
        """Names of all resources of a kind in the region, ours or not.

        Args:
            kind: kind in the table.
            containing: only names that contain this, or begin with it.

        Raises:
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or unreachable.
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
        """Tags of a resource, or of the one that it belongs to; empty when it does not exist.

        Args:
            kind: kind in the table.
            name: name of the resource.
            found: its description, if known.

        Raises:
            ConfigurationError: permission or credentials are missing.
            TransientServiceError: throttled or unreachable.
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
        """Whether a resource, or the one that it belongs to, has our tag.

        Args:
            kind: kind in the table.
            name: name of the resource.
            found: its description, if known.
        """
        return self.tags(kind, name, found).get("scones:project") == PROJECT

    def find_ours(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource of ours; None when it does not exist.

        Raises:
            DeploymentError: the resource is not ours.
        """
        found = self.find(kind, name)
        if found is not None and not self.is_ours(kind, name, found):
            raise DeploymentError(
                f"{kind} {name} exists and is not ours (it has no tag scones:project={PROJECT}): choose another name"
            )
        return found

    def find_if_ours(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource of ours; None when it does not exist or is foreign."""
        found = self.find(kind, name)
        return found if found and self.is_ours(kind, name, found) else None

    def perform(self, change: Change, run: Run) -> None:
        """Check the request of a change and send it; new resources are tagged.

        Args:
            change: change of a kind in the table.
            run: run that it belongs to.

        Raises:
            ConfigurationError: AWS refuses the request, or permission or quota is missing.
            TransientServiceError: throttled or unreachable.
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
        """Tag a resource with this run."""
        arn, what, tags = answer[KINDS[change.kind].arn], f"{change.kind} {change.name}", tags_of(run)
        before = self.tags(change.kind, change.name, answer)
        outlived = [key for key in before if key.startswith("scones:") and key not in tags]
        self.call("sagemaker", "AddTags", {"ResourceArn": arn, "Tags": _listed(tags)}, what)
        if outlived:
            self.call("sagemaker", "DeleteTags", {"ResourceArn": arn, "TagKeys": outlived}, what)

    def check(self, change: Change) -> None:
        """Refuse a change whose request violates AWS's service model; nothing is sent.

        Raises:
            ConfigurationError: the request is invalid; the message names the operation, the parameter and its valid
                values.
        """
        if change.action in ("create", "update") and change.kind in KINDS:
            how = KINDS[change.kind]
            check_request(how.service, how.create if change.action == "create" else how.update, change.request)

    def url(self, service: str) -> str:
        """URL of a service."""
        return str(cast("Any", self._clients(service)).meta.endpoint_url)

    def call(self, service: str, operation: str, request: Mapping[str, object], what: str) -> Mapping[str, Any]:
        """Check a request, send it, and return the response.

        Args:
            service: boto3's name of the service.
            operation: the operation's name in the API.
            request: parameters of the operation.
            what: subject of the call; messages start with it.

        Raises:
            ConfigurationError: AWS refuses the request, or permission or quota is missing.
            TransientServiceError: throttled or unreachable.
        """
        check_request(service, operation, request)
        with translated(what, aws_clients.caller):
            return cast("Mapping[str, Any]", getattr(self._clients(service), xform_name(operation))(**request))


def status_of(found: Mapping[str, Any] | None) -> str:
    """Status in the description of an endpoint or a job; empty when it is gone or has none."""
    statuses = (str(value) for key, value in (found or {}).items() if key.endswith(("EndpointStatus", "JobStatus")))
    return next(statuses, "")


def tags_of(run: Run) -> dict[str, str]:
    """Tags of all resources of a run."""
    expires = {} if run.expires is None else {"scones:expires": f"{run.expires:%Y-%m-%dT%H:%M:%SZ}"}
    return {"scones:project": PROJECT, "scones:run": run.id, **expires}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
