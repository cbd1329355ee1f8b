"""Requests that deploy a model to a SageMaker endpoint, or for batch transform.

Names of models and endpoint configurations, which are immutable, end in a hash of their content: the same model
deployed the same way has the same names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from scones_ml.errors import DeploymentError
from scones_ml.events import parse_object_uri
from scones_ml.inference.model import ModelCard
from scones_ml.ports import BuiltInModel, DeploymentRequest, RealTime, Serverless
from scones_ml.sagemaker.image_uris import image_classification_image, pytorch_inference_image
from scones_ml.sagemaker.model_package import ModelPackage
from scones_ml.settings import labels_text

__all__ = [
    "CAPTURED",
    "SCALABLE_DIMENSION",
    "SCALING_POLICY",
    "VARIANT",
    "DeploymentTarget",
    "Request",
    "Vpc",
    "alarm_name",
    "alarm_request",
    "config_request",
    "creations",
    "endpoint_request",
    "is_version",
    "model_creations",
    "model_request",
    "scaling_policy_request",
    "scaling_target_request",
    "variant_id",
    "versioned",
]

Request = dict[str, object]

VARIANT: Final = "AllTraffic"
SCALABLE_DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
SCALING_POLICY: Final = "scones-invocations"
CAPTURED: Final[Mapping[str, list[str]]] = {
    "CsvContentTypes": ["text/csv"],
    "JsonContentTypes": ["application/json", "application/jsonlines"],
}
"""Content types that a capture keeps as text; all others, such as images, are kept in base64."""


@dataclass(frozen=True, slots=True)
class Vpc:
    """The VPC that containers join.

    Attributes:
        subnets: ids of subnets; in two zones or more for two instances or more.
        security_groups: ids of security groups.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeploymentTarget:
    """Region, role, storage and network of a deployment.

    Attributes:
        region: ``"us-east-1"``.
        role_arn: execution role of the container.
        root: ``s3://bucket/prefix`` of model packages.
        captures: ``s3://bucket/prefix`` of data capture.
        vpc: VPC that the containers join; None for none.
    """

    region: str
    role_arn: str
    root: str
    captures: str
    vpc: Vpc | None = None


def creations(
    request: DeploymentRequest, target: DeploymentTarget, package: ModelPackage | None
) -> Iterator[tuple[str, str, Request]]:
    """All resources of an endpoint, in the order of their creation.

    Args:
        request: the requested endpoint.
        target: region, role, storage and network.
        package: the model's package; None for a :class:`BuiltInModel`, which is already in S3.

    Yields:
        Kind and name of each resource, and the request that creates it, without tags.

    Raises:
        ConfigurationError: no container is known for the region, or a class name holds a comma.
        DeploymentError: a serverless endpoint does not support the request.
    """
    _check_serverless(request, target)
    name, variant = request.name, request.variant
    *before, model = model_creations(request.model, request.container, target, package, partial(versioned, name))
    yield from (*before, model)
    content = config_request(model[1], request, target)
    config = versioned(name, content)
    yield "endpoint config", config, {"EndpointConfigName": config, **content}
    if isinstance(variant, RealTime):
        yield "alarm", alarm_name(name), alarm_request(alarm_name(name), name)
    yield "endpoint", name, endpoint_request(name, config)
    if isinstance(variant, RealTime) and variant.most_instances:
        scaled, most = variant_id(name), variant.most_instances
        yield "scaling target", scaled, scaling_target_request(name, variant.instances, most)
        yield "scaling policy", scaled, scaling_policy_request(name, variant.invocations_per_instance)


def model_creations(
    model: Path | BuiltInModel,
    container: str | None,
    target: DeploymentTarget,
    package: ModelPackage | None,
    name: Callable[[Request], str],
) -> Iterator[tuple[str, str, Request]]:
    """The model's package in S3, if any, and the model; see :func:`creations`.

    Args:
        model: the model to serve.
        container: URI of a custom container image; None for AWS's.
        target: region, role, storage and network.
        package: the model's; None for a :class:`BuiltInModel`.
        name: returns the model's name for its request.
    """
    if isinstance(model, BuiltInModel):
        content = model_request(model, model.uri, container, target)
    else:
        assert package is not None  # noqa: S101 - guaranteed by the caller
        uri = f"{target.root}/models/{package.hash[:32]}/model.tar.gz"
        bucket, key = parse_object_uri(uri)
        yield "object", uri, {"Bucket": bucket, "Key": key, "ContentType": "application/gzip"}
        content = model_request(package.card, uri, container, target)
    yield "model", name(content), {"ModelName": name(content), **content}


def versioned(name: str, content: Mapping[str, object]) -> str:
    """A name with a hash of the content: ``name-0123456789ab``."""
    text = json.dumps(content, sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_version(name: str, endpoint: str) -> bool:
    """Whether a model or endpoint configuration belongs to an endpoint of that name."""
    return re.fullmatch(re.escape(endpoint) + "-[0-9a-f]{12}", name) is not None


def alarm_name(endpoint: str) -> str:
    """The name of the alarm that rolls back an endpoint's updates."""
    return f"scones-{endpoint}-errors"


def variant_id(endpoint: str) -> str:
    """The id of the endpoint's variant in Application Auto Scaling."""
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def _check_serverless(request: DeploymentRequest, target: DeploymentTarget) -> None:
    """Refuse requests that serverless endpoints do not support, before AWS does so minutes later.

    Raises:
        DeploymentError: data capture, a GPU container or a VPC is requested.
    """
    if not isinstance(request.variant, Serverless):
        return
    excluded = {
        "does not support data capture": bool(request.capture_percentage),
        "has no GPU, which its container needs": "-gpu" in (request.container or ""),
        "does not support a VPC": target.vpc is not None,
    }
    for reason, asked in excluded.items():
        if asked:
            raise DeploymentError(f"a serverless endpoint {reason}: leave it out for {request.name}, or use instances")


def model_request(
    model: ModelCard | BuiltInModel, uri: str, container: str | None, target: DeploymentTarget
) -> Request:
    """CreateModel, without its name and tags.

    Labels, input size and threshold are in the container's environment, so that they can be read on any machine.

    Args:
        model: the model's description.
        uri: its ``model.tar.gz``.
        container: URI of a custom container image; None for AWS's.
        target: region, role, storage and network.

    Raises:
        ConfigurationError: no container is known for the region.
    """
    if isinstance(model, BuiltInModel):
        image = container or image_classification_image(target.region)
        size, code = model.image_size, {}
    else:
        image = container or pytorch_inference_image(target.region)
        size = model.input_size
        code = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    environment = {**code, "SCONES_LABELS": labels_text(model.labels), "SCONES_IMAGE_SIZE": str(size)}
    if model.fit is not None:
        environment["SCONES_IMAGE_FIT"] = model.fit
    if model.threshold is not None:
        environment["SCONES_THRESHOLD"] = repr(model.threshold)
    found: Request = {
        "ExecutionRoleArn": target.role_arn,
        "PrimaryContainer": {"Image": image, "ModelDataUrl": uri, "Environment": environment},
    }
    if target.vpc:
        found["VpcConfig"] = {
            "Subnets": list(target.vpc.subnets),
            "SecurityGroupIds": list(target.vpc.security_groups),
        }
    return found


def config_request(model_name: str, request: DeploymentRequest, target: DeploymentTarget) -> Request:
    """CreateEndpointConfig, without its name and tags."""
    variant: Request = {"VariantName": VARIANT, "ModelName": model_name}
    match request.variant:
        case RealTime(instance_type, instances):
            variant |= {"InstanceType": instance_type, "InitialInstanceCount": instances, "InitialVariantWeight": 1.0}
        case Serverless(memory_mb, max_concurrency):
            variant["ServerlessConfig"] = {"MemorySizeInMB": memory_mb, "MaxConcurrency": max_concurrency}
            return {"ProductionVariants": [variant]}
    percentage = 100 if request.capture_percentage is None else request.capture_percentage
    if not percentage:
        return {"ProductionVariants": [variant]}
    return {
        "ProductionVariants": [variant],
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": percentage,
            "DestinationS3Uri": target.captures,
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": dict(CAPTURED),
        },
    }


def endpoint_request(name: str, config_name: str) -> Request:
    """CreateEndpoint, without its tags."""
    return {"EndpointName": name, "EndpointConfigName": config_name}


def alarm_request(name: str, endpoint: str) -> Request:
    """PutMetricAlarm, without its tags: triggered by a container error within the last minute."""
    return {
        "AlarmName": name,
        "AlarmDescription": f"Endpoint {endpoint} fails (5XX); an update that brings this about is rolled back",
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": VARIANT}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 0.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }


def scaling_target_request(endpoint: str, least: int, most: int) -> Request:
    """RegisterScalableTarget, without its tags."""
    return {**_scaled(endpoint), "MinCapacity": least, "MaxCapacity": most}


def scaling_policy_request(endpoint: str, invocations: int) -> Request:
    """PutScalingPolicy: a target of requests a minute for each instance."""
    return {
        **_scaled(endpoint),
        "PolicyName": SCALING_POLICY,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": float(invocations),
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleOutCooldown": 60,  # seconds: scale out at once, in late, since an instance takes minutes to start
            "ScaleInCooldown": 300,
        },
    }


def _scaled(endpoint: str) -> Request:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": variant_id(endpoint),
        "ScalableDimension": SCALABLE_DIMENSION,
    }
