"""Batch transform: a temporary model classifies every image under a prefix.

Predictions are written to ``DESTINATION/KEY.out``, a JSON list of probabilities for each image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scones_ml.cost.prices import hourly_price
from scones_ml.errors import ConfigurationError, DeploymentError
from scones_ml.events import parse_uri
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.plans import Change, Plan
from scones_ml.ports import BuiltInModel
from scones_ml.sagemaker.endpoint_plan import creations, removal
from scones_ml.sagemaker.endpoint_requests import DeploymentTarget, Request, model_creations
from scones_ml.sagemaker.model_package import ModelPackage

__all__ = ["TransformRequest", "transform_plan", "transform_request"]

_PAYLOAD_MB: Final = 6  # AWS's default (AWS: CreateTransformJob), which is also an endpoint's limit


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """Request for one batch transform job.

    Attributes:
        name: name of the job and its model; unique in account and region.
        model: the model's folder, or a model of the built-in algorithm.
        source: ``s3://bucket/prefix`` that holds only images, of at most 6 MB; a broken image fails the job.
        destination: ``s3://bucket/prefix`` that predictions are written to.
        instance_type: type of the instances.
        instances: number of instances.
        container: URI of a custom container image; None for AWS's.
    """

    name: str
    model: Path | BuiltInModel
    source: str
    destination: str
    instance_type: str = "ml.m5.large"
    instances: int = 1
    container: str | None = None

    def __post_init__(self) -> None:
        if re.fullmatch(SAGEMAKER_NAME, self.name) is None:
            most = SAGEMAKER_NAME_CHARACTERS
            raise DeploymentError(
                f"{self.name!r} is not a valid job name: give 1 to {most} letters, digits and hyphens"
            )
        parse_uri(self.source, "source")
        parse_uri(self.destination, "destination")
        if self.instances < 1:
            raise ConfigurationError(f"{self.instances} instances: give 1 or more")


def transform_plan(request: TransformRequest, target: DeploymentTarget, package: ModelPackage | None) -> Plan:
    """The plan of a job: create the model, run the job, delete the model.

    Args:
        request: the requested job.
        target: region, role, storage and network.
        package: the model's package; None for a :class:`BuiltInModel`, which is already in S3.

    Raises:
        ConfigurationError: no container is known for the region.
    """
    wanted = model_creations(request.model, request.container, target, package, lambda _: request.name)
    *before, model = creations(wanted, package)
    job = Change(
        "create",
        "transform job",
        request.name,
        f"{request.instances} x {request.instance_type} until every image is classified",
        "sagemaker:CreateTransformJob",
        hourly_price(target.region, request.instance_type, request.instances),
        transform_request(request, model.name),
    )
    return Plan(
        "transform", f"aws:{target.region}", (*before, model, job, removal("model", model.name, "its job has ended"))
    )


def transform_request(request: TransformRequest, model_name: str) -> Request:
    """CreateTransformJob, without its tags: one image per request, one object per prediction."""
    return {
        "TransformJobName": request.name,
        "ModelName": model_name,
        "BatchStrategy": "SingleRecord",
        "MaxPayloadInMB": _PAYLOAD_MB,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": request.source}},
            "ContentType": "application/x-image",
        },
        "TransformOutput": {"S3OutputPath": request.destination, "Accept": "application/json"},
        "TransformResources": {"InstanceType": request.instance_type, "InstanceCount": request.instances},
    }
