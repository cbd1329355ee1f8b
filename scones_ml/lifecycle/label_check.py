"""Probable label errors and near duplicates of a staged data set, by models that did not see what they judge."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import dataset, lifecycle
from scones_ml.errors import MissingExtraError
from scones_ml.lifecycle.scratch import scratch
from scones_ml.plans import Change, Plan
from scones_ml.ports import Backend, Progress, TrainingRequest, no_progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FOLDS", "LabelCheck", "NearDuplicates", "SuspectLabel", "check_labels", "out_of_fold"]

FOLDS = 5  # each model learns from 80 % of the images; more folds would cost a training each
"""How many models a label check trains."""


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """An image whose label is probably wrong.

    Attributes:
        path: its file, relative to the data set's root.
        given: the class it is labelled as.
        suggested: the class it probably is.
        confidence: the share of the suggested class's probability in that of the two, in (0.5, 1].
    """

    path: str
    given: str
    suggested: str
    confidence: float


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Two images that show nearly the same.

    Attributes:
        first: the file of the one, relative to the data set's root.
        second: the file of the other.
        similarity: correlation of their pixels, at most 1.
        mirrored: whether one is like the other's mirror image.
    """

    first: str
    second: str
    similarity: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """What a look at the labels found; nothing was changed.

    Attributes:
        images: how many images were looked at.
        suspects: labels that are probably wrong, the surest first.
        near_duplicates: pairs of images, the most similar first.
    """

    images: int
    suspects: tuple[SuspectLabel, ...]
    near_duplicates: tuple[NearDuplicates, ...]


def check_labels(
    backend: Backend,
    data: dataset.Dataset,
    workspace: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> LabelCheck:
    """Name probable label errors and near duplicates of a staged data set.

    Each fifth of the images, of all splits, is asked of a model that was trained on the other four; what those
    models confidently call something else is suspect (:func:`scones_ml.evaluation.find_label_errors`). The models are
    thrown away, so looking at the test split decides nothing.

    Args:
        backend: where the five trainings run.
        data: the data set.
        workspace: a folder for what is needed meanwhile; nothing is left there.
        epochs: of each training; the preset's when None.
        seed: of the folds and the trainings.
        threads: CPU threads; None leaves it to the trainer.
        progress: counts epochs over all trainings.

    Raises:
        DatasetError: a class has fewer images than there are folds.
        TrainingError: a training did not finish.
    """
    from scones_ml.evaluation import find_label_errors

    judged = out_of_fold(backend, data, workspace, epochs=epochs, seed=seed, threads=threads, progress=progress)
    errors = find_label_errors(judged.probabilities, judged.labels)
    suspects = tuple(
        SuspectLabel(
            data.records[error.index].path, data.classes[error.given], data.classes[error.suggested], error.confidence
        )
        for error in errors
    )
    return LabelCheck(len(data.records), suspects, _near_duplicates(data))


def out_of_fold(
    backend: Backend,
    data: dataset.Dataset,
    workspace: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> lifecycle.Predictions:
    """Every image's probabilities, of all splits in the order of the records, by a model that did not see it.

    Arguments and errors as for :func:`check_labels`.
    """
    import numpy as np

    with scratch(workspace / "label-check") as work:
        request = TrainingRequest(data.root, work, seed=seed, threads=threads, epochs=epochs)
        rows: dict[str, npt.NDArray[np.float32]] = {}
        for number, held in enumerate(dataset.folds(data, FOLDS, seed)):
            rows |= _judged_by_a_stranger(backend, data, number, held, request, progress)
    probabilities = np.stack([rows[record.sha256] for record in data.records])
    labels = np.array([record.label for record in data.records], np.int64)
    return lifecycle.Predictions(probabilities, labels, data.classes, None)


def _judged_by_a_stranger(
    backend: Backend,
    data: dataset.Dataset,
    number: int,
    held: frozenset[str],
    request: TrainingRequest,
    progress: Progress,
) -> dict[str, npt.NDArray[np.float32]]:
    """The probabilities of one fold's images, by digest, from a model that was trained on the others."""
    fold = dataset.write_fold(data, held, request.model / f"fold-{number}")
    request = replace(request, data=fold.root, model=request.model / f"model-{number}")
    backend.trainer.train(request, lambda done, total: progress(number * total + done, FOLDS * total))
    predictions = lifecycle.predict(request.model, fold.root, "test")
    gone = Change("delete", "model", str(request.model.absolute()), "has judged its fold")
    with lifecycle.recording(backend, Plan("stage", backend.place_name, (gone,))):
        shutil.rmtree(request.model)
    return {record.sha256: row for record, row in zip(fold.split("test"), predictions.probabilities, strict=True)}


def _near_duplicates(data: dataset.Dataset) -> tuple[NearDuplicates, ...]:
    try:
        import numpy as np
    except ModuleNotFoundError as exc:
        raise MissingExtraError("numpy", "onnx") from exc
    from scones_ml.evaluation import find_near_duplicates

    parts = [data.arrays(split)[0] for split in dataset.SPLITS]
    records = [record for split in dataset.SPLITS for record in data.split(split)]
    return tuple(
        NearDuplicates(records[pair.first].path, records[pair.second].path, pair.similarity, pair.mirrored)
        for pair in find_near_duplicates(np.concatenate(parts))
    )
