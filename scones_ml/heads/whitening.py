"""Whitening of feature vectors by their covariance within the classes.

The within-class covariance of the features is estimated, shrunk towards a multiple of the identity (Ledoit and Wolf
2004, with a fixed share), and made spherical by a linear map. A classifier regularised in that space prefers the
directions of linear discriminant analysis: on 640 photographs of ten classes its out-of-fold accuracy is 87.9 %
(``benchmarks/photographs.py``), that of scikit-learn's logistic regression on the same features 87.0 %
(``benchmarks/photographs_peers.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Chunk", "Chunks", "Whitening", "whitening"]

SHRINKAGE: Final = 0.8
"""Share of the identity in the covariance; chosen out of fold on photographs of clothing, 0.6 to 0.9 are as good."""

Chunk = tuple[slice, "NDArray[np.float32]"]
Chunks = Callable[[], Iterator[Chunk]]
"""Chunks of feature vectors (n, D), each with its rows."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """A linear map of centred feature vectors.

    Attributes:
        mean: (D,).
        matrix: float32 (D, D), applied to columns.
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float32]

    def apply(self, columns: NDArray[np.float64]) -> NDArray[np.float32]:
        """Apply the map to (D, K) columns."""
        return self.matrix @ columns.astype(np.float32)

    def transposed(self, columns: NDArray[np.float64]) -> NDArray[np.float32]:
        """Map weights (D, K) of whitened vectors to those of the original vectors."""
        return self.matrix.T @ columns.astype(np.float32)


def whitening(
    chunks: Chunks, labels: NDArray[np.int64], weights: NDArray[np.float64], classes: int, size: int, features: int
) -> Whitening:
    """Whitening of vectors, scaled to a mean squared length of 1.

    Args:
        chunks: the N vectors.
        labels: (N,) classes, 0..K-1.
        weights: (N,) sample weights of sum 1.
        classes: K.
        size: D.
        features: dimension of the original feature space, at least D.
    """
    totals, sums = np.zeros(classes), np.zeros((classes, size))
    for part, rows in chunks():
        np.add.at(totals, labels[part], weights[part])
        np.add.at(sums, labels[part], weights[part, None] * rows)
    means = sums / np.maximum(totals, 1e-300)[:, None]
    mean = sums.sum(axis=0)
    covariance = np.zeros((size, size))
    for chunk in chunks():
        residual = _residuals(chunk, labels, weights, means)
        covariance += residual.T @ residual
    variance = float(np.trace(covariance))
    ball = SHRINKAGE * max(variance / features, 1e-12)  # equal images: avoid a division by 0
    shrunken = (1 - SHRINKAGE) * covariance + ball * np.eye(size)
    # Any root of its inverse will do, since the objective does not change under rotation.
    root = _inverse(np.linalg.cholesky(shrunken))
    # Mean squared length: within the classes, and of the class means.
    within = (size - ball * float(np.square(root).sum())) / (1 - SHRINKAGE)
    between = float((totals * np.square(root @ (means - mean).T).sum(axis=0)).sum())
    return Whitening(mean, (root / np.sqrt(max(within + between, 1e-12))).astype(np.float32))


def _inverse(lower: NDArray[np.floating]) -> NDArray[np.floating]:
    """Inverse of a lower triangular matrix, by halves: six times faster than numpy's general inverse."""
    size = len(lower)
    if size <= 64:
        return np.linalg.inv(lower)
    half, found = size // 2, np.zeros_like(lower)
    top, bottom = _inverse(lower[:half, :half]), _inverse(lower[half:, half:])
    found[:half, :half], found[half:, half:] = top, bottom
    found[half:, :half] = -bottom @ (lower[half:, :half] @ top)
    return found


def _residuals(
    chunk: Chunk, labels: NDArray[np.int64], weights: NDArray[np.float64], means: NDArray[np.float64]
) -> NDArray[np.float32]:
    part, rows = chunk
    return (rows - means.astype(np.float32)[labels[part]]) * np.sqrt(weights[part]).astype(np.float32)[:, None]
