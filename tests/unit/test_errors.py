"""The error tree, and the table that turns AWS's errors into it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from scones_ml import errors
from scones_ml.aws.errors import ERRORS, TABLES, translated
from scones_ml.errors import ConfigurationError, ImageNotFoundError, InferenceError, SconesError, TransientServiceError
from scones_ml.sagemaker.resource_kinds import KINDS

AWS = Path(errors.__file__).parent / "aws"


def operations_called() -> set[tuple[str, str]]:
    """Every operation that scones_ml.aws calls, as its source names them: client's name, operation."""
    session = botocore.session.get_session()
    services = set(session.get_available_services())
    found = {
        (kind.service, operation)
        for kind in KINDS.values()
        for operation in (kind.create, kind.update, kind.describe.operation, kind.delete.operation)
        if operation
    }
    found |= {(kind.service, kind.listing.call.operation) for kind in KINDS.values()}
    for path in AWS.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        for service in texts & services if path.name != "errors.py" else ():  # the tables name every service
            for operation in session.get_service_model(service).operation_names:
                if operation in texts or xform_name(operation) in texts | names:
                    found.add((service, operation))
    return found


def client_error(code: str, status: int, **more: object) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}, "Call"
    )


def raised_for(error: Exception) -> SconesError:
    with pytest.raises(SconesError) as caught, translated("s3://photos/a.png"):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.code == (error.response["Error"]["Code"] if isinstance(error, ClientError) else "")
    assert str(caught.value).startswith("s3://photos/a.png: ")
    return caught.value


def test_the_docstring_draws_the_whole_tree() -> None:
    """Every class is in the module's docstring, once, and every name there is a class."""
    drawn = re.findall(r"[├└│ ]*(\w+Error)\b {2,}", errors.__doc__ or "")
    drawn += re.findall(r"── (\w+Error)$", errors.__doc__ or "", re.MULTILINE)
    classes = {name for name, item in vars(errors).items() if inspect.isclass(item)} - {"SconesError"}
    assert set(drawn) == classes
    assert set(errors.__all__) == classes | {"SconesError"}


def test_every_client_has_a_table_that_names_every_modelled_error() -> None:
    """Each error that botocore's models list for an operation that we call has a row in that client's table."""
    session = botocore.session.get_session()
    called = operations_called()
    assert {service for service, _ in called} == set(TABLES)
    assert {("s3", "GetObject"), ("sagemaker", "CreateEndpoint"), ("stepfunctions", "GetExecutionHistory")} <= called
    for service, operation in called:
        for shape in session.get_service_model(service).operation_model(operation).error_shapes:
            code = shape.metadata.get("error", {}).get("code", shape.name)
            assert code in TABLES[service] or ERRORS.get(code) is TransientServiceError, f"{service} {operation} {code}"


@pytest.mark.parametrize("operation", sorted(name for service, name in operations_called() if service == "s3"))
def test_a_bare_denial_of_s3_names_caller_and_action(operation: str) -> None:
    """S3 may say "Access Denied" and no more: each operation of ours then names the IAM action that it takes."""
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, operation)
    assert re.search(r": the caller may not s3:\w+ there: allow it", str(raised_for(denied)))


def test_a_denial_that_names_who_and_what_is_handed_on() -> None:
    """Where S3 says who may not do what, nobody is asked who that is."""
    said = "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: s3:GetObject"
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, "GetObject")

    def asked() -> str:
        raise AssertionError("STS was asked")

    message = "user/ann is not authorized .* allow the named action"
    with pytest.raises(ConfigurationError, match=message), translated("s3://photos/a.png", asked):
        raise denied


def codes_decided_on() -> set[str]:
    """Every code that a module of scones_ml.aws compares an error's with, by itself or through a constant."""
    found: set[str] = set()
    for path in AWS.glob("*.py"):
        module = importlib.import_module(f"scones_ml.aws.{path.stem}")
        for compared in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(compared, ast.Compare) or getattr(compared.left, "attr", "") != "code":
                continue
            for node in (part for comparator in compared.comparators for part in ast.walk(comparator)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                constant = vars(module).get(node.id, ()) if isinstance(node, ast.Name) else ()
                found |= set(constant.values() if isinstance(constant, dict) else constant)
    return found


def test_decisions_are_made_on_codes_that_the_tables_name() -> None:
    """Whatever AWS's answer decides is decided by its code, and each of these codes has its row in a table."""
    decided = codes_decided_on()
    assert {"NoSuchBucket", "NoSuchTagSet", "ValidationError", "ValidationException", "ResourceInUse"} <= decided
    assert decided <= set(ERRORS)


def test_nothing_is_decided_by_reading_a_message() -> None:
    """One module reads botocore's errors; no other one knows them, or looks for words in an error of ours."""
    for path in AWS.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert path.name == "errors.py" or "botocore.exceptions" not in source, path.name
        assert not re.search(r"in str\(|str\(\w+\)\.(starts|ends)with|\.__cause__\.", source), path.name


def test_an_error_of_no_service_has_no_code() -> None:
    """What we find wrong ourselves has an empty code."""
    assert ConfigurationError("SCONES_ROLE is not set").code == ""
    assert errors.ExecutionFailedError("States.Timeout").code == ""


def test_codes_travel_between_processes() -> None:
    """An error that is pickled keeps its message and its code."""
    sent = pickle.loads(pickle.dumps(TransientServiceError("s3://photos: SlowDown", code="SlowDown")))
    assert (str(sent), sent.code) == ("s3://photos: SlowDown", "SlowDown")


def test_no_code_means_two_things() -> None:
    """What one client's table says of a code, no other one contradicts, so that the code alone decides."""
    for table in TABLES.values():
        assert all(ERRORS[code] is error for code, error in table.items())


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


@pytest.mark.parametrize(
    "code",
    sorted({*ThrottledRetryableChecker._THROTTLED_ERROR_CODES, *TransientRetryableChecker._TRANSIENT_ERROR_CODES}),
)
def test_throttling_never_surfaces_as_client_error(code: str) -> None:
    """Whatever botocore itself calls throttling or passing arrives by the one name that the workflow retries."""
    assert type(raised_for(client_error(code, 400))).__name__ == "TransientServiceError"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            NoCredentialsError(),
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
        ),
        (NoRegionError(), "set AWS_DEFAULT_REGION"),
        (EndpointConnectionError(endpoint_url="https://s3.us-eats-1.amazonaws.com/"), "check the region"),
        (client_error("ExpiredToken", 400), "sign in again, as with `aws sso login`"),
        (client_error("InvalidAccessKeyId", 403), "`aws configure list`"),
        (client_error("RequestTimeTooSkewed", 403), "set this machine's clock"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_common_troubles_come_with_their_remedy(error: Exception, remedy: str) -> None:
    """What users can mend is one line that says how."""
    message = str(raised_for(error))
    assert remedy in message
    assert "\n" not in message
