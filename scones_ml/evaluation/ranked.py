"""Ranking metrics of predictions, sorted once for any number of resamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = ["Ranked"]


@dataclass(frozen=True, eq=False)
class Ranked:
    """N predictions, with G distinct confidences.

    Each metric takes counts (N,) of the predictions: 1 for the original sample, the number of draws for a resample, 0
    to leave a prediction out.

    Attributes:
        confidence: (N,).
        correct: (N,) 1.0 for correct predictions, else 0.0.
        rank: (N,) rank of each confidence among the distinct ones, 0..G-1, ascending.
        ranks: G.
    """

    confidence: FloatArray
    correct: FloatArray
    rank: IntArray
    ranks: int

    @classmethod
    def of(cls, confidence: FloatArray, correct: FloatArray) -> Ranked:
        """Sort (N,) confidences."""
        different, rank = np.unique(confidence, return_inverse=True)
        return cls(confidence, correct, rank, len(different))

    def area_under_risk_coverage(self, times: FloatArray) -> float:
        """See :func:`scones_ml.evaluation.metrics.area_under_risk_coverage`."""
        sizes = self._sums(times)[::-1]  # by descending confidence
        wrong = self._sums(times * (1.0 - self.correct))[::-1]
        drawn = sizes > 0
        sizes, wrong = sizes[drawn], wrong[drawn]
        after, errors = np.cumsum(sizes), np.cumsum(wrong)
        rate, before = wrong / sizes, after - sizes
        # The error rate of the first k predictions is (errors before + rate (k - before)) / k: summed over each group.
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, after[-1] + 1))])
        shares = harmonic[after.astype(np.int64)] - harmonic[before.astype(np.int64)]
        return float(((errors - wrong - rate * before) * shares + wrong).sum() / after[-1])

    def calibration_error(self, times: FloatArray, bins: int) -> float:
        """See :func:`scones_ml.evaluation.calibration.expected_calibration_error`."""
        after = np.cumsum(self._sums(times))
        total = int(after[-1])
        firsts = np.searchsorted(after, [total * number // bins for number in range(1, bins)], side="right")
        gaps = np.concatenate([[0.0], np.cumsum(self._sums(times * (self.confidence - self.correct)))])
        return float(abs(np.diff(gaps[[0, *firsts, self.ranks]])).sum() / total)

    def _sums(self, values: FloatArray) -> FloatArray:
        """Sums (G,) of values (N,) by confidence."""
        return np.asarray(np.bincount(self.rank, values, self.ranks), np.float64)
