"""What is learned from features: thresholds by images that were not learned from, and what is unlike them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scones_ml.evaluation import unlike_rows
from scones_ml.heads.coordinates import Matrix
from scones_ml.heads.cross_fitting import learn_cross_fitted, learn_held_out, out_of_fold
from scones_ml.heads.familiarity import MISSED, directions_of, familiarity


def photographs(seed: int, per_class: int, classes: int = 4, size: int = 60) -> tuple[Matrix, NDArray[np.int64]]:
    """Vectors within a few directions of a larger space, as features of one data set are."""
    world = np.random.default_rng(0)
    span, centres = world.normal(size=(8, size)), world.normal(size=(classes, 8))
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    inside = centres[labels] * 2 + random.normal(size=(len(labels), 8))
    return Matrix(inside @ span + 0.1 * random.normal(size=(len(labels), size)) + 3), labels


def folds_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.arange(len(labels)) % 5


def test_each_answer_is_of_a_classifier_that_did_not_see_the_image() -> None:
    """Labels that are chance are learned by heart, but out of fold they are known no better than by chance."""
    rows, labels = photographs(1, 50)
    shuffled = np.random.default_rng(2).permutation(labels)
    logits = out_of_fold(rows, shuffled, folds_of(labels), 4)
    assert abs((logits.argmax(axis=1) == shuffled).mean() - 0.25) < 0.12


def test_labels_that_are_chance_get_no_threshold() -> None:
    """A model that knows nothing is promised nothing, and says so."""
    rows, labels = photographs(1, 60)
    shuffled = np.random.default_rng(3).permutation(labels)
    learned = learn_cross_fitted(rows, shuffled, folds_of(labels), 4, 0.95)
    assert learned.choice.threshold is None
    assert learned.choice.labels_needed is None  # more labels would not help


def test_a_threshold_is_chosen_from_all_images_and_kept_on_others() -> None:
    """240 labels give a threshold, and of 4,000 other images what it accepts is right at least as often as promised."""
    rows, labels = photographs(1, 60)
    learned = learn_cross_fitted(rows, labels, folds_of(labels), 4, 0.95)
    assert learned.choice.threshold is not None
    assert "approximately" in learned.choice.reason
    others, truth = photographs(5, 1_000)
    answers = learned.answers(others.vectors)
    accepted = (answers.max(axis=1) >= learned.choice.threshold) & ~unlike_rows(answers)
    assert accepted.mean() > 0.5
    assert (answers.argmax(axis=1) == truth)[accepted].mean() > 0.95


def test_a_promise_by_labels_kept_apart_is_exact() -> None:
    """Three parts with one use each give a threshold without a word of approximation."""
    rows, labels = photographs(1, 300)
    part = np.arange(len(labels)) % 4
    splits = (np.flatnonzero(part < 2), np.flatnonzero(part == 2), np.flatnonzero(part == 3))
    learned = learn_held_out(rows, labels, splits, 4, 0.95)
    assert learned.choice.threshold is not None
    assert "approximately" not in learned.choice.reason
    assert learned.choice.labels == len(splits[2])


def test_three_in_a_hundred_known_images_are_unlike_the_others_and_all_foreign_ones() -> None:
    """Vectors off the training images' directions are all unlike them; of new ones of the same kind few are."""
    rows, labels = photographs(1, 60)
    learned = learn_cross_fitted(rows, labels, folds_of(labels), 4, 0.95)
    known, _ = photographs(6, 500)
    foreign = np.random.default_rng(7).normal(size=(500, 60)).astype(np.float32) * known.vectors.std() + 3
    assert unlike_rows(learned.answers(known.vectors)).mean() < 3 * MISSED
    assert unlike_rows(learned.answers(foreign)).mean() > 0.97


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 120), st.integers(0, 1_000))
def test_familiarity_is_a_share(count: int, seed: int) -> None:
    """Whatever the number of images, directions are orthonormal and familiarities lie in [0, 1]."""
    random = np.random.default_rng(seed)
    rows = Matrix(random.normal(size=(count, 40)) + 1)
    directions = directions_of(rows, np.arange(count))
    assert abs(directions.T @ directions - np.eye(directions.shape[1])).max() < 1e-3
    shares = familiarity(rows.vectors, directions)
    assert (shares >= 0).all()
    assert (shares <= 1 + 1e-4).all()


def test_the_directions_are_the_same_by_way_of_images_and_of_features() -> None:
    """Fewer images than features take another way to the same directions."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 40)) * np.linspace(3, 0.1, 40)
    many = directions_of(Matrix(vectors), np.arange(60))
    padded = directions_of(Matrix(np.pad(vectors, ((0, 0), (0, 30)))), np.arange(60))[:40]
    assert abs(abs(many.T @ padded) - np.eye(16)).max() < 1e-2
