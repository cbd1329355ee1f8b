"""Metrics of a classifier, each with its 95 % interval.

Proportions (accuracy, precision, recall, F1, the confusion matrix, coverage) have exact Clopper-Pearson intervals;
log loss, Brier score, calibration error and AURC are bootstrapped with a fixed seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.arrays import as_labels, as_probabilities, confidences
from scones_ml.evaluation.calibration import usual_bins
from scones_ml.evaluation.intervals import Estimate, bootstrap, clopper_pearson
from scones_ml.evaluation.ranked import Ranked
from scones_ml.evaluation.unlike import comparable, unlike_rows
from scones_ml.settings import check_threshold

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = [
    "Acceptance",
    "ClassMetrics",
    "ConfusedPair",
    "Evaluation",
    "acceptance",
    "area_under_risk_coverage",
    "coverage_at_accuracy",
    "evaluate",
    "top_k_accuracy",
]

_SMALLEST = 1e-12  # lower bound of probabilities in the log loss
_WITH_CONFUSION = 40  # classes
_CHANCE_DRAWS = 400  # ten of them exceed the 97.5 % quantile


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class against the rest.

    Attributes:
        name: class name.
        support: number of images of the class.
        predicted: number of images predicted as the class.
        precision: share of correct predictions of the class; NaN if it was never predicted.
        recall: share of its images predicted correctly; NaN without any.
        f1: harmonic mean of the two. Its interval is exact: F1 = 2J / (1 + J), and J is a proportion, the hits among
            the images that are of the class or were predicted as it.
    """

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class ConfusedPair:
    """A pair of classes confused with each other.

    Attributes:
        truth: true class.
        answer: predicted class.
        images: number of images.
    """

    truth: str
    answer: str
    images: int


@dataclass(frozen=True)
class Acceptance:
    """Accepted predictions: those with a confidence at or above a threshold.

    Attributes:
        threshold: the threshold, in (0, 1].
        accepted: number of accepted predictions.
        correct: number of correct ones among these.
        coverage: share of accepted predictions.
        precision: share of correct ones among the accepted; NaN if none is accepted.
    """

    threshold: float
    accepted: int
    correct: int
    coverage: Estimate
    precision: Estimate


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Evaluation of a classifier on labelled images that it was not trained on.

    Attributes:
        classes: K names, in the order of the columns.
        images: N.
        correct: number of correct predictions.
        accuracy: ``correct / images``.
        per_class: metrics of the K classes.
        confusion: K x K counts; rows are true classes, columns predictions.
        confusion_shares: the counts as shares of their row.
        calibration_error: ECE over bins of equal mass. Like log loss and Brier score, without images unlike the
            training images, whose confidence is not an estimate of accuracy; NaN if all are unlike.
        log_loss: log loss, in nats.
        brier: Brier score: sum of squared differences over the classes, in [0, 2].
        aurc: area under the risk-coverage curve: the error rate, averaged over all coverages; smaller is better
            (Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500).
        at_threshold: acceptance at the threshold; None without one.
        unlike: share of images unlike the training images, see ``scones_ml.verdicts``. They are never accepted, and
            count in all figures except those of calibration.
    """

    classes: tuple[str, ...]
    images: int
    correct: int
    accuracy: Estimate
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    confusion_shares: tuple[tuple[Estimate, ...], ...]
    calibration_error: Estimate
    log_loss: Estimate
    brier: Estimate
    aurc: Estimate
    at_threshold: Acceptance | None
    unlike: Estimate

    def __repr__(self) -> str:
        at = self.at_threshold
        passes = f", threshold={at.threshold:.4g}, coverage={at.coverage}, precision={at.precision}" if at else ""
        return f"Evaluation(images={self.images}, accuracy={self.accuracy}{passes})"

    def __str__(self) -> str:
        from scones_ml.evaluation.summary import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from scones_ml.evaluation.summary import as_html

        return as_html(self)

    def to_json(self) -> dict[str, object]:
        """As a JSON document of nested dicts and lists, with null for undefined figures."""
        document = _as_json(self)
        assert isinstance(document, dict)  # noqa: S101 - for the type checker: a dataclass becomes a dict
        return document

    def summary(self) -> dict[str, object]:
        """The document for a model card, without the confusion matrix for many classes."""
        left_out = ("confusion", "confusion_shares") if len(self.classes) > _WITH_CONFUSION else ()
        return {name: value for name, value in self.to_json().items() if name not in left_out}

    def hardest_classes(self) -> tuple[ClassMetrics, ...]:
        """Classes by ascending F1; those without images and predictions last."""
        return tuple(sorted(self.per_class, key=lambda row: math.inf if math.isnan(row.f1.value) else row.f1.value))

    def confused_pairs(self) -> tuple[ConfusedPair, ...]:
        """Confused pairs of classes, most frequent first."""
        pairs = [
            ConfusedPair(self.classes[truth], self.classes[answer], images)
            for truth, row in enumerate(self.confusion)
            for answer, images in enumerate(row)
            if images and truth != answer
        ]
        return tuple(sorted(pairs, key=lambda pair: -pair.images))


def evaluate(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: tuple[str, ...],
    threshold: float | None = None,
    *,
    seed: int = 0,
) -> Evaluation:
    """Compute all metrics of a classifier on N labelled images.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        classes: K names.
        threshold: minimum confidence of accepted predictions, in (0, 1].
        seed: random seed of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: the classes do not match, or the threshold is out of range.
    """
    matrix = as_probabilities(probabilities)
    truth = as_labels(labels, *matrix.shape)
    if len(classes) != matrix.shape[1]:
        raise ConfigurationError(f"{len(classes)} class names for {matrix.shape[1]} columns: name each column once")
    correct = matrix.argmax(axis=1) == truth
    counts = _confusion(truth, matrix.argmax(axis=1), len(classes))
    hits, images = int(correct.sum()), len(truth)
    return Evaluation(
        classes=tuple(classes),
        images=images,
        correct=hits,
        accuracy=clopper_pearson(hits, images),
        per_class=tuple(_class_metrics(name, index, counts) for index, name in enumerate(classes)),
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        confusion_shares=tuple(tuple(clopper_pearson(int(n), int(row.sum())) for n in row) for row in counts),
        at_threshold=None if threshold is None else acceptance(comparable(matrix), correct, threshold),
        unlike=clopper_pearson(int(unlike_rows(matrix).sum()), images),
        **_bootstrapped(matrix, truth, seed),
    )


def acceptance(confidence: FloatArray, correct: npt.ArrayLike, threshold: float) -> Acceptance:
    """Acceptance at a threshold.

    Args:
        confidence: (N,) in [0, 1]; 0 for predictions never accepted.
        correct: (N,) booleans.
        threshold: in (0, 1].

    Raises:
        ConfigurationError: the threshold is out of range.
    """
    check_threshold(threshold, "threshold")
    passes = confidence >= threshold
    accepted, hits = int(passes.sum()), int(np.asarray(correct, dtype=bool)[passes].sum())
    return Acceptance(
        threshold=threshold,
        accepted=accepted,
        correct=hits,
        coverage=clopper_pearson(accepted, len(confidence)),
        precision=clopper_pearson(hits, accepted),
    )


def top_k_accuracy(probabilities: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> Estimate:
    """Top-k accuracy; ties are broken by the order of the classes.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        k: 1 to K.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: k is out of range.
    """
    matrix = as_probabilities(probabilities)
    truth = as_labels(labels, *matrix.shape)
    if not 1 <= k <= matrix.shape[1]:
        raise ConfigurationError(f"k is {k}: pass 1 to {matrix.shape[1]}, the number of classes")
    best = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
    return clopper_pearson(int((best == truth[:, None]).any(axis=1).sum()), len(truth))


def coverage_at_accuracy(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, accuracy: float, *, seed: int = 0
) -> Estimate:
    """Largest coverage with at least this accuracy, with a bootstrapped interval.

    It is descriptive, since it uses the labels; use ``choose_threshold`` to choose a threshold.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        accuracy: in [0, 1].
        seed: random seed of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
    """
    matrix = as_probabilities(probabilities)
    truth = as_labels(labels, *matrix.shape)
    confidence, correct = comparable(matrix), matrix.argmax(axis=1) == truth

    def coverage(index: IntArray) -> FloatArray:
        order = index[np.argsort(-confidence[index], kind="stable")]
        counts = np.arange(1, len(order) + 1)
        whole = np.append(np.diff(confidence[order]) < 0, True)  # equal confidences are accepted together
        good = whole & (confidence[order] > 0) & (np.cumsum(correct[order]) >= accuracy * counts)
        return np.array([counts[good].max(initial=0) / len(order)])

    low, high = np.quantile(bootstrap(coverage, len(truth), seed=seed), [0.025, 0.975])
    return Estimate(float(coverage(np.arange(len(truth)))[0]), float(low), float(high))


def area_under_risk_coverage(confidence: FloatArray, correct: FloatArray) -> float:
    """Error rate among the k most confident predictions, averaged over k = 1..N.

    Predictions of equal confidence are averaged, so that their order does not matter.

    Args:
        confidence: (N,).
        correct: (N,) 1.0 for correct predictions, else 0.0.
    """
    return Ranked.of(confidence, correct).area_under_risk_coverage(np.ones(len(confidence)))


def _confusion(truth: IntArray, answer: IntArray, classes: int) -> IntArray:
    flat = np.bincount(truth * classes + answer, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def _class_metrics(name: str, index: int, counts: IntArray) -> ClassMetrics:
    hits = int(counts[index, index])
    support, predicted = int(counts[index].sum()), int(counts[:, index].sum())
    jaccard = clopper_pearson(hits, support + predicted - hits)
    return ClassMetrics(
        name=name,
        support=support,
        predicted=predicted,
        precision=clopper_pearson(hits, predicted),
        recall=clopper_pearson(hits, support),
        f1=Estimate(*(2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))),
    )


def _bootstrapped(matrix: FloatArray, truth: IntArray, seed: int) -> dict[str, Estimate]:
    """Log loss, Brier score and AURC with percentile intervals; ECE with a conservative one.

    Resampling adds noise to each bin, so the ECE of a resample is biased upwards, as is the ECE itself. The upper
    percentile is therefore a conservative upper end. The lower end is its reflection at the value, or zero if a
    perfectly calibrated model could have such an ECE from noise alone.
    """
    rows, known = np.arange(len(truth)), ~unlike_rows(matrix)
    correct = (matrix.argmax(axis=1) == truth).astype(np.float64)
    answers = Ranked.of(comparable(matrix), correct)
    like = Ranked.of(confidences(matrix)[known], correct[known])
    loss = -np.log(np.maximum(matrix[rows, truth], _SMALLEST))[known]
    squared = ((matrix**2).sum(axis=1) - 2 * matrix[rows, truth] + 1)[known]

    def statistics(index: IntArray) -> FloatArray:
        times = np.bincount(index, minlength=len(rows)).astype(np.float64)
        aurc, some = answers.area_under_risk_coverage(times), times[known]
        count = int(some.sum())
        if not count:
            return np.array([np.nan, np.nan, aurc, np.nan])
        ece = like.calibration_error(some, usual_bins(count))
        return np.array([loss @ some / count, squared @ some / count, aurc, ece])

    values = statistics(rows)
    resampled = bootstrap(statistics, len(rows), seed=seed)
    if known.any():  # a resample may hold only unlike images
        low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
        by_chance = _ece_by_chance(like, seed)
        low[3] = max(0.0, 2 * values[3] - high[3]) if values[3] > by_chance else 0.0
    else:  # calibration is unknown
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        low[[0, 1, 3]], high[[0, 1, 3]] = 0.0, (-math.log(_SMALLEST), 2.0, 1.0)
    if correct.all():  # resamples without errors have AURC 0; the bound is that of a random ranking
        high[2] = 1.0 - clopper_pearson(len(rows), len(rows)).low
    names = ("log_loss", "brier", "aurc", "calibration_error")
    return {n: Estimate(*map(float, row)) for n, row in zip(names, zip(values, low, high, strict=True), strict=True)}


def _ece_by_chance(answers: Ranked, seed: int) -> float:
    """97.5 % quantile of the ECE of a perfectly calibrated model with these confidences."""
    generator, rows = np.random.default_rng(seed), len(answers.confidence)
    draws = (generator.random((_CHANCE_DRAWS, rows)) < answers.confidence).astype(np.float64)
    once, bins = np.ones(rows), usual_bins(rows)
    return float(np.quantile([replace(answers, correct=row).calibration_error(once, bins) for row in draws], 0.975))


def _as_json(value: object) -> object:
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return None if isinstance(value, float) and math.isnan(value) else value
