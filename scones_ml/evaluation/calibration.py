"""Calibration: do the probabilities mean what they say, and one number that mends them.

Temperature scaling (Guo et al. 2017, https://arxiv.org/abs/1706.04599) divides the logits by one number before the
softmax. The ranking of the classes stays; the confidences become honest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.arrays import as_labels, as_logits, as_probabilities, confidences
from scones_ml.evaluation.intervals import Estimate, wilson
from scones_ml.evaluation.ranked import Ranked
from scones_ml.evaluation.unlike import unlike_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = [
    "ReliabilityBin",
    "expected_calibration_error",
    "fit_temperature",
    "mass_bins",
    "reliability",
    "reliability_bins",
    "rescale",
    "softmax",
    "usual_bins",
]

_COLDEST, _HOTTEST = 0.05, 20.0  # bounds of the search, far from the 0.7 or so that our networks need
_MOST_BINS, _IMAGES_A_BIN = 15, 20  # 15 as in Guo et al.; with fewer images a bin's accuracy is mostly chance


@dataclass(frozen=True)
class ReliabilityBin:
    """Images of like confidence.

    Attributes:
        low: the smallest confidence in the bin.
        high: the largest.
        count: how many images.
        confidence: their mean confidence.
        accuracy: the share that was right, with Wilson's 95 % interval.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Estimate


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """(N, K) logits to (N, K) probabilities, the logits divided by ``temperature`` first."""
    found = as_logits(logits) / temperature
    found -= found.max(axis=1, keepdims=True)
    np.exp(found, out=found)  # in place: of many images and classes, three copies are much
    found /= found.sum(axis=1, keepdims=True)
    return np.asarray(found)


def rescale(probabilities: npt.ArrayLike, temperature: float) -> FloatArray:
    """(N, K) probabilities as another temperature would have made them; ``1 / T`` undoes a temperature of T.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    return softmax(np.log(np.maximum(as_probabilities(probabilities), 1e-300)), temperature)  # log(0) is no number


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature that gives the labels the smallest log loss, between 0.05 and 20.

    One more image is imagined whose label is any class with equal chance. With many labels it weighs nothing; where
    every answer is right, it keeps the temperature off zero, which would call each answer certain.

    Args:
        logits: (N, K) finite, from images that the model was not trained on (the validation split).
        labels: (N,) class indices in 0..K-1.

    Raises:
        InferenceError: the logits are not a finite (N, K) matrix.
        DatasetError: the labels do not fit the logits.
    """
    matrix = as_logits(logits)
    rows, classes = matrix.shape
    truth = matrix[np.arange(rows), as_labels(labels, rows, classes)]
    wanted = float((truth + matrix.mean(axis=1) / rows).mean() / (1 + 1 / rows))

    # The loss is convex in 1 / T, with slope "mean logit under the softmax" - "mean logit wanted".
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    for _ in range(60):  # halves the range below the spacing of float64
        middle = (low + high) / 2
        expected = float((softmax(matrix, math.exp(middle)) * matrix).sum(axis=1).mean())
        if expected > wanted:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def reliability(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int | None = None
) -> tuple[ReliabilityBin, ...]:
    """Confidence against accuracy in bins of (nearly) equal numbers of images, ascending; never an empty bin.

    Images that are unlike the training images are in none: their confidence does not say how often answers are right.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        bins: how many; by default as many as leave 20 images in each, at most 15. Images of equal confidence share
            a bin, so there may be fewer.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
    """
    matrix = as_probabilities(probabilities)
    correct, known = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape), ~unlike_rows(matrix)
    return reliability_bins(confidences(matrix[known]), correct[known].astype(np.float64), bins=bins)


def reliability_bins(
    confidence: FloatArray, correct: FloatArray, *, bins: int | None = None
) -> tuple[ReliabilityBin, ...]:
    """As :func:`reliability`, from (N,) confidences and (N,) 1.0 where the answer was right, else 0.0."""
    which = mass_bins(confidence, bins)
    made = []
    for index in np.unique(which):
        inside = which == index
        hits, count = int(correct[inside].sum()), int(inside.sum())
        values = confidence[inside]
        made.append(
            ReliabilityBin(
                low=float(values.min()),
                high=float(values.max()),
                count=count,
                confidence=float(values.mean()),
                accuracy=wilson(hits, count),
            )
        )
    return tuple(made)


def mass_bins(confidence: FloatArray, bins: int | None = None) -> IntArray:
    """The (N,) bin index of each confidence, bins of equal mass; equal confidences share a bin."""
    rows = len(confidence)
    wanted = bins or usual_bins(rows)
    ordered = np.sort(confidence)
    edges = np.unique(ordered[[rows * i // wanted for i in range(1, wanted)]]) if wanted > 1 else ordered[:0]
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def expected_calibration_error(confidence: FloatArray, correct: FloatArray, *, bins: int | None = None) -> float:
    """The mean distance between confidence and accuracy over bins of equal mass, weighted by their images.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) 1.0 where the answer was right, else 0.0.
        bins: as for :func:`reliability`.
    """
    rows = len(confidence)
    return Ranked.of(confidence, correct).calibration_error(np.ones(rows), bins or usual_bins(rows))


def usual_bins(rows: int) -> int:
    """How many bins so many images are put into."""
    return min(_MOST_BINS, max(1, rows // _IMAGES_A_BIN))
