"""The error tree, and the table that turns AWS's errors into it."""

from __future__ import annotations

import inspect
import re

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError

from scones_ml import errors
from scones_ml.aws.errors import ERRORS, translated
from scones_ml.errors import ConfigurationError, ImageNotFoundError, InferenceError, SconesError, TransientServiceError

# What botocore's model lists for the calls that we make, and what each must become.
CALLS = {
    "s3": ["GetObject", "PutObject", "ListObjectsV2", "DeleteObject"],
    "sagemaker-runtime": ["InvokeEndpoint"],
    "stepfunctions": ["StartExecution"],
}
UNREACHABLE = {"EncryptionTypeMismatch", "InvalidRequest", "InvalidWriteOffset", "TooManyParts"}


def client_error(code: str, status: int, **more: object) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}, "Call"
    )


def raised_for(error: Exception) -> SconesError:
    with pytest.raises(SconesError) as caught, translated("s3://photos/a.png"):
        raise error
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("s3://photos/a.png: ")
    return caught.value


def test_the_docstring_draws_the_whole_tree() -> None:
    """Every class is in the module's docstring, once, and every name there is a class."""
    drawn = re.findall(r"[├└│ ]*(\w+Error)\b {2,}", errors.__doc__ or "")
    drawn += re.findall(r"── (\w+Error)$", errors.__doc__ or "", re.MULTILINE)
    classes = {name for name, item in vars(errors).items() if inspect.isclass(item)} - {"SconesError"}
    assert set(drawn) == classes
    assert set(errors.__all__) == classes | {"SconesError"}


def test_the_table_names_every_modelled_error() -> None:
    """Each error that botocore's models list for our calls has a row; an error of a new SDK makes this fail."""
    session = botocore.session.get_session()
    for service, operations in CALLS.items():
        model = session.get_service_model(service)
        for operation in operations:
            codes = {shape.name for shape in model.operation_model(operation).error_shapes}
            assert codes - UNREACHABLE - {"ExecutionAlreadyExists", "ModelError"} <= set(ERRORS), operation


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, ImageNotFoundError),
        ("PreconditionFailed", 412, ImageNotFoundError),
        ("AccessDenied", 403, ConfigurationError),
        ("SlowDown", 503, TransientServiceError),
        ("RequestTimeout", 400, TransientServiceError),
        ("ThrottlingException", 400, TransientServiceError),
        ("ModelNotReadyException", 429, TransientServiceError),
        ("InternalDependencyException", 530, TransientServiceError),
        ("ValidationError", 400, ConfigurationError),
        ("ExecutionLimitExceeded", 400, TransientServiceError),
        ("KmsThrottlingException", 400, TransientServiceError),
        ("StateMachineDoesNotExist", 400, ConfigurationError),
        ("SomethingNew", 500, TransientServiceError),
        ("SomethingNew", 429, TransientServiceError),
        ("SomethingNew", 400, ConfigurationError),
    ],
)
def test_codes_become_our_errors(code: str, status: int, expected: type[SconesError]) -> None:
    """A code of AWS becomes our class; what the table does not name is judged by its status."""
    assert type(raised_for(client_error(code, status))) is expected


@pytest.mark.parametrize(
    ("original", "expected"),
    [(500, TransientServiceError), (429, TransientServiceError), (0, TransientServiceError), (400, InferenceError)],
)
def test_model_errors_are_judged_by_the_containers_status(original: int, expected: type[SconesError]) -> None:
    """ModelError wraps the container's answer: its own 5xx may pass, its 4xx will not."""
    assert type(raised_for(client_error("ModelError", 424, OriginalStatusCode=original))) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ReadTimeoutError(endpoint_url="https://x"), TransientServiceError),
        (ConnectTimeoutError(endpoint_url="https://x"), TransientServiceError),
        (NoCredentialsError(), ConfigurationError),
    ],
)
def test_errors_before_an_answer(error: Exception, expected: type[SconesError]) -> None:
    """Time-outs may pass; missing credentials will not."""
    assert type(raised_for(error)) is expected


def test_throttling_never_surfaces_as_client_error() -> None:
    """The workflow retries by class name: throttling must not arrive as a bare ClientError."""
    for code in ("Throttling", "ThrottlingException", "SlowDown"):
        assert type(raised_for(client_error(code, 400))).__name__ == "TransientServiceError"
