"""How good a classifier is, each figure with its 95 % interval.

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

_SMALLEST = 1e-12  # a probability of zero for the true class costs -log of this, not infinity
_WITH_CONFUSION = 40  # classes
_CHANCE_DRAWS = 400  # ten of them lie beyond what chance exceeds once in forty times


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest.

    Attributes:
        name: the class.
        support: how many images of it there were.
        predicted: how many images were called it.
        precision: how often that was right; NaN when it was never predicted.
        recall: how many of its images were found; NaN when there were none.
        f1: the harmonic mean of the two. Its interval is exact: F1 = 2J / (1 + J), and J is a proportion, the hits
            among the images that are of the class or were called it.
    """

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes of which the one is taken for the other.

    Attributes:
        truth: what the images are.
        answer: what they were called.
        images: how many.
    """

    truth: str
    answer: str
    images: int


@dataclass(frozen=True)
class Acceptance:
    """What a threshold lets through: answers whose confidence is at least the threshold.

    Attributes:
        threshold: in (0, 1].
        accepted: how many answers pass.
        correct: how many of these are right.
        coverage: the share that passes.
        precision: how often these are right; NaN when none passes.
    """

    threshold: float
    accepted: int
    correct: int
    coverage: Estimate
    precision: Estimate


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A classifier on labelled images that it has never seen.

    Attributes:
        classes: K names, in the order of the columns.
        images: N.
        correct: how many answers were right.
        accuracy: ``correct / images``.
        per_class: K rows.
        confusion: K x K counts; rows are the truth, columns the answers.
        confusion_shares: the same as shares of their row.
        calibration_error: ECE over bins of equal mass; as log loss and Brier score of the images that are not unlike
            the training images, whose confidence says how often the answer is right. NaN when all are unlike.
        log_loss: in nats.
        brier: sum of squared differences over the classes, in [0, 2].
        aurc: area under the risk-coverage curve: the error rate, averaged over all shares let through; smaller is
            better (Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500).
        at_threshold: what passes the threshold; None without one.
        unlike: the share of images that are unlike the training images, see ``scones_ml.verdicts``. They pass no
            threshold; their answers count in every other figure but those of calibration.
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
        """As a JSON document: nested dicts and lists, undefined figures are null."""
        document = _as_json(self)
        assert isinstance(document, dict)  # noqa: S101 - for the type checker: a dataclass becomes a dict
        return document

    def summary(self) -> dict[str, object]:
        """The document for a model's card: of many classes without what grows with their square."""
        left_out = ("confusion", "confusion_shares") if len(self.classes) > _WITH_CONFUSION else ()
        return {name: value for name, value in self.to_json().items() if name not in left_out}

    def hardest_classes(self) -> tuple[ClassMetrics, ...]:
        """The classes, that of the least F1 first; those without images and answers last."""
        return tuple(sorted(self.per_class, key=lambda row: math.inf if math.isnan(row.f1.value) else row.f1.value))

    def confused_pairs(self) -> tuple[ConfusedPair, ...]:
        """Which classes are taken for which others, the most frequent first."""
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
    """Every figure of a classifier on N labelled images.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        classes: K names.
        threshold: answers with at least this confidence are accepted, in (0, 1].
        seed: of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: the classes or the threshold do not fit.
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
    """What passes ``threshold``.

    Args:
        confidence: (N,) in [0, 1]; 0 for what no threshold accepts.
        correct: (N,) truth values.
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
    """How often the truth is among the k most probable classes; ties are broken by the order of the classes.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        k: 1 to K.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: k is out of range.
    """
    matrix = as_probabilities(probabilities)
    truth = as_labels(labels, *matrix.shape)
    if not 1 <= k <= matrix.shape[1]:
        raise ConfigurationError(f"k is {k}: choose it from 1 to {matrix.shape[1]}, the number of classes")
    best = np.argsort(-matrix, axis=1, kind="stable")[:, :k]
    return clopper_pearson(int((best == truth[:, None]).any(axis=1).sum()), len(truth))


def coverage_at_accuracy(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, accuracy: float, *, seed: int = 0
) -> Estimate:
    """The largest share of the answers that can pass while they are right at least this often, bootstrapped.

    It describes the images at hand and looks at their labels; to choose a threshold take ``choose_threshold``.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        accuracy: in [0, 1].
        seed: of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
    """
    matrix = as_probabilities(probabilities)
    truth = as_labels(labels, *matrix.shape)
    confidence, correct = comparable(matrix), matrix.argmax(axis=1) == truth

    def coverage(index: IntArray) -> FloatArray:
        order = index[np.argsort(-confidence[index], kind="stable")]
        counts = np.arange(1, len(order) + 1)
        whole = np.append(np.diff(confidence[order]) < 0, True)  # equal confidences pass together
        good = whole & (confidence[order] > 0) & (np.cumsum(correct[order]) >= accuracy * counts)
        return np.array([counts[good].max(initial=0) / len(order)])

    low, high = np.quantile(bootstrap(coverage, len(truth), seed=seed), [0.025, 0.975])
    return Estimate(float(coverage(np.arange(len(truth)))[0]), float(low), float(high))


def area_under_risk_coverage(confidence: FloatArray, correct: FloatArray) -> float:
    """The error rate among the k most confident answers, averaged over k = 1..N.

    Answers of equal confidence count as their mean, so that their order does not matter.

    Args:
        confidence: (N,).
        correct: (N,) 1.0 where the answer was right, else 0.0.
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
    """Log loss, Brier, AURC with percentile intervals; ECE with one that is wide at both ends.

    Resampling adds noise to each bin, so the ECE of a resample is too large, as the ECE itself is already. The upper
    percentile is therefore a safe upper end. The lower end is its mirror image at the value, or zero where chance
    alone would show as much calibration error in a perfectly calibrated model.
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
    if known.any():  # a resample may hold unlike images alone
        low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
        by_chance = _ece_by_chance(like, seed)
        low[3] = max(0.0, 2 * values[3] - high[3]) if values[3] > by_chance else 0.0
    else:  # nothing is known of the calibration
        low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
        low[[0, 1, 3]], high[[0, 1, 3]] = 0.0, (-math.log(_SMALLEST), 2.0, 1.0)
    if correct.all():  # resamples of no error show no error; a ranking no worse than chance stays below the error rate
        high[2] = 1.0 - clopper_pearson(len(rows), len(rows)).low
    names = ("log_loss", "brier", "aurc", "calibration_error")
    return {n: Estimate(*map(float, row)) for n, row in zip(names, zip(values, low, high, strict=True), strict=True)}


def _ece_by_chance(answers: Ranked, seed: int) -> float:
    """The ECE that a perfectly calibrated model with these confidences exceeds once in forty."""
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
