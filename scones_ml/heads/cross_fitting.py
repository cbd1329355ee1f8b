"""Cross-fitting of a classifier, its temperature and its threshold.

What a classifier says of images that it learned from flatters it. So each image is asked of one that did not learn from
its fold, temperature and threshold are chosen by these answers, and the classifier that is served learns from all
images. It is a little better than those that were asked, which is why the promise is approximate
(``benchmarks/threshold_guarantee.py`` simulates how it is kept). Where the calibration split alone has labels enough,
the promise is exact: that split is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.evaluation import (
    ThresholdChoice,
    choose_threshold,
    choose_threshold_cross_fitted,
    fit_temperature,
    softmax,
)
from scones_ml.evaluation.unlike import folded
from scones_ml.heads.coordinates import Coordinates, coordinates
from scones_ml.heads.familiarity import directions_of, familiarity, limit_of
from scones_ml.heads.logistic import Linear, fit_logistic, fit_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.heads.coordinates import Rows

__all__ = ["L2", "Learned", "familiarity_out_of_fold", "learn_cross_fitted", "learn_held_out", "out_of_fold"]

L2: Final = 1e-3
"""Of the weights in the whitened space; chosen out of fold on photographs of clothing, 5e-4 to 2e-3 are as good."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and what it says of images that it did not learn from.

    Attributes:
        linear: the classifier that is served.
        temperature: what its logits are to be divided by.
        directions: (D, R) of the training images, see :mod:`scones_ml.heads.familiarity`.
        limit: familiarity below which an image is unlike them.
        choice: the threshold.
        judged: (J,) which images temperature or threshold were chosen by.
        probabilities: float (J, K) of these, by a classifier that had not seen them; practically even where it finds
            the image unlike its own training images (:mod:`scones_ml.verdicts`).
        folds: (J,) which fold each of these was in; None where they are no part of what was learned from.
    """

    linear: Linear
    temperature: float
    directions: NDArray[np.float32]
    limit: float
    choice: ThresholdChoice
    judged: NDArray[np.int64]
    probabilities: NDArray[np.floating]
    folds: NDArray[np.int64] | None = None

    def answers(self, vectors: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, D) feature vectors to (N, K) probabilities, as the model will serve them."""
        unlike = familiarity(vectors, self.directions) < self.limit
        return folded(softmax(self.linear.logits(vectors), self.temperature), unlike)


def out_of_fold(rows: Rows, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """(N, K) logits of each image by a classifier that learned from the other folds.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1; every class is in two folds or more.
        folds: (N,) which fold each image is in.
        classes: K.
    """
    return _out_of_fold(coordinates(rows, np.arange(len(labels))), labels, folds, classes)


def _out_of_fold(
    space: Coordinates, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int
) -> NDArray[np.float32]:
    logits = np.empty((len(labels), classes), np.float32)
    for fold in np.unique(folds):
        taught, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        logits[held] = fit_within(space, taught, labels[taught], classes, L2).logits(space.rows.take(held))
    return logits


def familiarity_out_of_fold(rows: Rows, folds: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N,) familiarity of each image by the directions of the other folds' images."""
    found = np.empty(len(folds), np.float32)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        found[held] = familiarity(rows.take(held), directions_of(rows, np.flatnonzero(folds != fold)))
    return found


def learn_cross_fitted(
    rows: Rows, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int, target_precision: float
) -> Learned:
    """Learn from all images, and choose by all of them.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1; every class is in two folds or more.
        folds: (N,) which fold each image is in.
        classes: K.
        target_precision: what accepted answers should reach, in (0, 1).
    """
    everything = np.arange(len(labels))
    space = coordinates(rows, everything)
    logits, known = _out_of_fold(space, labels, folds, classes), familiarity_out_of_fold(space.rows, folds)
    limit = limit_of(known)
    like = known >= limit
    temperature = fit_temperature(logits[like], labels[like])
    probabilities = folded(softmax(logits, temperature), ~like)
    # The choice fits a temperature to each fold: of what it leaves alone, the answers are practically even already.
    logits[~like] = np.log(probabilities[~like])
    linear = fit_within(space, everything, labels, classes, L2)
    return Learned(
        Linear(space.back(linear.weight), linear.bias),
        temperature,
        space.back(directions_of(space.rows, everything)),
        limit,
        choose_threshold_cross_fitted(logits, labels, folds, target_precision=target_precision),
        everything,
        probabilities,
        folds,
    )


def learn_held_out(
    rows: Rows,
    labels: NDArray[np.int64],
    splits: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    classes: int,
    target_precision: float,
) -> Learned:
    """Learn from one part of the images, fit limit and temperature by a second, choose the threshold by a third.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1.
        splits: which images are the three parts.
        classes: K.
        target_precision: what accepted answers should reach, in (0, 1).
    """
    taught, validated, calibrated = splits
    linear = fit_logistic(rows, taught, labels[taught], classes, L2)
    directions = directions_of(rows, taught)
    limit = limit_of(familiarity(rows.take(validated), directions))
    temperature = fit_temperature(linear.logits(rows.take(validated)), labels[validated])
    unlike = familiarity(rows.take(calibrated), directions) < limit
    probabilities = folded(softmax(linear.logits(rows.take(calibrated)), temperature), unlike)
    choice = choose_threshold(probabilities, labels[calibrated], target_precision=target_precision)
    return Learned(linear, temperature, directions, limit, choice, calibrated, probabilities)
