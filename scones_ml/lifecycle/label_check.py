"""Probable label errors and near duplicates of a staged data set, by models that did not learn from the images.

For photographs the models are classifiers on features, which take seconds; for thumbnails each is a full training.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml import dataset, images, lifecycle
from scones_ml.dataset.folds import folds, write_fold
from scones_ml.errors import DatasetError, ImageError
from scones_ml.lifecycle.features import has_photographs, staged_features
from scones_ml.lifecycle.scratch import scratch
from scones_ml.plans import Change, Plan
from scones_ml.ports import Backend, Progress, TrainingRequest, no_progress
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scones_ml.backbones.features import Features

__all__ = ["FOLDS", "LabelCheck", "NearDuplicates", "SuspectLabel", "check_labels", "out_of_fold"]

FOLDS = 5  # each model learns from 80 % of the images; each further fold would cost a training
"""Number of models that a label check trains."""

_THUMBNAIL: Final = 32  # pixels: the size that a signature uses

_ALIKE: Final = 0.935
"""Least cosine similarity of features at which two photographs are near duplicates.

Of 819 photographs of clothing two that differ, striped shirts on one blanket, have 0.932, and two of one skirt 0.937.
Of copies that were turned by 5 degrees 99 % are above it, of those that lost 3 % at each side 98 %, 5 % at each side
83 %: the signature, which is more robust to brightness, compression and size, finds none, 75 % and 11 % of these.
"""


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """An image whose label is probably wrong.

    Attributes:
        path: its file, relative to the data set's root.
        given: its label.
        suggested: its probable class.
        confidence: the suggested class's share of the two classes' probability, in (0.5, 1].
    """

    path: str
    given: str
    suggested: str
    confidence: float


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Two nearly identical images.

    Attributes:
        first: the file of one, relative to the data set's root.
        second: the file of the other.
        similarity: correlation of their pixels or cosine of their features, whichever is larger; at most 1.
        mirrored: whether one matches the other's mirror image.
    """

    first: str
    second: str
    similarity: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """Result of a label check; nothing was changed.

    Attributes:
        images: number of images checked.
        suspects: labels that are probably wrong, the most certain first.
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
    """Find probable label errors and near duplicates of a staged data set.

    Each fifth of the images, from all splits, is predicted by a model that was trained on the other four; images that
    are confidently predicted as another class are suspect (:func:`scones_ml.evaluation.find_label_errors`). The models
    are discarded, so no choice is made on the test split.

    Args:
        backend: backend of the five trainings, for thumbnails.
        data: the data set.
        workspace: workspace for temporary files; features of photographs stay in its cache.
        epochs: epochs of each training; None for the preset's number.
        seed: random seed of the folds and the trainings.
        threads: CPU threads; None for the trainer's number.
        progress: called for epochs over all trainings, or for images whose features are computed.

    Raises:
        DatasetError: a class has fewer images than folds or, for photographs, only one.
        TrainingError: a training did not finish.
        MissingExtraError: the backbone's weights are not installed, and there are photographs.
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
    return LabelCheck(len(data.records), suspects, _near_duplicates(data, workspace))


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
    """Out-of-fold probabilities of every image, from all splits, in the order of the records.

    Arguments and errors as for :func:`check_labels`.
    """
    import numpy as np

    if has_photographs(data):
        return _out_of_fold_on_features(
            data, staged_features(data, workspace, threads=threads, progress=progress), seed
        )
    with scratch(workspace / "label-check") as work:
        request = TrainingRequest(data.root, work, seed=seed, threads=threads, epochs=epochs)
        rows: dict[str, npt.NDArray[np.float32]] = {}
        for number, held in enumerate(folds(data, FOLDS, seed)):
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
    """Probabilities of one fold's images, by digest, from a model that was trained on the others."""
    fold = write_fold(data, held, request.model / f"fold-{number}")
    request = replace(request, data=fold.root, model=request.model / f"model-{number}")
    backend.trainer.train(request, lambda done, total: progress(number * total + done, FOLDS * total))
    predictions = lifecycle.predict(request.model, fold.root, "test")
    gone = Change("delete", "model", str(request.model.absolute()), "has predicted its fold")
    with lifecycle.recording(backend, Plan("stage", backend.place_name, (gone,))):
        shutil.rmtree(request.model)
    return {record.sha256: row for record, row in zip(fold.split("test"), predictions.probabilities, strict=True)}


def _out_of_fold_on_features(data: dataset.Dataset, features: Features, seed: int) -> lifecycle.Predictions:
    import numpy as np

    from scones_ml.evaluation import fit_temperature, softmax
    from scones_ml.heads import cross_fitting

    labels = np.array([record.label for record in data.records], np.int64)
    fewest = int(np.bincount(labels, minlength=len(data.classes)).min())
    held = folds(data, max(2, min(FOLDS, fewest)), seed)
    number = {digest: fold for fold, digests in enumerate(held) for digest in digests}
    fold_of = np.array([number[record.sha256] for record in data.records], np.int64)
    logits = cross_fitting.out_of_fold(features, labels, fold_of, len(data.classes))
    probabilities = softmax(logits, fit_temperature(logits, labels)).astype(np.float32)
    return lifecycle.Predictions(probabilities, labels, data.classes, None)


def _thumbnails(data: dataset.Dataset) -> npt.NDArray[np.uint8]:
    """Every image as a thumbnail, uint8 (N, S, S, 3), small enough to keep all in memory."""
    import numpy as np

    size = min(data.image_size, _THUMBNAIL)
    pixels = np.empty((len(data.records), size, size, 3), np.uint8)
    for row, record in zip(pixels, data.records, strict=True):
        try:
            row[:] = images.pixels((data.root / record.path).read_bytes(), size, ImagePolicy(fit="stretch"))
        except (OSError, ImageError) as exc:
            raise DatasetError(f"{data.root / record.path}: {exc}: stage the data set again") from exc
    return pixels


def _near_duplicates(data: dataset.Dataset, workspace: Path) -> tuple[NearDuplicates, ...]:
    from scones_ml.evaluation import NearDuplicate, find_near_duplicates

    found = {(pair.first, pair.second): pair for pair in find_near_duplicates(_thumbnails(data))}
    if has_photographs(data):
        from scones_ml.heads.neighbours import similar_pairs

        features = staged_features(data, workspace)
        for first, second, cosines in similar_pairs(features, len(features), _ALIKE):
            for i, j, cosine in zip(first.tolist(), second.tolist(), cosines.tolist(), strict=True):
                known = found.get((i, j))
                found[i, j] = (
                    NearDuplicate(i, j, cosine, False)
                    if known is None
                    else replace(known, similarity=max(known.similarity, cosine))
                )
    return tuple(
        NearDuplicates(data.records[pair.first].path, data.records[pair.second].path, pair.similarity, pair.mirrored)
        for pair in sorted(found.values(), key=lambda pair: (-pair.similarity, pair.first, pair.second))
    )
