"""The verdict on one answer of a model: whether it passes on its own, and if not, why.

Accepted means ``confidence >= threshold``, with two exceptions that no threshold overrules:

- A model without a threshold lets nothing pass, not even a confidence of exactly 1.0.
- An answer that is *unlike the training images* never passes. A model that measures how similar an image is to its
  training images answers ``1/K + 2**-14 * (p - 1/K)`` in place of ``p`` when it is less similar than the model's limit:
  the same label at a confidence of practically ``1/K``, which every reader sends to review, and those who know the
  rule recognise.

Internal: may change without notice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from scones_ml.errors import InferenceError

__all__ = ["FLATNESS", "NO_THRESHOLD", "UNLIKE", "Verdict", "is_unlike", "judge", "least_threshold", "most_probable"]

FLATNESS: Final = 2.0**-14
"""What is left of the distance from ``1/K`` in an answer that is unlike the training images."""
UNLIKE: Final = "unlike the training images"
"""The reason of such an answer, in events, outcomes and on pages."""
NO_THRESHOLD: Final = "no threshold"
"""The reason of an answer by a model without a threshold."""


class Verdict(NamedTuple):
    """Whether an answer passes.

    Attributes:
        accepted: whether it passes on its own.
        threshold: the least confidence that is accepted, in (0, 1]; 1.0 without a threshold, for readers that need one.
        reason: why it does not, where that is not its confidence.
    """

    accepted: bool
    threshold: float
    reason: str | None


def judge(confidence: float, probabilities: Sequence[float], threshold: float | None) -> Verdict:
    """Decide on one answer.

    Args:
        confidence: the probability of its label, in [0, 1].
        probabilities: of all K classes.
        threshold: in (0, 1]; None for a model without one.
    """
    if is_unlike(probabilities):
        return Verdict(False, threshold or 1.0, UNLIKE)
    if threshold is None:
        return Verdict(False, 1.0, NO_THRESHOLD)
    return Verdict(confidence >= threshold, threshold, None)


def is_unlike(probabilities: Sequence[float]) -> bool:
    """Whether an answer says that its image is unlike the training images: all within ``FLATNESS`` of ``1/K``."""
    classes = len(probabilities)
    return classes > 1 and all(abs(p - 1 / classes) <= FLATNESS for p in probabilities)


def least_threshold(classes: int) -> float:
    """The threshold that lets all pass, four decimals in (0, 1): none that is unlike the training images reaches it."""
    return math.ceil((1 / classes + FLATNESS) * 1e4) / 1e4


def most_probable(probabilities: tuple[float, ...], labels: tuple[str, ...]) -> tuple[str, float]:
    """The most probable label and its probability, after checking that the numbers are probabilities.

    Raises:
        InferenceError: they are not one finite number in [0, 1] per label with sum 1 within 1e-3.
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
