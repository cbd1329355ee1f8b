"""Detection of wrong labels by confident learning, from out-of-fold probabilities.

After Northcutt, Jiang and Chuang, `Confident Learning <https://arxiv.org/abs/1911.00068>`_ (2021): a class's threshold
is the mean probability of that class over the images with its label, which adapts to hard classes and underconfident
models. Images for which another class reaches its threshold and is more probable than the label are counted. As many
images are reported: those with the strongest contradiction. For two classes both sets are nearly the same. For ten,
where the remaining probability spreads over several classes, they contain 93 of 100 wrong labels instead of 73
(``benchmarks/label_errors.py --photographs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.arrays import as_labels
from scones_ml.evaluation.unlike import restored

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LabelError", "find_label_errors"]


@dataclass(frozen=True)
class LabelError:
    """A label that is probably wrong.

    Attributes:
        index: row index of the image.
        given: index of its label.
        suggested: index of the suggested class.
        confidence: probability of the suggested class, relative to the sum of both, in (0.5, 1].
    """

    index: int
    given: int
    suggested: int
    confidence: float


def find_label_errors(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[LabelError, ...]:
    """Find labels that are probably wrong.

    Args:
        probabilities: (N, K) out-of-fold probabilities; those of images unlike the training images count as any other.
        labels: (N,) given class indices in 0..K-1.

    Returns:
        Label errors by descending confidence; equal ones in row order.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not match the probabilities.
    """
    matrix = restored(probabilities)
    rows, classes = matrix.shape
    given = as_labels(labels, rows, classes)
    # A class without images has no threshold and is never suggested.
    usual = np.array([matrix[given == k, k].mean() if (given == k).any() else np.inf for k in range(classes)])
    others = np.where(matrix >= usual, matrix, 0.0)
    others[np.arange(rows), given] = 0.0
    own = matrix[np.arange(rows), given]
    count = int((others.max(axis=1) > own).sum())
    suggested = matrix.argmax(axis=1)
    best = matrix.max(axis=1)
    suspects = np.flatnonzero(best > own)
    confidence = best / (best + own)
    order = suspects[np.argsort(-confidence[suspects], kind="stable")][:count]
    return tuple(LabelError(int(i), int(given[i]), int(suggested[i]), float(confidence[i])) for i in order)
