"""Trainer as a process, with the same script-mode contract as in SageMaker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scones_ml.claims import MARKER, Standing, claim_of, claimed, partial_name
from scones_ml.dataset.replacing import recover, remnants
from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.inference.model import MODEL_ANSWERS, MODEL_CARD, MODEL_GRAPH, MODEL_WEIGHTS
from scones_ml.local.in_use import training
from scones_ml.plans import Change, Ledger, Plan, Run, execute
from scones_ml.ports import Progress, Steps, TrainingRequest, no_progress, no_steps
from scones_ml.removal import ABSENT, names_in, open_folder

__all__ = ["LocalTrainer", "forget_training", "half_trained"]

_TOTAL = re.compile(r"epochs=(\d+)")
LOG = "training.log"
_EPOCH = re.compile(r"Epoch\[(\d+)\] Time cost=")
_HALVES = {f".{name}.part" for name in (MODEL_ANSWERS, MODEL_CARD, MODEL_GRAPH, MODEL_WEIGHTS, "history.json")}
_FEATURES = re.compile(r"Features\[(\d+)\] of (\d+)")


class LocalTrainer:
    """Runs ``python -m scones_ml.training``; its output is written to ``training.log`` next to the model.

    Args:
        ledger: record of the models.
        run: run that new models are recorded under.
    """

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger, self._run = ledger, run

    def plan(self, request: TrainingRequest) -> Plan:
        """See :meth:`scones_ml.ports.Trainer.plan`."""
        folder = str(request.model.absolute())
        return Plan("train", "local", (Change("create", "model", folder, f"trained on {request.data}"),))

    def train(
        self,
        request: TrainingRequest,
        progress: Progress = no_progress,
        steps: Steps = no_steps,  # noqa: ARG002 - the progress bar suffices
    ) -> None:
        """See :meth:`scones_ml.ports.Trainer.train`; an interrupted job leaves no model."""
        execute(self.plan(request), lambda _: self._train(request, progress), self._ledger, self._run)

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:  # noqa: ARG002
        """Always an error: a training on this machine ends with its command.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(f"there is no job {job!r} to follow on this machine: only AWS keeps jobs")

    def _train(self, request: TrainingRequest, progress: Progress) -> None:
        workspace = self._ledger.path.parent
        model = request.model.absolute()
        _make(model, workspace)
        with training(model), claimed(model, workspace) as lock:
            self._run_job(request, model, lock, progress)
            (model / MARKER).unlink()

    def _run_job(self, request: TrainingRequest, model: Path, lock: int, progress: Progress) -> None:
        log = model / LOG
        environment = os.environ | {
            "SM_CHANNEL_TRAINING": str(request.data.absolute()),
            "SM_MODEL_DIR": str(model),
            "SM_OUTPUT_DATA_DIR": str(model),
            "SM_CHANNEL_MODEL": str(request.init.absolute()) if request.init else "",
        }
        # Line-buffered, so that the log shows each epoch as it ends.
        with (
            log.open("w", encoding="utf-8", buffering=1) as file,
            _process(_command(request), environment, lock) as job,
        ):
            _follow(job, file.write, progress)
            if job.wait():
                raise TrainingError(_last_words(job, log))


def half_trained(model: Path, workspace: Path) -> Standing:
    """The owner of an unfinished training's files: partial files, a log without a model.

    Args:
        model: the model's folder, as recorded.
        workspace: the workspace that recorded it.

    Raises:
        OSError: the folder cannot be inspected.
    """
    found = [_claimed_by(model, workspace), *remnants(model, workspace).values()]
    return max(found, key=lambda standing: standing.value)


def forget_training(model: Path, workspace: Path) -> None:
    """Remove a killed training's files from a model's folder; a complete model is kept.

    Args:
        model: the model's folder, as recorded.
        workspace: the workspace that recorded it.

    Raises:
        OSError: the folder cannot be inspected, or the files not removed.
        TrainingError: a training is in progress there.
    """
    recover(model, workspace)
    if _claimed_by(model, workspace) is not Standing.LEFT:
        return
    with training(model), open_folder(model) as folder:
        for name in (*_halves(folder), MARKER):
            os.unlink(name, dir_fd=folder)
    with suppress(OSError):  # not empty
        model.rmdir()


def _claimed_by(model: Path, workspace: Path) -> Standing:
    try:
        with open_folder(model) as folder:
            if claim := claim_of(folder):
                return claim.standing(workspace)
            return Standing.FOREIGN if _halves(folder) else Standing.NOTHING
    except OSError as exc:
        if exc.errno in ABSENT:
            return Standing.NOTHING
        raise


def _halves(folder: int) -> list[str]:
    there = set(names_in(folder))
    return sorted(there & _HALVES | (there & {LOG} if MODEL_CARD not in there else set()))


def _make(model: Path, workspace: Path) -> None:
    """Create the folder together with our marker."""
    if model.exists():
        model.mkdir(exist_ok=True)  # refused where it is a file
        return
    partial = model.with_name(partial_name(model.name))
    partial.mkdir(parents=True)
    with claimed(partial, workspace):
        partial.rename(model)


def _command(request: TrainingRequest) -> list[str]:
    options: dict[str, object | None] = {
        "--recipe": request.recipe,
        "--fit": request.fit,
        "--backbone": None if request.backbone is None else request.backbone.absolute(),
        "--cache": None if request.cache is None else request.cache.absolute(),
        "--preset": request.preset,
        "--seed": request.seed,
        "--threads": request.threads,
        "--epochs": request.epochs,
        "--target-precision": request.target_precision,
        "--device": request.device,
    }
    given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
    return [sys.executable, "-m", "scones_ml.training", "--while-stdin-open", *given]


@contextmanager
def _process(command: list[str], environment: dict[str, str], lock: int) -> Iterator[subprocess.Popen[str]]:
    """A child process that never outlives the block."""
    # Its own session: it gets Ctrl-C only through this process, once.
    child = subprocess.Popen(  # noqa: S603
        command,
        env=environment,
        stdin=subprocess.PIPE,  # closes when this process dies, however it dies
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        pass_fds=(lock,),  # the child keeps the lock if this process is killed
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=10)  # SIGTERM works like Ctrl-C: it removes its partial files
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()


def _follow(job: subprocess.Popen[str], keep: Callable[[str], object], progress: Progress) -> None:
    total = 0
    for line in job.stdout or ():
        keep(line)
        if not total and (match := _TOTAL.search(line)):
            total = int(match[1])
            progress(0, total)
        elif match := _FEATURES.search(line):
            progress(int(match[1]), int(match[2]))
        elif total and (match := _EPOCH.search(line)):
            progress(int(match[1]) + 1, total)


def _last_words(job: subprocess.Popen[str], log: Path) -> str:
    lines = log.read_text(encoding="utf-8").strip().splitlines()
    last = lines[-1].removeprefix("error: ") if lines else f"exit code {job.returncode}"
    return last if lines and lines[-1].startswith("error: ") else f"training ended early: {last} (all of it: {log})"
