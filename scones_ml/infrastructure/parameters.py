"""Settings of the template when it is generated, and parameters when it is deployed."""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from scones_ml.infrastructure.intrinsics import Value, ref
from scones_ml.limits import BUCKET_NAME
from scones_ml.settings import Fit, ImagePolicy

__all__ = ["RESERVED_CONCURRENCY", "TemplateSettings", "conditions", "interface", "parameters", "rules"]

RESERVED_CONCURRENCY: Final = 20
"""Default reserved concurrency of a function: a burst of images cannot use up the account's concurrency."""

RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]


class TemplateSettings(BaseModel):
    """Settings of the template; values that differ between deployments are parameters instead.

    Attributes:
        workflow_type: STANDARD (exactly once, a history of each execution, failures reach the queue) or EXPRESS
            (at least once, no charge for transitions, at most 5 minutes, failures are counted and logged only).
        below_threshold: outcome of an image below the threshold, as in
            :func:`scones_ml.workflows.image_classification`.
        code: folder of the functions' code, relative to the template's.
        log_retention_days: how long logs are kept, one of the numbers that CloudWatch Logs takes.
        capture_days: how long data capture is kept.
        upload_days: how long images uploaded by `scones run` are kept.
        noncurrent_days: how long replaced and deleted objects can be restored.
        suffixes: endings of keys that start an execution, in lower or upper case.
        image_policy: caps and the default size of images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow_type: Literal["STANDARD", "EXPRESS"] = "STANDARD"
    below_threshold: Literal["review", "fail"] = "review"
    code: str = Field(default="../build/lambda", min_length=1)
    log_retention_days: RetentionDays = 30
    capture_days: int = Field(default=30, ge=1)
    upload_days: int = Field(default=30, ge=1)
    noncurrent_days: int = Field(default=30, ge=1)
    suffixes: tuple[str, ...] = (
        *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
    )
    image_policy: ImagePolicy = ImagePolicy()


_PREFIX: Final = r"^[A-Za-z0-9_.-][A-Za-z0-9_./-]*/$"
_PREFIX_HINT: Final = "letters, digits, _ . - / and a / at the end"
_GROUPS: Final = {
    "The model": ("Threshold", "EndpointName", "EndpointExpires", "Labels", "ModelUri", "ImageSize", "ImageFit"),
    "Images and notifications": ("InputPrefix", "AlarmEmail", "ReviewRatePercent"),
    "Operation": ("Architecture", "ReservedConcurrency", "Tracing", "Project"),
}


def parameters(settings: TemplateSettings) -> dict[str, Value]:
    """Parameters for ``sam deploy --parameter-overrides``. Only Threshold has no default, since none can be guessed."""
    return {
        "Threshold": _text(
            "Least confidence that is accepted, above 0 and at most 1: threshold in model.json; none sends all "
            "images to review",
            pattern=r"^(none|0?\.[0-9]*[1-9][0-9]*|1(\.0*)?)$",
            hint="a number above 0 and at most 1, or none",
        ),
        "EndpointName": _text(
            "SageMaker endpoint that classifies; empty when the model runs inside the function",
            "",
            r"^$|^[a-z0-9](-*[a-z0-9]){0,62}$",
            "an endpoint's name in lower case, as in its ARN",
        ),
        "EndpointExpires": _text(
            "When the endpoint is deleted, in UTC, as in 2026-12-31T18:00:00; empty for never",
            "",
            r"^$|^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
            "a time in UTC, as in 2026-12-31T18:00:00",
        ),
        "Labels": _text("Class names in the order of the endpoint's probabilities, as in bicycle,motorcycle", ""),
        "ModelUri": _text(
            "Model that the function loads, as in s3://bucket/model.tar.gz; empty for the packaged one",
            "",
            rf"^$|^s3://{BUCKET_NAME}/[^*?$]+\.tar\.gz$",
            "s3://bucket/key.tar.gz",
        ),
        "ImageSize": {
            "Type": "Number",
            "Description": "Side of the model's input square, in pixels: input_size in model.json",
            "Default": settings.image_policy.image_size,
            "MinValue": 8,
            "MaxValue": 1024,
        },
        "ImageFit": {
            "Type": "String",
            "Description": "How images are made square: fit in model.json; empty for a model without one",
            "Default": "",
            "AllowedValues": ["", *get_args(Fit)],
        },
        "InputPrefix": _text("Images under this prefix are classified", "images/", _PREFIX, _PREFIX_HINT),
        "AlarmEmail": _text("Email address for alarms and failed executions; empty for none", "", r"^$|^\S+@\S+$"),
        "ReviewRatePercent": {
            "Type": "Number",
            "Description": "Alarm when more of an hour's images than this percentage go to review",
            "Default": 50,
            "MinValue": 1,
            "MaxValue": 100,
        },
        "Architecture": {
            "Type": "String",
            "Description": "Processor architecture of the functions; must match their packages",
            "Default": "arm64",
            "AllowedValues": ["arm64", "x86_64"],
        },
        "ReservedConcurrency": {
            "Type": "Number",
            "Description": "Reserved concurrency of each function; 0 reserves none (new accounts)",
            "Default": RESERVED_CONCURRENCY,
            "MinValue": 0,
        },
        "Tracing": {
            "Type": "String",
            "Description": "X-Ray traces of functions and executions; needs packages with the tracing extra",
            "Default": "off",
            "AllowedValues": ["on", "off"],
        },
        "Project": _text(
            "Value of the tag scones:project on every resource, by which clean-up finds them",
            "scones",
            r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        ),
    }


def interface() -> Value:
    """Groups of parameters in the console."""
    return {
        "ParameterGroups": [
            {"Label": {"default": label}, "Parameters": list(names)} for label, names in _GROUPS.items()
        ]
    }


def conditions() -> dict[str, Value]:
    """Conditions that the parameters control."""
    return {
        "UsesEndpoint": _not_empty("EndpointName"),
        "ExpiresEndpoint": _not_empty("EndpointExpires"),
        "UsesModelUri": _not_empty("ModelUri"),
        "ReservesConcurrency": {"Fn::Not": [{"Fn::Equals": [ref("ReservedConcurrency"), "0"]}]},
        "UsesTracing": {"Fn::Equals": [ref("Tracing"), "on"]},
        "TellsSomebody": _not_empty("AlarmEmail"),
    }


def rules() -> dict[str, Value]:
    """Rules by which CloudFormation refuses invalid parameters before it creates anything."""
    return {
        "NoRuns": {
            "Assertions": [
                {
                    "Assert": {"Fn::Not": [{"Fn::Equals": [ref("InputPrefix"), "runs/"]}]},
                    "AssertDescription": "Give another InputPrefix: under runs/ `scones run` starts the executions",
                }
            ]
        },
        "EndpointToDelete": {
            "RuleCondition": _not_empty("EndpointExpires"),
            "Assertions": [
                {
                    "Assert": _not_empty("EndpointName"),
                    "AssertDescription": "EndpointExpires deletes an endpoint: give its name as EndpointName",
                }
            ],
        },
        "OneModel": {
            "RuleCondition": _not_empty("EndpointName"),
            "Assertions": [
                {
                    "Assert": {"Fn::Equals": [ref("ModelUri"), ""]},
                    "AssertDescription": "Give EndpointName or ModelUri, not both",
                },
                {
                    "Assert": _not_empty("Labels"),
                    "AssertDescription": "An endpoint returns no class names: give Labels, as in bicycle,motorcycle",
                },
            ],
        },
    }


def _text(description: str, default: str | None = None, pattern: str = "", hint: str = "") -> Value:
    found: dict[str, Value] = {"Type": "String", "Description": description}
    if default is not None:
        found["Default"] = default
    if pattern:
        found["AllowedPattern"] = pattern
    if hint:
        found["ConstraintDescription"] = hint
    return found


def _not_empty(parameter: str) -> Value:
    return {"Fn::Not": [{"Fn::Equals": [ref(parameter), ""]}]}
