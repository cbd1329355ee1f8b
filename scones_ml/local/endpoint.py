"""Deployer as processes of this machine: the container-contract server, detached and recorded."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.errors import DeploymentError
from scones_ml.inference.model import model_identity, read_card
from scones_ml.limits import SAGEMAKER_NAME, SAGEMAKER_NAME_CHARACTERS
from scones_ml.plans import Change, Ledger, Plan, Run, execute
from scones_ml.ports import DeploymentRequest, Endpoint, Steps, no_steps

__all__ = ["LocalDeployer"]

_FILES = (".json", ".part", ".log")
_ENDPOINT_FIELDS = frozenset(field.name for field in dataclasses.fields(Endpoint))
_LONGEST_RECORD = 10_000_000  # bytes
_START_SECONDS = 60.0  # a model loads in seconds; the rest is for a machine that is busy
_STOP_SECONDS = 10.0  # for the answers under way, then SIGKILL

# Servers that this process started: they outlive it, but while it lives it has to collect those that end.
_children: dict[int, subprocess.Popen[bytes]] = {}


class LocalDeployer:
    """Starts ``python -m scones_ml.inference`` and keeps a record of it.

    Args:
        records: folder of the records, one ``NAME.json`` (and ``NAME.log``) per endpoint.
        captures: folder that data capture goes to, below one folder per endpoint.
        ledger: where they are recorded.
        run: that they belong to.
    """

    def __init__(self, records: Path, captures: Path, ledger: Ledger, run: Run) -> None:
        self._records = records
        self._captures = captures
        self._ledger = ledger
        self._run = run

    def plan(self, request: DeploymentRequest, steps: Steps = no_steps) -> Plan:  # noqa: ARG002 - nothing to wait for
        """See :meth:`scones_ml.ports.Deployer.plan`; one that runs under the same name is replaced."""
        if re.fullmatch(SAGEMAKER_NAME, request.name) is None:
            most = SAGEMAKER_NAME_CHARACTERS
            raise DeploymentError(
                f"{request.name!r} is no endpoint's name: give 1 to {most} letters, digits and hyphens"
            )
        read_card(_folder(request))
        changes = [Change("create", "endpoint", request.name, f"answers requests with {request.model}")]
        if request.name in self.recorded():
            changes.insert(0, Change("delete", "endpoint", request.name, "gives way to the new one"))
        return Plan("deploy", "local", tuple(changes))

    def preview(self, request: DeploymentRequest) -> Plan:
        """See :meth:`scones_ml.ports.Deployer.preview`; this machine can always be looked at."""
        return self.plan(request)

    def deploy(
        self,
        request: DeploymentRequest,
        steps: Steps = no_steps,  # noqa: ARG002 - it is quick
        plan: Plan | None = None,
    ) -> Endpoint:
        """See :meth:`scones_ml.ports.Deployer.deploy`."""

        def perform(change: Change) -> Endpoint | None:
            if change.action == "delete":
                self.remove(change.name)
                return None
            try:
                return self._start(request)
            except BaseException:
                undo = Plan("deploy", "local", (Change("delete", "endpoint", change.name, "did not come up"),))
                execute(undo, perform, self._ledger, self._run)
                raise

        (endpoint,) = filter(None, execute(plan or self.plan(request), perform, self._ledger, self._run))
        return endpoint

    def _start(self, request: DeploymentRequest) -> Endpoint:
        model = _folder(request)
        card = read_card(model)
        self._records.mkdir(parents=True, exist_ok=True)
        log = self._records / f"{request.name}.log"
        with log.open("wb") as errors:
            child = subprocess.Popen(  # noqa: S603
                self._command(request, model),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # it outlives this command, and the terminal's Ctrl-C is not meant for it
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
            record = {"pid": child.pid, "endpoint": dataclasses.asdict(endpoint)}
            half = self._record(request.name).with_suffix(".part")
            half.write_text(json.dumps(record, indent=2), encoding="utf-8")
            half.replace(self._record(request.name))
            _confirm(child)
            _wait_until_ready(url, child, log)
        except BaseException:
            _stop(child.pid, request.name)
            child.wait()
            if child.stdin:
                child.stdin.close()
            self._forget(request.name)
            raise
        _children[child.pid] = child
        return endpoint

    def endpoints(self) -> Sequence[Endpoint]:
        """See :meth:`scones_ml.ports.Deployer.endpoints`; records of processes that are gone are left out."""
        found = []
        for path in sorted(self._records.glob("*.json")):
            pid, fields = _read(path)
            endpoint = _endpoint(path, fields)
            if _is_ours(pid, endpoint.name):
                found.append(endpoint)
        return found

    def recorded(self) -> Sequence[str]:
        """Names of every endpoint that has a record, or half of one, whether it runs or not."""
        return sorted({path.stem for kind in _FILES for path in self._records.glob(f"*{kind}")})

    def remove(self, name: str) -> None:
        """See :meth:`scones_ml.ports.Deployer.remove`; its captures stay."""
        with contextlib.suppress(FileNotFoundError):
            pid, _ = _read(self._record(name))
            _stop(pid, name)
            if pid in _children:
                _children.pop(pid).wait()
        self._forget(name)

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _forget(self, name: str) -> None:
        for kind in _FILES:
            self._record(name).with_suffix(kind).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._records.rmdir()

    def _command(self, request: DeploymentRequest, model: Path) -> list[str]:
        percentage = 100 if request.capture_percentage is None else request.capture_percentage
        return [
            *(sys.executable, "-m", "scones_ml.inference", str(model.absolute())),
            "--confirm",
            *("--name", request.name, "--port", str(request.port), "--captures", str(self._captures.absolute())),
            *("--capture-percentage", str(percentage)),
        ]


def _folder(request: DeploymentRequest) -> Path:
    """The model, which has to be on this machine."""
    if not isinstance(request.model, Path):
        raise DeploymentError(f"{request.model.uri} can be served on AWS alone: deploy it with --on aws")
    return request.model


def _read(path: Path) -> tuple[int, dict[str, Any]]:
    """The process of a record, and the fields of its endpoint."""
    try:
        record: Any = strict_json.parse(read_at_most(path, _LONGEST_RECORD))
        return int(record["pid"]), dict(record["endpoint"])
    except (ValueError, KeyError, TypeError, OverflowError) as exc:
        raise _no_record(path) from exc


def _endpoint(path: Path, fields: dict[str, Any]) -> Endpoint:
    """The endpoint of a record; fields that this version does not know are ignored."""
    known = {name: value for name, value in fields.items() if name in _ENDPOINT_FIELDS}
    try:
        return Endpoint(**known | {"labels": tuple(known["labels"])})
    except (KeyError, TypeError) as exc:
        raise _no_record(path) from exc


def _no_record(path: Path) -> DeploymentError:
    return DeploymentError(f"{path} is not the record of an endpoint: repair it or remove it")


def _port(child: subprocess.Popen[bytes], log: Path) -> int:
    """The server's first line says which port it got."""
    if child.stdout is None:
        raise DeploymentError("the server's output cannot be read")
    with child.stdout as lines:
        line = lines.readline()
    if not line:
        child.wait()
        raise DeploymentError(_last_words(log, child.returncode))
    return int(json.loads(line)["port"])


def _confirm(child: subprocess.Popen[bytes]) -> None:
    """Let the server go on: it is on record now. Had this process died before, the server would end by itself."""
    if child.stdin:
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(b"\n")


def _wait_until_ready(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    from urllib.error import HTTPError, URLError  # slow to import, and only a start needs them
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
        except (URLError, TimeoutError):  # it listens before it answers
            pass
        if child.poll() is not None:
            raise DeploymentError(_last_words(log, child.returncode))
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    raise DeploymentError(f"the endpoint did not answer within {_START_SECONDS:.0f} s: see {log}")


def _last_words(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("scones: ") if lines else f"the server ended with exit code {code}"


def _stop(pid: int, name: str) -> None:
    """End a server of ours, kindly first; a process that only has its number by now is left alone."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not _is_ours(pid, name):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + _STOP_SECONDS
        while _is_ours(pid, name) and time.monotonic() < deadline:
            time.sleep(0.02)


def _is_ours(pid: int, name: str) -> bool:
    """Whether the process is a running server of this endpoint, told by its command line."""
    command = _command_line(pid)
    return "scones_ml.inference" in command and f"--name {name} " in command


def _command_line(pid: int) -> str:
    """A process's command line; empty when there is none of that number."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listing = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout  # noqa: S603
