"""Locks of a workspace: commands that would get into each other's way wait for each other, or fail in one line.

=============================  =====================================  ================================================
file                           held alone by                          shared by
=============================  =====================================  ================================================
``endpoints/NAME.lock``        who deploys or removes the endpoint    runs that ask it
``endpoints/NAME.running``     its server, while it lives             nobody
``buckets.lock``               who removes objects                    runs, while they read and write them
``MODEL/training.lock``        who trains into the folder             nobody
=============================  =====================================  ================================================

Whether a run or a training goes on is asked with :func:`run_in_progress` and :func:`training_in_progress`: the holder
is what the kernel says, so that the folders of a killed one, or of a copied workspace, are free.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scones_ml.errors import DeploymentError, SconesError, TrainingError, WorkflowError
from scones_ml.locks import PATIENCE, Holder, holder_of, locked
from scones_ml.plans import mark_workspace

__all__ = [
    "TRAINING_LOCK",
    "buckets_in_use",
    "changing_endpoint",
    "endpoint_in_use",
    "forget_killed_run",
    "removing_objects",
    "run_in_progress",
    "training",
    "training_in_progress",
    "without_empty",
]

TRAINING_LOCK: Final = "training.lock"
_NO_LONGER: Final = 0.5  # seconds: clean-up is done by then, and a training is worth no wait


@contextlib.contextmanager
def changing_endpoint(records: Path, name: str, patience: float = PATIENCE) -> Iterator[None]:
    """Deploy or remove an endpoint during the block, alone.

    Args:
        records: folder of the endpoints' records.
        name: of the endpoint.
        patience: seconds to wait for other commands.

    Raises:
        DeploymentError: another command changes or uses it, and goes on.
    """

    def busy(holder: Holder) -> Exception:
        if holder.shared:
            return DeploymentError(f"endpoint {name} is in use by a run, {holder}: try again when it has ended")
        return DeploymentError(f"endpoint {name} is being deployed or removed by {holder}: try again")

    with without_empty(records), locked(records / f"{name}.lock", busy, patience=patience):
        yield


@contextlib.contextmanager
def endpoint_in_use(records: Path, name: str) -> Iterator[None]:
    """Ask an endpoint during the block; nobody replaces or removes it meanwhile.

    Raises:
        DeploymentError: it is being changed.
    """

    def busy(holder: Holder) -> Exception:
        return DeploymentError(f"endpoint {name} is being deployed or removed by {holder}: try again")

    with without_empty(records), locked(records / f"{name}.lock", busy, shared=True):
        yield


@contextlib.contextmanager
def buckets_in_use(workspace: Path) -> Iterator[None]:
    """Read and write the workspace's objects during the block; nobody removes them meanwhile.

    Raises:
        WorkflowError: they are being removed.
    """

    def busy(holder: Holder) -> Exception:
        return WorkflowError(f"the objects of {workspace} are being removed by {holder}: try again")

    mark_workspace(workspace)
    with locked(_buckets(workspace), busy, shared=True):
        yield


@contextlib.contextmanager
def removing_objects(workspace: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Remove objects of a workspace during the block.

    Args:
        workspace: their folder.
        patience: seconds to wait for runs.

    Raises:
        WorkflowError: a run goes on.
    """

    def busy(holder: Holder) -> Exception:
        what = "a run goes on" if holder.shared else "another clean-up goes on"
        return WorkflowError(f"{what} in {workspace}, {holder}: try again when it has ended")

    with locked(_buckets(workspace), busy, patience=patience):
        yield


def run_in_progress(workspace: Path) -> Holder | None:
    """A process that runs images here now, one of them when there are several."""
    holder = holder_of(_buckets(workspace))
    return holder if holder and holder.shared else None


def forget_killed_run(workspace: Path) -> None:
    """Remove the lock's file when whoever had it was killed."""
    path = _buckets(workspace)
    if path.exists() and holder_of(path) is None:
        # Somebody may be faster, or the workspace may be read only: it harms nobody.
        with contextlib.suppress(SconesError), locked(path, lambda _: WorkflowError(), patience=0):
            pass


def training_in_progress(model: Path) -> Holder | None:
    """The process that trains a model into this folder now."""
    return holder_of(model / TRAINING_LOCK)


@contextlib.contextmanager
def training(model: Path) -> Iterator[None]:
    """Train into a folder, or remove what a killed training left there, during the block.

    Raises:
        TrainingError: a training goes on there.
    """

    def busy(holder: Holder) -> Exception:
        return TrainingError(f"{model} is being trained by {holder}: try again when it has ended")

    with locked(model / TRAINING_LOCK, busy, patience=_NO_LONGER):
        yield


@contextlib.contextmanager
def without_empty(folder: Path) -> Iterator[None]:
    """Remove a folder after the block when nothing is left in it."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # there is something, or it is gone
            folder.rmdir()


def _buckets(workspace: Path) -> Path:
    return workspace / "buckets.lock"
