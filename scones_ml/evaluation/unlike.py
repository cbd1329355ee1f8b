"""Encoding of "unlike the training images" in rows of probabilities, see :mod:`scones_ml.verdicts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, as_probabilities, confidences
from scones_ml.verdicts import FLATNESS

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["comparable", "folded", "restored", "unlike_rows"]


def unlike_rows(probabilities: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Find rows (N, K) of images unlike the training images: all values within ``FLATNESS`` of ``1/K``.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    return np.asarray((abs(matrix - 1 / matrix.shape[1]) <= FLATNESS).all(axis=1))


def folded(probabilities: npt.ArrayLike, unlike: npt.ArrayLike) -> FloatArray:
    """Flatten the probabilities (N, K) of images unlike the training images.

    Args:
        probabilities: (N, K), rows sum to 1.
        unlike: (N,) booleans.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    even = 1 / matrix.shape[1]
    return np.where(np.asarray(unlike, dtype=bool)[:, None], even + FLATNESS * (matrix - even), matrix)


def restored(probabilities: npt.ArrayLike) -> FloatArray:
    """Undo :func:`folded` on probabilities (N, K); in float32 accurate to about 0.1 %.

    Raises:
        InferenceError: the probabilities are not probability vectors.
    """
    matrix = as_probabilities(probabilities)
    even = 1 / matrix.shape[1]
    unfolded = np.clip(even + (matrix - even) / FLATNESS, 0.0, 1.0)
    unfolded /= unfolded.sum(axis=1, keepdims=True)
    return np.where(unlike_rows(matrix)[:, None], unfolded, matrix)


def comparable(probabilities: FloatArray) -> FloatArray:
    """(N,) confidences to compare with a threshold: 0 for images unlike the training images."""
    return np.where(unlike_rows(probabilities), 0.0, confidences(probabilities))
