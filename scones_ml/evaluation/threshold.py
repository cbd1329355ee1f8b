"""The confidence from which an answer may pass: chosen so that a wanted precision is kept, with a guarantee.

The method is fixed-sequence testing (Angelopoulos et al. 2021, "Learn then Test", https://arxiv.org/abs/2110.01052):

1. *Candidates* are numbers of accepted images, fixed from the unlabelled confidences alone (``fixed_sequence.py``
   says which). A candidate's threshold lies between the last image that passes and the first that does not.
2. Each candidate, from strict to lenient, is tested by an exact binomial test at level ``1 - confidence_level``: is
   its precision below the target? The first that is not refuted ends the search, and the last refuted one wins.

Only the first candidate that is truly too lenient can break the promise, and its test errs with probability
``1 - confidence_level`` at most, so no correction for many tests is due. This holds for images drawn like the
labelled ones when a higher threshold never lowers the true precision, without which no threshold makes sense.

Images that are unlike the training images (:mod:`scones_ml.verdicts`) count as labelled and pass no threshold; which
they are is known without their labels, so that leaving them out of the candidates costs the promise nothing.
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
_NEEDED_POWER = 0.8  # usual when a sample size is planned: the advice holds four times in five
_MOST_LABELS = 20_000  # beyond this "more labels" is no advice
_LOWER_TARGETS = (0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # tried where the one that was asked for fails


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and what it promises, or why there is none.

    Attributes:
        threshold: answers with at least this confidence are accepted, in (0, 1]; None when none keeps the promise.
        target_precision: how often accepted answers shall be right, in (0, 1); None where nothing was promised.
        confidence_level: how sure the promise, or else the lower bound, is, in (0, 1).
        coverage: share of the labelled images that the threshold accepts; 0 without one.
        accepted: how many.
        correct: how many of these are right.
        precision_lower_bound: exact one-sided lower bound of the precision at the threshold; 0 without one.
        labels: how many labelled images there were.
        labels_needed: about how many would give a threshold if the answers stay as good as these; None when there
            is a threshold, or when only a lower target or a better model helps.
        reason: one plain sentence.
        rule: what was asked for: a precision, a coverage, or the least cost; "given" when it was not chosen at all.
        attainable_precision: where there is no threshold, the highest of some lower targets that would give one on
            these images; None when none would. A target picked because it holds is a weaker promise than one that was
            asked for.
        attainable_coverage: the share that it would accept; 0 without one.
        guarantee: how the promise or the lower bound holds: exactly, by images that were used for nothing else, or
            approximately, by answers out of fold, of models that differ a little from the one that is served.
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
        """As a JSON document; numbers survive the round trip exactly."""
        return asdict(self)

    def as_approximate(self) -> ThresholdChoice:
        """The same choice, by answers out of fold; its reason says so."""
        if self.guarantee == "approximate" or self.threshold is None:
            return replace(self, guarantee="approximate")
        what = "promise" if self.rule == "precision" else "bound"
        reason = f"{self.reason} {_CROSS_FITTED}: the {what} holds approximately."
        return replace(self, guarantee="approximate", reason=reason)

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> ThresholdChoice:
        """Read back what :meth:`to_json` wrote, ``threshold_choice`` of a model card for one; other fields are ignored.

        Raises:
            ConfigurationError: a field is missing or of another type.
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
    """The lowest threshold found whose accepted answers are right often enough, with the promised certainty.

    With probability ``confidence_level`` or more over the draw of the labelled images, the threshold's true
    precision is at least ``target_precision`` (or there is none).

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        target_precision: in (0, 1).
        confidence_level: in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
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
    """A threshold for each answer that the model can give: one class may be let through where another is not.

    With probability ``confidence_level`` or more *all* K thresholds keep the target at once: each is tested at a
    K-th of the permitted risk, so more labels are needed than for one threshold over all.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else.
        labels: (N,) class indices in 0..K-1.
        target_precision: in (0, 1).
        confidence_level: of all K together, in (0, 1).

    Returns:
        K choices in the order of the columns; ``labels`` counts the images that were called the class.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
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
    """A threshold for small sets, from labels that also served the temperature or the training.

    Each image's probabilities get a temperature fitted on the other folds, then all images are tested together; those
    that are unlike the training images keep theirs, and fit none. The guarantee is approximate: the K fits differ a
    little from each other and from the model that is served, so hold it against new labels when there are some.

    Args:
        logits: (N, K) finite; where the images also trained the model, from a model that had not seen their fold.
        labels: (N,) class indices in 0..K-1.
        folds: (N,) which fold each image is in, two different values or more.
        target_precision: in (0, 1).
        confidence_level: in (0, 1).

    Raises:
        InferenceError: the logits are not a finite matrix.
        DatasetError: the labels or the folds do not fit.
        ConfigurationError: the target or the level is not between 0 and 1.
    """
    matrix, fold = as_logits(logits), np.asarray(folds)
    truth = as_labels(labels, *matrix.shape)
    if fold.shape != truth.shape or len(np.unique(fold)) < 2:
        raise DatasetError(
            f"folds have shape {fold.shape}: name one for each of {len(truth)} images, two or more in all"
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
            hint = share_hint(value) or "choose it between 0 and 1, 0.95 is usual"
            raise ConfigurationError(f"{name} is {value:g}: {hint}")


def _search(
    confidence: FloatArray, correct: npt.NDArray[np.bool_], floor: float, precision: float, level: float
) -> ThresholdChoice:
    """Test the candidates in order; answers below ``floor`` pass no threshold."""
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
    """How many of the answers, the surest first, pass the last candidate that keeps the promise; 0 for none."""
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
    # When all pass, none of the later answers may fail that is not unlike the training images.
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
    """The shortest decimal in (low, high], close to the middle."""
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
        advice.append(
            f"a target of {_percent(attainable)} holds, with {100 * coverage:.0f} % of the images let through"
        )
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
    """The fewest labels with which some share of the most confident answers would pass its test."""
    answers = len(errors)
    if not answers:
        return None if images else next(iter(tolerances(_MOST_LABELS, precision, 1 - level)), None)
    needed: list[int] = []
    # A hundred shares are fine enough for an "about"; that fewer than one in twenty are right may be luck.
    for accepted in np.unique(np.linspace(max(1, answers // 20), answers, min(answers, 100)).astype(int)):
        rate = int(errors[accepted - 1]) / int(accepted)
        if rate < 1 - precision and (count := first_powerful(_MOST_LABELS, precision, 1 - level, rate, _NEEDED_POWER)):
            needed.append(-(-count * images // int(accepted)))
    fewest = min(needed, default=_MOST_LABELS + 1)
    # As many as there are should have done already: more of the same are no advice.
    return fewest if images < fewest <= _MOST_LABELS else None


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
