"""AWS's errors as ours: one table for each client, and what to do about the common ones.

Codes that no table names are judged by their HTTP status: 429 and 5xx may pass, the rest will not. Tests hold the
tables against botocore's service models, for every operation that this package calls, and against botocore's own list
of what throttling is called. AWS's code goes with the error as ``SconesError.code``; this is the only module that reads
botocore's errors.
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
        "LimitExceeded": ConfigurationError,  # as many alarms as the account may have
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
        "OperationAbortedException": TransientServiceError,  # another call was at it
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
        "403": ConfigurationError,  # also S3's word for "missing" where listing is not granted
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
        "OperationAborted": TransientServiceError,  # another call is at it: "Try again", says S3's list of errors
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
        "ModelError": InferenceError,  # or what the container's own status says
        "ModelNotReadyException": TransientServiceError,
        "ServiceUnavailable": TransientServiceError,
        "ValidationError": ConfigurationError,  # no such endpoint, or a request that it cannot take
    },
    "service-quotas": {
        "AccessDeniedException": ConfigurationError,
        "IllegalArgumentException": ConfigurationError,
        "InvalidPaginationTokenException": ConfigurationError,
        "NoSuchResourceException": ConfigurationError,
        "ServiceException": TransientServiceError,
    },
    "stepfunctions": {
        "ExecutionAlreadyExists": ConfigurationError,  # where it means anything else than "it is done"
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
"""For each client of ours what its errors become; no code means two things."""

ERRORS: Final[_Table] = {code: error for table in (_EVERY_CLIENT, *TABLES.values()) for code, error in table.items()}

_SIGN_IN: Final = "sign in again, as with `aws sso login`, or set fresh keys"
_OTHER_KEY: Final = "see where the access key comes from with `aws configure list`"
_HINTS: Final = {
    "AccessDenied": "have the named action allowed for the named user or role",
    "AccessDeniedException": "have the named action allowed for the named user or role",
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "InvalidAccessKeyId": _OTHER_KEY,
    "InvalidClientTokenId": _OTHER_KEY,
    "InvalidSignatureException": _OTHER_KEY,
    "PermanentRedirect": "the bucket is in another region: set AWS_DEFAULT_REGION to it",
    "RequestExpired": _SIGN_IN,
    "RequestTimeTooSkewed": "set this machine's clock",
    "ResourceInUse": "choose another name",
    "ResourceLimitExceeded": "ask for a higher quota in Service Quotas, or choose another instance type",
    "SignatureDoesNotMatch": _OTHER_KEY,
    "UnrecognizedClientException": f"{_OTHER_KEY}, and whether the region is switched on",
}
_BEFORE_AN_ANSWER: Final[Mapping[type[Exception], str]] = {
    EndpointConnectionError: "is the region right, and is there a network?",
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
"""S3 alone may answer "Access Denied" and no more."""


def _unknown_caller() -> str:
    return "the caller"


@contextmanager
def translated(what: str, caller: Callable[[], str] = _unknown_caller, *, is_local: bool = False) -> Iterator[None]:
    """Raise our error for AWS's, with AWS's code, and with what to do about it where that is known.

    Args:
        what: the thing that the call was about, ``"s3://bucket/key"``; messages start with it.
        caller: says who we are to AWS; asked only when S3 denies something and does not say to whom.
        is_local: whether the service runs on this machine, where one that does not answer will not by waiting.
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
    if code == "ModelError":  # the container's own answer: its status decides
        original = int(str(error.response.get("OriginalStatusCode", 0)))
        return TransientServiceError if original in (0, 429) or original >= 500 else ERRORS[code]
    if code in ERRORS:
        return ERRORS[code]
    return TransientServiceError if status == 429 or status >= 500 else ConfigurationError


def _message(error: ClientError, caller: Callable[[], str]) -> str:
    detail = error.response.get("Error", {})
    code, said = _code(error) or "error", " ".join(str(detail.get("Message") or error).split())
    action = _S3_ACTIONS.get(error.operation_name)
    if code in ("403", "AccessDenied") and action and "arn:" not in said:  # with an ARN it has named who and what
        return (
            f"{code}: {caller()} may not {action} there: have it allowed (docs/security.md); "
            "or the bucket is another account's"
        )
    hint = _HINTS.get(code)
    return f"{code}: {said}: {hint}" if hint else f"{code}: {said}"


def _with_hint(error: Exception) -> str:
    hint = _BEFORE_AN_ANSWER.get(type(error))
    said = " ".join(str(error).split())
    return f"{said.rstrip('.')}: {hint}" if hint else said
