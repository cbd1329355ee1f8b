"""Fixed grids that map a figure's values to the 512 cells of a histogram.

The grids do not depend on the data. This keeps drift tests exact (:mod:`scones_ml.monitoring.martingale`) and makes
histograms of different days, machines and versions comparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["CELLS", "CONFIDENCE", "IMAGE_GRIDS", "LATENCY", "Grid", "histogram", "quantiles"]

CELLS = 512  # fine compared with the noise of a thousand values; a histogram takes 4 KB


@dataclass(frozen=True)
class Grid:
    """Cells of equal width on a scale.

    Attributes:
        scale: the scale with cells of equal width: the value, its logarithm (of 1 + value), or its log odds.
        low: lower end on that scale; values beyond it are in the first cell.
        high: upper end; values beyond it are in the last cell.
    """

    scale: Literal["linear", "log", "log odds"]
    low: float
    high: float

    def cells(self, values: npt.ArrayLike) -> IntArray:
        """The (N,) cells of (N,) finite values, 0 to 511."""
        array = np.asarray(values, dtype=np.float64)
        if self.scale == "log":
            array = np.log1p(array)
        elif self.scale == "log odds":
            inside = np.clip(array, 1e-12, 1 - 1e-12)
            array = np.log(inside) - np.log1p(-inside)
        places = (array - self.low) / (self.high - self.low) * CELLS
        return np.clip(places, 0, CELLS - 1).astype(np.int64)

    def middles(self) -> FloatArray:
        """The (512,) values at the centres of the cells."""
        array = self.low + (np.arange(CELLS) + 0.5) / CELLS * (self.high - self.low)
        if self.scale == "log":
            return np.expm1(array)
        if self.scale == "log odds":
            return np.asarray(1 / (1 + np.exp(-array)))
        return array


CONFIDENCE = Grid("log odds", -7.0, 14.0)  # from 0.0009, below the minimum of 1/1,000 for 1,000 classes, to 0.999999
LATENCY = Grid("log", 0.0, 14.0)  # milliseconds, to 20 minutes
IMAGE_GRIDS = {
    "brightness": Grid("linear", 0.0, 256.0),  # mean of luma, 0 to 255
    "contrast": Grid("linear", 0.0, 128.0),  # a standard deviation within 0 to 255 is at most 127.5
    "sharpness": Grid("log", 0.0, 14.0),  # a Laplacian is at most 1,020: its variance is below e^14
    "size": Grid("linear", -0.5, 511.5),  # pixels, one per cell
}


def histogram(cells: IntArray) -> IntArray:
    """The (512,) counts of (N,) cells."""
    return np.bincount(cells, minlength=CELLS).astype(np.int64)


def quantiles(counts: IntArray, grid: Grid, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Quantiles of a histogram, with the precision of a cell.

    Args:
        counts: (512,), at least one in all.
        grid: the grid of the cells.
        shares: the quantiles to compute, each in [0, 1].
    """
    total = np.cumsum(counts)
    wanted = np.maximum(1, np.ceil(np.array(shares) * total[-1]))
    middles = grid.middles()[np.searchsorted(total, wanted)]
    return tuple(float(value) for value in middles)
