"""The classifier of feature vectors: what it minimises, what it is spared, and what bounds it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from scones_ml.heads import logistic
from scones_ml.heads.coordinates import Coordinates, Matrix, coordinates
from scones_ml.heads.logistic import balanced, fit_logistic, fit_within
from scones_ml.heads.whitening import SHRINKAGE, _inverse, whitening


def blobs(seed: int, counts: tuple[int, ...], size: int = 20, apart: float = 1.0) -> tuple[Matrix, NDArray[np.int64]]:
    """Normal clouds around centres of their own, longer in some directions than in others."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = apart * random.normal(size=(len(counts), size))
    noise = random.normal(size=(len(labels), size)) * np.linspace(0.2, 3, size)
    return Matrix(centres[labels] + noise), labels


def everything(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.arange(len(labels))


@pytest.mark.parametrize("counts", [(60, 60, 60), (8, 8, 8), (90, 20, 5)], ids=["many", "few", "unequal"])
def test_the_weights_are_those_of_scikit_learn_in_the_whitened_space(counts: tuple[int, ...]) -> None:
    """In the whitened space scikit-learn's balanced logistic regression comes to the same answers."""
    rows, labels = blobs(0, counts)
    classes, weights = len(counts), balanced(labels, len(counts))
    space = whitening(
        lambda: iter([(slice(0, len(labels)), rows.vectors)]), labels, weights, classes, rows.size, rows.size
    )
    whitened = space.apply((rows.vectors - space.mean).T).T
    peer = LogisticRegression(C=1 / (1e-2 * len(labels)), class_weight="balanced", tol=1e-8, max_iter=5_000)
    expected = peer.fit(whitened, labels).predict_proba(whitened)

    logits = fit_logistic(rows, everything(labels), labels, classes, 1e-2).logits(rows.vectors)

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert abs(powers / powers.sum(axis=1, keepdims=True) - expected).max() < 2e-3


def test_with_strong_shrinkage_of_the_weights_it_ranks_as_discriminant_analysis_does() -> None:
    """Weights that are held very small point where those of shrunken linear discriminant analysis point."""
    rows, labels = blobs(1, (300, 300), 12)
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(rows.vectors, labels)

    linear = fit_logistic(rows, everything(labels), labels, 2, 10.0)

    ours, theirs = linear.weight[:, 1] - linear.weight[:, 0], peer.coef_[0]
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.999


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 40), st.integers(2, 30))
def test_the_gradient_vanishes_at_what_is_found(seed: int, classes: int, per_class: int, size: int) -> None:
    """Whatever the numbers of classes, images and features, the slope at the solution is a thousandth of the first."""
    rows, labels = blobs(seed, (per_class,) * classes, size)
    problem = logistic._Problem(Coordinates(rows, size), everything(labels), labels, classes, 1e-3)
    start = np.zeros((size + 1) * classes)
    found = logistic._minimise(problem.loss_and_gradient, start)
    first, last = (np.linalg.norm(problem.loss_and_gradient(at)[1]) for at in (start, found))
    assert last <= 2e-3 * first + 1e-6


def test_reading_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that do not fit into memory are read in parts, with the same result."""
    rows, labels = blobs(2, (700, 700), 30)
    whole = fit_logistic(rows, everything(labels), labels, 2, 1e-3)
    monkeypatch.setattr(logistic, "_IN_MEMORY", 0)
    monkeypatch.setattr(logistic, "_AT_A_TIME", 100)
    parts = fit_logistic(rows, everything(labels), labels, 2, 1e-3)
    assert abs(whole.logits(rows.vectors) - parts.logits(rows.vectors)).max() < 1e-2


def test_coordinates_keep_lengths_and_angles_and_lead_back_to_the_features() -> None:
    """Thirty vectors of fifty features become thirty numbers each, with the same products, and can be restored."""
    rows, labels = blobs(3, (15, 15), 50)
    which = everything(labels)
    space = coordinates(rows, which)
    numbers = space.rows.take(which)
    assert numbers.shape == (30, 30)
    assert np.allclose(numbers @ numbers.T, rows.vectors @ rows.vectors.T, rtol=1e-4, atol=1e-3)
    assert np.allclose(space.back(numbers.T).T, rows.vectors, atol=1e-3)


def test_more_features_than_images_change_nothing_but_the_way() -> None:
    """Learned by way of coordinates or in the space of the features, the logits of new vectors are the same."""
    rows, labels = blobs(3, (15, 15), 50)
    others, _ = blobs(4, (100, 100), 50)
    by_coordinates = fit_logistic(rows, everything(labels), labels, 2, 1e-3).logits(others.vectors)
    by_features = fit_within(Coordinates(rows, 50), everything(labels), labels, 2, 1e-3).logits(others.vectors)
    assert np.ptp(by_features) > 2
    assert abs(by_coordinates - by_features).max() < 0.02


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 300), st.integers(0, 1_000))
def test_a_triangle_is_inverted_by_halves(size: int, seed: int) -> None:
    """Whatever its size, a lower triangular matrix times its inverse is the identity."""
    lower = np.tril(np.random.default_rng(seed).normal(size=(size, size)) / size) + np.eye(size)
    assert np.allclose(_inverse(lower) @ lower, np.eye(size), atol=1e-8)


def test_a_class_of_six_has_the_same_say_as_one_of_64() -> None:
    """Learned from 64 images of one class and 6 of another, both are recognised about as often."""
    rows, labels = blobs(4, (64, 6), 10, apart=2)
    test, truth = blobs(4, (2_000, 2_000), 10, apart=2)  # the same centres: a seed draws them first
    answers = fit_logistic(rows, everything(labels), labels, 2, 1e-3).logits(test.vectors).argmax(axis=1)
    first, second = (float((answers[truth == label] == label).mean()) for label in (0, 1))
    assert abs(first - second) < 0.15


def test_images_that_are_all_alike_give_an_answer_without_a_preference() -> None:
    """Where all vectors are equal nothing can be learned, and every class is as probable as another."""
    rows, labels = Matrix(np.ones((12, 5))), np.arange(12) % 3
    logits = fit_logistic(rows, everything(labels), labels, 3, 1e-3).logits(rows.vectors)
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=1).max() < 1e-3
