"""Acceptance rate of unknown classes, estimated by leaving out each class in turn.

An unrelated image is detected as unlike the training images (:mod:`scones_ml.heads.familiarity`). An image of a similar
new class often is not; how many of those are accepted depends on the data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.evaluation import unlike_rows
from scones_ml.heads.coordinates import Part
from scones_ml.heads.cross_fitting import learn_cross_fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.heads.coordinates import Rows

__all__ = ["LeftOut", "leave_each_class_out"]

_MOST_CLASSES: Final = 10  # left out; each needs a training
_MOST_IMAGES: Final = 1_000  # to train on


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Result for a class that a classifier was not trained on.

    Attributes:
        label: the class, 0..K-1.
        images: number of its images classified.
        accepted: number of these accepted.
    """

    label: int
    images: int
    accepted: int


def leave_each_class_out(
    rows: Rows,
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: int,
    target_precision: float,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> tuple[LeftOut, ...]:
    """Train without each class in turn, threshold included, and count its accepted images.

    Args:
        rows: N feature vectors.
        labels: (N,) classes, 0..K-1; every class is in two folds or more.
        folds: (N,) fold of each image.
        classes: K, at least 3.
        target_precision: target precision of accepted predictions, in (0, 1).
        progress: called with (classes done, classes in all).

    Returns:
        One result for each class, or for the ten largest.
    """
    chosen = np.concatenate([_some(np.flatnonzero(labels == label), classes) for label in range(classes)])
    frequent = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")[:_MOST_CLASSES]
    found = []
    for done, label in enumerate(np.sort(frequent), 1):
        found.append(_without(int(label), Part(rows, chosen), labels[chosen], folds[chosen], classes, target_precision))
        progress(done, len(frequent))
    return tuple(found)


def _some(members: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Evenly spaced images of a class, at most its share of the training images."""
    return members[:: max(1, -(-len(members) * classes // _MOST_IMAGES))]


def _without(
    label: int,
    rows: Part,
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: int,
    target_precision: float,
) -> LeftOut:
    taught, asked = np.flatnonzero(labels != label), np.flatnonzero(labels == label)
    others = labels[taught] - (labels[taught] > label)
    learned = learn_cross_fitted(Part(rows, taught), others, folds[taught], classes - 1, target_precision)
    threshold = learned.choice.threshold
    if threshold is None:
        return LeftOut(label, len(asked), 0)
    answers = learned.answers(rows.take(asked))
    return LeftOut(label, len(asked), int(((answers.max(axis=1) >= threshold) & ~unlike_rows(answers)).sum()))
