"""Kinds of resources on AWS: one table of how each is made, found, told to be ours and removed.

Plans name kinds as the table does; deploying, cleaning up and checking permissions read it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from scones_ml.aws.clients import client
from scones_ml.aws.errors import translated
from scones_ml.aws.requests import check_request
from scones_ml.errors import DeploymentError, SconesError
from scones_ml.plans import Change, Run
from scones_ml.sagemaker.endpoint_requests import SCALABLE_DIMENSION, SCALING_POLICY

__all__ = ["KINDS", "MOVING", "PROJECT", "Call", "Kind", "Listing", "Resources", "tags_of"]

PROJECT: Final = "scones"
"""Value of the tag ``scones:project``: what bears another one, or none, is not ours and is never touched."""

MOVING: Final = ("Creating", "Deleting", "RollingBack", "SystemUpdating", "Updating")
"""Statuses of an endpoint during which AWS neither updates nor deletes it."""

_MISSING = ("ObjectNotFoundException", "ResourceNotFound", "ResourceNotFoundException")


@dataclass(frozen=True, slots=True)
class Call:
    """One operation.

    Attributes:
        operation: ``"DescribeEndpoint"``.
        parameters: what it is told; ``{name}`` stands for the resource's name.
    """

    operation: str
    parameters: Mapping[str, object]

    def request(self, name: str) -> dict[str, object]:
        """The parameters for one resource."""
        return {key: _named(value, name) for key, value in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class Listing:
    """How all of a kind are listed.

    Attributes:
        call: page by page.
        items: key of the list in its answer.
        name: key of the name in an item.
        filter: parameter that keeps to names with a certain text in them, or at their beginning.
    """

    call: Call
    items: str
    name: str
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """How AWS deals with one kind of resource.

    Attributes:
        service: boto3's name of the service.
        create: operation that makes one.
        update: operation that changes one; empty when they do not change.
        describe: finds one; a listing of one where ``listing`` names the same operation.
        delete: removes one, or stops a job, which stays on record.
        listing: finds all of them in the region.
        arn: key of the ARN in a description.
        owner: kind whose tags say whose it is, named between the first two slashes of its own name; empty when it
            bears tags itself.
    """

    service: str
    create: str
    update: str
    describe: Call
    delete: Call
    listing: Listing
    arn: str
    owner: str = ""


def _sagemaker(noun: str, *, update: str = "", delete: str = "Delete", items: str = "") -> Kind:
    name = {f"{noun}Name": "{name}"}
    return Kind(
        service="sagemaker",
        create=f"Create{noun}",
        update=update,
        describe=Call(f"Describe{noun}", name),
        delete=Call(f"{delete}{noun}", name),
        listing=Listing(Call(f"List{noun}s", {}), items or f"{noun}s", f"{noun}Name", "NameContains"),
        arn=f"{noun}Arn",
    )


_VARIANTS: Final = {"ServiceNamespace": "sagemaker", "ScalableDimension": SCALABLE_DIMENSION}
_VARIANT: Final = {**_VARIANTS, "ResourceId": "{name}"}

KINDS: Final[Mapping[str, Kind]] = {
    "model": _sagemaker("Model"),
    "endpoint config": _sagemaker("EndpointConfig"),
    "endpoint": _sagemaker("Endpoint", update="UpdateEndpoint"),
    "transform job": _sagemaker("TransformJob", delete="Stop", items="TransformJobSummaries"),
    "training job": _sagemaker("TrainingJob", delete="Stop", items="TrainingJobSummaries"),
    "scaling target": Kind(
        service="application-autoscaling",
        create="RegisterScalableTarget",
        update="RegisterScalableTarget",
        describe=Call("DescribeScalableTargets", {**_VARIANTS, "ResourceIds": ["{name}"]}),
        delete=Call("DeregisterScalableTarget", _VARIANT),
        listing=Listing(Call("DescribeScalableTargets", _VARIANTS), "ScalableTargets", "ResourceId"),
        arn="ScalableTargetARN",
        owner="endpoint",
    ),
    "scaling policy": Kind(
        service="application-autoscaling",
        create="PutScalingPolicy",
        update="PutScalingPolicy",
        describe=Call("DescribeScalingPolicies", {**_VARIANT, "PolicyNames": [SCALING_POLICY]}),
        delete=Call("DeleteScalingPolicy", {**_VARIANT, "PolicyName": SCALING_POLICY}),
        listing=Listing(Call("DescribeScalingPolicies", _VARIANTS), "ScalingPolicies", "ResourceId"),
        arn="PolicyARN",
        owner="endpoint",
    ),
    "alarm": Kind(
        service="cloudwatch",
        create="PutMetricAlarm",
        update="PutMetricAlarm",
        describe=Call("DescribeAlarms", {"AlarmNames": ["{name}"]}),
        delete=Call("DeleteAlarms", {"AlarmNames": ["{name}"]}),
        listing=Listing(Call("DescribeAlarms", {}), "MetricAlarms", "AlarmName", "AlarmNamePrefix"),
        arn="AlarmArn",
    ),
}
"""Every kind by the name that plans and the ledger use."""

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
        self._clients = lru_cache(maxsize=None)(clients or _client)

    def find(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Describe a resource; None when there is none of that name.

        Raises:
            ConfigurationError: no permission or no credentials.
            TransientServiceError: throttled or out of reach.
        """
        how = KINDS[kind]
        try:
            answer = self.call(how.service, how.describe.operation, how.describe.request(name), f"{kind} {name}")
        except SconesError as exc:
            if _is_missing(exc.__cause__):
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
            except SconesError as exc:
                if not _is_missing(exc.__cause__):
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
        with translated(what):
            return cast("Mapping[str, Any]", getattr(self._clients(service), xform_name(operation))(**request))


def tags_of(run: Run) -> dict[str, str]:
    """The tags that everything bears that a run makes."""
    expires = {} if run.expires is None else {"scones:expires": f"{run.expires:%Y-%m-%dT%H:%M:%SZ}"}
    return {"scones:project": PROJECT, "scones:run": run.id, **expires}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _named(value: object, name: str) -> object:
    if isinstance(value, str):
        return value.replace("{name}", name)
    return [_named(item, name) for item in value] if isinstance(value, Sequence) else value


def _is_missing(error: BaseException | None) -> bool:
    """Whether AWS says that there is no such thing; SageMaker says it in words."""
    if not isinstance(error, ClientError):
        return False
    detail = error.response.get("Error", {})
    return detail.get("Code") in _MISSING or detail.get("Message", "").startswith("Could not find")


def _client(service: str) -> object:
    config = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 5, "mode": "standard"})
    return client(service, config)
