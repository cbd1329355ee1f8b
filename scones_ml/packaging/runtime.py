"""Local Lambda runtime for a built package: AWS's runtime client in a process, with the Runtime API on loopback.

The process sees the package, the contents of every Lambda runtime (boto3 and the runtime client) and environment
variables, but none of this machine's other packages: a missing module fails here as on Lambda.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from scones_ml.errors import ExecutionFailedError, MissingExtraError, WorkflowError

__all__ = ["LambdaProcess", "lambda_process"]

_RUNTIME = (
    "awslambdaric",
    "boto3",
    "botocore",
    "jmespath",
    "python-dateutil",
    "s3transfer",
    "simplejson",
    "six",
    "snapshot-restore-py",
    "urllib3",
)
_PREFIX = "/2018-06-01/runtime"
_SECONDS = 60.0  # far beyond any cold start: a process that takes longer hangs


@dataclass(frozen=True, slots=True)
class _Answer:
    """A result or an error from the runtime client."""

    kind: str
    body: bytes


class _RuntimeApi(ThreadingHTTPServer):
    """Server of the Runtime API: hands out events and receives results."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.events: queue.Queue[bytes | None] = queue.Queue()
        self.answers: queue.Queue[_Answer] = queue.Queue()
        self.ready = threading.Event()
        self.ready_at = 0.0
        self.invocations = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the open connection of a stopped function."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise small responses in two parts each wait 40 ms
    server: _RuntimeApi

    def do_GET(self) -> None:
        """``/invocation/next``: wait for an event."""
        if not self.server.ready.is_set():
            self.server.ready_at = time.perf_counter()
            self.server.ready.set()
        event = self.server.events.get()
        if event is None:
            self.close_connection = True
            return
        self.server.invocations += 1
        self._send(
            200,
            event,
            {
                "Lambda-Runtime-Aws-Request-Id": f"00000000-0000-4000-8000-{self.server.invocations:012d}",
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + _SECONDS) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:local",
            },
        )

    def do_POST(self) -> None:
        """``/invocation/ID/response``, ``/invocation/ID/error`` or ``/init/error``."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.answers.put(_Answer(self.path.removeprefix(_PREFIX).rpartition("/")[2], body))
        self._send(202, b'{"status":"OK"}', {})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Log no requests."""

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class LambdaProcess:
    """One running instance of a function.

    Attributes:
        ready_seconds: time from the process's start to its first request for an event: Lambda's init phase.
    """

    def __init__(self, api: _RuntimeApi, process: subprocess.Popen[bytes], log: Path, started: float) -> None:
        self._api, self._process, self._log = api, process, log
        while not api.ready.wait(0.005):
            if process.poll() is not None or time.perf_counter() - started > _SECONDS:
                raise WorkflowError(f"the function did not start: {self._last_words()}")
        self.ready_seconds = api.ready_at - started

    def invoke(self, event: object) -> object:
        """Send one event and wait for the result.

        Raises:
            ExecutionFailedError: the handler raised; ``error`` is the class name that Step Functions would report.
            WorkflowError: the process died or did not answer.
        """
        self._api.events.put(json.dumps(event).encode())
        deadline = time.perf_counter() + _SECONDS
        while True:
            try:
                answer = self._api.answers.get(timeout=0.2)
                break
            except queue.Empty:
                if self._process.poll() is not None or time.perf_counter() > deadline:
                    raise WorkflowError(f"the function did not answer: {self._last_words()}") from None
        document = json.loads(answer.body)
        if answer.kind == "error":
            raise ExecutionFailedError(str(document.get("errorType")), str(document.get("errorMessage")))
        return document

    def _last_words(self) -> str:
        while not self._api.answers.empty():
            document = json.loads(self._api.answers.get().body)
            return f"{document.get('errorType')}: {document.get('errorMessage')}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it wrote no output"


@contextlib.contextmanager
def lambda_process(
    folder: Path, handler: str, environment: Mapping[str, str], modules: Path | None = None
) -> Iterator[LambdaProcess]:
    """Run a function during the block.

    Args:
        folder: the package, as ``/var/task``.
        handler: ``"filter_low_confidence.lambda_handler"``.
        environment: its environment variables; this process's are not inherited.
        modules: one more folder of modules; None for Lambda's only.

    Raises:
        WorkflowError: the function did not start; the message ends with its last output.
        MissingExtraError: awslambdaric is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="scones-runtime-") as scratch:
        runtime, log, api = Path(scratch, "runtime"), Path(scratch, "log"), _RuntimeApi()
        _link_runtime(runtime)
        # shutdown() waits for a poll to end; by default half a second.
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        paths = [folder.absolute(), *([modules] if modules else []), runtime]
        variables = {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",  # as in the template, for a model
            "AWS_LAMBDA_FUNCTION_NAME": handler.partition(".")[0],
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_address[1]}",
            "AWS_REGION": "us-east-1",
            "HOME": scratch,
            "LAMBDA_TASK_ROOT": str(folder.absolute()),
            "PYTHONDONTWRITEBYTECODE": "1",  # a function cannot write to its code's folder
            "PYTHONPATH": ":".join(map(str, paths)),
            **environment,
        }
        # -S: no site-packages of this environment, only what PYTHONPATH names.
        command = [sys.executable, "-S", "-m", "awslambdaric", handler]
        started = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command, cwd=folder, env=variables, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        try:
            yield LambdaProcess(api, process, log, started)
        finally:
            process.kill()
            process.wait()
            api.events.put(None)  # ends the request that waits for an event
            api.shutdown()
            thread.join()
            api.server_close()


def _link_runtime(folder: Path) -> None:
    """Link the contents of Lambda's own runtime to the packages installed here."""
    folder.mkdir()
    for name in _RUNTIME:
        try:
            found = distribution(name)
        except PackageNotFoundError as exc:
            raise MissingExtraError(name, "dev") from exc
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            source = Path(str(found.locate_file(top)))
            if not (folder / top).exists() and source.exists():
                (folder / top).symlink_to(source)
