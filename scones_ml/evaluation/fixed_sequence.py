"""Which numbers of accepted images to test for a threshold, and in what order, before any label is seen.

*Sharp numbers* are those at which one more error is tolerated, so that the test is sharpest: at 95 % precision and
95 % confidence 59 images (no error), 93 (one), 124 (two). With ten or more of them (311 images) only these are
tested; with fewer the steps would be coarse, and every number is.

*The start* is the last of the sharp numbers that is at most half of the images and at most the number whose test
passes nine times in ten when the error rate is half of the permitted one (506 in the example), but never fewer than
the number that can pass at all (59). With a stricter start a few mislabelled images would end the search, a more
lenient one would miss small but good regions.
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

_ENOUGH_STEPS = 10  # sharp numbers; with fewer the steps are coarse
_START_SHARE = 0.5  # of the images, at most: half of them are left to search
_MOST_LABELS = 5_000  # enough for 99 %; a higher target takes more than it pays to look for
_START_POWER = 0.9  # a model that errs half as often as permitted passes nine times in ten


def candidates(confidence: FloatArray, target_precision: float, confidence_level: float) -> tuple[int, ...]:
    """Numbers of accepted images to test, strict to lenient, from the unlabelled confidences alone.

    Args:
        confidence: (N,) descending. Images of equal confidence are accepted together.
        target_precision: in (0, 1).
        confidence_level: in (0, 1).

    Returns:
        Ascending counts; empty when N is too small for any test to pass.
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
    # the number of images at least as confident as the last one wanted
    whole = np.searchsorted(-confidence, -confidence[np.asarray(wanted) - 1], side="right")
    return tuple(int(count) for count in np.unique(whole))


def fewest_labels(target_precision: float, confidence_level: float = 0.95) -> int:
    """How many labels a promise takes if every answer is right: 59 for 95 % at 95 % confidence."""
    return math.ceil(math.log(1 - confidence_level) / math.log(target_precision))


def enough_labels(target_precision: float, confidence_level: float = 0.95) -> int:
    """How many labels give a model that errs half as often as permitted its threshold nine times in ten.

    506 for 95 % at 95 % confidence; never more than 5,000.
    """
    delta, half = 1 - confidence_level, (1 - target_precision) / 2
    return first_powerful(_MOST_LABELS, target_precision, delta, half, _START_POWER) or _MOST_LABELS


@lru_cache(maxsize=64)
def tolerances(images: int, precision: float, delta: float) -> tuple[int, ...]:
    """The e-th number is the smallest count at which e errors still refute ``precision``; at most ``images``."""
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
    """The smallest count up to ``limit`` whose test passes with ``power`` when answers err at ``error_rate``."""
    counts = tolerances(limit, precision, delta)
    errors = bisect_left(range(len(counts)), power, key=lambda e: binomial_cdf(e, counts[e], error_rate))
    return counts[errors] if errors < len(counts) else None
