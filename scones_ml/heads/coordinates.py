"""Fewer images than features: the same vectors with as many numbers as there are images.

N vectors of D features lie in a space of at most N dimensions. Where N is below D, a basis of that space makes N
numbers of each vector that keep every length and angle: what is learned from them is the same, and takes half the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Coordinates", "Matrix", "Part", "Rows", "coordinates"]

_NEGLIGIBLE: Final = 1e-9  # of the largest squared extent


class Rows(Protocol):
    """Feature vectors that are read when they are needed."""

    @property
    def size(self) -> int:
        """How many numbers each has."""
        ...

    def take(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """These of them, (n, D)."""
        ...


@dataclass(frozen=True, eq=False)
class Matrix:
    """Vectors in memory.

    Attributes:
        vectors: (N, D).
    """

    vectors: NDArray[np.floating]

    @property
    def size(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def take(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """These of them, (n, D)."""
        return np.asarray(self.vectors[which], np.float32)


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the vectors.

    Attributes:
        rows: those that there are.
        which: (N,) which of them.
    """

    rows: Rows
    which: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many numbers each has."""
        return self.rows.size

    def take(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """These of the N, (n, D)."""
        return self.rows.take(self.which[which])


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Vectors, and the way back to the features.

    Attributes:
        rows: N vectors of R numbers.
        features: D, how many features there are.
        basis: (D, R), orthonormal columns; None where the vectors are the features themselves.
    """

    rows: Rows
    features: int
    basis: NDArray[np.float32] | None = None

    def back(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """(R, K) directions or weights, as (D, K) of the features."""
        return columns if self.basis is None else self.basis @ columns


def coordinates(rows: Rows, which: NDArray[np.int64]) -> Coordinates:
    """The coordinates of N feature vectors, numbered as ``which`` names them.

    Args:
        rows: feature vectors.
        which: (N,) which of them.
    """
    if len(which) >= rows.size:
        return Coordinates(Part(rows, which), rows.size)
    vectors = rows.take(which).astype(np.float64)
    extents, mixtures = np.linalg.eigh(vectors @ vectors.T)
    kept = extents > _NEGLIGIBLE * max(extents[-1], 1e-300)
    kept[-1] = True
    roots = np.sqrt(np.maximum(extents[kept], 1e-300))
    basis = vectors.T @ (mixtures[:, kept] / roots)
    return Coordinates(Matrix(mixtures[:, kept] * roots), rows.size, basis.astype(np.float32))
