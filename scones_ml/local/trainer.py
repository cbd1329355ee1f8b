"""Trainer as a process of this machine, under the same script-mode contract as in SageMaker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scones_ml.errors import TrainingError
from scones_ml.ports import Progress, TrainingRequest, no_progress

__all__ = ["LocalTrainer"]

_TOTAL = re.compile(r"epochs=(\d+)")
_EPOCH = re.compile(r"Epoch\[(\d+)\] Time cost=")


class LocalTrainer:
    """Runs ``python -m scones_ml.training``; its output goes to ``training.log`` beside the model."""

    def train(self, request: TrainingRequest, progress: Progress = no_progress) -> None:
        """See :meth:`scones_ml.ports.Trainer.train`; a job that is interrupted leaves no model."""
        model = request.model.absolute()
        model.mkdir(parents=True, exist_ok=True)
        log = model / "training.log"
        environment = os.environ | {
            "SM_CHANNEL_TRAINING": str(request.data.absolute()),
            "SM_MODEL_DIR": str(model),
            "SM_OUTPUT_DATA_DIR": str(model),
            "SM_CHANNEL_MODEL": str(request.init.absolute()) if request.init else "",
        }
        with log.open("w", encoding="utf-8", buffering=1) as file, _process(_command(request), environment) as job:
            _follow(job, file.write, progress)
            if job.wait():
                raise TrainingError(_last_words(job, log))


def _command(request: TrainingRequest) -> list[str]:
    options: dict[str, object | None] = {
        "--preset": request.preset,
        "--seed": request.seed,
        "--threads": request.threads,
        "--epochs": request.epochs,
        "--target-precision": request.target_precision,
        "--device": request.device,
    }
    given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
    return [sys.executable, "-m", "scones_ml.training", *given]


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A child that never outlives the block."""
    # A session of its own: Ctrl-C reaches it through us alone, once.
    child = subprocess.Popen(  # noqa: S603
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdout:
            child.stdout.close()


def _follow(job: subprocess.Popen[str], keep: Callable[[str], object], progress: Progress) -> None:
    total = 0
    for line in job.stdout or ():
        keep(line)
        if not total and (match := _TOTAL.search(line)):
            total = int(match[1])
            progress(0, total)
        elif match := _EPOCH.search(line):
            progress(int(match[1]) + 1, total)


def _last_words(job: subprocess.Popen[str], log: Path) -> str:
    lines = log.read_text(encoding="utf-8").strip().splitlines()
    last = lines[-1].removeprefix("error: ") if lines else f"exit code {job.returncode}"
    return last if lines and lines[-1].startswith("error: ") else f"training ended early: {last} (all of it: {log})"
