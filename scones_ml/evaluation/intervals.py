"""Confidence intervals: exact binomial, Wilson, bootstrap.

Proportions have Clopper-Pearson intervals (Clopper and Pearson 1934): exact, with at least the nominal coverage.
Wilson's (1927) are shorter, with nominal coverage on average, for charts of many small bins. Other figures are
bootstrapped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = [
    "Estimate",
    "binomial_cdf",
    "binomial_tail",
    "bootstrap",
    "clopper_pearson",
    "clopper_pearson_lower",
    "wilson",
]

_NEAR, _MOST_STEPS = 1e-12, 200  # bisection alone takes 40


@dataclass(frozen=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: the figure; NaN if undefined (such as the precision of a class that was never predicted).
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def percent(self) -> str:
        """The figure as text, ``"95.0 % (91.2 to 97.7)"``; ``"–"`` if undefined."""
        if math.isnan(self.value):
            return "–"
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def to_json(self) -> dict[str, float | None]:
        """As JSON, with null for an undefined value."""
        return {"value": None if math.isnan(self.value) else self.value, "low": self.low, "high": self.high}


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, probability), summed in log space."""
    if successes <= 0:
        return 1.0
    if probability <= 0.0 or successes > trials:
        return 0.0
    if probability >= 1.0:
        return 1.0
    first = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(probability)
        + (trials - successes) * math.log1p(-probability)
    )
    # pmf(k + 1) / pmf(k) = (n - k) / (k + 1) * p / (1 - p): the tail follows from its first term.
    k = np.arange(successes, trials, dtype=np.float64)
    ratios = np.log((trials - k) / (k + 1)) + (math.log(probability) - math.log1p(-probability))
    terms = first + np.concatenate(([0.0], np.cumsum(ratios)))
    peak = float(terms.max())
    return min(1.0, math.exp(peak) * float(np.exp(terms - peak).sum()))


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes) for X ~ Binomial(trials, probability)."""
    return binomial_tail(trials - successes, trials, 1.0 - probability)


@lru_cache(maxsize=4096)
def clopper_pearson_lower(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Exact one-sided lower bound of a proportion: the smallest p that the data do not reject.

    Args:
        successes: 0 to ``trials``.
        trials: number of trials; with 0 the bound is 0.
        confidence: minimum probability that the bound is below the true proportion, in (0, 1).

    Raises:
        ConfigurationError: the counts or the confidence are out of range.
    """
    _check(successes, trials, confidence)
    if not successes:
        return 0.0
    if successes == trials:
        return float((1 - confidence) ** (1 / trials))
    return _root_below(successes, trials, 1 - confidence)


def _root_below(successes: int, trials: int, tail: float) -> float:
    """The p in (0, 1) with P(X >= successes) = ``tail``, or slightly below; Newton's method within a bracket."""
    low, high = 0.0, successes / trials
    scale = math.lgamma(trials + 1) - math.lgamma(successes) - math.lgamma(trials - successes + 1)
    at = high / 2
    for _ in range(_MOST_STEPS):
        excess = binomial_tail(successes, trials, at) - tail
        low, high = (low, at) if excess > 0 else (at, high)
        slope = math.exp(scale + (successes - 1) * math.log(at) + (trials - successes) * math.log1p(-at))
        following = at - excess / slope if slope > 0 else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - at) < _NEAR * at:
            break
        at = following
    return at * (1 - _NEAR)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """Proportion with its exact two-sided interval.

    Args:
        successes: 0 to ``trials``.
        trials: number of trials; with 0 the value is NaN and the interval [0, 1].
        confidence: minimum probability that the interval covers the true value, in (0, 1).

    Raises:
        ConfigurationError: the counts or the confidence are out of range.
    """
    _check(successes, trials, confidence)
    if not trials:
        return Estimate(math.nan, 0.0, 1.0)
    one_sided = (1 + confidence) / 2
    low = clopper_pearson_lower(successes, trials, one_sided)
    high = 1.0 - clopper_pearson_lower(trials - successes, trials, one_sided)
    return Estimate(successes / trials, low, high)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """Proportion with Wilson's score interval; arguments and errors as for :func:`clopper_pearson`."""
    _check(successes, trials, confidence)
    if not trials:
        return Estimate(math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / trials
    scale = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / scale
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Estimate(p, low, high)


def bootstrap(
    statistics: Callable[[IntArray], FloatArray],
    rows: int,
    *,
    resamples: int = 1000,  # 25 beyond each end of a 95 % interval
    seed: int = 0,
) -> FloatArray:
    """Statistics of rows resampled with replacement.

    Args:
        statistics: function from row indices (rows,) to figures (S,).
        rows: number of rows.
        resamples: number of resamples.
        seed: random seed.

    Returns:
        (resamples, S); quantiles along the first axis are the intervals.
    """
    generator = np.random.default_rng(seed)
    draws = [statistics(generator.integers(0, rows, rows)) for _ in range(resamples)]
    return np.stack(draws).astype(np.float64)


def _check(successes: int, trials: int, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ConfigurationError(f"{successes} of {trials} is not a proportion: pass 0 <= successes <= trials")
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(f"a confidence of {confidence} is not between 0 and 1: pass 0.95, for example")
