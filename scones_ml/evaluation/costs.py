"""Thresholds from what is wanted instead of a precision: a share of answers, or the least cost.

Neither promises a precision. Both fix the threshold without looking at the labels, so that the precision measured on
the labels is an honest estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.arrays import as_labels, as_probabilities, confidences
from scones_ml.evaluation.intervals import Estimate, bootstrap
from scones_ml.evaluation.metrics import Acceptance, acceptance

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = ["CostChoice", "threshold_for_costs", "threshold_for_coverage"]


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
        raise ConfigurationError(f"a coverage of {coverage} is not above 0 and at most 1: 0.8 lets 80 % through")
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    ordered = -np.sort(-confidences(matrix))
    last = int(np.ceil(coverage * len(ordered) - 1e-9)) - 1
    return acceptance(confidences(matrix), correct, float(ordered[last]))


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
    # no answer is less sure than 1 / K: a lower threshold would say the same
    threshold = max(1 - review / wrong_accept, 1 / matrix.shape[1])
    spent = np.where(confidences(matrix) >= threshold, np.where(correct, 0.0, wrong_accept), review)

    def mean(index: IntArray) -> FloatArray:
        return np.array([spent[index].mean()])

    low, high = np.quantile(bootstrap(mean, len(spent), seed=seed), [0.025, 0.975])
    return CostChoice(
        acceptance=acceptance(confidences(matrix), correct, threshold),
        cost=Estimate(float(spent.mean()), float(low), float(high)),
        cost_of_review=review,
        cost_of_trust=float((~correct).mean()) * wrong_accept,
    )
