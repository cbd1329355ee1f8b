"""Calibration: reliability of probabilities, and temperature scaling.

Temperature scaling (Guo et al. 2017, https://arxiv.org/abs/1706.04599) divides the logits by one number before the
softmax. The ranking of the classes is unchanged; the confidences become calibrated.
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

_COLDEST, _HOTTEST = 0.05, 20.0  # bounds of the search, far from our networks' 0.7 or so
_MOST_BINS, _IMAGES_A_BIN = 15, 20  # 15 as in Guo et al.; with fewer images a bin's accuracy is mostly noise


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of images with similar confidence.

    Attributes:
        low: smallest confidence in the bin.
        high: largest confidence in the bin.
        count: number of images.
        confidence: mean confidence.
        accuracy: share of correct predictions, with Wilson's 95 % interval.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Estimate


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Probabilities (N, K) of logits (N, K), divided by ``temperature`` first."""
    found = as_logits(logits) / temperature
    found -= found.max(axis=1, keepdims=True)
    np.exp(found, out=found)  # in place, to avoid large copies
    found /= found.sum(axis=1, keepdims=True)
    return np.asarray(found)


def rescale(probabilities: npt.ArrayLike, temperature: float) -> FloatArray:
    """Apply a temperature to probabilities (N, K); ``1 / T`` undoes a temperature of T.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    return softmax(np.log(np.maximum(as_probabilities(probabilities), 1e-300)), temperature)  # avoids log(0)


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Fit the temperature that minimises the log loss, between 0.05 and 20.

    One pseudo-image with a uniform label is added. It is negligible with many labels; if every prediction is correct,
    it keeps the temperature away from zero, where every prediction would be certain.

    Args:
        logits: finite (N, K), from images that the model was not trained on (the validation split).
        labels: (N,) class indices in 0..K-1.

    Raises:
        InferenceError: the logits are not a finite (N, K) matrix.
        DatasetError: the labels do not match the logits.
    """
    matrix = as_logits(logits)
    rows, classes = matrix.shape
    truth = matrix[np.arange(rows), as_labels(labels, rows, classes)]
    wanted = float((truth + matrix.mean(axis=1) / rows).mean() / (1 + 1 / rows))

    # The loss is convex in 1 / T, with slope "mean logit under the softmax" - "mean logit of the labels".
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
    """Confidence against accuracy in ascending, non-empty bins of (nearly) equal size.

    Images unlike the training images are excluded, since their confidence is not an estimate of accuracy.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        bins: number of bins; by default as many as give 20 images each, at most 15. Images of equal confidence share a
            bin, so there may be fewer.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
    """
    matrix = as_probabilities(probabilities)
    correct, known = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape), ~unlike_rows(matrix)
    return reliability_bins(confidences(matrix[known]), correct[known].astype(np.float64), bins=bins)


def reliability_bins(
    confidence: FloatArray, correct: FloatArray, *, bins: int | None = None
) -> tuple[ReliabilityBin, ...]:
    """As :func:`reliability`, from confidences (N,) and correctness (N,), 1.0 or 0.0."""
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
    """Bin index (N,) of each confidence, for bins of equal mass; equal confidences share a bin."""
    rows = len(confidence)
    wanted = bins or usual_bins(rows)
    ordered = np.sort(confidence)
    edges = np.unique(ordered[[rows * i // wanted for i in range(1, wanted)]]) if wanted > 1 else ordered[:0]
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def expected_calibration_error(confidence: FloatArray, correct: FloatArray, *, bins: int | None = None) -> float:
    """Mean distance between confidence and accuracy over bins of equal mass, weighted by their counts.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) 1.0 for correct predictions, else 0.0.
        bins: as for :func:`reliability`.
    """
    rows = len(confidence)
    return Ranked.of(confidence, correct).calibration_error(np.ones(rows), bins or usual_bins(rows))


def usual_bins(rows: int) -> int:
    """Default number of bins for so many images."""
    return min(_MOST_BINS, max(1, rows // _IMAGES_A_BIN))
