"""Images as a few coarse cells: what two images have to have in common to be called alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["grid_means"]


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
