"""Killed between any two calls to AWS, a verb leaves nothing that the same verb or cleanup does not set right.

Calls go to moto's server through a proxy on loopback. It kills (SIGKILL) the command at its n-th call that changes
anything: before the call is passed on, and after AWS has done it but before the command hears of it.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from PIL import Image

from scones_ml import backends, dataset
from scones_ml.aws.backend import AwsBackend
from scones_ml.aws.resources import Resources
from scones_ml.cli import main
from scones_ml.plans import Run
from scones_ml.ports import Backend
from scones_ml.sagemaker.resource_kinds import KINDS

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.functional.warm_aws", __name__])
BUCKET = "scones-killed"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:images"
_READING = ("Describe", "List", "Get", "Head")
When = Literal["before", "after"]
_WHEN: tuple[When, When] = ("before", "after")


@dataclass
class Proxy:
    """Passes requests on, and kills whoever makes the n-th call that changes anything.

    Attributes:
        target: host and port of the server behind it.
        url: where it is itself.
        pid: of the process to be killed.
        at: the number of the fatal call, from 1; 0 for none.
        when: before it is passed on, or after the answer has come.
        seen: calls that change anything, by now.
    """

    target: str
    url: str = ""
    pid: int = 0
    at: int = 0
    when: When = "before"
    seen: list[str] = field(default_factory=list)

    def note(self, method: str, path: str, headers: http.client.HTTPMessage, body: bytes) -> bool:
        """Whether this call is the fatal one."""
        operation = _operation(method, path, headers, body)
        if operation.startswith(_READING):
            return False
        self.seen.append(operation)
        return len(self.seen) == self.at

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _operation(method: str, path: str, headers: http.client.HTTPMessage, body: bytes) -> str:
    if target := headers["X-Amz-Target"]:
        return target.rpartition(".")[2]
    if "/operation/" in path:
        return path.rpartition("/")[2]
    if headers["Content-Type"] and "form-urlencoded" in headers["Content-Type"]:
        return parse_qs(body.decode())["Action"][0]
    return {"GET": "Get", "HEAD": "Head"}.get(method, method) + "Object"


@pytest.fixture(scope="module")
def proxy(moto_url: str) -> Iterator[Proxy]:
    state = Proxy(urlsplit(moto_url).netloc)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # whoever asked was killed
                self.close_connection = True

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fatal = state.note(self.command, self.path, self.headers, body)
            if fatal and state.when == "before":
                state.kill()
                self.close_connection = True
                return
            behind = http.client.HTTPConnection(state.target)
            headers = {key: value for key, value in self.headers.items() if key.lower() != "expect"}
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            data = answer.read()
            behind.close()
            if fatal:
                state.kill()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(key, value)
            self.send_header(
                "Content-Length", answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            )
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


class _NoWaiting:
    """The real backend of AWS, but nobody waits for a training job's last lines: moto's jobs have none."""

    def backend(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        if name == "aws":
            return AwsBackend(workspace, run, pause=lambda _: None)
        return backends.backend(name, workspace, run)

    planner = backend


def _verb(arguments: list[str], folder: Path, url: str) -> None:
    os.chdir(folder)
    out = os.open(folder.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "SCONES_BUCKET": BUCKET,
        "SCONES_ROLE": "arn:aws:iam::123456789012:role/scones",
        "SCONES_INPUT_BUCKET": BUCKET,
        "SCONES_OUTPUT_BUCKET": BUCKET,
        "SCONES_STATE_MACHINE": MACHINE,
    }
    sys.exit(main(arguments, _NoWaiting()))


def run(folder: Path, proxy: Proxy, *arguments: str, at: int = 0, when: When = "before") -> tuple[int, str]:
    """Run a command in a process of its own; its exit code (-9 when it was killed) and what it printed."""
    proxy.at, proxy.when, proxy.seen = at, when, []
    child = _FORKS.Process(target=_verb, args=(list(arguments), folder, proxy.url))
    child.start()
    assert child.pid
    proxy.pid = child.pid
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode, folder.with_suffix(".out").read_text()


def killed_everywhere(folder: Path, proxy: Proxy, every: int, *arguments: str) -> Iterator[tuple[int, When]]:
    """Kill a command at its first call and every so many further ones, each in the account as the caller left it."""
    for at in range(1, 100, every):
        for when in _WHEN:
            code, said = run(folder, proxy, *arguments, at=at, when=when)
            if code != -signal.SIGKILL:
                assert code == 0, said
                print(f"{arguments[0]} --on aws: {2 * (at - 1) // every} kill points: {', '.join(proxy.seen)}")  # noqa: T201
                return
            yield at, when
    raise AssertionError("it never gets through")


def killed_again_and_again(folder: Path, proxy: Proxy, *arguments: str) -> None:
    """Kill a command at its first call, start it again where that left it, and so on, until it gets through."""
    for number in range(200):
        code, said = run(folder, proxy, *arguments, at=1, when=_WHEN[number % 2])
        if code != -signal.SIGKILL:
            assert code == 0, said
            print(f"{arguments[0]} --on aws: {number} kill points, each tried again")  # noqa: T201
            return
    raise AssertionError("it never gets through")


def account() -> set[tuple[str, str]]:
    """Everything that there is, objects of all versions included; jobs that have ended stay on AWS's record."""
    aws = Resources()
    found = {(kind, name) for kind in KINDS for name in aws.names(kind)}
    for name in aws.names("training job"):
        if (aws.find("training job", name) or {})["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            found.discard(("training job", name))
    answer = boto3.client("s3").list_object_versions(Bucket=BUCKET)
    return found | {("object", version["Key"]) for version in answer.get("Versions", ())}


def nothing_left(folder: Path, proxy: Proxy) -> bool:
    code, said = run(folder, proxy, "cleanup", "--on", "aws")
    return code == 0 and "0 resources left" in said.splitlines() and account() == set()


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and an empty account."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    place = tmp_path / "work"
    place.mkdir()
    return place


def test_deploy_again(folder: Path, proxy: Proxy, tiny_model: Path) -> None:
    """A deployment killed at each of its calls, and tried again each time, ends as if it had never been killed."""
    command = ["deploy", str(tiny_model), "--on", "aws", "--instances", "1-2"]
    assert run(folder, proxy, *command)[0] == 0
    whole = account()
    assert len(whole) == 7
    assert nothing_left(folder, proxy)
    killed_again_and_again(folder, proxy, *command)
    assert account() == whole
    assert nothing_left(folder, proxy)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.reliability)], ids=["some", "all"])
def test_deploy_cleaned_up(folder: Path, proxy: Proxy, tiny_model: Path, every: int) -> None:
    """Of a deployment killed at any of its calls cleanup leaves nothing."""
    for point in killed_everywhere(folder, proxy, every, "deploy", str(tiny_model), "--on", "aws"):
        assert nothing_left(folder, proxy), point


def test_cleanup(folder: Path, proxy: Proxy, tiny_model: Path) -> None:
    """A cleanup killed at each of its calls forgets nothing: the last one leaves nothing."""
    assert run(folder, proxy, "deploy", str(tiny_model), "--on", "aws", "--instances", "1-2")[0] == 0
    killed_again_and_again(folder, proxy, "cleanup", "--on", "aws")
    assert account() == set()


def test_stage(folder: Path, proxy: Proxy) -> None:
    """A data set on its way to S3 goes on where it was killed, is no data set before it is whole, and is cleaned up."""
    command = ["stage", "synthetic", f"s3://{BUCKET}/bikes", "--per-class", "4"]
    assert run(folder, proxy, *command)[0] == 0
    whole = account()
    assert nothing_left(folder, proxy)
    assert run(folder, proxy, *command, at=3, when="after")[0] == -signal.SIGKILL
    assert ("object", "bikes/dataset.json") not in account()
    assert nothing_left(folder, proxy)
    for at, when in ((2, "after"), (4, "before"), (3, "before"), (4, "after"), (5, "after")):
        assert run(folder, proxy, *command, at=at, when=when)[0] == -signal.SIGKILL  # type: ignore[arg-type]
    assert run(folder, proxy, *command)[0] == 0
    assert account() == whole
    assert nothing_left(folder, proxy)


def test_train(folder: Path, proxy: Proxy) -> None:
    """Of a training job killed at any of its calls no object and no running job is left after cleanup."""
    dataset.stage(dataset.Synthetic(per_class=4, size=32), folder / "data")
    command = ["train", "data", "--on", "aws", "--epochs", "1"]
    run(folder, proxy, *command)  # moto's jobs leave no model
    last = proxy.seen.index("CreateTrainingJob") + 1
    assert nothing_left(folder, proxy)
    points: tuple[tuple[int, When], ...] = ((1, "after"), (5, "before"), (last, "before"), (last, "after"))
    for at, when in points:
        assert run(folder, proxy, *command, at=at, when=when)[0] == -signal.SIGKILL
        assert nothing_left(folder, proxy), (at, when)


def test_run(folder: Path, proxy: Proxy) -> None:
    """Of a run killed at any of its calls no image that was uploaded is left after cleanup."""
    definition = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}'
    boto3.client("stepfunctions").create_state_machine(
        name="images", definition=definition, roleArn="arn:aws:iam::123456789012:role/scones"
    )
    Image.new("RGB", (20, 20)).save(folder / "a.png")
    for at, operation in ((1, "PUTObject"), (2, "PUTObject"), (3, "StartExecution")):  # the first marks the prefix
        for when in _WHEN:
            assert run(folder, proxy, "run", "a.png", "--on", "aws", at=at, when=when)[0] == -signal.SIGKILL
            assert proxy.seen[-1] == operation
            assert nothing_left(folder, proxy), (at, when)
