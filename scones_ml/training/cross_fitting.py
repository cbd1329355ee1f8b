"""A classifier of features with temperature and threshold: every label used, none twice for the same thing.

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
from scones_ml.training.logistic import Linear, Rows, fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["L2", "Learned", "learn_cross_fitted", "learn_held_out", "out_of_fold"]

L2: Final = 1e-3
"""Of the weights in the whitened space; chosen out of fold on photographs of clothing, 5e-4 to 2e-3 are as good."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and what it says of images that it did not learn from.

    Attributes:
        linear: the classifier that is served.
        temperature: what its logits are to be divided by.
        choice: the threshold.
        judged: (J,) which images temperature or threshold were chosen by.
        probabilities: float (J, K) of these, by a classifier that had not seen them.
    """

    linear: Linear
    temperature: float
    choice: ThresholdChoice
    judged: NDArray[np.int64]
    probabilities: NDArray[np.floating]


def out_of_fold(rows: Rows, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """(N, K) logits of each image by a classifier that learned from the other folds.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1; every class is in two folds or more.
        folds: (N,) which fold each image is in.
        classes: K.
    """
    logits = np.empty((len(labels), classes), np.float32)
    for fold in np.unique(folds):
        taught, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        logits[held] = fit_logistic(rows, taught, labels[taught], classes, L2).logits(rows.take(held))
    return logits


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
    logits = out_of_fold(rows, labels, folds, classes)
    temperature = fit_temperature(logits, labels)
    everything = np.arange(len(labels))
    return Learned(
        fit_logistic(rows, everything, labels, classes, L2),
        temperature,
        choose_threshold_cross_fitted(logits, labels, folds, target_precision=target_precision),
        everything,
        softmax(logits, temperature),
    )


def learn_held_out(
    rows: Rows,
    labels: NDArray[np.int64],
    splits: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    classes: int,
    target_precision: float,
) -> Learned:
    """Learn from one part of the images, fit the temperature by a second and choose the threshold by a third.

    Args:
        rows: N feature vectors.
        labels: (N,) their classes, 0..K-1.
        splits: which images are the three parts.
        classes: K.
        target_precision: what accepted answers should reach, in (0, 1).
    """
    taught, validated, calibrated = splits
    linear = fit_logistic(rows, taught, labels[taught], classes, L2)
    temperature = fit_temperature(linear.logits(rows.take(validated)), labels[validated])
    probabilities = softmax(linear.logits(rows.take(calibrated)), temperature)
    choice = choose_threshold(probabilities, labels[calibrated], target_precision=target_precision)
    return Learned(linear, temperature, choice, calibrated, probabilities)
