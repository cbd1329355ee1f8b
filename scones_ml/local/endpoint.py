"""Deployer of endpoints as processes: the server of the container contract, detached and recorded."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from scones_ml.errors import DeploymentError
from scones_ml.inference.listening import listen
from scones_ml.inference.model import model_identity, read_card
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.local.earlier_servers import earlier_server_runs, end_earlier_server
from scones_ml.local.endpoint_records import Record, read_record, write_record
from scones_ml.local.in_use import changing_endpoint, endpoint_in_use, without_empty
from scones_ml.locks import Holder, holder_of, signal_holder
from scones_ml.plans import Change, Ledger, Plan, Run, execute, mark_workspace
from scones_ml.ports import DeploymentRequest, Endpoint, Steps, no_steps

__all__ = ["LocalDeployer"]

_FILES = (".json", ".part", ".running", ".log")
_START_SECONDS = 60.0  # a model loads in seconds; the rest allows for a busy machine
_STOP_SECONDS = 10.0  # to finish requests in progress, then SIGKILL

# Servers started by this process: they outlive it, but until it ends it has to reap those that exit.
_children: dict[int, subprocess.Popen[bytes]] = {}


class LocalDeployer:
    """Starts ``python -m scones_ml.inference`` and keeps a record of it.

    Args:
        records: folder of the records, one ``NAME.json`` (and ``NAME.log``) per endpoint. The server holds a lock on
            ``NAME.running`` while it runs, and exits when that file is gone.
        captures: folder of data capture, with one folder per endpoint.
        ledger: record of the endpoints.
        run: run that new endpoints are recorded under.
    """

    def __init__(self, records: Path, captures: Path, ledger: Ledger, run: Run) -> None:
        self._records = records
        self._captures = captures
        self._ledger = ledger
        self._run = run

    def plan(self, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:  # noqa: ARG002 - nothing to wait for
        """See :meth:`scones_ml.ports.Deployer.plan`; a running endpoint of the same name is replaced."""
        _check_name(request.name)
        read_card(_folder(request))
        changes = [Change("create", "endpoint", request.name, f"answers requests with {request.model}")]
        if any(path.exists() for path in self._files(request.name)):
            changes.insert(0, Change("delete", "endpoint", request.name, "replaced by the new endpoint"))
        return Plan("deploy", "local", tuple(changes))

    def preview(self, request: DeploymentRequest) -> Plan:
        """See :meth:`scones_ml.ports.Deployer.preview`; this machine can always be inspected."""
        return self.plan(request)

    def deploy(
        self,
        request: DeploymentRequest,
        steps: Steps = no_steps,  # noqa: ARG002 - it is quick
        plan: Plan | None = None,  # noqa: ARG002 - another command may have changed the state it was made for
    ) -> Endpoint:
        """See :meth:`scones_ml.ports.Deployer.deploy`; of two concurrent deployments under one name the second replaces
        the first.

        A redeployed endpoint keeps its port, so that its clients need no new address.

        Raises:
            DeploymentError: another command keeps changing or using the endpoint.
        """

        def perform(change: Change) -> Endpoint | None:
            if change.action == "delete":
                self._remove(change.name)
                return None
            try:
                return self._start(dataclasses.replace(request, port=request.port or _if_free(earlier)))
            except BaseException:
                undo = Plan("deploy", "local", (Change("delete", "endpoint", change.name, "did not start"),))
                execute(undo, perform, self._ledger, self._run)
                raise

        self.plan(request)  # refused before anything is created
        if self._records.is_symlink():
            raise DeploymentError(f"{self._records} is a link: remove it, or choose another --workspace")
        mark_workspace(self._ledger.path.parent)
        with changing_endpoint(self._records, request.name):
            earlier = _port_of(read_record(self._record(request.name)))
            (endpoint,) = filter(None, execute(self.plan(request), perform, self._ledger, self._run))
        return endpoint

    def _start(self, request: DeploymentRequest) -> Endpoint:
        model = _folder(request)
        card = read_card(model)
        log = self._records / f"{request.name}.log"
        self._forget(request.name)  # a link would lead elsewhere
        self._running(request.name).touch(exist_ok=False)
        with log.open("xb") as errors:
            child = subprocess.Popen(  # noqa: S603
                self._command(request, model),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # it outlives this command and ignores the terminal's Ctrl-C
            )
        try:
            url = f"http://127.0.0.1:{_port(child, log)}"
            captures = str(self._captures / request.name)
            endpoint = Endpoint(
                request.name,
                url,
                card.labels,
                card.input_size,
                card.threshold,
                captures,
                card.fit,
                model_identity(model),
                str(model.absolute()),
            )
            write_record(self._record(request.name), child.pid, endpoint)
            _confirm(child)
            _wait_until_ready(url, child, log)
        except BaseException:
            _end_child(child)
            self._forget(request.name)
            raise
        _children[child.pid] = child
        return endpoint

    def endpoints(self) -> Sequence[Endpoint]:
        """See :meth:`scones_ml.ports.Deployer.endpoints`; only those whose server holds its lock."""
        records = [read_record(path) for path in sorted(self._found("*.json"))]
        return [record.endpoint for record in records if record and self._runs(record)]

    def running(self) -> frozenset[str]:
        """See :meth:`scones_ml.ports.Deployer.running`; proven by the server's lock, or its log for 0.1.0."""
        return frozenset(name for name in self.recorded() if self._has_server(name))

    def recorded(self) -> Sequence[str]:
        """Names of every endpoint with a record, complete or not, running or not."""
        return sorted({path.stem for kind in (*_FILES, ".lock") for path in self._found(f"*{kind}")})

    def _found(self, pattern: str) -> Iterator[Path]:
        """Record files; none in a folder that may belong to another workspace."""
        return iter(()) if self._records.is_symlink() else self._records.glob(pattern)

    def using(self, name: str) -> AbstractContextManager[None]:
        """Hold an endpoint in use during the block, so that no other command replaces or removes it.

        Raises:
            DeploymentError: the name is invalid, or the endpoint is being changed.
        """
        _check_name(name)
        return endpoint_in_use(self._records, name)

    def remove(self, name: str) -> None:
        """See :meth:`scones_ml.ports.Deployer.remove`; its captures stay.

        Raises:
            DeploymentError: another command changes or uses the endpoint, its record is unreadable, or its server does
                not exit.
        """
        _check_name(name)
        _collect()
        with without_empty(self._records):
            if name in self.recorded():
                with changing_endpoint(self._records, name):
                    self._remove(name)

    def _remove(self, name: str) -> None:
        # Removing the lock file stops the server that holds it, even when its record is damaged.
        if holder_of(self._running(name)) is None:
            record = read_record(self._record(name))
            if record and record.is_earlier:
                end_earlier_server(record.pid, self._log(name), _STOP_SECONDS)
        _end_server(self._running(name))
        self._forget(name)

    def _has_server(self, name: str) -> bool:
        if holder_of(self._running(name)) is not None:
            return True
        try:
            record = read_record(self._record(name))
        except DeploymentError:
            return False
        return record is not None and self._runs(record)

    def _runs(self, record: Record) -> bool:
        name = record.endpoint.name
        if record.is_earlier:
            return earlier_server_runs(record.pid, self._log(name)) is True
        return holder_of(self._running(name)) == Holder(record.pid, shared=False)

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _log(self, name: str) -> Path:
        return self._records / f"{name}.log"

    def _running(self, name: str) -> Path:
        """The server's lock file."""
        return self._records / f"{name}.running"

    def _files(self, name: str) -> list[Path]:
        return [self._records / f"{name}{kind}" for kind in _FILES]

    def _forget(self, name: str) -> None:
        for path in self._files(name):
            path.unlink(missing_ok=True)

    def _command(self, request: DeploymentRequest, model: Path) -> list[str]:
        percentage = 100 if request.capture_percentage is None else request.capture_percentage
        return [
            *(sys.executable, "-m", "scones_ml.inference", str(model.absolute())),
            "--confirm",
            *("--hold", str(self._running(request.name).absolute())),
            *("--name", request.name, "--port", str(request.port), "--captures", str(self._captures.absolute())),
            *("--capture-percentage", str(percentage)),
        ]


def _folder(request: DeploymentRequest) -> Path:
    """The model's folder, which has to be on this machine."""
    if not isinstance(request.model, Path):
        raise DeploymentError(f"{request.model.uri} can only be served on AWS: deploy it with --on aws")
    return request.model


def _port(child: subprocess.Popen[bytes], log: Path) -> int:
    """Read the port from the server's first line."""
    if child.stdout is None:
        raise DeploymentError("the server's output cannot be read")
    with child.stdout as lines:
        line = lines.readline()
    if not line:
        child.wait()
        raise DeploymentError(_last_words(log, child.returncode))
    return int(json.loads(line)["port"])


def _port_of(record: Record | None) -> int:
    """The port of a recorded endpoint; 0 when unknown."""
    try:
        return (urlsplit(record.endpoint.url).port or 0) if record else 0
    except ValueError:  # the record was edited by hand
        return 0


def _if_free(port: int) -> int:
    """The port, or 0 when it is taken."""
    try:
        listen("127.0.0.1", port).close()
    except DeploymentError:
        return 0
    return port


def _confirm(child: subprocess.Popen[bytes]) -> None:
    """Confirm to the server that it is recorded; it exits by itself if this process dies before that."""
    if child.stdin:
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(b"\n")


def _wait_until_ready(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    from urllib.error import HTTPError, URLError  # slow to import, and needed only to start a server
    from urllib.request import urlopen

    deadline = time.monotonic() + _START_SECONDS
    pause = 0.01
    while time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/ping", timeout=5):  # noqa: S310 - our own server on loopback
                return
        except HTTPError as exc:
            if exc.code != 503:  # 503 while the model loads
                raise DeploymentError(json.loads(exc.read())["message"]) from exc
        except (URLError, TimeoutError):  # it listens before it is ready
            pass
        if child.poll() is not None:
            raise DeploymentError(_last_words(log, child.returncode))
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    raise DeploymentError(f"the endpoint did not answer within {_START_SECONDS:.0f} s: see {log}")


def _last_words(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("scones: ") if lines else f"the server ended with exit code {code}"


def _end_server(running: Path) -> None:
    """Stop the server that holds this lock: SIGTERM, then SIGKILL; a recycled PID is left alone."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        holder = holder_of(running)
        if not signal_holder(running, sign):
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while holder_of(running) and time.monotonic() < deadline:
            time.sleep(0.02)
        if holder and holder.pid in _children and not holder_of(running):
            _children.pop(holder.pid).wait()
    if holder := holder_of(running):
        raise DeploymentError(f"{holder} does not exit and still holds {running}: try again")


def _collect() -> None:
    """Reap servers that have exited."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def _end_child(child: subprocess.Popen[bytes]) -> None:
    """Stop a server that did not start."""
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdin:
        child.stdin.close()


def _check_name(name: str) -> None:
    if re.fullmatch(SAGEMAKER_NAME, name) is None:
        raise DeploymentError(
            f"{name!r} is not a valid endpoint name: give 1 to {SAGEMAKER_NAME_CHARACTERS} letters, digits and hyphens"
        )
