"""Acceptance of images of a class that was never learned, by leaving out each class in turn.

An image of something else altogether is found unlike the training images (:mod:`scones_ml.heads.familiarity`). One of a
new kind of the same thing often is not, and how many of those would be let through only the data set itself can tell.
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

_MOST_CLASSES: Final = 10  # left out, each of which takes a learning
_MOST_IMAGES: Final = 1_000  # learned from


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A class that a classifier was not taught.

    Attributes:
        label: the class, 0..K-1.
        images: how many of it the classifier was asked about.
        accepted: how many of these it would have let through.
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
    """Learn without each class in turn, threshold included, and count what would be let through of it.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1; every class is in two folds or more.
        folds: (N,) which fold each image is in.
        classes: K, at least 3.
        target_precision: what accepted answers should reach, in (0, 1).
        progress: counts classes.

    Returns:
        One for each class, or for the ten that have most images.
    """
    chosen = np.concatenate([_some(np.flatnonzero(labels == label), classes) for label in range(classes)])
    frequent = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")[:_MOST_CLASSES]
    found = []
    for done, label in enumerate(np.sort(frequent), 1):
        found.append(_without(int(label), Part(rows, chosen), labels[chosen], folds[chosen], classes, target_precision))
        progress(done, len(frequent))
    return tuple(found)


def _some(members: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """At most a class's share of the images to learn from, evenly spread."""
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
