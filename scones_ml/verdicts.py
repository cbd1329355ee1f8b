"""Acceptance of a prediction, and the reason if it is not accepted.

A prediction is accepted if ``confidence >= threshold``, with two exceptions for any threshold:

- A model without a threshold accepts nothing, not even a confidence of exactly 1.0.
- A prediction for an image *unlike the training images* is never accepted. For an image less similar to its training
  images than its limit, a model returns ``1/K + 2**-14 * (p - 1/K)`` in place of ``p``: the same label at a confidence
  of nearly ``1/K``, which any reader sends to review, and which is recognised by this rule.

Internal: may change without notice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from scones_ml.errors import InferenceError

__all__ = ["FLATNESS", "NO_THRESHOLD", "UNLIKE", "Verdict", "is_unlike", "judge", "least_threshold", "most_probable"]

FLATNESS: Final = 2.0**-14
"""Scale of the distance from ``1/K`` for images unlike the training images."""
UNLIKE: Final = "unlike the training images"
"""Reason of such a prediction, in events, outcomes and pages."""
NO_THRESHOLD: Final = "no threshold"
"""Reason of a prediction by a model without a threshold."""


class Verdict(NamedTuple):
    """Acceptance of a prediction.

    Attributes:
        accepted: whether it is accepted without review.
        threshold: minimum confidence of accepted predictions, in (0, 1]; 1.0 without one, for readers that need a
            number.
        reason: reason for not accepting, other than low confidence.
    """

    accepted: bool
    threshold: float
    reason: str | None


def judge(confidence: float, probabilities: Sequence[float], threshold: float | None) -> Verdict:
    """Decide whether a prediction is accepted.

    Args:
        confidence: probability of its label, in [0, 1].
        probabilities: probabilities of all K classes.
        threshold: threshold in (0, 1]; None for a model without one.
    """
    if is_unlike(probabilities):
        return Verdict(False, threshold or 1.0, UNLIKE)
    if threshold is None:
        return Verdict(False, 1.0, NO_THRESHOLD)
    return Verdict(confidence >= threshold, threshold, None)


def is_unlike(probabilities: Sequence[float]) -> bool:
    """Whether a prediction marks its image as unlike the training images: all within ``FLATNESS`` of ``1/K``."""
    classes = len(probabilities)
    return classes > 1 and all(abs(p - 1 / classes) <= FLATNESS for p in probabilities)


def least_threshold(classes: int) -> float:
    """Lowest threshold, four decimals in (0, 1), that rejects images unlike the training images."""
    return math.ceil((1 / classes + FLATNESS) * 1e4) / 1e4


def most_probable(probabilities: tuple[float, ...], labels: tuple[str, ...]) -> tuple[str, float]:
    """Most probable label and its probability; validates the probabilities.

    Raises:
        InferenceError: not one finite number in [0, 1] per label, with sum 1 within 1e-3.
    """
    if len(probabilities) != len(labels):
        raise InferenceError(
            f"the classifier gave {len(probabilities)} numbers for {len(labels)} labels ({', '.join(labels)})"
        )
    if not all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in probabilities):
        raise InferenceError(f"the classifier's answer holds numbers outside 0..1: {list(probabilities)}")
    if abs(math.fsum(probabilities) - 1.0) > 1e-3:
        raise InferenceError(f"the classifier's probabilities add up to {math.fsum(probabilities):.4f}, not 1")
    confidence = max(probabilities)
    return labels[probabilities.index(confidence)], confidence
