"""Confidence over time in limited memory: at most 60 spans of equal width, which grows with time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from scones_ml.evaluation.arrays import FloatArray, IntArray
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, histogram, quantiles

__all__ = ["Span", "Timeline", "moment"]

_MOST_SPANS = 60  # each is then at least seven units wide in the chart, enough to point at
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# each divides the next, so that spans merge without remainder
_WIDTHS = (1, 5, 15, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, _DAY, 7 * _DAY, 28 * _DAY)
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # the chart's outer band, its inner band and the median


_EARLIEST = datetime.min.replace(tzinfo=UTC).timestamp()
_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()  # later times would round up to the year 10000


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time in UTC, limited to the range of datetime."""
    return datetime.fromtimestamp(min(max(seconds, _EARLIEST), _LATEST), UTC)


@dataclass(frozen=True)
class Span:
    """The predictions of one span of time.

    Attributes:
        start: UTC, inclusive.
        end: UTC, exclusive.
        records: number of predictions.
        below: number of predictions below the threshold; None without a threshold.
        quantiles: quantiles of the confidence at 5, 25, 50, 75 and 95 %.
    """

    start: datetime
    end: datetime
    records: int
    below: int | None
    quantiles: tuple[float, ...]


class Timeline:
    """A collector of predictions by time, in at most 60 spans of the smallest possible width."""

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._width = _WIDTHS[0]
        self._counts: dict[int, IntArray] = {}
        self._below: dict[int, int] = {}

    def add(self, seconds: FloatArray, confidence: FloatArray) -> None:
        """Add (N,) predictions with their (N,) epoch times, N at least 1, in any order."""
        cells = CONFIDENCE.cells(confidence)
        below = confidence < (self._threshold or 0.0)
        spans = (seconds // self._width).astype(np.int64)
        for span in np.unique(spans).tolist():
            inside = spans == span
            self._merge(span, histogram(cells[inside]), int(below[inside].sum()))
        while max(self._counts) - min(self._counts) >= _MOST_SPANS:
            self._widen()

    def spans(self) -> tuple[Span, ...]:
        """The spans in order of time, without empty ones."""
        return tuple(
            Span(
                start=moment(number * self._width),
                end=moment((number + 1) * self._width),
                records=int(self._counts[number].sum()),
                below=None if self._threshold is None else self._below[number],
                quantiles=quantiles(self._counts[number], CONFIDENCE, _SHARES),
            )
            for number in sorted(self._counts)
        )

    def _merge(self, span: int, counts: IntArray, below: int) -> None:
        self._counts[span] = self._counts.get(span, np.zeros(CELLS, np.int64)) + counts
        self._below[span] = self._below.get(span, 0) + below

    def _widen(self) -> None:
        wider = next((width for width in _WIDTHS if width > self._width), 2 * self._width)
        counts, below = self._counts, self._below
        self._counts, self._below = {}, {}
        for span, found in counts.items():
            self._merge(span * self._width // wider, found, below[span])
        self._width = wider
