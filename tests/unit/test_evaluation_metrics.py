"""Metrics: scikit-learn is the oracle, bad arrays get one clear line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from scones_ml.errors import ConfigurationError, DatasetError, InferenceError, SconesError
from scones_ml.evaluation.calibration import mass_bins, usual_bins
from scones_ml.evaluation.metrics import area_under_risk_coverage, evaluate
from scones_ml.evaluation.ranked import Ranked
from scones_ml.evaluation.unlike import folded, restored, unlike_rows
from scones_ml.verdicts import is_unlike

if TYPE_CHECKING:
    from scones_ml.evaluation.arrays import FloatArray, IntArray


def sample(seed: int, rows: int, classes: int) -> tuple[FloatArray, IntArray, tuple[str, ...]]:
    """Probability rows and labels that follow them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.4), size=rows)
    labels = np.array([generator.choice(classes, p=row) for row in probabilities])
    return probabilities, labels, tuple(f"class {i}" for i in range(classes))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(2, 5))
def test_point_figures_are_scikit_learns(seed: int, rows: int, classes: int) -> None:
    """Accuracy, precision, recall, F1, confusion matrix, log loss and Brier score agree with scikit-learn."""
    probabilities, labels, names = sample(seed, rows, classes)
    assume(not unlike_rows(probabilities).any())  # by chance practically even: ours leaves it out of log loss and Brier
    ours = evaluate(probabilities, labels, names)
    answers, every = probabilities.argmax(axis=1), list(range(classes))
    assert ours.accuracy.value == pytest.approx(oracle.accuracy_score(labels, answers))
    assert np.array_equal(ours.confusion, oracle.confusion_matrix(labels, answers, labels=every))
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        labels, answers, labels=every, zero_division=np.nan
    )
    assert [c.support for c in ours.per_class] == list(support)
    assert [c.precision.value for c in ours.per_class] == pytest.approx(precision, nan_ok=True)
    assert [c.recall.value for c in ours.per_class] == pytest.approx(recall, nan_ok=True)
    assert [c.f1.value for c in ours.per_class] == pytest.approx(f1, nan_ok=True)
    assert ours.log_loss.value == pytest.approx(oracle.log_loss(labels, probabilities, labels=every), rel=1e-6)
    onehot = np.eye(classes)[labels]
    assert ours.brier.value == pytest.approx(((probabilities - onehot) ** 2).sum(axis=1).mean())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.0, 1.0))
def test_unlike_images_count_but_for_calibration(seed: int, classes: int, share: float) -> None:
    """Their answers are right or wrong as any; log loss, Brier score and ECE are of the others, and so is coverage."""
    probabilities, labels, names = sample(seed, 60, classes)
    unlike = np.random.default_rng(seed).random(60) < share
    plain = evaluate(probabilities, labels, names, 0.01)
    found = evaluate(folded(probabilities, unlike), labels, names, 0.01)
    assert (found.accuracy, found.confusion) == (plain.accuracy, plain.confusion)
    assert found.unlike.value == unlike.mean()
    assert found.at_threshold is not None
    assert found.at_threshold.accepted == (~unlike).sum()
    if unlike.all():
        assert found.to_json()["calibration_error"] == {"value": None, "low": 0.0, "high": 1.0}
        return
    others = evaluate(probabilities[~unlike], labels[~unlike], names)
    for name in ("log_loss", "brier", "calibration_error"):
        figure = getattr(found, name)
        assert figure.value == pytest.approx(getattr(others, name).value)
        assert figure.low <= figure.value <= figure.high


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_folding_is_undone(seed: int, classes: int) -> None:
    """Folded answers keep their label, are found again, in float32 too, and restored to within a hundredth."""
    probabilities, _, _ = sample(seed, 30, classes)
    unlike = np.arange(30) % 2 == 0
    answers = folded(probabilities, unlike)
    assert np.array_equal(answers.argmax(axis=1), probabilities.argmax(axis=1))
    assert np.array_equal(unlike_rows(answers), unlike)
    assert restored(answers) == pytest.approx(probabilities)
    assert np.array_equal(unlike_rows(answers.astype(np.float32)), unlike)
    assert restored(answers.astype(np.float32)) == pytest.approx(probabilities, abs=0.01)
    assert [is_unlike(tuple(row)) for row in answers.tolist()] == unlike.tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_the_order_of_images_does_not_matter(seed: int, classes: int) -> None:
    """Shuffled images give the same figures, ties in confidence included."""
    probabilities, labels, names = sample(seed, 40, classes)
    probabilities = np.round(probabilities, 1)
    probabilities[:, -1] += 1 - probabilities.sum(axis=1)
    probabilities = np.clip(probabilities, 0, None) / np.clip(probabilities, 0, None).sum(axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(40)
    first, second = (evaluate(probabilities[o], labels[o], names, 0.7) for o in (np.arange(40), order))
    assert first.aurc.value == pytest.approx(second.aurc.value)
    assert first.calibration_error.value == pytest.approx(second.calibration_error.value)
    assert first.at_threshold == second.at_threshold


def test_every_interval_holds_its_figure() -> None:
    """Low <= value <= high for every figure of a model that errs, and none of the intervals is empty."""
    ours = evaluate(*sample(3, 200, 3), 0.8)
    assert ours.at_threshold is not None
    figures = [ours.accuracy, ours.calibration_error, ours.log_loss, ours.brier, ours.aurc]
    figures += [ours.at_threshold.coverage, ours.at_threshold.precision]
    figures += [figure for row in ours.per_class for figure in (row.precision, row.recall, row.f1)]
    figures += [share for row in ours.confusion_shares for share in row]
    for figure in figures:
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


def test_bootstrapped_intervals_cover_the_truth() -> None:
    """In 100 samples of 200 images the log loss and Brier intervals cover the truth about 95 times in 100,

    and that of the calibration error of a perfectly calibrated model begins at zero as often.
    """
    generator = np.random.default_rng(0)
    inside = np.zeros(3)
    population = generator.beta(6, 1, size=200_000)
    true_loss = -(population * np.log(population) + (1 - population) * np.log1p(-population)).mean()
    true_brier = 2 * (population * (1 - population)).mean()
    for seed in range(100):
        p = generator.beta(6, 1, size=200)
        labels = (generator.random(200) > p).astype(int)
        ours = evaluate(np.stack([p, 1 - p], axis=1), labels, ("a", "b"), seed=seed)
        inside += [
            ours.log_loss.low <= true_loss <= ours.log_loss.high,
            ours.brier.low <= true_brier <= ours.brier.high,
            ours.calibration_error.low == 0,
        ]
    assert (inside / 100 > 0.88).all()


def test_a_calibration_error_that_is_there_is_found() -> None:
    """Of 20 samples of 800 answers that are all 8 points too sure, the interval covers 0.08 in most, and excludes 0."""
    generator = np.random.default_rng(1)
    covered, found = 0, 0
    for seed in range(20):
        top = generator.uniform(0.7, 0.95, 800)
        labels = (generator.random(800) > top - 0.08).astype(int)
        error = evaluate(np.stack([top, 1 - top], axis=1), labels, ("a", "b"), seed=seed).calibration_error
        covered += error.low <= 0.08 <= error.high
        found += error.low > 0
    assert covered >= 17
    assert found >= 18


def test_f1_intervals_cover_the_truth() -> None:
    """In 1,000 samples the exact F1 interval covers the true F1 at least 95 times in 100, less Monte Carlo error."""
    from scones_ml.evaluation.intervals import clopper_pearson

    generator = np.random.default_rng(0)
    hit, miss, false_alarm = 0.30, 0.03, 0.02
    true_f1 = 2 * hit / (2 * hit + miss + false_alarm)
    covered = 0
    for cells in generator.multinomial(100, [hit, miss, false_alarm, 1 - hit - miss - false_alarm], size=1000):
        jaccard = clopper_pearson(int(cells[0]), int(cells[:3].sum()))
        covered += 2 * jaccard.low / (1 + jaccard.low) <= true_f1 <= 2 * jaccard.high / (1 + jaccard.high)
    assert covered / 1000 > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_aurc_of_a_worked_example() -> None:
    """Right, wrong, right in order of confidence: risks 0, 1/2, 1/3, mean 5/18; a tie shares its error."""
    assert area_under_risk_coverage(np.array([0.9, 0.8, 0.7]), np.array([1.0, 0.0, 1.0])) == pytest.approx(5 / 18)
    tied = area_under_risk_coverage(np.array([0.9, 0.9]), np.array([1.0, 0.0]))
    assert tied == pytest.approx(0.5)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 300), st.integers(0, 10_000), st.sampled_from([1, 2, 9]))
def test_ranked_figures_are_those_of_the_resample_written_out(rows: int, seed: int, digits: int) -> None:
    """Counting how often each answer was drawn gives the figures of the drawn answers, ties included."""
    random = np.random.default_rng(seed)
    confidence, correct = np.round(random.random(rows), digits), (random.random(rows) < 0.8).astype(float)
    index = random.integers(0, rows, rows)
    times = np.bincount(index, minlength=rows).astype(float)
    answers, bins = Ranked.of(confidence, correct), usual_bins(rows)

    drawn, right = confidence[index], correct[index]
    order = np.argsort(-drawn, kind="stable")
    risks = np.array([right[drawn == value].mean() for value in drawn[order]])  # ties share their errors
    by_hand = (np.cumsum(1 - risks) / np.arange(1, rows + 1)).mean()
    assert answers.area_under_risk_coverage(times) == pytest.approx(by_hand, abs=1e-9)

    which = mass_bins(drawn, bins)
    gaps = [abs((drawn - right)[which == each].sum()) for each in np.unique(which)]
    assert answers.calibration_error(times, bins) == pytest.approx(sum(gaps) / rows, abs=1e-9)


def test_acceptance_includes_the_threshold_itself() -> None:
    """An answer with exactly the threshold's confidence is accepted, as the workflow does."""
    ours = evaluate([[0.9, 0.1], [0.89, 0.11]], [0, 1], ("a", "b"), 0.9).at_threshold
    assert ours is not None
    assert (ours.accepted, ours.correct) == (1, 1)


def test_no_error_does_not_mean_no_doubt() -> None:
    """With every answer right, accuracy, F1 and AURC still have intervals of some width."""
    ours = evaluate(np.tile([0.9, 0.1], (30, 1)), [0] * 30, ("a", "b"))
    assert ours.accuracy.low < 0.9
    assert ours.per_class[0].f1.low < 0.97
    assert ours.aurc.value == 0
    assert ours.aurc.high > 0.1


def test_json_is_plain_and_repeatable() -> None:
    """The document is valid JSON without NaN, and the same input gives the same document."""
    probabilities = np.tile([0.9, 0.1], (30, 1))
    first, second = (evaluate(probabilities, [0] * 30, ("a", "b"), 0.95).to_json() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert json.loads(json.dumps(first))["at_threshold"]["precision"]["value"] is None


good = [[0.7, 0.3], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "words"),
    [
        ([], [], InferenceError, "shape"),
        (np.zeros((0, 2)), [], InferenceError, "no row"),
        ([[1.0], [1.0]], [0, 0], InferenceError, "two classes"),
        ([[0.7, 0.2], [0.2, 0.8]], [0, 1], InferenceError, "row 0"),
        ([[0.7, 0.3], [float("nan"), 0.8]], [0, 1], InferenceError, "row 1"),
        ([[1.2, -0.2], [0.2, 0.8]], [0, 1], InferenceError, "softmax"),
        ([[0.7, 0.3], [0.2]], [0, 1], InferenceError, "matrix"),
        (good, [0], DatasetError, "one label a row"),
        (good, [0, 2], DatasetError, "2 classes"),
        (good, [0, -1], DatasetError, "2 classes"),
        (good, [0.0, 1.0], DatasetError, "whole numbers"),
    ],
)
def test_bad_arrays_get_one_clear_line(
    probabilities: object, labels: object, error: type[SconesError], words: str
) -> None:
    """A wrong shape, an empty array, NaN, rows that are not probabilities and foreign labels are named."""
    with pytest.raises(error, match=words) as caught:
        evaluate(probabilities, labels, ("a", "b"))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_bad_settings_are_refused() -> None:
    """Class names that do not match the columns and a threshold outside (0, 1] are configuration errors."""
    with pytest.raises(ConfigurationError, match="3 class names for 2 columns"):
        evaluate(good, [0, 1], ("a", "b", "c"))
    with pytest.raises(ConfigurationError, match="threshold"):
        evaluate(good, [0, 1], ("a", "b"), 1.5)
