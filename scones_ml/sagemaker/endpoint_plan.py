"""What deploying takes, as a plan; and what is left of it to do, given what is there.

>>> wanted = deployment_plan(request, target, package)
>>> plan = changes_needed(request, wanted, found)

The first needs nothing but its arguments, so that it can be shown without an account. The second is what is executed:
the same model deployed the same way leaves nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, cast

from scones_ml.cost.prices import alarm_hourly_price, hourly_price
from scones_ml.errors import DeploymentError
from scones_ml.events import parse_object_uri
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.plans import Change, Plan
from scones_ml.ports import BuiltInModel, DeploymentRequest, RealTime, Serverless
from scones_ml.sagemaker import endpoint_requests as requests
from scones_ml.sagemaker.endpoint_requests import DeploymentTarget, Request
from scones_ml.sagemaker.model_package import ModelPackage
from scones_ml.sagemaker.resource_kinds import removal_permission

__all__ = [
    "Found",
    "alarm_name",
    "changes_needed",
    "deployment_plan",
    "model_changes",
    "removal",
    "removal_plan",
]

Found = Mapping[tuple[str, str], Mapping[str, object]]
"""Resources of ours that are there: kind and name to what AWS's Describe operation says."""

_LONGEST_NAME: Final = SAGEMAKER_NAME_CHARACTERS - 13  # `versioned` appends a hyphen and 12 digits
_NEVER_CHANGE: Final = ("object", "model", "endpoint config")
_ONE_FOR_EACH_VERSION: Final = ("endpoint config", "model")
_ONLY_IF_SCALED: Final = ("scaling policy", "scaling target")
_BEYOND_REPAIR: Final = ("Failed", "OutOfService")
_ARCHIVE: Final = "application/gzip"


def deployment_plan(request: DeploymentRequest, target: DeploymentTarget, package: ModelPackage | None) -> Plan:
    """Everything that an endpoint takes, as if nothing were there yet.

    Args:
        request: what is wanted.
        target: region, role, storage and network.
        package: the model's; None for a :class:`BuiltInModel`, which lies in S3 already.

    Raises:
        ConfigurationError: no container is known for the region.
        DeploymentError: no endpoint can have that name, or a serverless one cannot do what is asked for.
    """
    if re.fullmatch(SAGEMAKER_NAME, request.name) is None or len(request.name) > _LONGEST_NAME:
        raise DeploymentError(
            f"{request.name!r} is no endpoint's name: give 1 to {_LONGEST_NAME} letters, digits and hyphens"
        )
    requests.check_serverless(request, target)
    return Plan("deploy", f"aws:{target.region}", tuple(_creations(request, target, package)))


def model_changes(
    name: Callable[[Request], str],
    model: Path | BuiltInModel,
    container: str | None,
    target: DeploymentTarget,
    package: ModelPackage | None,
) -> Iterator[Change]:
    """A model's package in S3, where there is one, and then the model.

    Args:
        name: names the model by its request.
        model: what is served.
        container: URI of an image of your own; AWS's own when None.
        target: region, role, storage and network.
        package: the model's; None for a :class:`BuiltInModel`.

    Raises:
        ConfigurationError: no container is known for the region.
    """
    if isinstance(model, BuiltInModel):
        content = requests.model_request(model, model.uri, container, target)
    else:
        assert package is not None  # noqa: S101 - by the caller's promise
        uri = f"{target.root}/models/{package.hash[:32]}/model.tar.gz"
        bucket, key = parse_object_uri(uri)
        stored: Mapping[str, object] = {"Bucket": bucket, "Key": key, "ContentType": _ARCHIVE}
        why = f"{len(package.data) / 1e6:.1f} MB: the model and the code that serves it"
        yield Change("create", "object", uri, why, "s3:PutObject", request=stored, content=package.data)
        content = requests.model_request(package.card, uri, container, target)
    request = {"ModelName": name(content), **content}
    yield Change(
        "create", "model", name(content), "the container and its model", "sagemaker:CreateModel", request=request
    )


def _creations(request: DeploymentRequest, target: DeploymentTarget, package: ModelPackage | None) -> Iterator[Change]:
    name, variant = request.name, request.variant
    versioned = partial(requests.versioned, name)
    *before, model = model_changes(versioned, request.model, request.container, target, package)
    yield from (*before, model)
    content = requests.config_request(model.name, request, target)
    config = requests.versioned(name, content)
    yield Change(
        "create",
        "endpoint config",
        config,
        _machines(variant, "DataCaptureConfig" in content),
        "sagemaker:CreateEndpointConfig",
        request={"EndpointConfigName": config, **content},
    )
    if isinstance(variant, RealTime):
        yield _alarm(name, target)
    yield Change(
        "create",
        "endpoint",
        name,
        "answers requests",
        "sagemaker:CreateEndpoint",
        _dollars_per_hour(variant, target),
        requests.endpoint_request(name, config),
    )
    if isinstance(variant, RealTime) and variant.most_instances:
        yield from _scaling(name, variant, variant.most_instances)


def _machines(variant: RealTime | Serverless, captures: bool) -> str:
    match variant:
        case RealTime(instance_type, instances):
            kept = "requests are captured" if captures else "nothing is captured"
            return f"{instances} x {instance_type}, {kept}"
        case Serverless(memory_mb, max_concurrency):
            return f"serverless, {memory_mb} MB, at most {max_concurrency} requests at a time; paid while it answers"


def _alarm(endpoint: str, target: DeploymentTarget) -> Change:
    name = alarm_name(endpoint)
    return Change(
        "create",
        "alarm",
        name,
        "an update that makes it fail is rolled back",
        "cloudwatch:PutMetricAlarm",
        alarm_hourly_price(target.region),
        requests.alarm_request(name, endpoint),
    )


def _scaling(endpoint: str, variant: RealTime, most: int) -> Iterator[Change]:
    name = requests.variant_id(endpoint)
    yield Change(
        "create",
        "scaling target",
        name,
        f"{variant.instances} to {most} instances; each costs as much as the first",
        "application-autoscaling:RegisterScalableTarget",
        request=requests.scaling_target_request(endpoint, variant.instances, most),
    )
    yield Change(
        "create",
        "scaling policy",
        name,
        f"{variant.invocations_per_instance:,} requests a minute for each instance",
        "application-autoscaling:PutScalingPolicy",
        request=requests.scaling_policy_request(endpoint, variant.invocations_per_instance),
    )


def alarm_name(endpoint: str) -> str:
    """The alarm that rolls an endpoint's updates back."""
    return f"scones-{endpoint}-errors"


def changes_needed(request: DeploymentRequest, wanted: Plan, found: Found) -> Plan:
    """What is left to do of a plan, and what an earlier version leaves to be removed.

    Args:
        request: what is wanted.
        wanted: its :func:`deployment_plan`.
        found: what is there of what the plan names, and of earlier versions.

    Raises:
        DeploymentError: an endpoint on instances is to become serverless, which AWS refuses.
    """
    before = _machines_before(request, found)
    if before and isinstance(request.variant, Serverless):
        raise DeploymentError(
            f"endpoint {request.name} runs on instances, and AWS makes no such endpoint serverless: "
            "choose another name, or `scones cleanup --on aws` first"
        )
    kept = {(change.kind, change.name) for change in wanted.changes}
    if isinstance(request.variant, RealTime) and before not in ("", request.variant.instance_type):
        kept = {identity for identity in kept if identity[0] not in _ONLY_IF_SCALED}  # AWS scales no change of machines
    left = [identity for identity in found if identity not in kept]
    there = {identity: found[identity] for identity in found if identity in kept}
    changes = [
        *_removals(left, _ONLY_IF_SCALED),
        *(needed for change in wanted.changes for needed in _needed(change, request, there)),
        *_removals(left, _ONE_FOR_EACH_VERSION),
    ]
    return Plan(wanted.verb, wanted.place, tuple(changes))


def removal_plan(place: str, found: Found) -> Plan:
    """How an endpoint and all that was made for it are removed.

    Args:
        place: ``"aws:REGION"``.
        found: what is there.
    """
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
            why="a new fleet beside the old one, which goes when the new one is well",
            permission="sagemaker:UpdateEndpoint",
            request=requests.update_request(change.name, config, request.variant, alarm_name(change.name)),
        )


def _machines_before(request: DeploymentRequest, found: Found) -> str:
    """The instance type that the endpoint runs on; empty when there is none, or it runs on none."""
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
    """How one resource is removed."""
    return Change("delete", kind, name, why, removal_permission(kind))


def _holds(found: object, wanted: object) -> bool:
    """Whether what AWS describes is what is wanted; AWS says more than it was told."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_holds, found, wanted))
    return found == wanted


def _dollars_per_hour(variant: RealTime | Serverless, target: DeploymentTarget) -> float | None:
    if isinstance(variant, Serverless):
        return 0.0
    return hourly_price(target.region, variant.instance_type, variant.instances)
