"""Candidate thresholds and their test order, fixed before any label is used.

A candidate is a number of accepted images. *Sharp numbers* are those at which one more error is tolerated: at 95 %
precision and 95 % confidence 59 images (no error), 93 (one), 124 (two). With ten or more of them (311 images) only
these are tested; with fewer, every number.

*The start* is the last sharp number that is at most half of the images and at most the number whose test passes with
probability 0.9 at half of the permitted error rate (506 in the example), but not less than the smallest number that can
pass (59). With a stricter start a few mislabelled images would end the search, a more lenient one would miss small but
good regions.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.intervals import binomial_cdf

if TYPE_CHECKING:
    from scones_ml.evaluation.arrays import FloatArray

__all__ = ["candidates", "enough_labels", "fewest_labels", "first_powerful", "tolerances"]

_ENOUGH_STEPS = 10  # sharp numbers; fewer give coarse steps
_START_SHARE = 0.5  # maximum share of the images
_MOST_LABELS = 5_000  # enough for 99 %; higher targets would need too many
_START_POWER = 0.9  # at half of the permitted error rate


def candidates(confidence: FloatArray, target_precision: float, confidence_level: float) -> tuple[int, ...]:
    """Numbers of accepted images to test, strict to lenient, from the confidences without labels.

    Args:
        confidence: (N,) in descending order. Images of equal confidence are accepted together.
        target_precision: in (0, 1).
        confidence_level: in (0, 1).

    Returns:
        Ascending counts; empty if N is too small for any test to pass.
    """
    images = len(confidence)
    counts = tolerances(images, target_precision, 1 - confidence_level)
    if not counts:
        return ()
    delta, half = 1 - confidence_level, (1 - target_precision) / 2
    powerful = first_powerful(images, target_precision, delta, half, _START_POWER) or images
    first = max(counts[0], min(powerful, int(images * _START_SHARE)))
    start = max(count for count in counts if count <= first)
    sharp = (*(count for count in counts if count >= start), images)
    wanted = sharp if len(counts) >= _ENOUGH_STEPS else range(start, images + 1)
    # number of images at least as confident as the last candidate
    whole = np.searchsorted(-confidence, -confidence[np.asarray(wanted) - 1], side="right")
    return tuple(int(count) for count in np.unique(whole))


def fewest_labels(target_precision: float, confidence_level: float = 0.95) -> int:
    """Minimum number of labels for a guarantee, if all predictions are correct: 59 for 95 % at 95 % confidence."""
    return math.ceil(math.log(1 - confidence_level) / math.log(target_precision))


def enough_labels(target_precision: float, confidence_level: float = 0.95) -> int:
    """Number of labels that give a threshold with probability 0.9 at half of the permitted error rate.

    506 for 95 % at 95 % confidence; never more than 5,000.
    """
    delta, half = 1 - confidence_level, (1 - target_precision) / 2
    return first_powerful(_MOST_LABELS, target_precision, delta, half, _START_POWER) or _MOST_LABELS


@lru_cache(maxsize=64)
def tolerances(images: int, precision: float, delta: float) -> tuple[int, ...]:
    """Smallest counts at which e = 0, 1, ... errors still reject a lower precision; at most ``images``."""
    counts: list[int] = []
    count = 0
    while True:
        errors = len(counts)
        low, high = count, count + 1
        while binomial_cdf(errors, high, 1 - precision) > delta:
            if high >= images:
                return tuple(counts)
            low, high = high, min(images, high + 2 * (high - low))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if binomial_cdf(errors, middle, 1 - precision) > delta else (low, middle)
        count = high
        counts.append(count)
        if count >= images:
            return tuple(counts)


@lru_cache(maxsize=4096)
def first_powerful(limit: int, precision: float, delta: float, error_rate: float, power: float) -> int | None:
    """Smallest count up to ``limit`` whose test passes with probability ``power`` at this error rate."""
    counts = tolerances(limit, precision, delta)
    errors = bisect_left(range(len(counts)), power, key=lambda e: binomial_cdf(e, counts[e], error_rate))
    return counts[errors] if errors < len(counts) else None
