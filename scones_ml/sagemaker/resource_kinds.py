"""Kinds of resources on AWS: one table of the calls that create, find, identify and remove each.

Plans, deployment, clean-up and permission checks all use this table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scones_ml.sagemaker.endpoint_requests import SCALABLE_DIMENSION, SCALING_POLICY

__all__ = ["KINDS", "Call", "Kind", "Listing", "creation_permission", "removal_permission"]


@dataclass(frozen=True, slots=True)
class Call:
    """One API operation.

    Attributes:
        operation: ``"DescribeEndpoint"``.
        parameters: its parameters; ``{name}`` stands for the resource's name.
    """

    operation: str
    parameters: Mapping[str, object]

    def request(self, name: str) -> dict[str, object]:
        """Parameters of the call for one resource."""
        return {key: _named(value, name) for key, value in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class Listing:
    """The call that lists all resources of a kind.

    Attributes:
        call: paginated operation.
        items: key of the list in its response.
        name: key of the name in an item.
        filter: parameter that selects names that contain a text or begin with it.
    """

    call: Call
    items: str
    name: str
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """AWS operations of one kind of resource.

    Attributes:
        service: boto3's name of the service.
        create: operation that creates one.
        update: operation that changes one; empty for an immutable kind.
        describe: finds one; a listing of one if ``listing`` names the same operation.
        delete: removes one, or stops a job, which AWS keeps on record.
        listing: finds all of them in the region.
        arn: key of the ARN in a description.
        owner: kind of the resource whose tags apply, named between the first two slashes of the name; empty when it has
            tags of its own.
    """

    service: str
    create: str
    update: str
    describe: Call
    delete: Call
    listing: Listing
    arn: str
    owner: str = ""


def _named(value: object, name: str) -> object:
    if isinstance(value, str):
        return value.replace("{name}", name)
    return [_named(item, name) for item in value] if isinstance(value, Sequence) else value


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

_OTHER_REMOVALS: Final = {
    "bucket": "s3:DeleteBucket",
    "log group": "logs:DeleteLogGroup",
    "object": "s3:DeleteObjectVersion",
    "objects": "s3:DeleteObjectVersion",
    "stack": "cloudformation:DeleteStack",
}
"""Permissions of kinds whose removal takes more than one call."""


def creation_permission(kind: str) -> str:
    """The IAM action that creating a resource requires."""
    return f"{KINDS[kind].service}:{KINDS[kind].create}" if kind in KINDS else "s3:PutObject"


def removal_permission(kind: str) -> str:
    """The IAM action that removing a resource requires; empty for an unknown kind."""
    if kind in KINDS:
        return f"{KINDS[kind].service}:{KINDS[kind].delete.operation}"  # IAM names all of these as the API does
    return _OTHER_REMOVALS.get(kind, "")
