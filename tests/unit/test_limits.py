"""AWS's quotas: each stands once, and where AWS's own API models state it, it is theirs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

import scones_ml
from scones_ml import limits

UNMISTAKABLE = {
    value
    for name in limits.__all__
    if isinstance(value := getattr(limits, name), int) and value > 10_000 and value % 86_400
}
"""Quotas that no other number of ours equals by chance."""


def model(service: str, operation: str, *path: str) -> Any:
    """What botocore's model says of one parameter; ``[]`` stands for a list's entries."""
    shape: Any = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    for name in path:
        shape = shape.member if name == "[]" else shape.members[name]
    return shape.metadata


SERVERLESS = ("ProductionVariants", "[]", "ServerlessConfig")
RETRY = ("Targets", "[]", "RetryPolicy")


@pytest.mark.parametrize(
    ("quota", "service", "operation", "path"),
    [
        (limits.STATE_BYTES, "stepfunctions", "StartExecution", ("input",)),
        (limits.STEP_FUNCTIONS_NAME_CHARACTERS, "stepfunctions", "StartExecution", ("name",)),
        (limits.DEFINITION_BYTES, "stepfunctions", "CreateStateMachine", ("definition",)),
        (limits.ENDPOINT_REQUEST_BYTES, "sagemaker-runtime", "InvokeEndpoint", ("Body",)),
        (limits.SERVERLESS_CONCURRENCY, "sagemaker", "CreateEndpointConfig", (*SERVERLESS, "MaxConcurrency")),
        (limits.SERVERLESS_MEMORY_MB[-1], "sagemaker", "CreateEndpointConfig", (*SERVERLESS, "MemorySizeInMB")),
        (limits.SAGEMAKER_NAME_CHARACTERS, "sagemaker", "CreateEndpoint", ("EndpointName",)),
        (limits.SAGEMAKER_NAME_CHARACTERS, "sagemaker", "CreateEndpointConfig", ("EndpointConfigName",)),
        (limits.SAGEMAKER_NAME_CHARACTERS, "sagemaker", "CreateModel", ("ModelName",)),
        (limits.SAGEMAKER_NAME_CHARACTERS, "sagemaker", "CreateTrainingJob", ("TrainingJobName",)),
        (limits.SAGEMAKER_NAME_CHARACTERS, "sagemaker", "CreateTransformJob", ("TransformJobName",)),
        (
            limits.TUNING_NAME_CHARACTERS,
            "sagemaker",
            "CreateHyperParameterTuningJob",
            ("HyperParameterTuningJobName",),
        ),
        (limits.EVENT_RETRIES, "events", "PutTargets", (*RETRY, "MaximumRetryAttempts")),
        (limits.EVENT_RETRY_SECONDS, "events", "PutTargets", (*RETRY, "MaximumEventAgeInSeconds")),
        (limits.EVENT_RETRIES, "scheduler", "CreateSchedule", ("Target", "RetryPolicy", "MaximumRetryAttempts")),
    ],
)
def test_quotas_are_those_of_awss_api_models(quota: int, service: str, operation: str, path: tuple[str, ...]) -> None:
    """Where an API model of AWS states a maximum, ours is that number."""
    assert model(service, operation, *path)["max"] == quota


@pytest.mark.parametrize(
    "name", ["a", "a-b", "a--b", "0" * 63, "-a", "a-", "", "a_b", "0" * 64, "a\n", "a" + "-" * 62 + "b"]
)
def test_the_name_pattern_takes_what_sagemaker_takes(name: str) -> None:
    """Our pattern accepts a name exactly when AWS's pattern and AWS's longest length do."""
    rule = model("sagemaker", "CreateTrainingJob", "TrainingJobName")
    accepted = re.fullmatch(rule["pattern"], name) is not None and rule["min"] <= len(name) <= rule["max"]
    assert (re.fullmatch(limits.SAGEMAKER_NAME, name) is not None) == accepted


def test_each_quota_stands_once() -> None:
    """No module but limits holds one of AWS's numbers."""
    assert {262_144, 262_144_000, 6_291_456, 4_194_304, 1_048_576, 25_000} <= UNMISTAKABLE
    package = Path(scones_ml.__file__).parent
    found = [
        (path.relative_to(package).as_posix(), node.value)
        for path in package.rglob("*.py")
        if path != package / "limits.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in UNMISTAKABLE
    ]
    assert not found
