"""Drift tests without labels: confidence, class mix and image figures compared with the reference.

Each figure has its own conformal test martingale. The level, the maximum probability of any alarm in a stream that
never changes, is divided evenly among the figures (Bonferroni), and that of the class mix again among the classes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, IMAGE_GRIDS, Grid, histogram, quantiles
from scones_ml.monitoring.martingale import ConformalMartingale
from scones_ml.monitoring.reference import Reference
from scones_ml.monitoring.timeline import moment

__all__ = ["Drift", "DriftWatch", "FigureDrift", "FirstAlarm"]

_FIGURES = 2 + len(IMAGE_GRIDS)  # confidence, class mix and the image figures
_RECENT_BLOCKS = 4  # of 256 records: about the last 1,000
_SHARE = Grid("linear", 0.0, float(CELLS))  # cells 0 and 1: another class, this class


@dataclass(frozen=True)
class FirstAlarm:
    """The first time a figure reached its alarm level.

    Attributes:
        record: number of the record in the stream, from 1.
        time: time of that record, UTC.
    """

    record: int
    time: datetime


@dataclass(frozen=True)
class FigureDrift:
    """One monitored figure.

    Attributes:
        name: ``"confidence"``, ``"share of bicycle"``, ``"brightness"``, ...
        evidence: maximum of the test martingale so far.
        needed: evidence that raises the alarm.
        first_alarm: None if there was no alarm.
        reference: median, or share of a class, in the reference; None if it has no value.
        recent: the same over about the last 1,000 records; None if there is no value.
    """

    name: str
    evidence: float
    needed: float
    first_alarm: FirstAlarm | None
    reference: float | None
    recent: float | None


@dataclass(frozen=True)
class Drift:
    """Result of the drift tests.

    Attributes:
        level: maximum lifetime false-alarm probability: over the whole stream and any number of readings.
        figures: the monitored figures.
        images: number of reference images.
        measured: number of the stream's images that were measured.
        unreadable: number of these that could not be read.
    """

    level: float
    figures: tuple[FigureDrift, ...]
    images: int
    measured: int
    unreadable: int

    @property
    def alarm(self) -> bool:
        """Whether any figure has reached its alarm level."""
        return any(figure.first_alarm for figure in self.figures)


class _Watch:
    """One figure: its martingale, the maximum so far, and its recent values."""

    def __init__(self, name: str, grid: Grid, reference: IntArray, level: float, seed: int) -> None:
        self._name, self._grid, self._reference, self._level = name, grid, reference, level
        self._martingale = ConformalMartingale(reference, seed)
        self._most = 0.0
        self._first: FirstAlarm | None = None
        self._recent: deque[IntArray] = deque(maxlen=_RECENT_BLOCKS)

    def add(self, cells: IntArray, numbers: IntArray, seconds: FloatArray) -> None:
        if not len(cells):
            return
        wealth = self._martingale.update(cells)
        self._most = max(self._most, float(wealth.max()))
        above = np.flatnonzero(wealth >= -math.log(self._level))
        if self._first is None and above.size:
            at = above[0]
            self._first = FirstAlarm(int(numbers[at]) + 1, moment(float(seconds[at])))
        self._recent.append(histogram(cells))

    def result(self) -> FigureDrift:
        recent = sum(self._recent, start=np.zeros(CELLS, np.int64))
        return FigureDrift(
            name=self._name,
            evidence=math.exp(min(self._most, 700.0)),  # exp(710) is beyond a float
            needed=1 / self._level,
            first_alarm=self._first,
            reference=self._typical(self._reference),
            recent=self._typical(recent),
        )

    def _typical(self, counts: IntArray) -> float | None:
        if not counts.sum():
            return None
        if self._grid is _SHARE:
            return float(counts[1] / counts.sum())
        return quantiles(counts, self._grid, (0.5,))[0]


class DriftWatch:
    """A monitor of a stream, block by block.

    Args:
        reference: the values to compare with.
        level: maximum lifetime false-alarm probability, in (0, 1).
        seed: seed of the martingales.
    """

    def __init__(self, reference: Reference, level: float, seed: int = 0) -> None:
        self._reference, self._level = reference, level
        part = level / _FIGURES
        self._confidence = _Watch("confidence", CONFIDENCE, reference.histogram("confidence"), part, seed)
        watched = reference.labels[1:] if len(reference.labels) == 2 else reference.labels
        self._classes = {
            reference.labels.index(label): _Watch(
                f"share of {label}", _SHARE, _shares(reference, label), part / len(watched), seed + 10 + number
            )
            for number, label in enumerate(watched)
        }
        self._images = [
            _Watch(name, grid, reference.histogram(name), part, seed + 1 + number)
            for number, (name, grid) in enumerate(IMAGE_GRIDS.items())
        ]
        self._measured = self._unreadable = 0

    def add_answers(self, confidence: FloatArray, predicted: IntArray, numbers: IntArray, seconds: FloatArray) -> None:
        """Add a block of (N,) predictions; ``numbers`` are their positions in the stream, ``seconds`` epoch times."""
        self._confidence.add(CONFIDENCE.cells(confidence), numbers, seconds)
        for label, watch in self._classes.items():
            watch.add((predicted == label).astype(np.int64), numbers, seconds)

    def add_images(self, figures: FloatArray, numbers: IntArray, seconds: FloatArray) -> None:
        """Add the (M, 4) figures of a block's images; NaN is unknown, a row of NaN is an unreadable image."""
        readable = ~np.isnan(figures[:, 0])
        self._measured += len(figures)
        self._unreadable += int((~readable).sum())
        for watch, grid, column in zip(self._images, IMAGE_GRIDS.values(), figures.T, strict=True):
            known = ~np.isnan(column)
            watch.add(grid.cells(column[known]), numbers[known], seconds[known])

    def result(self) -> Drift:
        """The result so far."""
        watches = [self._confidence, *self._classes.values(), *self._images]
        return Drift(
            level=self._level,
            figures=tuple(watch.result() for watch in watches),
            images=self._reference.images,
            measured=self._measured,
            unreadable=self._unreadable,
        )


def _shares(reference: Reference, label: str) -> IntArray:
    counts = np.zeros(CELLS, np.int64)
    counts[1] = reference.predicted[reference.labels.index(label)]
    counts[0] = reference.images - counts[1]
    return counts
