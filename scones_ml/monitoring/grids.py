"""Fixed grids: a figure's values as cells, so that any number of them is one histogram of 512 counts.

The grids know nothing of the data. That keeps drift tests exact (:mod:`scones_ml.monitoring.martingale`) and makes
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

CELLS = 512  # fine beside the noise of a thousand values, and a histogram of 4 KB


@dataclass(frozen=True)
class Grid:
    """Cells of equal width on a scale.

    Attributes:
        scale: what is divided evenly: the value, its logarithm (of 1 + value), or its log odds.
        low: on that scale; values beyond share the outermost cells.
        high: likewise.
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
        """The (512,) values in the cells' middles."""
        array = self.low + (np.arange(CELLS) + 0.5) / CELLS * (self.high - self.low)
        if self.scale == "log":
            return np.expm1(array)
        if self.scale == "log odds":
            return np.asarray(1 / (1 + np.exp(-array)))
        return array


CONFIDENCE = Grid("log odds", -7.0, 14.0)  # from 0.0009, the least of 1,000 classes' best, to 0.999999
LATENCY = Grid("log", 0.0, 14.0)  # milliseconds, to 20 minutes
IMAGE_GRIDS = {
    "brightness": Grid("linear", 0.0, 256.0),  # mean of luma, 0 to 255
    "contrast": Grid("linear", 0.0, 128.0),  # a deviation within 0 to 255 is 127.5 at most
    "sharpness": Grid("log", 0.0, 14.0),  # a Laplacian is 1,020 at most: a variance below e^14
    "size": Grid("linear", -0.5, 511.5),  # pixels, a cell each
}


def histogram(cells: IntArray) -> IntArray:
    """The (512,) counts of (N,) cells."""
    return np.bincount(cells, minlength=CELLS).astype(np.int64)


def quantiles(counts: IntArray, grid: Grid, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Quantiles of a histogram, to the width of a cell.

    Args:
        counts: (512,), at least one in all.
        grid: whose cells they are.
        shares: which quantiles, each in [0, 1].
    """
    total = np.cumsum(counts)
    wanted = np.maximum(1, np.ceil(np.array(shares) * total[-1]))
    middles = grid.middles()[np.searchsorted(total, wanted)]
    return tuple(float(value) for value in middles)
