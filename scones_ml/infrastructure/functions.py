"""Lambda functions of a definition: handlers, environment and resources.

A function's permissions and variables follow from its handler's source: from the functions of ``backends`` and
``settings`` that it uses. A new one has to be entered here, so that no handler gains a permission unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml import asl
from scones_ml.errors import ConfigurationError, InvalidDefinitionError
from scones_ml.infrastructure.definitions import function_names, states_of
from scones_ml.infrastructure.intrinsics import NO_VALUE, Value, either, get_att, ref, sub
from scones_ml.infrastructure.parameters import TemplateSettings
from scones_ml.workflows.handlers import handler_name, handler_uses

__all__ = [
    "DECODING_MB",
    "ONE_VCPU_MB",
    "SMALL_MB",
    "check_uses",
    "environment",
    "log_group",
    "reserved_concurrency",
    "resources",
]

BUNDLED_MODEL = "onnx:/var/task/model"
"""Folder of a model in a function's package."""

_IMAGE_POLICY: Final = ("SCONES_IMAGE_SIZE", "SCONES_IMAGE_FIT", "SCONES_MAX_IMAGE_BYTES", "SCONES_MAX_IMAGE_PIXELS")
_CLASSIFIER: Final = ("SCONES_CLASSIFIER", "SCONES_LABELS", "SCONES_OBJECT_STORE")
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "backends.batch_classifier": _CLASSIFIER,
    "backends.classifier": _CLASSIFIER,
    "backends.read_object": ("SCONES_OBJECT_STORE", *_IMAGE_POLICY),
    "backends.result_exists": ("SCONES_OBJECT_STORE",),
    "backends.write_result": ("SCONES_OBJECT_STORE",),
    "settings.image_policy": _IMAGE_POLICY,
    "settings.readers": ("SCONES_READERS",),
    "settings.threshold": ("SCONES_THRESHOLD",),
}
"""Environment variables of each function that a handler may use."""

ONE_VCPU_MB = 1769  # memory with one full vCPU (AWS: Configure Lambda function memory)
DECODING_MB = 1024  # 50 million pixels are 150 MB, held up to three times while they are converted
SMALL_MB = 256  # holds no image; with the minimum, 128, imports would have half the processor
_TASK_MARGIN_SECONDS = 30  # for a cold start: the function times out before its Task, which gets the error


def check_uses(handler: str, used: frozenset[str]) -> frozenset[str]:
    """Refuse a handler that uses a function without known permissions and variables.

    Args:
        handler: name of the handler, for the message.
        used: result of :func:`scones_ml.workflows.handlers.handler_uses`.

    Raises:
        ConfigurationError: a used function is unknown; the message says where to enter it.
    """
    unknown = sorted(used - set(_VARIABLES))
    if unknown:
        raise ConfigurationError(
            f"handlers/{handler}.py uses {', '.join(unknown)}: enter their needs in "
            "infrastructure/functions.py and grants.py"
        )
    return used


def environment(handler: str, settings: TemplateSettings) -> dict[str, Value]:
    """Environment variables of one handler: those of :mod:`scones_ml.settings` that it reads, and observability."""
    policy = settings.image_policy
    values: dict[str, Value] = {
        "SCONES_CLASSIFIER": either(
            "UsesEndpoint",
            sub("sagemaker:${EndpointName}"),
            either("UsesModelUri", sub("onnx:${ModelUri}"), BUNDLED_MODEL),
        ),
        "SCONES_LABELS": either("UsesEndpoint", ref("Labels"), NO_VALUE),
        "SCONES_OBJECT_STORE": "s3",
        "SCONES_IMAGE_SIZE": ref("ImageSize"),
        "SCONES_IMAGE_FIT": ref("ImageFit"),
        "SCONES_MAX_IMAGE_BYTES": str(policy.max_bytes),
        "SCONES_MAX_IMAGE_PIXELS": str(policy.max_pixels),
        "SCONES_THRESHOLD": ref("Threshold"),
    }
    wanted = {name for use in check_uses(handler, handler_uses(handler)) for name in _VARIABLES[use]}
    return {name: value for name, value in values.items() if name in wanted} | {
        "SCONES_TRACING": either("UsesTracing", "1", "0"),
        "SCONES_METRICS": "1",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": ref("AWS::StackName"),
    }


def log_group(function: str) -> str:
    """The logical name of a function's log group."""
    return f"{function}Logs"


def resources(machines: Mapping[str, asl.StateMachine], settings: TemplateSettings) -> dict[str, Value]:
    """One function and one log group for each name in the definitions."""
    found: dict[str, Value] = {}
    for machine in machines.values():
        for name in function_names(machine):
            found[f"{name}Function"] = _function(name, machine, settings)
            found[log_group(name)] = {
                "Type": "AWS::Logs::LogGroup",
                "DeletionPolicy": "Delete",
                "UpdateReplacePolicy": "Delete",
                "Properties": {
                    "LogGroupName": sub(f"/aws/lambda/${{AWS::StackName}}-{handler_name(name)}"),
                    "RetentionInDays": settings.log_retention_days,
                },
            }
    return found


def reserved_concurrency(machines: Mapping[str, asl.StateMachine], default: int) -> int:
    """Total reserved concurrency of a stack's functions.

    Args:
        machines: the stack's definitions.
        default: the parameter ReservedConcurrency, for functions without a limit in their definition.
    """
    return sum(_max_concurrency(machine) or default for machine in machines.values() for _ in function_names(machine))


def _function(name: str, machine: asl.StateMachine, settings: TemplateSettings) -> Value:
    handler = handler_name(name)
    at_once = _max_concurrency(machine) or ref("ReservedConcurrency")
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "CodeUri": f"{settings.code}/{handler}",
            "Handler": f"{handler}.lambda_handler",
            "MemorySize": _memory(handler),
            "Timeout": _timeout(name, machine),
            "ReservedConcurrentExecutions": either("ReservesConcurrency", at_once, NO_VALUE),
            "Role": get_att(f"{name}Role"),
            "Environment": {"Variables": environment(handler, settings)},
            "LoggingConfig": {"LogGroup": ref(log_group(name))},
        },
    }


def _timeout(name: str, machine: asl.StateMachine) -> int:
    """A function's timeout in seconds, shorter than its Task's."""
    limit = getattr(dict(states_of(machine.states)).get(name), "timeout_seconds", None)
    if not isinstance(limit, int) or limit <= _TASK_MARGIN_SECONDS:
        raise InvalidDefinitionError(
            f"the Task {name} needs TimeoutSeconds above {_TASK_MARGIN_SECONDS}, so that its function times out first"
        )
    return limit - _TASK_MARGIN_SECONDS


def _max_concurrency(machine: asl.StateMachine) -> int | None:
    """Concurrent batches of a distributed map: with a lower function concurrency some would be throttled."""
    for _, state in states_of(machine.states):
        if isinstance(state, asl.Map) and isinstance(state.max_concurrency, int):
            return state.max_concurrency
    return None


def _memory(handler: str) -> Value:
    uses = check_uses(handler, handler_uses(handler))
    if uses & {"backends.classifier", "backends.batch_classifier"}:
        return either("UsesEndpoint", DECODING_MB, ONE_VCPU_MB)
    return DECODING_MB if "backends.read_object" in uses else SMALL_MB
