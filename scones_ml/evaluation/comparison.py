"""Statistical comparison of two models on the same images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import DatasetError
from scones_ml.evaluation.arrays import as_labels, as_probabilities
from scones_ml.evaluation.intervals import Estimate, binomial_cdf, bootstrap, clopper_pearson

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import FloatArray, IntArray

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """Comparison of two models on the same N images.

    Attributes:
        images: N.
        both_right: images that both classify correctly.
        only_new_right: images that only the new model classifies correctly.
        only_old_right: images that only the old model classifies correctly.
        gain: accuracy of the new model minus that of the old one, in [-1, 1]. Its interval contains the paired
            bootstrap's and every gain that McNemar's test does not reject, so that it is not too short for few images.
        p_value: exact two-sided McNemar test of equal accuracy; 1 if they never differ.
    """

    images: int
    both_right: int
    only_new_right: int
    only_old_right: int
    gain: Estimate
    p_value: float

    @property
    def verdict(self) -> str:
        """Conclusion in one sentence, at 95 % confidence."""
        images = "image" if self.only_new_right == 1 else "images"
        counts = f"{self.only_new_right} {images} became right and {self.only_old_right} wrong"
        if self.p_value > 0.05:
            return f"No difference beyond chance: {counts} of {self.images} (p = {self.p_value:.2g})."
        better = "better" if self.gain.value > 0 else "worse"
        return f"The new model is {better} beyond chance: {counts} of {self.images} (p = {self.p_value:.2g})."

    def to_json(self) -> dict[str, object]:
        """As a JSON document, including the conclusion."""
        return {**asdict(self), "verdict": self.verdict}


def compare(old: npt.ArrayLike, new: npt.ArrayLike, labels: npt.ArrayLike, *, seed: int = 0) -> Comparison:
    """Compare two models' predictions on the same images.

    Args:
        old: (N, K) probabilities of the current model.
        new: (N, K) probabilities of the candidate.
        labels: (N,) class indices in 0..K-1.
        seed: random seed of the bootstrap.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match, or the shapes differ.
    """
    before, after = as_probabilities(old), as_probabilities(new)
    if before.shape != after.shape:
        raise DatasetError(
            f"old probabilities have shape {before.shape}, new {after.shape}: compare on the same images"
        )
    truth = as_labels(labels, *before.shape)
    was, is_now = before.argmax(axis=1) == truth, after.argmax(axis=1) == truth
    won, lost = int((is_now & ~was).sum()), int((was & ~is_now).sum())
    change = is_now.astype(np.float64) - was

    def gain(index: IntArray) -> FloatArray:
        return np.array([change[index].mean()])

    low, high = np.quantile(bootstrap(gain, len(truth), seed=seed), [0.025, 0.975])
    if won + lost:
        of_these = clopper_pearson(won, won + lost)
        differ = (won + lost) / len(truth)
        low, high = min(low, differ * (2 * of_these.low - 1)), max(high, differ * (2 * of_these.high - 1))
    return Comparison(
        images=len(truth),
        both_right=int((was & is_now).sum()),
        only_new_right=won,
        only_old_right=lost,
        gain=Estimate(float(change.mean()), float(low), float(high)),
        p_value=min(1.0, 2 * binomial_cdf(min(won, lost), won + lost, 0.5)) if won + lost else 1.0,
    )
