"""The threshold keeps its promise, and says so when it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.evaluation.calibration import softmax
from scones_ml.evaluation.costs import choose_threshold_for_costs, choose_threshold_for_coverage
from scones_ml.evaluation.fixed_sequence import candidates
from scones_ml.evaluation.intervals import clopper_pearson_lower
from scones_ml.evaluation.threshold import (
    ThresholdChoice,
    choose_threshold,
    choose_threshold_cross_fitted,
    choose_thresholds_per_class,
    shortest_between,
)
from scones_ml.evaluation.unlike import folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from scones_ml.evaluation.arrays import FloatArray

DRAWS = 2000
MONTE_CARLO = 3 * np.sqrt(0.05 * 0.95 / DRAWS)


def two_columns(confidence: FloatArray) -> FloatArray:
    """A two-class model that answers 0 with this confidence."""
    return np.stack([confidence, 1 - confidence], axis=1)


def flat(confidence: FloatArray) -> FloatArray:
    """Every answer is right a little less often than promised: any threshold is a violation."""
    return np.full_like(confidence, 0.9499)


def rising(confidence: FloatArray) -> FloatArray:
    """Right with 0.99 at the top, falling to 0.85."""
    return 0.85 + 0.14 * (confidence - 0.5) / 0.5


def cliff(confidence: FloatArray) -> FloatArray:
    """A good half and a bad half: precision falls below the target right behind the good one."""
    return np.where(confidence > 0.75, 0.9501, 0.6)


def dented(confidence: FloatArray) -> FloatArray:
    """Precision that does not only fall: the very top is worse than what follows."""
    return np.where(confidence > 0.9, 0.93, np.where(confidence > 0.7, 0.985, 0.8))


_grids: dict[tuple[str, int], tuple[FloatArray, FloatArray]] = {}


def true_precision(right: Callable[[FloatArray], FloatArray], threshold: float, decimals: int) -> float:
    """The population's precision at a threshold, from a fine grid and its running means."""
    key = (right.__name__, decimals)
    if key not in _grids:
        grid = np.round(np.linspace(1.0, 0.5, 200_001), decimals)
        _grids[key] = -grid, np.cumsum(right(grid)) / np.arange(1, len(grid) + 1)
    negative, precision = _grids[key]
    return float(precision[max(0, int(np.searchsorted(negative, -threshold, side="right")) - 1)])


@pytest.mark.parametrize(
    ("right", "images", "decimals"),
    [
        (flat, 60, 9),
        (flat, 150, 9),
        (rising, 100, 9),
        (rising, 100, 2),
        (rising, 400, 9),
        (rising, 400, 2),
        (cliff, 300, 9),
        (cliff, 300, 2),
        (dented, 300, 9),
    ],
)
def test_the_promise_is_broken_at_most_5_times_in_100(
    right: Callable[[FloatArray], FloatArray], images: int, decimals: int
) -> None:
    """Over 2,000 draws the true precision is below the target in at most 5 %, plus Monte Carlo error; ties included."""
    generator = np.random.default_rng(images)
    violations = 0
    for _ in range(DRAWS):
        confidence = np.round(generator.uniform(0.5, 1.0, images), decimals)
        wrong = (generator.random(images) > right(confidence)).astype(int)
        choice = choose_threshold(two_columns(confidence), wrong)
        violations += choice.threshold is not None and true_precision(right, choice.threshold, decimals) < 0.95
    assert violations / DRAWS <= 0.05 + MONTE_CARLO


def test_a_good_model_gets_most_of_what_is_possible() -> None:
    """Where all answers are right 98 times in 100, 1,000 labels accept nearly all, in 19 of 20 draws or more."""
    generator = np.random.default_rng(2)
    coverages = []
    for _ in range(200):
        confidence = generator.uniform(0.5, 1.0, 1000)
        wrong = (generator.random(1000) > 0.98).astype(int)
        coverages.append(choose_threshold(two_columns(confidence), wrong).coverage)
    assert np.mean(np.array(coverages) > 0.9) >= 0.95


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(0.5, 1.0), st.sampled_from([1, 2, 9]))
def test_what_is_said_of_a_choice_is_so(seed: int, images: int, quality: float, decimals: int) -> None:
    """Counts are those at the threshold, the bound keeps the target, and JSON keeps the float."""
    generator = np.random.default_rng(seed)
    confidence = np.round(generator.uniform(0.5, 1.0, images), decimals)
    wrong = (generator.random(images) > quality).astype(int)
    choice = choose_threshold(two_columns(confidence), wrong, target_precision=0.9)
    assert choice.labels == images
    assert choice.reason.endswith(".")
    assert "\n" not in choice.reason
    if choice.threshold is None:
        assert (choice.accepted, choice.correct, choice.coverage) == (0, 0, 0.0)
        assert choice.labels_needed is None or choice.labels_needed > images
        return
    passes = confidence >= choice.threshold
    assert choice.accepted == passes.sum()
    assert choice.correct == (wrong[passes] == 0).sum()
    assert choice.coverage == choice.accepted / images
    assert choice.precision_lower_bound == clopper_pearson_lower(choice.correct, choice.accepted) >= 0.9
    assert json.loads(json.dumps(choice.to_json()))["threshold"] == choice.threshold
    assert 0.0 < choice.threshold <= 1.0


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(59, 2000), st.sampled_from([1, 2, 9]))
def test_candidates_are_fixed_before_labels_are_seen(seed: int, images: int, decimals: int) -> None:
    """They ascend, end with all images, never split equal confidences, and each could pass its test."""
    confidence = -np.sort(-np.round(np.random.default_rng(seed).uniform(0.5, 1.0, images), decimals))
    counts = candidates(confidence, 0.95, 0.95)
    assert list(counts) == sorted(set(counts))
    assert counts[-1] == images
    assert all(count == images or confidence[count - 1] > confidence[count] for count in counts)
    assert all(stats.binom.cdf(0, count, 0.05) <= 0.05 for count in counts)


def test_the_start_grows_with_the_labels() -> None:
    """59 at 100 images, 93 at 200, 181 at 400, 506 at 5,000: strict enough for few, forgiving with many."""
    starts = [candidates(np.linspace(1.0, 0.5, n), 0.95, 0.95)[0] for n in (59, 100, 200, 400, 5000)]
    assert starts == [59, 59, 93, 181, 506]


def test_too_few_labels_say_how_many_would_do() -> None:
    """With 30 right answers nothing can be promised at 95 %; 59 could."""
    choice = choose_threshold(two_columns(np.linspace(0.6, 0.99, 30)), [0] * 30)
    assert choice.threshold is None
    assert choice.labels_needed == 59
    assert choice.reason == (
        "30 labelled images cannot promise a precision of 95 % at 95 % confidence, even if every answer were right; "
        "a target of 90 % holds, with 100 % of the images accepted; "
        "about 29 more images labelled for this choice might be enough."
    )
    assert (choice.attainable_precision, choice.attainable_coverage) == (0.9, 1.0)


def test_too_many_errors_say_so() -> None:
    """Three errors among the most confident answers end the search and are named."""
    wrong = np.zeros(100, dtype=int)
    wrong[[3, 7, 20]] = 1
    choice = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), wrong)
    assert choice.threshold is None
    assert "of the 59 most confident answers 3 are wrong" in choice.reason
    assert choice.labels_needed is not None
    assert choice.labels_needed > 100


def test_a_hopeless_model_is_not_promised_more_labels() -> None:
    """Answers that are right half the time need a better model, however many labels there are."""
    choice = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), [1, 0] * 50)
    assert choice.labels_needed is None
    assert choice.attainable_precision is None
    assert choice.reason.endswith("neither a lower target nor more labels help: the model is too weak.")


def test_the_labels_asked_for_do_the_job() -> None:
    """A model that failed with 100 labels mostly succeeds with as many as it was told it needs."""
    generator = np.random.default_rng(0)
    wrong = np.zeros(100, dtype=int)
    wrong[10] = 1
    needed = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), wrong).labels_needed
    assert needed is not None
    found = [
        choose_threshold(
            two_columns(generator.uniform(0.6, 0.99, needed)), (generator.random(needed) < 0.01).astype(int)
        ).threshold
        for _ in range(200)
    ]
    assert np.mean([threshold is not None for threshold in found]) > 0.5


def test_all_accepted_is_a_threshold_nobody_misses() -> None:
    """When every answer may pass, the threshold lies just above 1/K: no later image fails it but an unlike one."""
    choice = choose_threshold(np.tile([0.4, 0.35, 0.25], (200, 1)), [0] * 200)
    assert choice.threshold == 0.3334
    assert choice.coverage == 1.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 200))
def test_a_lower_target_that_is_said_to_hold_does(seed: int, images: int) -> None:
    """Asked for the target that the reason names, the same images give a threshold with the coverage that it names."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1.0, images + 1)
    wrong = (generator.random(images + 1) > 0.9 + 0.1 * (confidence - 0.5)).astype(int)
    choice = choose_threshold(two_columns(confidence), wrong, target_precision=0.99)
    if choice.attainable_precision is None:
        assert choice.attainable_coverage == 0.0
        return
    assert choice.attainable_precision < 0.99
    lower = choose_threshold(two_columns(confidence), wrong, target_precision=choice.attainable_precision)
    assert lower.threshold is not None
    assert lower.coverage == choice.attainable_coverage


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 400), st.floats(0.0, 1.0), st.integers(2, 5))
def test_images_unlike_the_training_images_pass_no_threshold(
    seed: int, images: int, share: float, classes: int
) -> None:
    """They count as labelled, none passes, and the others are chosen from as if they were alone."""
    generator = np.random.default_rng(seed)
    plain = softmax(generator.normal(0, 3, (images, classes)))
    labels, unlike = generator.integers(0, classes, images), generator.random(images) < share
    labels = np.where(generator.random(images) < 0.95, plain.argmax(axis=1), labels)
    probabilities = folded(plain, unlike)
    for choice in (
        choose_threshold(probabilities, labels, target_precision=0.8),
        choose_threshold_for_coverage(probabilities, labels, 0.9),
        choose_threshold_for_costs(probabilities, labels, wrong_accept=2.0, review=1.9),
    ):
        assert choice.labels == images
        if choice.threshold is not None:
            assert not (probabilities.max(axis=1)[unlike] >= choice.threshold).any()
            assert choice.accepted == (plain.max(axis=1)[~unlike] >= choice.threshold).sum()
    if not unlike.all():
        alone = choose_threshold(plain[~unlike], labels[~unlike], target_precision=0.8)
        found = choose_threshold(probabilities, labels, target_precision=0.8)
        assert (found.threshold, found.accepted, found.correct) == (alone.threshold, alone.accepted, alone.correct)


def test_cross_fitting_leaves_unlike_images_alone() -> None:
    """No temperature makes an answer pass that is unlike the training images, nor is one fitted on it."""
    generator = np.random.default_rng(6)
    plain, unlike = softmax(generator.normal(0, 4, (300, 2))), np.arange(300) % 3 == 0
    labels, folds = plain.argmax(axis=1), np.arange(300) // 3 % 5
    choice = choose_threshold_cross_fitted(np.log(folded(plain, unlike)), labels, folds)
    alone = choose_threshold_cross_fitted(np.log(plain[~unlike]), labels[~unlike], folds[~unlike])
    assert (choice.accepted, choice.labels) == (alone.accepted, 300) == (200, 300)
    nothing = choose_threshold_cross_fitted(np.log(folded(plain, unlike | ~unlike)), labels, folds)
    assert (nothing.threshold, nothing.labels_needed) == (None, None)
    assert "300 of 300 images are unlike the training images" in nothing.reason


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_shortest_decimal_lies_between(a: float, b: float) -> None:
    """Between any two different numbers it is above the lower and at most the upper."""
    low, high = sorted((a, b))
    if low < high:
        assert low < shortest_between(low, high) <= high


def test_thresholds_are_short_where_they_may_be() -> None:
    """People read 0.93, not 0.9300347."""
    assert shortest_between(0.9211, 0.9408) == 0.93
    assert shortest_between(0.0, 1.0) == 0.5


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 95.0])
def test_targets_out_of_range_are_refused(value: float) -> None:
    """A target of 1 cannot be promised and 95 is not a share: both are configuration errors."""
    with pytest.raises(ConfigurationError, match="target_precision"):
        choose_threshold([[0.6, 0.4]], [0], target_precision=value)


def test_thresholds_per_class_keep_all_promises_at_once() -> None:
    """Over 1,000 draws at least one of two classes breaks the promise in at most 5 %, plus Monte Carlo error."""
    generator = np.random.default_rng(3)
    violations = 0
    for _ in range(1000):
        top, answer = generator.uniform(0.5, 1.0, 300), generator.integers(0, 2, 300)
        labels = np.where(generator.random(300) < 0.9499, answer, 1 - answer)
        probabilities = np.where(answer[:, None] == [0, 1], top[:, None], 1 - top[:, None])
        choices = choose_thresholds_per_class(probabilities, labels)
        violations += any(choice.threshold is not None for choice in choices)
    assert 0.01 < violations / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_a_good_class_passes_where_a_bad_one_does_not() -> None:
    """Answers "0" that are always right get a threshold, answers "1" that are half right get none, absent ones too."""
    top = np.linspace(0.6, 0.99, 200)
    zeros = np.stack([top, 1 - top, 0 * top], axis=1)
    probabilities = np.concatenate([zeros, zeros[:, [1, 0, 2]]])
    labels = np.concatenate([np.zeros(200, dtype=int), np.tile([0, 1], 100)])
    good, bad, absent = choose_thresholds_per_class(probabilities, labels)
    assert good.coverage == 1.0
    assert bad.threshold is None
    assert (absent.threshold, absent.labels) == (None, 0)
    assert absent.labels_needed == 80  # the first n with 0.95 ** n <= 0.05 / 3


def test_a_cross_fitted_threshold_uses_every_label_and_says_it_is_approximate() -> None:
    """Five folds of 200 images give one choice on 200 labels, near the one that fresh probabilities would give."""
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 4, (200, 2))
    labels = (generator.random(200) > softmax(logits)[:, 0]).astype(int)
    choice = choose_threshold_cross_fitted(logits * 3, labels, np.arange(200) % 5, target_precision=0.9)
    direct = choose_threshold(softmax(logits), labels, target_precision=0.9)
    assert choice.labels == 200
    assert choice.reason.endswith("Cross-fitted: the promise holds approximately.")
    assert (choice.guarantee, direct.guarantee) == ("approximate", "exact")
    assert choice.accepted == pytest.approx(direct.accepted, abs=20)


def test_older_cards_say_how_exact_their_promise_is() -> None:
    """A card without the field is exact, unless its reason says that it was cross-fitted."""
    exact = choose_threshold([[0.9, 0.1]] * 100, [0] * 100)
    for choice in (exact, exact.as_approximate()):
        document = choice.to_json()
        assert ThresholdChoice.from_json(document) == choice
        document.pop("guarantee")
        assert ThresholdChoice.from_json(document) == choice
    assert exact.as_approximate().as_approximate() == exact.as_approximate()


def test_a_bound_that_was_measured_is_approximate_too() -> None:
    """A threshold for a coverage, by answers out of fold, calls its bound approximate; none at all adds no words."""
    measured = choose_threshold_for_coverage([[0.9, 0.1]] * 20, [0] * 20, 0.5).as_approximate()
    assert measured.reason.endswith("% are. Cross-fitted: the bound holds approximately.")
    none = choose_threshold([[0.9, 0.1]] * 20, [0] * 20)
    assert none.as_approximate() == replace(none, guarantee="approximate")


def test_cross_fitting_rarely_breaks_its_promise() -> None:
    """On a flat model that never deserves a threshold, 500 cross-fitted draws break the promise about as seldom."""
    generator = np.random.default_rng(5)
    violations = 0
    for _ in range(500):
        margin = generator.uniform(0.0, 5.0, 100)
        wrong = (generator.random(100) > 0.9499).astype(int)
        choice = choose_threshold_cross_fitted(np.stack([margin, 0 * margin], axis=1), wrong, np.arange(100) % 5)
        violations += choice.threshold is not None
    assert violations / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_folds_must_fit() -> None:
    """One fold only, or a fold for fewer images than there are, is refused."""
    for folds in ([0, 0], [0]):
        with pytest.raises(DatasetError, match="folds"):
            choose_threshold_cross_fitted([[1.0, 0.0], [0.0, 1.0]], [0, 1], folds)


@pytest.mark.parametrize("errors", [0, 90])
def test_a_choice_survives_its_document(errors: int) -> None:
    """What to_json wrote, from_json reads back unchanged, with a threshold and without."""
    choice = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), [1] * errors + [0] * (100 - errors))
    assert ThresholdChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


def test_a_field_of_a_newer_version_is_ignored() -> None:
    """A choice with a field that this version does not know is read without it."""
    choice = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), [0] * 100)
    assert ThresholdChoice.from_json({**choice.to_json(), "colour": 1}) == choice


@pytest.mark.parametrize("change", [{"threshold": "high"}, {"labels": None}])
def test_a_document_that_is_no_choice_is_refused(change: dict[str, object]) -> None:
    """A wrong type is named in one line."""
    choice = choose_threshold(two_columns(np.linspace(0.99, 0.6, 100)), [0] * 100)
    with pytest.raises(ConfigurationError, match=next(iter(change))) as caught:
        ThresholdChoice.from_json({**choice.to_json(), **change})
    assert "\n" not in str(caught.value)
