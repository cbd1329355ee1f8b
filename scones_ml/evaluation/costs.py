"""Thresholds for a target coverage or minimum cost.

Neither guarantees a precision. Both choose the threshold without the labels, so that the precision measured on the
labels is an unbiased estimate.
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
    """The threshold of minimum cost, with costs.

    Attributes:
        acceptance: acceptance at the threshold, on the labelled images.
        cost: mean cost per image at the threshold, with a bootstrapped 95 % interval.
        cost_of_review: mean cost per image if all are reviewed.
        cost_of_trust: mean cost per image if all are accepted.
    """

    acceptance: Acceptance
    cost: Estimate
    cost_of_review: float
    cost_of_trust: float


def threshold_for_coverage(probabilities: npt.ArrayLike, labels: npt.ArrayLike, coverage: float) -> Acceptance:
    """The highest threshold that accepts at least this share of the images.

    Images unlike the training images are never accepted; if the others are too few, all others are accepted.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1, used to measure the precision, not to choose.
        coverage: target coverage, in (0, 1].

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: the coverage is out of range.
    """
    if not 0.0 < coverage <= 1.0:
        hint = share_hint(coverage) or "give a number above 0 and at most 1, such as 0.8 for 80 %"
        raise ConfigurationError(f"target_coverage is {coverage:g}: {hint}")
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    ordered = -np.sort(-comparable(matrix))
    last = int(np.ceil(coverage * len(ordered) - 1e-9)) - 1  # 0.07 * 100 is 7.000000000000001, not 8 images
    return acceptance(comparable(matrix), correct, max(float(ordered[last]), least_threshold(matrix.shape[1])))


def threshold_for_costs(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, wrong_accept: float, review: float, seed: int = 0
) -> CostChoice:
    """Minimise expected cost: accept a prediction if its risk costs less than a review (Chow's rule, 1970).

    With calibrated probabilities the expected cost of accepting is ``(1 - confidence) * wrong_accept``, so the optimal
    threshold is ``1 - review / wrong_accept``, independent of the images.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1.
        labels: (N,) class indices in 0..K-1, used to measure the cost, not to choose.
        wrong_accept: cost of accepting a wrong prediction, above 0.
        review: cost of reviewing one image, above 0, in the same unit.
        seed: random seed of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: a cost is not above 0.
    """
    if not (wrong_accept > 0 and review > 0):
        raise ConfigurationError(f"costs of {wrong_accept} and {review}: give two numbers above 0, in the same unit")
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    # A lower threshold would be equivalent.
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
    """:func:`threshold_for_coverage` as a choice for a model card; its lower bound is measured, not guaranteed.

    Args:
        probabilities: (N, K), rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        coverage: target coverage, in (0, 1].
        confidence_level: confidence level of the precision's lower bound, in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: the coverage is out of range.
    """
    found = threshold_for_coverage(probabilities, labels, coverage)
    why = f"To accept {100 * coverage:.4g} %, the threshold is a confidence of {found.threshold:.4g}"
    return _measured(found, len(np.asarray(labels)), confidence_level, why, "coverage")


def choose_threshold_for_costs(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    wrong_accept: float,
    review: float,
    confidence_level: float = 0.95,
) -> ThresholdChoice:
    """:func:`threshold_for_costs` as a choice for a model card; its lower bound is measured, not guaranteed.

    Args:
        probabilities: (N, K) calibrated, rows sum to 1, from images used for nothing else (the calibration split).
        labels: (N,) class indices in 0..K-1.
        wrong_accept: cost of accepting a wrong prediction, above 0.
        review: cost of reviewing one image, above 0, in the same unit.
        confidence_level: confidence level of the precision's lower bound, in (0, 1).

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
        ConfigurationError: a cost is not above 0.
    """
    found = threshold_for_costs(probabilities, labels, wrong_accept=wrong_accept, review=review)
    why = (
        f"With a cost of {wrong_accept:.4g} for a wrong prediction and {review:.4g} for a review, images cost least, "
        f"{found.cost.value:.3g} on average ({found.cost_of_review:.3g} if all are reviewed, "
        f"{found.cost_of_trust:.3g} if none), at a threshold of {found.acceptance.threshold:.4g}"
    )
    return _measured(found.acceptance, len(np.asarray(labels)), confidence_level, why, "costs")


def _measured(
    found: Acceptance, images: int, level: float, why: str, rule: Literal["coverage", "costs"]
) -> ThresholdChoice:
    """Choice with a measured bound, unbiased since the labels were not used to choose."""
    lowest = clopper_pearson_lower(found.correct, found.accepted, level) if found.accepted else 0.0
    shown = math.floor(1000 * lowest) / 10  # round the bound down
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
            f"{why}: {found.accepted} of {images} labelled images are accepted and {found.correct} of them are right; "
            f"measured, not guaranteed: at {100 * level:.4g} % confidence at least {shown} % are."
        ),
        rule=rule,
    )
