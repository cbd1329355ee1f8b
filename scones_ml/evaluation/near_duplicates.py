"""Images that show nearly the same: the same photograph re-encoded, resized, brightened, mirrored or slightly cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["NearDuplicate", "find_near_duplicates", "grid_means"]

_GRID = 16  # cells a side: what re-encoding and a shift of a pixel leave alone
_AT_A_TIME = 1024  # rows; the table of similarities never exceeds this many lines


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that show nearly the same.

    Attributes:
        first: row of the one.
        second: row of the other, larger.
        similarity: correlation of their pixels on a coarse grid, at most 1.
        mirrored: whether it is the mirror image of the second that is like the first.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def find_near_duplicates(pixels: npt.NDArray[np.uint8], *, similarity: float = 0.95) -> tuple[NearDuplicate, ...]:
    """Name pairs of images that show nearly the same.

    Images are reduced to 16 x 16 cells, each channel's mean is taken off, and what is left is scaled to the same
    contrast: brightness, contrast and a cast of colour do not count.
    All pairs are compared: 10,000 images take some seconds, ten times as many a hundred times as long.

    Args:
        pixels: uint8 (N, S, S, 3), S at least 16.
        similarity: least correlation, in (0, 1].

    Returns:
        The most similar first. An image of a single colour is like none.

    Raises:
        DatasetError: the pixels have another shape.
    """
    grids = grid_means(pixels, _GRID)
    plain, mirrored = _vectors(grids), _vectors(grids[:, :, ::-1])
    found: list[NearDuplicate] = []
    for start in range(0, len(plain), _AT_A_TIME):
        rows = plain[start : start + _AT_A_TIME]
        straight, turned = rows @ plain[start:].T, rows @ mirrored[start:].T
        best = np.maximum(straight, turned)
        for i, j in np.argwhere(np.triu(best >= similarity, k=1)):
            found.append(
                NearDuplicate(
                    start + int(i), start + int(j), min(1.0, float(best[i, j])), bool(turned[i, j] > straight[i, j])
                )
            )
    return tuple(sorted(found, key=lambda pair: (-pair.similarity, pair.first, pair.second)))


def _vectors(grids: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, D) of mean 0 and length 1, so that a product of two is their correlation; 0 where all pixels are equal."""
    flat = (grids - grids.mean(axis=(1, 2), keepdims=True)).reshape(len(grids), -1)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1.0), np.float32)


def grid_means(pixels: npt.NDArray[np.uint8], cells: int) -> npt.NDArray[np.float32]:
    """The mean colour of each cell of a grid.

    Args:
        pixels: uint8 (N, S, S, 3).
        cells: cells a side, nearly equal in size; S where that is smaller.

    Returns:
        float32 (N, C, C, 3) in 0..255.

    Raises:
        DatasetError: the pixels have another shape.
    """
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise DatasetError(f"images of shape {pixels.shape}: expected (N, S, S, 3)")
    side = pixels.shape[1]
    count = min(cells, side)
    edges = np.arange(count) * side // count
    widths = np.diff(np.append(edges, side)).astype(np.float32)
    rows = np.add.reduceat(pixels.astype(np.float32), edges, axis=1)
    sums = np.add.reduceat(rows, edges, axis=2)
    return np.asarray(sums / (widths[:, None, None] * widths[None, :, None]), np.float32)
