"""The one table that turns AWS's errors into ours.

Codes that the table does not name are judged by their HTTP status: 429 and 5xx may pass, the rest will not. Tests hold
the table against botocore's service models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scones_ml.errors import (
    ConfigurationError,
    ImageNotFoundError,
    InferenceError,
    MissingExtraError,
    SconesError,
    TransientServiceError,
)

try:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004
        HTTPClientError,
    )
except ModuleNotFoundError as exc:
    raise MissingExtraError("boto3", "aws") from exc

__all__ = ["ERRORS", "explained", "translated"]

ERRORS: dict[str, type[SconesError]] = {
    # S3 GetObject, PutObject
    "404": ImageNotFoundError,
    "412": ImageNotFoundError,
    "NoSuchKey": ImageNotFoundError,
    "NoSuchVersion": ImageNotFoundError,
    "PreconditionFailed": ImageNotFoundError,
    "403": ConfigurationError,  # also S3's word for "missing" where listing is not granted
    "AccessDenied": ConfigurationError,
    "InvalidObjectState": ConfigurationError,  # archived: restore it first
    "NoSuchBucket": ConfigurationError,
    "RequestTimeout": TransientServiceError,  # HTTP 400
    "SlowDown": TransientServiceError,
    # SageMaker InvokeEndpoint
    "InternalDependencyException": TransientServiceError,
    "InternalFailure": TransientServiceError,
    "ModelNotReadyException": TransientServiceError,
    "ServiceUnavailable": TransientServiceError,
    "ValidationError": ConfigurationError,  # no such endpoint, or a request that it cannot take
    # Step Functions StartExecution; ExecutionAlreadyExists is no error to us
    "ExecutionLimitExceeded": TransientServiceError,
    "InvalidArn": ConfigurationError,
    "InvalidExecutionInput": ConfigurationError,
    "InvalidName": ConfigurationError,
    "KmsAccessDeniedException": ConfigurationError,
    "KmsInvalidStateException": ConfigurationError,
    "KmsThrottlingException": TransientServiceError,
    "StateMachineDeleting": ConfigurationError,
    "StateMachineDoesNotExist": ConfigurationError,
    "ValidationException": ConfigurationError,
    # all of them
    "Throttling": TransientServiceError,
    "ThrottlingException": TransientServiceError,
}

_HINTS = {
    "AccessDenied": "have the named action allowed for the named user or role",
    "AccessDeniedException": "have the named action allowed for the named user or role",
    "ResourceInUse": "choose another name",
    "ResourceLimitExceeded": "ask for a higher quota in Service Quotas, or choose another instance type",
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise our error for AWS's.

    Args:
        what: the thing that the call was about, ``"s3://bucket/key"``; messages start with it.
    """
    try:
        yield
    except ClientError as exc:
        raise _translate(exc)(f"{what}: {_message(exc)}") from exc
    except (ConnectionError, HTTPClientError) as exc:
        raise TransientServiceError(f"{what}: {exc}") from exc
    except BotoCoreError as exc:
        raise ConfigurationError(f"{what}: {exc}") from exc


@contextmanager
def explained(what: str) -> Iterator[None]:
    """As :func:`translated`, with what to do about common refusals of those who make and remove resources.

    Args:
        what: as for :func:`translated`.
    """
    try:
        with translated(what):
            yield
    except ConfigurationError as exc:
        code = exc.__cause__.response.get("Error", {}).get("Code", "") if isinstance(exc.__cause__, ClientError) else ""
        if code not in _HINTS:
            raise
        raise ConfigurationError(f"{exc}: {_HINTS[code]}") from exc.__cause__


def _translate(error: ClientError) -> type[SconesError]:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ModelError":  # the container's own answer: its status decides
        original = int(str(error.response.get("OriginalStatusCode", 0)))
        return TransientServiceError if original in (0, 429) or original >= 500 else InferenceError
    if code in ERRORS:
        return ERRORS[code]
    return TransientServiceError if status == 429 or status >= 500 else ConfigurationError


def _message(error: ClientError) -> str:
    detail = error.response.get("Error", {})
    return f"{detail.get('Code', 'error')}: {detail.get('Message') or error}"
