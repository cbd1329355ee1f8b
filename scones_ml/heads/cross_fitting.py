"""Cross-fitting of a classifier, its temperature and its threshold.

Predictions on training images are overconfident. So each image is classified by a classifier trained on the other
folds, temperature and threshold are chosen on these predictions, and the served classifier is trained on all images.
The served classifier is slightly better than the others, so the guarantee is approximate
(``benchmarks/threshold_guarantee.py`` simulates it). If the calibration split has enough labels, it is held out, and
the guarantee is exact.
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
"""L2 penalty of the whitened weights; chosen out of fold on photographs of clothing, 5e-4 to 2e-3 are as good."""


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained classifier with its threshold, and its out-of-fold predictions.

    Attributes:
        linear: the served classifier.
        temperature: divisor of its logits.
        directions: (D, R) main directions of the training images, see :mod:`scones_ml.heads.familiarity`.
        limit: familiarity below which an image is unlike the training images.
        choice: the threshold.
        judged: (J,) indices of the images used to choose temperature or threshold.
        probabilities: float (J, K) out-of-fold probabilities of these; nearly uniform for images unlike the training
            images (:mod:`scones_ml.verdicts`).
        folds: (J,) folds of these images; None if they were held out.
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
        """Probabilities (N, K) of feature vectors (N, D), as served by the model."""
        unlike = familiarity(vectors, self.directions) < self.limit
        return folded(softmax(self.linear.logits(vectors), self.temperature), unlike)


def out_of_fold(rows: Rows, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Logits (N, K) of each image by a classifier trained on the other folds.

    Args:
        rows: N feature vectors.
        labels: (N,) classes, 0..K-1; every class is in two folds or more.
        folds: (N,) fold of each image.
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
    """Familiarity (N,) of each image by the main directions of the other folds."""
    found = np.empty(len(folds), np.float32)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        found[held] = familiarity(rows.take(held), directions_of(rows, np.flatnonzero(folds != fold)))
    return found


def learn_cross_fitted(
    rows: Rows, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int, target_precision: float
) -> Learned:
    """Train on all images, and choose temperature and threshold out of fold on all of them.

    Args:
        rows: N feature vectors.
        labels: (N,) classes, 0..K-1; every class is in two folds or more.
        folds: (N,) fold of each image.
        classes: K.
        target_precision: target precision of accepted predictions, in (0, 1).
    """
    everything = np.arange(len(labels))
    space = coordinates(rows, everything)
    logits, known = _out_of_fold(space, labels, folds, classes), familiarity_out_of_fold(space.rows, folds)
    limit = limit_of(known)
    like = known >= limit
    temperature = fit_temperature(logits[like], labels[like])
    probabilities = folded(softmax(logits, temperature), ~like)
    # The choice fits a temperature to each fold, except to rows that are nearly uniform already.
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
    """Train on one part of the images, fit limit and temperature on a second, choose the threshold on a third.

    Args:
        rows: N feature vectors.
        labels: (N,) classes, 0..K-1.
        splits: indices of the images of the three parts.
        classes: K.
        target_precision: target precision of accepted predictions, in (0, 1).
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
