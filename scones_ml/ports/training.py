"""The trainer, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scones_ml.ports.progress import Progress, Steps, no_progress, no_steps

if TYPE_CHECKING:  # Lambda functions carry the ports, but neither plans nor the ledger
    from scones_ml.plans import Plan

__all__ = ["Trainer", "TrainingRequest"]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training job.

    Attributes:
        data: the staged data set's folder.
        model: the folder that the model is written to.
        preset: ``"fast"`` or ``"best"``.
        seed: of everything random.
        threads: CPU threads; None leaves it to the preset.
        epochs: passes over the training images; None leaves it to the preset.
        target_precision: what the threshold promises of accepted answers, in (0, 1).
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        init: folder or ``model.tar.gz`` of a model to go on from; from scratch when None.
        instance_type: of the machine on AWS; one with a small GPU when None.
        spot: whether AWS may use spare capacity, which costs less and may be taken back: the job then goes on from
            its last checkpoint when there is capacity again.
        max_seconds: after so much training AWS stops the job.
    """

    data: Path
    model: Path
    preset: str = "fast"
    seed: int = 0
    threads: int | None = None
    epochs: int | None = None
    target_precision: float = 0.95
    device: str = "auto"
    init: Path | None = None
    instance_type: str | None = None
    spot: bool = False
    max_seconds: int = 3_600


class Trainer(Protocol):
    """Runs training jobs."""

    def plan(self, request: TrainingRequest) -> Plan:
        """What :meth:`train` is going to make; nothing is made, and no credentials are needed."""
        ...

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Make every change of the plan, each recorded, and write the model to ``request.model``.

        Args:
            request: what to train.
            progress: counts what is uploaded, where it is, and then epochs.
            steps: told what goes on, and on AWS each line of the job's log.

        Raises:
            TrainingError: the job did not finish; the message holds its last words.
        """
        ...

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Follow a job that was started before to its end, and write its model to a folder.

        Args:
            job: its name.
            model: the folder.
            progress: counts epochs.
            steps: told each line of its log.

        Raises:
            ConfigurationError: there is no such job.
            TrainingError: it did not finish; the message holds its last words.
        """
        ...
