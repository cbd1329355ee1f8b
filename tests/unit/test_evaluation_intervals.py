"""Intervals: exact where they claim to be, and honest about nothing seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.intervals import (
    Estimate,
    binomial_cdf,
    binomial_tail,
    bootstrap,
    clopper_pearson,
    clopper_pearson_lower,
    wilson,
)

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(counts, st.floats(0.0, 1.0))
def test_binomial_tails_are_scipys(count: tuple[int, int], p: float) -> None:
    """Both tails agree with scipy's down to 1e-250, below which scipy itself errs by 1e-8."""
    k, n = count
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-8, abs=1e-250)
    assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-8, abs=1e-250)


@settings(deadline=None)
@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_clopper_pearson_and_wilson_are_scipys(count: tuple[int, int], confidence: float) -> None:
    """Both intervals agree with scipy's to ten digits."""
    k, n = count
    oracle = stats.binomtest(k, n)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        theirs = oracle.proportion_ci(confidence, method=method)
        mine = ours(k, n, confidence)
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)
        assert mine.low <= mine.value <= mine.high


@settings(deadline=None)
@given(counts, st.floats(0.001, 0.9999))
def test_the_exact_bound_is_never_above_the_proportion_that_the_data_refute(
    count: tuple[int, int], confidence: float
) -> None:
    """At the bound, seeing as many successes or more has at most the probability that is left over."""
    k, n = count
    bound = clopper_pearson_lower(k, n, confidence)
    assert binomial_tail(k, n, bound) <= (1 - confidence) * (1 + 1e-9) or bound == 0.0


@pytest.mark.parametrize(("trials", "p"), [(30, 0.95), (100, 0.9), (200, 0.99)])
def test_clopper_pearson_covers_at_least_95_percent(trials: int, p: float) -> None:
    """Summed over every possible outcome, the interval covers the truth with probability 0.95 or more."""
    covered = [k for k in range(trials + 1) if clopper_pearson(k, trials).low <= p <= clopper_pearson(k, trials).high]
    assert stats.binom.pmf(covered, trials, p).sum() >= 0.95


def test_59_right_of_59_is_the_first_to_bound_95_percent() -> None:
    """Without an error 58 images do not prove a precision of 0.95 at 95 % confidence, 59 do."""
    assert clopper_pearson_lower(58, 58) < 0.95 <= clopper_pearson_lower(59, 59)


@pytest.mark.parametrize("interval", [clopper_pearson, wilson])
def test_nothing_counted_means_nothing_known(interval: object) -> None:
    """Of zero trials the value is undefined, the interval everything, and JSON says null."""
    assert callable(interval)
    estimate = interval(0, 0)
    assert math.isnan(estimate.value)
    assert estimate.to_json() == {"value": None, "low": 0.0, "high": 1.0}
    assert estimate.percent() == "–"
    assert str(estimate) == "undefined"


def test_an_estimate_reads_well() -> None:
    """People get percent, logs get three decimals."""
    estimate = Estimate(0.95, 0.912, 0.977)
    assert estimate.percent() == "95.0 % (91.2 to 97.7)"
    assert str(estimate) == "0.950 [0.912, 0.977]"


@pytest.mark.parametrize(("k", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_impossible_counts_are_refused(k: int, n: int, confidence: float) -> None:
    """More successes than trials, or a confidence of 0 or 1, is a ConfigurationError."""
    with pytest.raises(ConfigurationError):
        clopper_pearson(k, n, confidence)


def test_bootstrap_is_seeded_and_right_about_a_mean() -> None:
    """The same seed draws the same; the spread of a resampled mean is its standard error."""
    values = np.random.default_rng(5).normal(size=400)

    def mean(
        index: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array([values[index].mean()])

    draws = bootstrap(mean, 400, seed=1)
    assert np.array_equal(draws, bootstrap(mean, 400, seed=1))
    assert not np.array_equal(draws, bootstrap(mean, 400, seed=2))
    assert draws.std() == pytest.approx(values.std() / 20, rel=0.1)
