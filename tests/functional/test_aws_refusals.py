"""What AWS refuses, at the command line: one line each, that names the thing and the remedy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scones_ml import backends
from scones_ml.cli import main

if TYPE_CHECKING:
    from conftest import StepFunctions

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Forbidding(BaseHTTPRequestHandler):
    """An S3 that lets nobody in, and no more says than S3 does."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(DENIED)))
        self.end_headers()
        self.wfile.write(DENIED)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def forbidding_s3(aws: StepFunctions, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forbidding)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(b"any bytes")
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says, which is one line and no traceback; its exit code is 1."""
    assert main(list(arguments)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line.removeprefix("scones: ")


def test_without_credentials(
    moto_url: str, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No credentials: the line says where they may come from."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    assert refusal(capsys, "run", str(photo), "--on", "aws") == (
        "SCONES_INPUT_BUCKET is not set, and stack scones: Unable to locate credentials: "
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
    )


def test_without_region(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No region: the line says how to set one."""
    assert "set AWS_DEFAULT_REGION, or `aws configure set region REGION`" in refusal(
        capsys, "run", str(photo), "--on", "aws"
    )


def test_in_the_wrong_region(
    aws: StepFunctions, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A region without the stack, a machine of another region, and a region that is none."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert refusal(capsys, "run", str(photo), "--on", "aws").endswith(
        "is in us-east-1, but the region is eu-west-1: set AWS_DEFAULT_REGION=us-east-1"
    )
    monkeypatch.delenv("SCONES_INPUT_BUCKET")
    assert refusal(capsys, "run", str(photo), "--on", "aws") == (
        "SCONES_INPUT_BUCKET is not set, and there is no stack scones in eu-west-1: "
        "set SCONES_INPUT_BUCKET, or deploy the stack (docs/deploy.md) and set SCONES_STACK to its name"
    )
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us east 1")
    assert "'us east 1' doesn't match a supported format" in refusal(capsys, "run", str(photo), "--on", "aws")


def test_without_permission(aws: StepFunctions, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Step Functions names user and action; the line hands both on, and says what to do."""
    aws.refuse["StartExecution"] = ["AccessDeniedException"]
    aws.message = (
        "User: arn:aws:iam::123456789012:user/ana is not authorized to perform: states:StartExecution on resource: "
        "arn:aws:states:us-east-1:123456789012:stateMachine:images because no identity-based policy allows it"
    )
    line = refusal(capsys, "run", str(photo), "--on", "aws")
    assert "user/ana is not authorized to perform: states:StartExecution" in line
    assert line.endswith("allow the named action for the named user or role")


def test_a_bucket_of_another_account(forbidding_s3: None, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S3 says "Access Denied" alone: who may not do what is added, and what else it may mean."""
    line = refusal(capsys, "run", str(photo), "--on", "aws")
    assert line.startswith("s3://pictures/runs/")
    assert line.endswith(
        "/: AccessDenied: arn:aws:sts::123456789012:user/moto may not s3:PutObject there: "
        "allow it (docs/security.md); or the bucket belongs to another account"
    )


def test_a_bucket_that_is_not_there(
    aws: StepFunctions, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket that does not exist is named."""
    monkeypatch.setenv("SCONES_INPUT_BUCKET", "nowhere")
    line = refusal(capsys, "run", str(photo), "--on", "aws")
    assert line.startswith("s3://nowhere/runs/")
    assert "NoSuchBucket" in line


def test_a_state_machine_that_is_not_there(aws: StepFunctions, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine that does not exist is named by its ARN."""
    aws.refuse["DescribeStateMachine"] = ["StateMachineDoesNotExist"]
    line = refusal(capsys, "run", str(photo), "--on", "aws")
    assert line.startswith("arn:aws:states:us-east-1:123456789012:stateMachine:images: StateMachineDoesNotExist")


def test_an_execution_that_is_not_there(aws: StepFunctions, capsys: pytest.CaptureFixture[str]) -> None:
    """A redrive of nothing, and of what succeeded, are one line each."""
    aws.refuse["DescribeStateMachineForExecution"] = ["ExecutionDoesNotExist"]
    arn = "arn:aws:states:us-east-1:123456789012:execution:images:gone"
    assert refusal(capsys, "asl", "redrive", arn) == f"{arn}: ExecutionDoesNotExist: the server said so"


def test_a_file_of_an_execution_needs_its_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A history from a file does not tell its machine: --definition is asked for; what is neither file nor ARN, too."""
    history = tmp_path / "history.json"
    line = refusal(capsys, "asl", "redrive", str(history))
    assert line.startswith(f"there is no file {history}, and it is no execution's ARN either, which begins")
    history.write_text('{"events": []}')
    line = refusal(capsys, "asl", "redrive", str(history))
    assert line.endswith("holds a history, which does not tell its state machine: give --definition FILE, too")


@pytest.mark.parametrize("command", ["train", "train --on aws", "evaluate model", "threshold model"])
def test_a_data_set_on_s3_is_named_as_given(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a data set of this machine is read, one on S3 is one line that says how to make one of it."""
    assert refusal(capsys, *command.split(), "s3://photos/all") == (
        "s3://photos/all is on S3, and a staged data set of this machine is read: "
        "`scones stage s3://photos/all DATA` makes one of what is there"
    )


@pytest.fixture(autouse=True)
def _fresh_clients() -> Iterator[None]:
    backends._object_store.cache_clear()
    yield
    backends._object_store.cache_clear()
