"""Accuracy estimated without labels, from calibrated confidences.

The estimate is the mean confidence of the stream, corrected by the error of the confidence on the calibration split, in
up to five strata of confidence (a post-stratified difference estimator). Its interval includes both sources of
uncertainty: the sampling of the stream, and the limited number of labels behind the correction. It assumes, which no
unlabelled stream can prove, that the confidence is as well calibrated as before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray
from scones_ml.evaluation.intervals import Estimate
from scones_ml.monitoring.grids import CELLS, CONFIDENCE

__all__ = ["AccuracyEstimate", "estimate_accuracy"]

_Z = 1.959964  # 97.5 % quantile of the normal distribution: two-sided 95 %
_MOST_STRATA, _IMAGES_A_STRATUM = 5, 40  # finer strata follow the confidence more closely, but have fewer labels

_WITH_REFERENCE = (
    "estimated, not measured: valid while predictions of 90 % confidence are right as often as on the reference "
    "images; label a sample to check"
)
_WITHOUT_REFERENCE = (
    "the mean of the model's confidences, not compared with labels; a reference corrects it by labelled images"
)


@dataclass(frozen=True)
class AccuracyEstimate:
    """An estimated share of right predictions.

    Attributes:
        estimate: the share with its 95 % interval.
        answers: number of predictions.
        labels: number of labelled calibration images it is based on; 0 for the mean confidence alone.
        caveat: its assumption, in one sentence.
    """

    estimate: Estimate
    answers: int
    labels: int
    caveat: str


def estimate_accuracy(
    stream: IntArray, reference: IntArray | None = None, right: IntArray | None = None
) -> AccuracyEstimate | None:
    """Estimate the share of right predictions in a stream.

    Args:
        stream: (512,) predictions by cell of their confidence.
        reference: (512,) calibration images by cell of their confidence; None if there are none.
        right: (512,) calibration images with a right prediction, likewise.

    Returns:
        The estimate; None if the stream is empty.
    """
    answers = int(stream.sum())
    if not answers:
        return None
    said = CONFIDENCE.middles()
    value = float(stream @ said) / answers
    variance = float(stream @ (said * (1 - said))) / answers**2
    labels = 0 if reference is None else int(reference.sum())
    if reference is None or right is None or not labels:
        return AccuracyEstimate(_interval(value, variance), answers, 0, _WITHOUT_REFERENCE)
    for inside in _strata(reference, labels):
        count = int(reference[inside].sum())
        weight = float(stream[inside].sum()) / answers
        hits, expected = int(right[inside].sum()), float(reference[inside] @ said[inside])
        value += weight * (hits - expected) / count
        # if all predictions were right, the observed variance is zero: use the larger of both sources
        spread = float(reference[inside] @ (said * (1 - said))[inside]) / count
        smoothed = (hits + 1) / (count + 2)
        variance += weight**2 * max(spread, smoothed * (1 - smoothed)) / count
    return AccuracyEstimate(_interval(value, variance), answers, labels, _WITH_REFERENCE)


def _strata(reference: IntArray, labels: int) -> list[FloatArray]:
    """Strata of similar confidence, as masks of cells, with about equally many calibration images."""
    wanted = min(_MOST_STRATA, max(1, labels // _IMAGES_A_STRATUM))
    middle = np.cumsum(reference) - reference / 2
    which = np.minimum(wanted - 1, (middle / labels * wanted).astype(np.int64))
    masks = [which == stratum for stratum in range(wanted)]
    return [mask for mask in masks if reference[mask].sum()] if len(masks) > 1 else [np.ones(CELLS, bool)]


def _interval(value: float, variance: float) -> Estimate:
    half = _Z * math.sqrt(variance)
    value = min(1.0, max(0.0, value))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))
