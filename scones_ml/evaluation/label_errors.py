"""Which labels are probably wrong: confident learning on probabilities from models that did not see the images.

After Northcutt, Jiang and Chuang, `Confident Learning <https://arxiv.org/abs/1911.00068>`_ (2021): a class's threshold
is the mean probability of that class over the images that bear its label, so a class that is hard, or a model that is
timid, asks for no more than its own usual confidence. Images of which another class reaches its threshold and is more
probable than the label are counted. As many are suspects: those whose label is contradicted most. Of two classes these
are nearly the same. Of ten, where the probability of what is no longer the label spreads over several, 93 of 100 wrong
labels are among them instead of 73 (``benchmarks/label_errors.py --photographs``).
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
        index: row of the image.
        given: the class it is labelled as.
        suggested: the class it probably is.
        confidence: the share of the suggested class's probability in that of the two, in (0.5, 1].
    """

    index: int
    given: int
    suggested: int
    confidence: float


def find_label_errors(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[LabelError, ...]:
    """Name the labels that are probably wrong.

    Args:
        probabilities: (N, K) of each image, by a model that was not trained on it; what it says of images that are
            unlike the training images counts as any other answer.
        labels: (N,) class indices in 0..K-1, as they were given.

    Returns:
        The surest first; equal ones in the order of the rows.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
    """
    matrix = restored(probabilities)
    rows, classes = matrix.shape
    given = as_labels(labels, rows, classes)
    # A class without images has no usual confidence, and is suggested for none.
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
