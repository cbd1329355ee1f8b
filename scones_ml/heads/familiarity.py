"""Similarity of an image to the training images: the share of its features along their main directions.

Feature vectors of a data set fill a few directions well and hardly leave them; those of other things do. The share of a
vector's squared length along the sixteen main directions of the training images is its *familiarity*, and an image
below a limit, which three in a hundred of the known images miss, is unlike the training images. On a model of clothing
that lets none of 400 drawings and vehicles through; it does not stop a new kind of shirt, which looks like the others
(``benchmarks/photographs.py``). Distances to neighbours and to classes, which need more room or time, told
no more out of fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.heads.coordinates import Rows

__all__ = ["MISSED", "directions_of", "familiarity", "limit_of"]

MISSED: Final = 0.03
"""Share of the known images that fall below the limit; 0.01 to 0.05 find as many others."""

_DIRECTIONS: Final = 16
_AT_A_TIME: Final = 4_096  # rows


def directions_of(rows: Rows, which: NDArray[np.int64]) -> NDArray[np.float32]:
    """The main directions of feature vectors, seen from the origin: (D, 16) orthonormal columns, fewer for few images.

    Args:
        rows: feature vectors.
        which: (N,) which of them.
    """
    count, size = len(which), rows.size
    if count < size:  # the same from a matrix of N x N
        vectors = rows.take(which)
        strengths, mixtures = np.linalg.eigh((vectors @ vectors.T).astype(np.float64))
        found = vectors.T @ (mixtures / np.sqrt(np.maximum(strengths, 1e-12))).astype(np.float32)
    else:
        moments = np.zeros((size, size))
        for part in _parts(which):
            vectors = rows.take(part)
            moments += vectors.T @ vectors
        strengths, found = np.linalg.eigh(moments)
    # At most half as many as there are images: the rest has to be able to differ.
    return np.ascontiguousarray(found[:, ::-1][:, : max(1, min(_DIRECTIONS, count // 2))], np.float32)


def familiarity(vectors: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) feature vectors to (N,) shares in [0, 1]."""
    along = np.square(vectors @ directions).sum(axis=1)
    return np.asarray(along / (np.square(vectors).sum(axis=1) + 1e-12))


def limit_of(known: NDArray[np.float32]) -> float:
    """The limit for (N,) familiarities of images of the known classes, by directions of other images."""
    return float(np.quantile(known, MISSED))


def _parts(which: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(which), _AT_A_TIME):
        yield which[start : start + _AT_A_TIME]
