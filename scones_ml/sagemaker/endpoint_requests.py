"""The requests that put a model behind a SageMaker endpoint, or let it work through a prefix.

Names of models and endpoint configurations end in a hash of what they hold: SageMaker never changes either, and the
same model deployed the same way has the same names.
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
"""What is kept as text in a capture; everything else, images above all, is kept in base64."""


@dataclass(frozen=True, slots=True)
class Vpc:
    """The private network that containers reach.

    Attributes:
        subnets: ids of subnets, in two zones or more where there are two instances or more.
        security_groups: ids of security groups.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeploymentTarget:
    """What a deployment is made for: region, role, storage and network.

    Attributes:
        region: ``"us-east-1"``.
        role_arn: what the container may do.
        root: ``s3://bucket/prefix`` that model packages go under.
        captures: ``s3://bucket/prefix`` that data capture goes under.
        vpc: the private network; none when None.
    """

    region: str
    role_arn: str
    root: str
    captures: str
    vpc: Vpc | None = None


def creations(
    request: DeploymentRequest, target: DeploymentTarget, package: ModelPackage | None
) -> Iterator[tuple[str, str, Request]]:
    """Everything that an endpoint takes, in the order in which it is made.

    Args:
        request: what is wanted.
        target: region, role, storage and network.
        package: the model's; None for a :class:`BuiltInModel`, which lies in S3 already.

    Yields:
        Kind and name of each resource, and the request that makes it, without tags.

    Raises:
        ConfigurationError: no container is known for the region, or a class name holds a comma.
        DeploymentError: a serverless endpoint cannot do what is asked for.
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
    """A model's package in S3, where there is one, and then the model; see :func:`creations`.

    Args:
        model: what is served.
        container: URI of an image of your own; AWS's own when None.
        target: region, role, storage and network.
        package: the model's; None for a :class:`BuiltInModel`.
        name: names the model by its request.
    """
    if isinstance(model, BuiltInModel):
        content = model_request(model, model.uri, container, target)
    else:
        assert package is not None  # noqa: S101 - by the caller's promise
        uri = f"{target.root}/models/{package.hash[:32]}/model.tar.gz"
        bucket, key = parse_object_uri(uri)
        yield "object", uri, {"Bucket": bucket, "Key": key, "ContentType": "application/gzip"}
        content = model_request(package.card, uri, container, target)
    yield "model", name(content), {"ModelName": name(content), **content}


def versioned(name: str, content: Mapping[str, object]) -> str:
    """``name-0123456789ab``: the digits stand for the content."""
    text = json.dumps(content, sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_version(name: str, endpoint: str) -> bool:
    """Whether a model or endpoint configuration was made for an endpoint of that name."""
    return re.fullmatch(re.escape(endpoint) + "-[0-9a-f]{12}", name) is not None


def alarm_name(endpoint: str) -> str:
    """The alarm that rolls an endpoint's updates back."""
    return f"scones-{endpoint}-errors"


def variant_id(endpoint: str) -> str:
    """What Application Auto Scaling calls the endpoint's one variant."""
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def _check_serverless(request: DeploymentRequest, target: DeploymentTarget) -> None:
    """Refuse what a serverless endpoint cannot do, before AWS does so minutes later.

    Raises:
        DeploymentError: data capture, a GPU's container or a VPC is asked for.
    """
    if not isinstance(request.variant, Serverless):
        return
    excluded = {
        "keeps no data capture": bool(request.capture_percentage),
        "has no GPU, for which its container is made": "-gpu" in (request.container or ""),
        "reaches no VPC": target.vpc is not None,
    }
    for reason, asked in excluded.items():
        if asked:
            raise DeploymentError(f"a serverless endpoint {reason}: leave it out for {request.name}, or use instances")


def model_request(
    model: ModelCard | BuiltInModel, uri: str, container: str | None, target: DeploymentTarget
) -> Request:
    """CreateModel, without its name and tags.

    Labels, input size and threshold travel in the container's environment: whoever asks for the endpoint finds them
    there, whichever machine it was deployed from.

    Args:
        model: what is known of it.
        uri: its ``model.tar.gz``.
        container: URI of an image of your own; AWS's own when None.
        target: region, role, storage and network.

    Raises:
        ConfigurationError: no image is known for the region.
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
    """PutMetricAlarm, without its tags: the container has failed within the last minute."""
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
    """PutScalingPolicy: so many requests a minute for each machine."""
    return {
        **_scaled(endpoint),
        "PolicyName": SCALING_POLICY,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": float(invocations),
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleOutCooldown": 60,  # seconds: out at once, in late, since a machine takes minutes to start
            "ScaleInCooldown": 300,
        },
    }


def _scaled(endpoint: str) -> Request:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": variant_id(endpoint),
        "ScalableDimension": SCALABLE_DIMENSION,
    }
