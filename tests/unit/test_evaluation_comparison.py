"""Comparisons, costs and coverage: what an answer is worth, and whether a new model is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]
from sklearn import metrics as oracle

from scones_ml import evaluation
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.evaluation import (
    compare,
    coverage_at_accuracy,
    softmax,
    threshold_for_costs,
    threshold_for_coverage,
    top_k_accuracy,
)
from scones_ml.verdicts import least_threshold


def model(seed: int, rows: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """A two-class model that is right this often, whatever its confidence, and the labels."""
    generator = np.random.default_rng(seed)
    top, labels = generator.uniform(0.5, 1.0, rows), generator.integers(0, 2, rows)
    answer = np.where(generator.random(rows) < right, labels, 1 - labels)
    return np.where(answer[:, None] == [0, 1], top[:, None], 1 - top[:, None]), labels


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 200))
def test_mcnemar_is_the_exact_sign_test(seed: int, rows: int) -> None:
    """The p-value is scipy's exact two-sided binomial test of the images on which the two differ."""
    old, labels = model(seed, rows, 0.8)
    new, _ = model(seed + 1, rows, 0.9)
    found = compare(old, new, labels)
    differ = found.only_new_right + found.only_old_right
    expected = stats.binomtest(found.only_new_right, differ).pvalue if differ else 1.0
    assert found.p_value == pytest.approx(expected)
    right = [oracle.accuracy_score(labels, p.argmax(axis=1)) for p in (old, new)]
    assert found.gain.value == pytest.approx(right[1] - right[0])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 80))
def test_interval_and_verdict_agree(seed: int, rows: int) -> None:
    """Where the test sees no difference, the gain's interval holds 0; and it always holds the gain."""
    old, labels = model(seed, rows, 0.7)
    found = compare(old, model(seed + 1, rows, 0.8)[0], labels)
    assert found.gain.low <= found.gain.value <= found.gain.high
    assert found.p_value <= 0.05 or found.gain.low <= 0 <= found.gain.high


def test_the_same_model_is_not_better_than_itself() -> None:
    """Equal answers: no gain, p = 1, and the verdict says so."""
    old, labels = model(0, 100, 0.9)
    found = compare(old, old, labels)
    assert (found.gain.value, found.gain.low, found.gain.high, found.p_value) == (0, 0, 0, 1)
    assert found.verdict.startswith("No difference beyond chance")


def test_a_truly_better_model_is_called_better_and_the_reverse_worse() -> None:
    """From 60 % right to 90 % on 300 images is beyond chance, in either direction."""
    old, labels = model(0, 300, 0.6)
    new = np.where((np.random.default_rng(1).random(300) < 0.9)[:, None], np.eye(2)[labels], 1 - np.eye(2)[labels])
    assert "better beyond chance" in compare(old, new, labels).verdict
    assert "worse beyond chance" in compare(new, old, labels).verdict
    assert compare(old, new, labels).gain.low > 0


def test_models_are_compared_on_the_same_images() -> None:
    """Different numbers of rows are refused."""
    old, labels = model(0, 10, 0.9)
    with pytest.raises(DatasetError, match="same images"):
        compare(old, old[:5], labels)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_top_k_is_scikit_learns(seed: int, classes: int) -> None:
    """For every k the value is scikit-learn's; for k = K it is 1."""
    generator = np.random.default_rng(seed)
    probabilities, labels = softmax(generator.normal(size=(40, classes))), generator.integers(0, classes, 40)
    for k in range(1, classes + 1):
        ours = top_k_accuracy(probabilities, labels, k).value
        if classes > 2 and k < classes:
            assert ours == pytest.approx(oracle.top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes)))
        assert k < classes or ours == 1
    with pytest.raises(ConfigurationError, match="k is"):
        top_k_accuracy(probabilities, labels, classes + 1)


def test_coverage_at_accuracy_of_a_worked_example() -> None:
    """Right, right, wrong, right in order of confidence: 3/4 accuracy holds for all four, 0.9 for the first two."""
    top = np.array([0.9, 0.8, 0.7, 0.6])
    probabilities, labels = np.stack([top, 1 - top], axis=1), [0, 0, 1, 0]
    assert coverage_at_accuracy(probabilities, labels, 0.75).value == 1.0
    assert coverage_at_accuracy(probabilities, labels, 0.9).value == 0.5
    tied = np.tile([0.9, 0.1], (4, 1))
    assert coverage_at_accuracy(tied, labels, 0.9).value == 0.0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 200), st.floats(0.01, 1.0))
def test_a_wanted_coverage_is_reached_and_not_far_exceeded(seed: int, rows: int, coverage: float) -> None:
    """Where confidences differ, the accepted images are the fewest that make up the wanted share."""
    probabilities, labels = model(seed, rows, 0.9)
    found = threshold_for_coverage(probabilities, labels, coverage)
    possible = (probabilities.max(axis=1) >= least_threshold(2)).mean()  # the others count as unlike
    assert found.coverage.value >= min(coverage, possible) - 1e-9
    assert (found.accepted - 1) / rows < coverage


def test_chows_rule_costs_least() -> None:
    """For honest confidences no other threshold is cheaper on 50,000 images, beyond a hundredth of a review."""
    generator = np.random.default_rng(0)
    top = generator.uniform(0.5, 1.0, 50_000)
    labels = (generator.random(50_000) > top).astype(int)
    probabilities = np.stack([top, 1 - top], axis=1)
    found = threshold_for_costs(probabilities, labels, wrong_accept=10.0, review=1.0)
    assert found.acceptance.threshold == 0.9
    wrong = labels == 1
    others = [np.where(top >= t, 10.0 * wrong, 1.0).mean() for t in np.linspace(0.5, 1.0, 51)]
    assert found.cost.value <= min(others) + 0.01
    assert found.cost.low < found.cost.value < found.cost.high
    assert found.cost.value < min(found.cost_of_review, found.cost_of_trust)


def test_reviews_dearer_than_errors_let_everything_through() -> None:
    """When a look costs more than an error, every answer passes."""
    probabilities, labels = model(0, 50, 0.9)
    found = threshold_for_costs(probabilities, labels, wrong_accept=1.0, review=2.0)
    assert found.acceptance.accepted == 50
    assert found.cost.value == pytest.approx(found.cost_of_trust)


def test_bad_wishes_are_refused() -> None:
    """A coverage of 0, or a cost that is not above 0, is a configuration error."""
    probabilities, labels = model(0, 5, 0.9)
    with pytest.raises(ConfigurationError, match="coverage"):
        threshold_for_coverage(probabilities, labels, 0.0)
    with pytest.raises(ConfigurationError, match="costs"):
        threshold_for_costs(probabilities, labels, wrong_accept=0.0, review=1.0)


def test_every_public_name_is_there() -> None:
    """Each name that the package exports can be had, in sorted order, and an unknown one is an AttributeError."""
    assert sorted(evaluation.__all__) == list(evaluation.__all__)
    assert all(getattr(evaluation, name) is not None for name in evaluation.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = evaluation.evaluat
