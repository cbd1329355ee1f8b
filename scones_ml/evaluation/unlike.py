"""Answers that are unlike the training images, in rows of probabilities; :mod:`scones_ml.verdicts` states the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, as_probabilities, confidences
from scones_ml.verdicts import FLATNESS

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["comparable", "folded", "restored", "unlike_rows"]


def unlike_rows(probabilities: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which (N, K) rows say that their image is unlike the training images: all within ``FLATNESS`` of ``1/K``.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    return np.asarray((abs(matrix - 1 / matrix.shape[1]) <= FLATNESS).all(axis=1))


def folded(probabilities: npt.ArrayLike, unlike: npt.ArrayLike) -> FloatArray:
    """The (N, K) answers of a model that finds some images unlike its training images.

    Args:
        probabilities: (N, K), rows sum to 1.
        unlike: (N,) truth values.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    even = 1 / matrix.shape[1]
    return np.where(np.asarray(unlike, dtype=bool)[:, None], even + FLATNESS * (matrix - even), matrix)


def restored(probabilities: npt.ArrayLike) -> FloatArray:
    """The (N, K) answers as they were before :func:`folded`; in float32 to about one part in a thousand.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    even = 1 / matrix.shape[1]
    unfolded = np.clip(even + (matrix - even) / FLATNESS, 0.0, 1.0)
    unfolded /= unfolded.sum(axis=1, keepdims=True)
    return np.where(unlike_rows(matrix)[:, None], unfolded, matrix)


def comparable(probabilities: FloatArray) -> FloatArray:
    """The (N,) confidences that a threshold is compared with: 0 where the image is unlike the training images."""
    return np.where(unlike_rows(probabilities), 0.0, confidences(probabilities))
