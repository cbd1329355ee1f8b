"""The arrays that evaluation works on, checked once at the door.

Probabilities are (N, K) rows of one image each, labels are (N,) indices into the K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scones_ml.answers import SUM_TOLERANCE
from scones_ml.errors import DatasetError, InferenceError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FloatArray", "IntArray", "as_labels", "as_logits", "as_probabilities", "confidences"]

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def as_logits(logits: npt.ArrayLike) -> FloatArray:
    """A finite (N, K) float64 matrix with N >= 1 and K >= 2.

    Raises:
        InferenceError: wrong shape, no row, one class only, or a value that is not finite.
    """
    return _matrix(logits, "logits")


def as_probabilities(probabilities: npt.ArrayLike) -> FloatArray:
    """An (N, K) float64 matrix whose rows are probability vectors, N >= 1 and K >= 2.

    The values are not rescaled: a threshold compares with what the model returned.

    Raises:
        InferenceError: wrong shape, no row, or a row that is not a probability vector.
    """
    matrix = _matrix(probabilities, "probabilities")
    sums = matrix.sum(axis=1)
    wrong = np.flatnonzero((matrix < 0).any(axis=1) | (abs(sums - 1) > SUM_TOLERANCE))
    if wrong.size:
        row = int(wrong[0])
        raise InferenceError(
            f"row {row} of the probabilities is not a probability vector (sum {sums[row]:.4g}, "
            f"smallest {matrix[row].min():.4g}): pass the softmax of the logits"
        )
    return matrix


def as_labels(labels: npt.ArrayLike, rows: int, classes: int) -> IntArray:
    """The labels as (rows,) int64 in 0..classes-1.

    Raises:
        DatasetError: not as many labels as rows, not whole numbers, or outside the classes.
    """
    array = np.asarray(labels)
    if array.shape != (rows,):
        raise DatasetError(f"labels have shape {array.shape}, but there are {rows} rows: one label a row")
    if array.dtype.kind not in "iu":
        raise DatasetError(f"labels are {array.dtype}: pass whole numbers from 0 to {classes - 1}")
    if array.min() < 0 or array.max() >= classes:
        raise DatasetError(
            f"labels run from {array.min()} to {array.max()}, but there are {classes} classes: use 0 to {classes - 1}"
        )
    return array.astype(np.int64)


def confidences(probabilities: FloatArray) -> FloatArray:
    """The (N,) largest probability of each row: what a threshold is compared with."""
    return np.asarray(probabilities.max(axis=1), dtype=np.float64)


def _matrix(values: npt.ArrayLike, name: str) -> FloatArray:
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise InferenceError(f"{name} are not a matrix of numbers: one row an image, one column a class") from exc
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise InferenceError(f"{name} have shape {matrix.shape}: expected (images, classes), two classes or more")
    if not matrix.shape[0]:
        raise InferenceError(f"{name} have no row: there is nothing to evaluate")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise InferenceError(f"row {row} of the {name} has a value that is not finite: {matrix[row].tolist()}")
    return matrix
