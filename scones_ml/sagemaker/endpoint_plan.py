"""Deployment plans: the full plan, and the changes that remain given the existing resources.

>>> wanted = deployment_plan(request, target, package)
>>> plan = changes_needed(request, wanted, found)

The first depends only on its arguments, so that it can be displayed without an account. The second is executed:
redeploying the same model the same way needs no changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from scones_ml.cost.prices import alarm_hourly_price, hourly_price
from scones_ml.errors import DeploymentError
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.plans import Change, Plan
from scones_ml.ports import DeploymentRequest, RealTime, Serverless
from scones_ml.sagemaker import endpoint_requests as requests
from scones_ml.sagemaker.endpoint_requests import DeploymentTarget, Request
from scones_ml.sagemaker.model_package import ModelPackage
from scones_ml.sagemaker.resource_kinds import creation_permission, removal_permission

__all__ = [
    "Found",
    "changes_needed",
    "creations",
    "deployment_plan",
    "removal",
    "removal_plan",
]

Found = Mapping[tuple[str, str], Mapping[str, object]]
"""Our existing resources: descriptions from AWS's Describe operations, by kind and name."""

_LONGEST_NAME: Final = SAGEMAKER_NAME_CHARACTERS - 13  # `versioned` appends a hyphen and 12 digits
_NEVER_CHANGE: Final = ("object", "model", "endpoint config")
_ONE_FOR_EACH_VERSION: Final = ("endpoint config", "model")
_ONLY_IF_SCALED: Final = ("scaling policy", "scaling target")
_BAKE_SECONDS: Final = 300  # long enough for the alarm, which evaluates whole minutes
_UPDATE_SECONDS: Final = 3_600  # time for new instances and both waits; AWS allows 600 to 28,800
_BEYOND_REPAIR: Final = ("Failed", "OutOfService")


def deployment_plan(request: DeploymentRequest, target: DeploymentTarget, package: ModelPackage | None) -> Plan:
    """The full plan of an endpoint, as if nothing existed.

    Args:
        request: the requested endpoint.
        target: region, role, storage and network.
        package: the model's package; None for a :class:`BuiltInModel`, which is already in S3.

    Raises:
        ConfigurationError: no container is known for the region.
        DeploymentError: the name is invalid, or a serverless endpoint does not support the request.
    """
    if re.fullmatch(SAGEMAKER_NAME, request.name) is None or len(request.name) > _LONGEST_NAME:
        raise DeploymentError(
            f"{request.name!r} is not a valid endpoint name: give 1 to {_LONGEST_NAME} letters, digits and hyphens"
        )
    wanted = requests.creations(request, target, package)
    prices = {"alarm": alarm_hourly_price(target.region), "endpoint": _dollars_per_hour(request.variant, target)}
    return Plan("deploy", f"aws:{target.region}", tuple(creations(wanted, package, prices)))


def creations(
    wanted: Iterable[tuple[str, str, Request]], package: ModelPackage | None, prices: Mapping[str, float | None] = {}
) -> Iterator[Change]:
    """Changes that create resources, each with its purpose, permission and price.

    Args:
        wanted: kind, name and request of each, see :func:`scones_ml.sagemaker.endpoint_requests.creations`.
        package: the model's package; None when none is uploaded.
        prices: dollars an hour by kind, None for unknown; 0 for missing kinds.
    """
    for kind, name, request in wanted:
        content = package.data if package and kind == "object" else b""
        why = _purpose(kind, request, content)
        yield Change("create", kind, name, why, creation_permission(kind), prices.get(kind, 0.0), request, content)


def _purpose(kind: str, request: Mapping[str, Any], content: bytes) -> str:
    match kind:
        case "object":
            return f"{len(content) / 1e6:.1f} MB: the model and the code that serves it"
        case "model":
            return "the container and its model"
        case "endpoint config":
            return _machines(request["ProductionVariants"][0], captures="DataCaptureConfig" in request)
        case "alarm":
            return "an update that triggers it is rolled back"
        case "scaling target":
            return f"{request['MinCapacity']} to {request['MaxCapacity']} instances; each costs as much as the first"
        case "scaling policy":
            aim = request["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
            return f"{aim:,.0f} requests a minute for each instance"
        case _:
            return "answers requests"


def _machines(variant: Mapping[str, Any], *, captures: bool) -> str:
    if "ServerlessConfig" in variant:
        memory, most = (variant["ServerlessConfig"][key] for key in ("MemorySizeInMB", "MaxConcurrency"))
        return f"serverless, {memory} MB, at most {most} concurrent requests; billed per request"
    kept = "requests are captured" if captures else "nothing is captured"
    return f"{variant['InitialInstanceCount']} x {variant['InstanceType']}, {kept}"


def changes_needed(request: DeploymentRequest, wanted: Plan, found: Found) -> Plan:
    """The remaining changes of a plan, and the removal of an earlier version's resources.

    Args:
        request: the requested endpoint.
        wanted: its :func:`deployment_plan`.
        found: existing resources of the plan and of earlier versions.

    Raises:
        DeploymentError: an endpoint on instances would become serverless, which AWS refuses.
    """
    before = _machines_before(request, found)
    if before and isinstance(request.variant, Serverless):
        raise DeploymentError(
            f"endpoint {request.name} runs on instances, which AWS cannot make serverless: "
            "choose another name, or run `scones cleanup --on aws` first"
        )
    kept = {(change.kind, change.name) for change in wanted.changes}
    if isinstance(request.variant, RealTime) and before not in ("", request.variant.instance_type):
        # AWS does not change the instance type of an endpoint with auto scaling.
        kept = {identity for identity in kept if identity[0] not in _ONLY_IF_SCALED}
    left = [identity for identity in found if identity not in kept]
    there = {identity: found[identity] for identity in found if identity in kept}
    changes = [
        *_removals(left, _ONLY_IF_SCALED),
        *(needed for change in wanted.changes for needed in _needed(change, request, there)),
        # Last: the endpoint uses them until its update has ended.
        *_removals(left, _ONE_FOR_EACH_VERSION),
    ]
    return Plan(wanted.verb, wanted.place, tuple(changes))


def removal_plan(place: str, found: Found) -> Plan:
    """The plan that removes an endpoint and all its resources.

    Args:
        place: ``"aws:REGION"``.
        found: the existing resources.
    """
    # Users before what they use: scaling, the endpoint, its configuration, the model.
    order = (*_ONLY_IF_SCALED, "endpoint", *_ONE_FOR_EACH_VERSION, "alarm")
    return Plan("remove", place, tuple(_removals(list(found), order)))


def _needed(change: Change, request: DeploymentRequest, found: Found) -> Iterator[Change]:
    there = found.get((change.kind, change.name))
    if there is None:
        yield change
    elif change.kind == "endpoint":
        yield from _endpoint_needed(change, request, there)
    elif change.kind not in _NEVER_CHANGE and not _holds(there, change.request):
        yield replace(change, action="update")


def _endpoint_needed(change: Change, request: DeploymentRequest, there: Mapping[str, object]) -> Iterator[Change]:
    config = str(change.request["EndpointConfigName"])
    if there["EndpointStatus"] in _BEYOND_REPAIR:
        yield removal("endpoint", change.name, "it has failed, and cannot be updated")
        yield change
    elif there["EndpointConfigName"] != config:
        yield replace(
            change,
            action="update",
            why="blue/green: a new fleet replaces the old one when it is healthy",
            permission="sagemaker:UpdateEndpoint",
            request=_update_request(change.name, config, request.variant),
        )


def _update_request(name: str, config_name: str, variant: RealTime | Serverless) -> Request:
    """UpdateEndpoint: a blue/green deployment that is rolled back when the alarm is triggered.

    With two or more instances a canary instance takes requests first; an endpoint that has been scaled keeps its size.
    """
    request = requests.endpoint_request(name, config_name)
    if isinstance(variant, Serverless):
        return request
    traffic: Request = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": _BAKE_SECONDS}
    if variant.instances > 1:
        first = {"Type": "INSTANCE_COUNT", "Value": 1}
        traffic = {"Type": "CANARY", "CanarySize": first, "WaitIntervalInSeconds": _BAKE_SECONDS}
    request["DeploymentConfig"] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": traffic,
            "TerminationWaitInSeconds": _BAKE_SECONDS,
            "MaximumExecutionTimeoutInSeconds": _UPDATE_SECONDS,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": requests.alarm_name(name)}]},
    }
    if variant.most_instances:
        request["RetainAllVariantProperties"] = True
        # Only the size is retained: data capture follows the new configuration.
        request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DataCaptureConfig"}]
    return request


def _machines_before(request: DeploymentRequest, found: Found) -> str:
    """The endpoint's current instance type; empty when there is no endpoint, or it is serverless."""
    endpoint = found.get(("endpoint", request.name))
    if endpoint is None or endpoint["EndpointStatus"] in _BEYOND_REPAIR:
        return ""
    config = found.get(("endpoint config", str(endpoint["EndpointConfigName"])), {})
    (variant, *_) = cast("Sequence[Mapping[str, str]]", config.get("ProductionVariants", [{}]))
    return variant.get("InstanceType", "")


def _removals(left: Sequence[tuple[str, str]], kinds: Sequence[str]) -> Iterator[Change]:
    for kind in kinds:
        yield from (removal(kind, name, "no longer needed") for found, name in left if found == kind)


def removal(kind: str, name: str, why: str) -> Change:
    """The change that removes one resource."""
    return Change("delete", kind, name, why, removal_permission(kind))


def _holds(found: object, wanted: object) -> bool:
    """Whether AWS's description matches the request; it may have additional fields."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_holds, found, wanted))
    return found == wanted


def _dollars_per_hour(variant: RealTime | Serverless, target: DeploymentTarget) -> float | None:
    if isinstance(variant, Serverless):
        return 0.0
    return hourly_price(target.region, variant.instance_type, variant.instances)
