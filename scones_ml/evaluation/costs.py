"""Thresholds from what is wanted instead of a precision: a share of answers, or the least cost.

Neither promises a precision. Both fix the threshold without looking at the labels, so that the precision measured on
the labels is an honest estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.arrays import as_labels, as_probabilities
from scones_ml.evaluation.intervals import Estimate, bootstrap, clopper_pearson_lower
from scones_ml.evaluation.metrics import Acceptance, acceptance
from scones_ml.evaluation.threshold import ThresholdChoice
from scones_ml.evaluation.unlike import comparable
from scones_ml.verdicts import least_threshold
from scones_ml.wording import share_hint

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = [
    "CostChoice",
    "choose_threshold_for_costs",
    "choose_threshold_for_coverage",
    "threshold_for_costs",
    "threshold_for_coverage",
]


@dataclass(frozen=True)
class CostChoice:
    """A threshold that costs least, and what it costs.

    Attributes:
        acceptance: what passes the threshold, on the labelled images.
        cost: mean cost of an image at the threshold, with a bootstrapped 95 % interval.
        cost_of_review: of an image when people look at all of them.
        cost_of_trust: of an image when every answer passes.
    """

    acceptance: Acceptance
    cost: Estimate
    cost_of_review: float
    cost_of_trust: float


def threshold_for_coverage(probabilities: npt.ArrayLike, labels: npt.ArrayLike, coverage: float) -> Acceptance:
    """The highest threshold that lets at least this share of the images through.

    Images that are unlike the training images never pass: where the others are too few, it is these that pass.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1; they measure the precision, they do not choose.
        coverage: in (0, 1].

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: the coverage is out of range.
    """
    if not 0.0 < coverage <= 1.0:
        hint = share_hint(coverage) or "give a number above 0 and at most 1, 0.8 lets 80 % through"
        raise ConfigurationError(f"target_coverage is {coverage:g}: {hint}")
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    ordered = -np.sort(-comparable(matrix))
    last = int(np.ceil(coverage * len(ordered) - 1e-9)) - 1  # 0.07 * 100 is 7.000000000000001: no eighth image
    return acceptance(comparable(matrix), correct, max(float(ordered[last]), least_threshold(matrix.shape[1])))


def threshold_for_costs(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, wrong_accept: float, review: float, seed: int = 0
) -> CostChoice:
    """Chow's rule (1970): let an answer through when its risk costs less than a look at it.

    With honest probabilities the expected cost of accepting is ``(1 - confidence) * wrong_accept``, so the best
    threshold is ``1 - review / wrong_accept``, whatever the images are.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1.
        labels: (N,) class indices in 0..K-1; they measure the cost, they do not choose.
        wrong_accept: cost of letting a wrong answer through, above 0.
        review: cost of having a person look at one image, above 0, in the same unit.
        seed: of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: a cost is not above 0.
    """
    if not (wrong_accept > 0 and review > 0):
        raise ConfigurationError(f"costs of {wrong_accept} and {review} are not both above 0: use one unit for both")
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    # A lower threshold would say the same.
    threshold = max(1 - review / wrong_accept, least_threshold(matrix.shape[1]))
    spent = np.where(comparable(matrix) >= threshold, np.where(correct, 0.0, wrong_accept), review)

    def mean(index: IntArray) -> FloatArray:
        return np.array([spent[index].mean()])

    low, high = np.quantile(bootstrap(mean, len(spent), seed=seed), [0.025, 0.975])
    return CostChoice(
        acceptance=acceptance(comparable(matrix), correct, threshold),
        cost=Estimate(float(spent.mean()), float(low), float(high)),
        cost_of_review=review,
        cost_of_trust=float((~correct).mean()) * wrong_accept,
    )


def choose_threshold_for_coverage(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, coverage: float, *, confidence_level: float = 0.95
) -> ThresholdChoice:
    """:func:`threshold_for_coverage` as a choice that a model's card can keep; its lower bound is measured, no promise.

    Args:
        probabilities: (N, K), rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        coverage: in (0, 1].
        confidence_level: of the precision's lower bound, in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: the coverage is out of range.
    """
    found = threshold_for_coverage(probabilities, labels, coverage)
    why = f"To let {100 * coverage:.4g} % through, answers pass from a confidence of {found.threshold:.4g} up"
    return _measured(found, len(np.asarray(labels)), confidence_level, why, "coverage")


def choose_threshold_for_costs(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    wrong_accept: float,
    review: float,
    confidence_level: float = 0.95,
) -> ThresholdChoice:
    """:func:`threshold_for_costs` as a choice that a model's card can keep; its lower bound is measured, no promise.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        wrong_accept: cost of letting a wrong answer through, above 0.
        review: cost of having a person look at one image, above 0, in the same unit.
        confidence_level: of the precision's lower bound, in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
        ConfigurationError: a cost is not above 0.
    """
    found = threshold_for_costs(probabilities, labels, wrong_accept=wrong_accept, review=review)
    why = (
        f"With {wrong_accept:.4g} for a wrong answer and {review:.4g} for a look, an image costs least, "
        f"{found.cost.value:.3g} on average ({found.cost_of_review:.3g} if people look at all, "
        f"{found.cost_of_trust:.3g} if at none), from a confidence of {found.acceptance.threshold:.4g} up"
    )
    return _measured(found.acceptance, len(np.asarray(labels)), confidence_level, why, "costs")


def _measured(
    found: Acceptance, images: int, level: float, why: str, rule: Literal["coverage", "costs"]
) -> ThresholdChoice:
    """The labels chose nothing, so what passes is an honest sample of what will."""
    lowest = clopper_pearson_lower(found.correct, found.accepted, level) if found.accepted else 0.0
    shown = math.floor(1000 * lowest) / 10  # a bound is never rounded up
    return ThresholdChoice(
        threshold=found.threshold,
        target_precision=None,
        confidence_level=level,
        coverage=found.coverage.value,
        accepted=found.accepted,
        correct=found.correct,
        precision_lower_bound=lowest,
        labels=images,
        labels_needed=None,
        reason=(
            f"{why}: {found.accepted} of {images} labelled images pass and {found.correct} of them are right; "
            f"measured, not promised: at {100 * level:.4g} % confidence at least {shown} % are."
        ),
        rule=rule,
    )
