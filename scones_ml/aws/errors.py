"""Translation of AWS's errors into ours: one table for each client, and remedies for the common ones.

Codes in no table are classified by HTTP status: 429 and 5xx are transient, the rest permanent. Tests check the tables
against botocore's service models, for every operation that this package calls, and against botocore's list of
throttling codes. ``SconesError.code`` holds AWS's code; this is the only module that reads botocore's errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

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
        ConnectionError,  # noqa: A004 - botocore's own, no subclass of Python's
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        NoRegionError,
        PartialCredentialsError,
        ReadTimeoutError,
    )
    from botocore.parsers import ResponseParserError
except ModuleNotFoundError as exc:
    raise MissingExtraError("boto3", "aws") from exc

__all__ = ["ERRORS", "TABLES", "translated"]

_Table = Mapping[str, type[SconesError]]

_EVERY_CLIENT: Final[_Table] = {
    "AccessDenied": ConfigurationError,
    "AccessDeniedException": ConfigurationError,
    "BandwidthLimitExceeded": TransientServiceError,
    "EC2ThrottledException": TransientServiceError,
    "ExpiredToken": ConfigurationError,
    "ExpiredTokenException": ConfigurationError,
    "InvalidAccessKeyId": ConfigurationError,
    "InvalidClientTokenId": ConfigurationError,
    "InvalidSignatureException": ConfigurationError,
    "LimitExceededException": TransientServiceError,
    "PriorRequestNotComplete": TransientServiceError,
    "ProvisionedThroughputExceededException": TransientServiceError,
    "RequestExpired": ConfigurationError,
    "RequestLimitExceeded": TransientServiceError,
    "RequestThrottled": TransientServiceError,
    "RequestThrottledException": TransientServiceError,
    "RequestTimeTooSkewed": ConfigurationError,
    "RequestTimeout": TransientServiceError,  # HTTP 400
    "RequestTimeoutException": TransientServiceError,
    "SignatureDoesNotMatch": ConfigurationError,
    "SlowDown": TransientServiceError,
    "Throttling": TransientServiceError,
    "ThrottledException": TransientServiceError,
    "ThrottlingException": TransientServiceError,
    "TooManyRequestsException": TransientServiceError,
    "TransactionInProgressException": TransientServiceError,
    "UnrecognizedClientException": ConfigurationError,
}

TABLES: Final[Mapping[str, _Table]] = {
    "application-autoscaling": {
        "ConcurrentUpdateException": TransientServiceError,
        "FailedResourceAccessException": ConfigurationError,
        "InternalServiceException": TransientServiceError,
        "InvalidNextTokenException": ConfigurationError,
        "ObjectNotFoundException": ConfigurationError,
        "ResourceNotFoundException": ConfigurationError,
        "ValidationException": ConfigurationError,
    },
    "cloudformation": {
        "TokenAlreadyExistsException": ConfigurationError,
        "ValidationError": ConfigurationError,  # no such stack, too
    },
    "cloudwatch": {
        "InternalServiceError": TransientServiceError,
        "InvalidNextToken": ConfigurationError,
        "InvalidParameterCombination": ConfigurationError,
        "InvalidParameterValue": ConfigurationError,
        "LimitExceeded": ConfigurationError,  # the account's maximum of alarms
        "MissingParameter": ConfigurationError,
        "ResourceConflict": TransientServiceError,
        "ResourceNotFound": ConfigurationError,
        "ResourceNotFoundException": ConfigurationError,
    },
    "iam": {
        "InvalidInput": ConfigurationError,
        "NoSuchEntity": ConfigurationError,
        "PolicyEvaluation": ConfigurationError,
        "ServiceFailure": TransientServiceError,
    },
    "lambda": {
        "InvalidParameterValueException": ConfigurationError,
        "ResourceNotFoundException": ConfigurationError,
        "ServiceException": TransientServiceError,
    },
    "logs": {
        "InvalidParameterException": ConfigurationError,
        "OperationAbortedException": TransientServiceError,  # another call is in progress
        "ResourceNotFoundException": ConfigurationError,
        "ServiceUnavailableException": TransientServiceError,
        "TooManyTagsException": ConfigurationError,
        "ValidationException": ConfigurationError,
    },
    "resourcegroupstaggingapi": {
        "InternalServiceException": TransientServiceError,
        "InvalidParameterException": ConfigurationError,
        "PaginationTokenExpiredException": TransientServiceError,
        "ThrottledException": TransientServiceError,
    },
    "s3": {
        "403": ConfigurationError,  # also S3's code for a missing object without permission to list
        "404": ImageNotFoundError,
        "412": ImageNotFoundError,
        "EncryptionTypeMismatch": ConfigurationError,
        "InternalError": TransientServiceError,  # of one object among many
        "InvalidObjectState": ConfigurationError,  # archived: restore it first
        "InvalidRequest": ConfigurationError,
        "InvalidWriteOffset": ConfigurationError,
        "NoSuchBucket": ConfigurationError,
        "NoSuchKey": ImageNotFoundError,
        "NoSuchTagSet": ConfigurationError,  # a bucket without tags
        "NoSuchVersion": ImageNotFoundError,
        "OperationAborted": TransientServiceError,  # another call is in progress
        "PermanentRedirect": ConfigurationError,
        "PreconditionFailed": ImageNotFoundError,
        "TooManyParts": ConfigurationError,
    },
    "sagemaker": {
        "ConflictException": ConfigurationError,
        "ResourceInUse": ConfigurationError,
        "ResourceLimitExceeded": ConfigurationError,
        "ResourceNotFound": ConfigurationError,
        "ValidationException": ConfigurationError,
    },
    "sagemaker-runtime": {
        "InternalDependencyException": TransientServiceError,
        "InternalFailure": TransientServiceError,
        "ModelError": InferenceError,  # or by the container's own status
        "ModelNotReadyException": TransientServiceError,
        "ServiceUnavailable": TransientServiceError,
        "ValidationError": ConfigurationError,  # no such endpoint, or an invalid request
    },
    "service-quotas": {
        "AccessDeniedException": ConfigurationError,
        "IllegalArgumentException": ConfigurationError,
        "InvalidPaginationTokenException": ConfigurationError,
        "NoSuchResourceException": ConfigurationError,
        "ServiceException": TransientServiceError,
    },
    "stepfunctions": {
        "ExecutionAlreadyExists": ConfigurationError,  # where it means anything but success
        "ExecutionDoesNotExist": ConfigurationError,
        "ExecutionLimitExceeded": TransientServiceError,
        "InvalidArn": ConfigurationError,
        "InvalidExecutionInput": ConfigurationError,
        "InvalidName": ConfigurationError,
        "InvalidToken": ConfigurationError,
        "KmsAccessDeniedException": ConfigurationError,
        "KmsInvalidStateException": ConfigurationError,
        "KmsThrottlingException": TransientServiceError,
        "ResourceNotFound": ConfigurationError,
        "StateMachineDeleting": ConfigurationError,
        "StateMachineDoesNotExist": ConfigurationError,
        "StateMachineTypeNotSupported": ConfigurationError,
        "ValidationException": ConfigurationError,
    },
    "sts": {},
}
"""Our errors by client and code; no code has two meanings."""

ERRORS: Final[_Table] = {code: error for table in (_EVERY_CLIENT, *TABLES.values()) for code, error in table.items()}

_SIGN_IN: Final = "sign in again, as with `aws sso login`, or set fresh keys"
_OTHER_KEY: Final = "see where the access key comes from with `aws configure list`"
_HINTS: Final = {
    "AccessDenied": "allow the named action for the named user or role",
    "AccessDeniedException": "allow the named action for the named user or role",
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "InvalidAccessKeyId": _OTHER_KEY,
    "InvalidClientTokenId": _OTHER_KEY,
    "InvalidSignatureException": _OTHER_KEY,
    "PermanentRedirect": "the bucket is in another region: set AWS_DEFAULT_REGION to it",
    "RequestExpired": _SIGN_IN,
    "RequestTimeTooSkewed": "set this machine's clock",
    "ResourceInUse": "choose another name",
    "ResourceLimitExceeded": "request a higher quota in Service Quotas, or choose another instance type",
    "SignatureDoesNotMatch": _OTHER_KEY,
    "UnrecognizedClientException": f"{_OTHER_KEY}, and whether the region is switched on",
}
_BEFORE_AN_ANSWER: Final[Mapping[type[Exception], str]] = {
    EndpointConnectionError: "check the region and the network",
    NoCredentialsError: "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
    NoRegionError: "set AWS_DEFAULT_REGION, or `aws configure set region REGION`",
    PartialCredentialsError: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both",
}
_UNREACHABLE: Final = (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError)
_RESTART: Final = "`scones status` shows whether it runs, `scones deploy MODEL` starts it again"
_S3_ACTIONS: Final = {
    "DeleteBucket": "s3:DeleteBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObjectVersion",
    "GetBucketTagging": "s3:GetBucketTagging",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
}
"""S3's "Access Denied" may name neither the caller nor the action."""


def _unknown_caller() -> str:
    return "the caller"


@contextmanager
def translated(what: str, caller: Callable[[], str] = _unknown_caller, *, is_local: bool = False) -> Iterator[None]:
    """Translate AWS's errors into ours, with AWS's code and a remedy where one is known.

    Args:
        what: subject of the call, ``"s3://bucket/key"``; messages start with it.
        caller: returns our identity; called only when S3 denies access without naming the caller.
        is_local: whether the service runs on this machine, where waiting does not help.
    """
    try:
        yield
    except ClientError as exc:
        raise _translate(exc)(f"{what}: {_message(exc, caller)}", code=_code(exc)) from exc
    except (ConnectionError, HTTPClientError, ResponseParserError) as exc:
        if is_local and isinstance(exc, _UNREACHABLE):
            raise ConfigurationError(f"{what} does not answer: {_RESTART}") from exc
        raise TransientServiceError(f"{what}: {_with_hint(exc)}") from exc
    except BotoCoreError as exc:
        raise ConfigurationError(f"{what}: {_with_hint(exc)}") from exc


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translate(error: ClientError) -> type[SconesError]:
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ModelError":  # the container's own response: its status decides
        original = int(str(error.response.get("OriginalStatusCode", 0)))
        return TransientServiceError if original in (0, 429) or original >= 500 else ERRORS[code]
    if code in ERRORS:
        return ERRORS[code]
    return TransientServiceError if status == 429 or status >= 500 else ConfigurationError


def _message(error: ClientError, caller: Callable[[], str]) -> str:
    detail = error.response.get("Error", {})
    code, said = _code(error) or "error", " ".join(str(detail.get("Message") or error).split())
    action = _S3_ACTIONS.get(error.operation_name)
    if code in ("403", "AccessDenied") and action and "arn:" not in said:  # an ARN names them
        return (
            f"{code}: {caller()} may not {action} there: allow it (docs/security.md); "
            "or the bucket belongs to another account"
        )
    hint = _HINTS.get(code)
    return f"{code}: {said}: {hint}" if hint else f"{code}: {said}"


def _with_hint(error: Exception) -> str:
    hint = _BEFORE_AN_ANSWER.get(type(error))
    said = " ".join(str(error).split())
    return f"{said.rstrip('.')}: {hint}" if hint else said
