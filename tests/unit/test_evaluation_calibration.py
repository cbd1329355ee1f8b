"""Calibration: the temperature is the one that minimises the loss, and the bins are fair."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

from scones_ml.errors import DatasetError, InferenceError
from scones_ml.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    rescale,
    softmax,
)


def draw(seed: int, rows: int, classes: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too sharp for their labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, classes))
    drawn = (softmax(logits).cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return logits * temperature, np.minimum(drawn, classes - 1)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5), st.floats(0.2, 5.0))
def test_the_temperature_minimises_the_loss(seed: int, classes: int, truth: float) -> None:
    """Scipy's minimiser finds the same optimum of the same loss (labels, plus one image of unknown class)."""
    logits, labels = draw(seed, 60, classes, truth)

    def loss(log_temperature: float) -> float:
        log_p = np.log(np.maximum(softmax(logits, np.exp(log_temperature)), 1e-300))
        return float(-(log_p[np.arange(60), labels] + log_p.mean(axis=1) / 60).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-9})
    ours = np.log(fit_temperature(logits, labels))
    assert loss(ours) <= best.fun + 1e-9


@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_recovered(truth: float) -> None:
    """On 20,000 images the fitted temperature is the true one within 3 %, and the ECE falls below 1 %."""
    logits, labels = draw(1, 20_000, 3, truth)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(truth, rel=0.03)
    mended = softmax(logits, fitted)
    right = (mended.argmax(axis=1) == labels).astype(float)
    assert expected_calibration_error(mended.max(axis=1), right) < 0.01


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10.0))
def test_sharper_logits_get_a_higher_temperature(seed: int, factor: float) -> None:
    """Multiplying the logits multiplies the temperature, as long as it stays within its bounds."""
    logits, labels = draw(seed, 50, 2, 1.0)
    base, scaled = fit_temperature(logits, labels), fit_temperature(logits * factor, labels)
    if 0.06 < base * factor < 19 and 0.06 < base < 19:
        assert scaled == pytest.approx(base * factor, rel=1e-6)


def test_a_perfect_validation_split_does_not_make_answers_certain() -> None:
    """With every answer right among 80 images, the confidences end near 1 - 1/160, not at 1."""
    logits = np.tile([[3.0, -3.0], [-3.0, 3.0]], (40, 1))
    confidence = softmax(logits, fit_temperature(logits, [0, 1] * 40)).max()
    assert 0.99 < confidence < 0.996


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_absurd_logits_stay_within_bounds(scale: float) -> None:
    """Logits of any size give a finite temperature between 0.05 and 20."""
    logits, labels = draw(0, 50, 2, 1.0)
    assert 0.0499 < fit_temperature(logits * scale, labels) < 20.01


def test_bad_logits_are_named() -> None:
    """Infinite logits and labels of the wrong length are refused."""
    with pytest.raises(InferenceError, match="row 1 of the logits"):
        fit_temperature([[0.0, 1.0], [np.inf, 0.0]], [0, 1])
    with pytest.raises(DatasetError, match="one label a row"):
        fit_temperature([[0.0, 1.0]], [0, 1])


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 400), st.sampled_from([None, 1, 5, 15]))
def test_bins_hold_every_image_once(seed: int, rows: int, bins: int | None) -> None:
    """The bins' counts add up, they ascend without overlap, and no more are made than were asked for."""
    generator = np.random.default_rng(seed)
    top = np.round(generator.uniform(0.51, 1.0, rows), 2)
    made = reliability(np.stack([top, 1 - top], axis=1), generator.integers(0, 2, rows), bins=bins)
    assert sum(b.count for b in made) == rows
    assert all(a.high < b.low for a, b in pairwise(made))
    assert len(made) <= (bins or 15)


def test_bins_have_equal_mass() -> None:
    """200 different confidences fall into ten bins of twenty."""
    top = np.linspace(0.51, 0.999, 200)
    made = reliability(np.stack([top, 1 - top], axis=1), np.zeros(200, dtype=int))
    assert [b.count for b in made] == [20] * 10


def test_ece_of_a_worked_example() -> None:
    """Two bins, off by 0.1 and by 0.3 with equal weight: 0.2."""
    confidence = np.array([0.6] * 10 + [0.8] * 10)
    correct = np.array([1.0] * 5 + [0.0] * 5 + [1.0] * 5 + [0.0] * 5)
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.2)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.3, 3.0))
def test_a_temperature_can_be_undone(seed: int, temperature: float) -> None:
    """Rescaling calibrated probabilities by 1 / T gives back what the model said before."""
    logits = np.random.default_rng(seed).normal(0, 2, (20, 3))
    assert rescale(softmax(logits, temperature), 1 / temperature) == pytest.approx(softmax(logits), abs=1e-9)
