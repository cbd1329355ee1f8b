"""Similarity of an image to the training images: the share of its features along their main directions.

Feature vectors of a data set lie close to a few main directions, those of other images do not. The share of a
vector's squared length along the sixteen main directions of the training images is its *familiarity*; an image below a
limit, set at the lowest 3 % of the known images, is unlike the training images. On a model of clothing this rejects all
of 400 drawings and vehicles; it does not reject a new kind of shirt, which looks like the others
(``benchmarks/photographs.py``). Distances to neighbours and to classes, which need more memory or time, were no better
out of fold.
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
"""Share of the known images below the limit; 0.01 to 0.05 find as many others."""

_DIRECTIONS: Final = 16
_AT_A_TIME: Final = 4_096  # rows


def directions_of(rows: Rows, which: NDArray[np.int64]) -> NDArray[np.float32]:
    """Main directions of feature vectors from the origin: (D, 16) orthonormal columns, fewer for few images.

    Args:
        rows: feature vectors.
        which: (N,) indices of the vectors.
    """
    count, size = len(which), rows.size
    if count < size:  # equivalent, from an N x N matrix
        vectors = rows.take(which)
        strengths, mixtures = np.linalg.eigh((vectors @ vectors.T).astype(np.float64))
        found = vectors.T @ (mixtures / np.sqrt(np.maximum(strengths, 1e-12))).astype(np.float32)
    else:
        moments = np.zeros((size, size))
        for part in _parts(which):
            vectors = rows.take(part)
            moments += vectors.T @ vectors
        strengths, found = np.linalg.eigh(moments)
    # At most half the number of images, to leave room for variation.
    return np.ascontiguousarray(found[:, ::-1][:, : max(1, min(_DIRECTIONS, count // 2))], np.float32)


def familiarity(vectors: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Familiarity (N,) in [0, 1] of feature vectors (N, D)."""
    along = np.square(vectors @ directions).sum(axis=1)
    return np.asarray(along / (np.square(vectors).sum(axis=1) + 1e-12))


def limit_of(known: NDArray[np.float32]) -> float:
    """Limit from (N,) familiarities of known images, measured with directions of other images."""
    return float(np.quantile(known, MISSED))


def _parts(which: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(which), _AT_A_TIME):
        yield which[start : start + _AT_A_TIME]
