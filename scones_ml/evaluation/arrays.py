"""Validation of the arrays that evaluation works on.

Probabilities are (N, K), one row per image; labels are (N,) indices into the K classes.
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
    """Validate logits as a finite float64 matrix (N, K) with N >= 1 and K >= 2.

    Raises:
        InferenceError: wrong shape, no rows, a single class, or a value that is not finite.
    """
    return _matrix(logits, "logits")


def as_probabilities(probabilities: npt.ArrayLike) -> FloatArray:
    """Validate probabilities as a float64 matrix (N, K) of probability vectors, N >= 1 and K >= 2.

    The values are not rescaled, since thresholds apply to the model's output.

    Raises:
        InferenceError: wrong shape, no rows, or a row that is not a probability vector.
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
    """Validate labels as int64 (rows,) in 0..classes-1.

    Raises:
        DatasetError: the number of labels differs from the rows, or a label is not an integer in 0..classes-1.
    """
    array = np.asarray(labels)
    if array.shape != (rows,):
        raise DatasetError(f"labels have shape {array.shape}, but there are {rows} rows: pass one label a row")
    if array.dtype.kind not in "iu":
        raise DatasetError(f"labels are {array.dtype}: pass whole numbers from 0 to {classes - 1}")
    if array.min() < 0 or array.max() >= classes:
        raise DatasetError(
            f"labels run from {array.min()} to {array.max()}, but there are {classes} classes: use 0 to {classes - 1}"
        )
    return array.astype(np.int64)


def confidences(probabilities: FloatArray) -> FloatArray:
    """(N,) confidences: the largest probability of each row."""
    return np.asarray(probabilities.max(axis=1), dtype=np.float64)


def _matrix(values: npt.ArrayLike, name: str) -> FloatArray:
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise InferenceError(f"{name} are not a matrix of numbers: pass one row an image, one column a class") from exc
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise InferenceError(f"{name} have shape {matrix.shape}: pass (images, classes), with two classes or more")
    if not matrix.shape[0]:
        raise InferenceError(f"{name} have no rows: pass at least one")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise InferenceError(f"row {row} of the {name} has a value that is not finite: {matrix[row].tolist()}")
    return matrix
