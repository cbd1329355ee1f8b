"""Locks of a workspace: conflicting commands wait for each other, or fail with one line.

=============================  =====================================  ================================================
file                           held exclusively by                    shared by
=============================  =====================================  ================================================
``endpoints/NAME.lock``        deployment or removal of the endpoint  runs that use it
``endpoints/NAME.running``     its server, while it runs              none
``buckets.lock``               removal of objects                     runs, while they read and write them
``MODEL/training.lock``        training into the folder               none
=============================  =====================================  ================================================

:func:`run_in_progress` and :func:`training_in_progress` name the process that holds a lock, as the kernel reports it: a
killed process, or a copied workspace, holds none.
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
_NO_LONGER: Final = 0.5  # seconds: long enough for a clean-up, too short for a training


@contextlib.contextmanager
def changing_endpoint(records: Path, name: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the exclusive lock of an endpoint, to deploy or remove it in the block.

    Args:
        records: folder of the endpoints' records.
        name: name of the endpoint.
        patience: seconds to wait for other commands.

    Raises:
        DeploymentError: another command still changes or uses the endpoint.
    """

    def busy(holder: Holder) -> Exception:
        if holder.shared:
            return DeploymentError(f"endpoint {name} is in use by a run, {holder}: try again when it has ended")
        return DeploymentError(f"endpoint {name} is being deployed or removed by {holder}: try again")

    with without_empty(records), locked(records / f"{name}.lock", busy, patience=patience):
        yield


@contextlib.contextmanager
def endpoint_in_use(records: Path, name: str) -> Iterator[None]:
    """Hold the shared lock of an endpoint, so that it is not replaced or removed during the block.

    Raises:
        DeploymentError: the endpoint is being changed.
    """

    def busy(holder: Holder) -> Exception:
        return DeploymentError(f"endpoint {name} is being deployed or removed by {holder}: try again")

    with without_empty(records), locked(records / f"{name}.lock", busy, shared=True):
        yield


@contextlib.contextmanager
def buckets_in_use(workspace: Path) -> Iterator[None]:
    """Hold the shared lock of the workspace's objects, so that they are not removed during the block.

    Raises:
        WorkflowError: the objects are being removed.
    """

    def busy(holder: Holder) -> Exception:
        return WorkflowError(f"the objects of {workspace} are being removed by {holder}: try again")

    mark_workspace(workspace)
    with locked(_buckets(workspace), busy, shared=True):
        yield


@contextlib.contextmanager
def removing_objects(workspace: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the exclusive lock of the workspace's objects, to remove them in the block.

    Args:
        workspace: the workspace's folder.
        patience: seconds to wait for runs.

    Raises:
        WorkflowError: a run is still in progress.
    """

    def busy(holder: Holder) -> Exception:
        what = "a run is in progress" if holder.shared else "another clean-up is in progress"
        return WorkflowError(f"{what} in {workspace}, {holder}: try again when it has ended")

    with locked(_buckets(workspace), busy, patience=patience):
        yield


def run_in_progress(workspace: Path) -> Holder | None:
    """A process that runs images in this workspace; one of them when there are several."""
    holder = holder_of(_buckets(workspace))
    return holder if holder and holder.shared else None


def forget_killed_run(workspace: Path) -> None:
    """Remove the lock file of a killed run."""
    path = _buckets(workspace)
    if path.exists() and holder_of(path) is None:
        # Another process may be faster, or the workspace may be read only; both are harmless.
        with contextlib.suppress(SconesError), locked(path, lambda _: WorkflowError(), patience=0):
            pass


def training_in_progress(model: Path) -> Holder | None:
    """The process that is training a model into this folder."""
    return holder_of(model / TRAINING_LOCK)


@contextlib.contextmanager
def training(model: Path) -> Iterator[None]:
    """Hold the exclusive lock of a model's folder, to train into it or to tidy up in the block.

    Raises:
        TrainingError: a training is in progress there.
    """

    def busy(holder: Holder) -> Exception:
        return TrainingError(f"{model} is being trained by {holder}: try again when it has ended")

    with locked(model / TRAINING_LOCK, busy, patience=_NO_LONGER):
        yield


@contextlib.contextmanager
def without_empty(folder: Path) -> Iterator[None]:
    """Remove a folder after the block if it is empty."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty, or gone
            folder.rmdir()


def _buckets(workspace: Path) -> Path:
    return workspace / "buckets.lock"
