"""Similar images, by the cosine of their features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.heads.coordinates import Rows

__all__ = ["nearest", "similar_pairs"]

_AT_A_TIME: Final = 2_048  # vectors of each side of a block: 13 MB for 1,584 features


def similar_pairs(
    rows: Rows, count: int, least: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Find pairs of images with similar features; every pair is compared.

    Args:
        rows: N feature vectors.
        count: N.
        least: minimum cosine of a pair.

    Yields:
        First rows, second rows, which are larger, and cosines, (P,) each.
    """
    for top in range(0, count, _AT_A_TIME):
        one = _unit(rows, np.arange(top, min(top + _AT_A_TIME, count)))
        for start in range(top, count, _AT_A_TIME):
            other = one if start == top else _unit(rows, np.arange(start, min(start + _AT_A_TIME, count)))
            cosines = one @ other.T
            first, second = np.nonzero(cosines >= least)
            kept = first + top < second + start
            first, second = first[kept], second[kept]
            yield first + top, second + start, cosines[first, second]


def nearest(
    rows: Rows, which: NDArray[np.int64], among: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most similar images to each of some images.

    Args:
        rows: feature vectors.
        which: (Q,) rows of the query images.
        among: (M,) rows of the candidates.
        count: maximum number of results for each.

    Returns:
        Rows (Q, min(count, M)), most similar first, and the cosines.
    """
    count = min(count, len(among))
    asked = _unit(rows, which)
    found = np.empty((len(which), 0), np.int64)
    best = np.empty((len(which), 0), np.float32)
    for start in range(0, len(among), _AT_A_TIME):
        part = among[start : start + _AT_A_TIME]
        best = np.hstack([best, asked @ _unit(rows, part).T])
        found = np.hstack([found, np.broadcast_to(part, (len(which), len(part)))])
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        found, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(best, order, axis=1)
    return found, best


def _unit(rows: Rows, which: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = rows.take(which)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
