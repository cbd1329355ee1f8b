"""Choice of a confidence threshold that reaches a target precision, with a guarantee.

The method is fixed-sequence testing (Angelopoulos et al. 2021, "Learn then Test", https://arxiv.org/abs/2110.01052):

1. *Candidates* are numbers of accepted images, fixed from the confidences without labels (see ``fixed_sequence.py``).
   A candidate's threshold lies between the last accepted image and the first rejected one.
2. Candidates are tested from strict to lenient by an exact binomial test at level ``1 - confidence_level`` of the
   hypothesis that the precision is below the target. The search ends at the first hypothesis that is not rejected,
   and the last candidate before it is chosen.

Only the first candidate that is truly too lenient can break the guarantee, and its test errs with probability
``1 - confidence_level`` at most, so no correction for multiple tests is needed. This holds for images from the same
distribution as the labelled ones, if a higher threshold never lowers the true precision.

Images unlike the training images (:mod:`scones_ml.verdicts`) count as labelled and are never accepted. They are known
without their labels, so excluding them from the candidates does not affect the guarantee.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.evaluation.arrays import as_labels, as_logits, as_probabilities, confidences
from scones_ml.evaluation.calibration import fit_temperature, softmax
from scones_ml.evaluation.fixed_sequence import candidates, first_powerful, tolerances
from scones_ml.evaluation.intervals import binomial_cdf, clopper_pearson_lower
from scones_ml.evaluation.unlike import unlike_rows
from scones_ml.verdicts import least_threshold
from scones_ml.wording import counted, share_hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = [
    "ThresholdChoice",
    "choose_threshold",
    "choose_threshold_cross_fitted",
    "choose_thresholds_per_class",
    "shortest_between",
]

_CROSS_FITTED = "Cross-fitted"
_NEEDED_POWER = 0.8  # usual power for planning a sample size
_MOST_LABELS = 20_000  # above this no number of labels is advised
_LOWER_TARGETS = (0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # tried if the requested target fails


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold with its guarantee, or the reason why there is none.

    Attributes:
        threshold: minimum confidence of accepted predictions, in (0, 1]; None if no threshold keeps the guarantee.
        target_precision: target precision, in (0, 1); None without a guarantee of one.
        confidence_level: confidence level of the guarantee, or else of the lower bound, in (0, 1).
        coverage: share of the labelled images accepted by the threshold; 0 without one.
        accepted: number of accepted images.
        correct: number of correct predictions among these.
        precision_lower_bound: exact one-sided lower bound of the precision at the threshold; 0 without one.
        labels: number of labelled images.
        labels_needed: approximate number that would give a threshold at the same quality of predictions; None if there
            is a threshold, or if only a lower target or a better model helps.
        reason: explanation in one sentence.
        rule: rule of the choice: precision, coverage or costs; "given" if set by the user.
        attainable_precision: without a threshold, the highest of some lower targets that would give one on these
            images; None if none would. Choosing a target because it holds weakens its guarantee.
        attainable_coverage: coverage at that target; 0 without one.
        guarantee: whether the guarantee or lower bound is exact, from images used for nothing else, or approximate,
            from out-of-fold predictions of models slightly different from the served one.
    """

    threshold: float | None
    target_precision: float | None
    confidence_level: float
    coverage: float
    accepted: int
    correct: int
    precision_lower_bound: float
    labels: int
    labels_needed: int | None
    reason: str
    rule: Literal["precision", "coverage", "costs", "given"] = "precision"
    attainable_precision: float | None = None
    attainable_coverage: float = 0.0
    guarantee: Literal["exact", "approximate"] = "exact"

    def to_json(self) -> dict[str, object]:
        """As a JSON document; numbers are preserved exactly."""
        return asdict(self)

    def as_approximate(self) -> ThresholdChoice:
        """The same choice, marked as approximate, from out-of-fold predictions."""
        if self.guarantee == "approximate" or self.threshold is None:
            return replace(self, guarantee="approximate")
        what = "promise" if self.rule == "precision" else "bound"
        reason = f"{self.reason} {_CROSS_FITTED}: the {what} holds approximately."
        return replace(self, guarantee="approximate", reason=reason)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> ThresholdChoice:
        """Parse the result of :meth:`to_json`, such as ``threshold_choice`` of a model card; other fields are ignored.

        Raises:
            ConfigurationError: a field is missing or has the wrong type.
        """
        from pydantic import TypeAdapter, ValidationError

        known = {field.name: document[field.name] for field in fields(cls) if field.name in document}
        if "guarantee" not in known and _CROSS_FITTED in str(known.get("reason")):  # of 0.1.0
            known["guarantee"] = "approximate"
        try:
            return TypeAdapter(cls).validate_python(known)
        except ValidationError as exc:
            first = exc.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigurationError(f"threshold choice, {name}: {first['msg']}: train again to choose one") from exc


def choose_threshold(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    target_precision: float = 0.95,
    confidence_level: float = 0.95,
) -> ThresholdChoice:
    """Choose the lowest threshold whose accepted predictions reach the target precision, with a guarantee.

    With probability of at least ``confidence_level`` over the sample of labelled images, the threshold's true precision
    is at least ``target_precision`` (or there is no threshold).

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        target_precision: target precision, in (0, 1).
        confidence_level: confidence level of the guarantee, in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: the target or the level is not between 0 and 1.
    """
    _check(target_precision, confidence_level)
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    return _search(confidences(matrix), correct, least_threshold(matrix.shape[1]), target_precision, confidence_level)


def choose_thresholds_per_class(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    target_precision: float = 0.95,
    confidence_level: float = 0.95,
) -> tuple[ThresholdChoice, ...]:
    """Choose a threshold for each predicted class.

    With probability of at least ``confidence_level`` *all* K thresholds reach the target: each is tested at a K-th of
    the permitted risk, so more labels are needed than for a single threshold.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else.
        labels: (N,) class indices in 0..K-1.
        target_precision: target precision, in (0, 1).
        confidence_level: confidence level of all K together, in (0, 1).

    Returns:
        K choices in the order of the columns; ``labels`` counts the images predicted as the class.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: the target or the level is not between 0 and 1.
    """
    _check(target_precision, confidence_level)
    matrix = as_probabilities(probabilities)
    truth, answer, classes = as_labels(labels, *matrix.shape), matrix.argmax(axis=1), matrix.shape[1]
    level, least = 1 - (1 - confidence_level) / classes, least_threshold(classes)
    return tuple(
        _search(confidences(matrix)[answer == k], truth[answer == k] == k, least, target_precision, level)
        for k in range(classes)
    )


def choose_threshold_cross_fitted(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    target_precision: float = 0.95,
    confidence_level: float = 0.95,
) -> ThresholdChoice:
    """Choose a threshold for small sets, from labels also used for temperature or training.

    Each image's probabilities get a temperature fitted on the other folds, then all images are tested together; images
    unlike the training images are excluded from the fits. The guarantee is approximate, since the fits differ slightly
    from each other and from the served model; verify it on new labels.

    Args:
        logits: finite (N, K); for training images, from a model that was not trained on their fold.
        labels: (N,) class indices in 0..K-1.
        folds: (N,) fold of each image, with two different values or more.
        target_precision: target precision, in (0, 1).
        confidence_level: confidence level of the guarantee, in (0, 1).

    Raises:
        InferenceError: the logits are not a finite matrix.
        DatasetError: the labels or the folds do not match the logits.
        ConfigurationError: the target or the level is not between 0 and 1.
    """
    matrix, fold = as_logits(logits), np.asarray(folds)
    truth = as_labels(labels, *matrix.shape)
    if fold.shape != truth.shape or len(np.unique(fold)) < 2:
        raise DatasetError(
            f"folds have shape {fold.shape}: pass one for each of {len(truth)} images, two or more in all"
        )
    probabilities = softmax(matrix)
    known = ~unlike_rows(probabilities)
    for held_out in np.unique(fold):
        inside, others = known & (fold == held_out), known & (fold != held_out)
        if inside.any() and others.any():
            probabilities[inside] = softmax(matrix[inside], fit_temperature(matrix[others], truth[others]))
    return choose_threshold(
        probabilities, truth, target_precision=target_precision, confidence_level=confidence_level
    ).as_approximate()


def _check(precision: float, level: float) -> None:
    for name, value in (("target_precision", precision), ("confidence_level", level)):
        if not 0.0 < value < 1.0:
            hint = share_hint(value) or "choose it between 0 and 1, such as 0.95"
            raise ConfigurationError(f"{name} is {value:g}: {hint}")


def _search(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], floor: float, precision: float, level: float
) -> ThresholdChoice:
    """Test the candidates in order; predictions below ``floor`` are never accepted."""
    images = len(confidence)
    order = np.argsort(-confidence, kind="stable")[: int((confidence >= floor).sum())]
    confidence, errors = confidence[order], np.cumsum(~correct[order], dtype=np.int64)
    if accepted := _accepted(confidence, errors, precision, level):
        return _chosen(confidence, errors, images, accepted, precision, level, floor)
    for lower in (target for target in _LOWER_TARGETS if target < precision):
        if accepted := _accepted(confidence, errors, lower, level):
            return _none(errors, images, precision, level, lower, accepted / images)
    return _none(errors, images, precision, level)


def _accepted(confidence: FloatArray, errors: IntArray, precision: float, level: float) -> int:
    """Number of predictions accepted by the last candidate that keeps the guarantee; 0 for none."""
    accepted = 0
    for count in candidates(confidence, precision, level):
        if binomial_cdf(int(errors[count - 1]), count, 1 - precision) > 1 - level:
            break
        accepted = count
    return accepted


def _chosen(
    confidence: FloatArray,
    errors: IntArray,
    images: int,
    accepted: int,
    precision: float,
    level: float,
    floor: float,
) -> ThresholdChoice:
    # If all are accepted, the threshold is the lowest that rejects images unlike the training images.
    everything = accepted == len(confidence)
    threshold = floor if everything else shortest_between(float(confidence[accepted]), float(confidence[accepted - 1]))
    correct = accepted - int(errors[accepted - 1])
    return ThresholdChoice(
        threshold=threshold,
        target_precision=precision,
        confidence_level=level,
        coverage=accepted / images,
        accepted=accepted,
        correct=correct,
        precision_lower_bound=clopper_pearson_lower(correct, accepted, level),
        labels=images,
        labels_needed=None,
        reason=(
            f"From a confidence of {threshold:.4g} up, {accepted} of {counted(images, 'labelled image')} pass and "
            f"{correct} of them are right; at {_percent(level)} confidence at least {_percent(precision)} "
            "of such answers are."
        ),
    )


def shortest_between(low: float, high: float) -> float:
    """Shortest decimal in (low, high], close to the middle."""
    middle = low + (high - low) / 2
    for digits in range(1, 18):
        value = round(middle, digits)
        if low < value <= high:
            return value
    return high


def _none(
    errors: IntArray,
    images: int,
    precision: float,
    level: float,
    attainable: float | None = None,
    coverage: float = 0.0,
) -> ThresholdChoice:
    needed = _labels_needed(errors, images, precision, level)
    promise = f"a precision of {_percent(precision)} at {_percent(level)} confidence"
    if tests := tolerances(len(errors), precision, 1 - level):
        wrong = int(errors[tests[0] - 1])
        verb = "is" if wrong == 1 else "are"
        why = f"No threshold promises {promise}: of the {tests[0]} most confident answers {wrong} {verb} wrong"
    else:
        why = f"{counted(images, 'labelled image')} cannot promise {promise}, even if every answer were right"
    if len(errors) < images:
        unlike = images - len(errors)
        why += (
            f", and {unlike} of {counted(images, 'image')} {'is' if unlike == 1 else 'are'} unlike the training images"
        )
    advice = []
    if attainable:
        advice.append(f"a target of {_percent(attainable)} holds, with {100 * coverage:.0f} % of the images accepted")
    if needed:
        advice.append(f"about {counted(needed - images, 'more image')} labelled for this choice might be enough")
    return ThresholdChoice(
        threshold=None,
        target_precision=precision,
        confidence_level=level,
        coverage=0.0,
        accepted=0,
        correct=0,
        precision_lower_bound=0.0,
        labels=images,
        labels_needed=needed,
        reason=f"{why}; {'; '.join(advice or ['neither a lower target nor more labels help: the model is too weak'])}.",
        attainable_precision=attainable,
        attainable_coverage=coverage,
    )


def _labels_needed(errors: IntArray, images: int, precision: float, level: float) -> int | None:
    """Smallest number of labels with which some share of the most confident predictions would pass its test."""
    answers = len(errors)
    if not answers:
        return None if images else next(iter(tolerances(_MOST_LABELS, precision, 1 - level)), None)
    needed: list[int] = []
    # A hundred shares suffice for an estimate; below one in twenty the error rate is too noisy.
    for accepted in np.unique(np.linspace(max(1, answers // 20), answers, min(answers, 100)).astype(int)):
        rate = int(errors[accepted - 1]) / int(accepted)
        if rate < 1 - precision and (count := first_powerful(_MOST_LABELS, precision, 1 - level, rate, _NEEDED_POWER)):
            needed.append(-(-count * images // int(accepted)))
    fewest = min(needed, default=_MOST_LABELS + 1)
    # No advice if the present number should have been enough.
    return fewest if images < fewest <= _MOST_LABELS else None


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
