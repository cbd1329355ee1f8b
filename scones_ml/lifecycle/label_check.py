"""Probable label errors and near duplicates of a staged data set, by models that did not see what they judge.

Of photographs the models are classifiers of features, which take seconds; of thumbnails each is a training.
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

FOLDS = 5  # each model learns from 80 % of the images; more folds would cost a training each
"""How many models a label check trains."""

_THUMBNAIL: Final = 32  # pixels: all that a signature looks at

_ALIKE: Final = 0.935
"""Cosine of features from which on two photographs are nearly the same.

Of 819 photographs of clothing two that differ, striped shirts on one blanket, have 0.932, and two of one skirt 0.937.
Of copies that were turned by 5 degrees 99 % are above it, of those that lost 3 % at each side 98 %, 5 % at each side
83 %: the signature, which bears brightness, compression and size better, finds none, 75 % and 11 % of these.
"""


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
        similarity: correlation of their pixels or cosine of their features, whichever is larger; at most 1.
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
        backend: where the five trainings run, for thumbnails.
        data: the data set.
        workspace: a folder for what is needed meanwhile; of photographs the features stay in its cache.
        epochs: of each training; the preset's when None.
        seed: of the folds and the trainings.
        threads: CPU threads; None leaves it to the trainer.
        progress: counts epochs over all trainings, or images whose features are computed.

    Raises:
        DatasetError: a class has fewer images than there are folds; of photographs, one image.
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
    """Every image's probabilities, of all splits in the order of the records, by a model that did not see it.

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
    """The probabilities of one fold's images, by digest, from a model that was trained on the others."""
    fold = write_fold(data, held, request.model / f"fold-{number}")
    request = replace(request, data=fold.root, model=request.model / f"model-{number}")
    backend.trainer.train(request, lambda done, total: progress(number * total + done, FOLDS * total))
    predictions = lifecycle.predict(request.model, fold.root, "test")
    gone = Change("delete", "model", str(request.model.absolute()), "has judged its fold")
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
    """The whole of each image, uint8 (N, S, S, 3), small enough for all to be in memory."""
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
