"""Charts of a stream over time: confidence as dots and as bands, and volume."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scones_ml.monitoring.results import Dot
from scones_ml.monitoring.timeline import Span, moment
from scones_ml.reports.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    percent_tick,
    svg,
    threshold_across,
    ticks,
    x_axis,
    y_axis,
)

__all__ = ["bands", "scatter", "volume"]

_DAY = 86_400  # seconds
# Seconds: units of ticks, so that ticks fall on round times.
_STEPS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, _DAY, 2 * _DAY, 7 * _DAY, 28 * _DAY, 91 * _DAY, 365 * _DAY)


def scatter(dots: Sequence[Dot], labels: Sequence[str], threshold: float | None) -> str:
    """Scatter plot of confidence over time: a disc is accepted, a cross goes to review.

    Args:
        dots: at least one.
        labels: class names.
        threshold: minimum confidence; None accepts all.
    """
    x = _time_axis([dot.seconds for dot in dots])
    y = _confidence_axis(len(labels))
    marks = "".join(_mark(x, y, dot, labels[dot.label], threshold) for dot in dots)
    below = sum(dot.confidence < (threshold or 0.0) for dot in dots)
    return svg(
        "Confidence over time",
        f"{len(dots)} predictions, {below} of them below the threshold.",
        _frame(x, y) + marks + threshold_across(y, threshold),
    )


def bands(spans: Sequence[Span], classes: int, threshold: float | None) -> str:
    """Bands of the confidence's quantiles over time, with the median as a line.

    Args:
        spans: at least one, in order of time.
        classes: number of classes.
        threshold: drawn as a line, if there is one.
    """
    x = _span_axis(spans)
    y = _confidence_axis(classes)
    return svg(
        "Confidence in bands",
        f"Medians of {len(spans)} spans of time, from {100 * min(s.quantiles[2] for s in spans):.1f} % "
        f"to {100 * max(s.quantiles[2] for s in spans):.1f} %.",
        _frame(x, y) + "".join(_band(x, y, span) for span in spans) + threshold_across(y, threshold),
    )


def volume(spans: Sequence[Span]) -> str:
    """Bar chart of predictions per span of time; the lower part goes to review.

    Args:
        spans: at least one, in order of time.
    """
    x = _span_axis(spans)
    y = Axis(0.0, float(max(span.records for span in spans)), HEIGHT - BOTTOM, TOP + 6)
    bars = []
    for span in spans:
        left, width = _place(x, span)
        below = span.below or 0
        parts = (("person", 0, below), ("right", below, span.records))
        bars.append(
            f"<g><title>{escape(_words(span))}</title>"
            + "".join(
                f'<rect class="{name}" x="{left}" y="{y.at(top)}" width="{width:.1f}" '
                f'height="{y.at(bottom) - y.at(top):.1f}"/>'
                for name, bottom, top in parts
                if top > bottom
            )
            + "</g>"
        )
    counts = [(value, f"{value:,.0f}") for value in ticks(0.0, y.high) if value == int(value)]
    return svg(
        "Predictions over time",
        f"{sum(span.records for span in spans)} predictions, "
        f"{sum(span.below or 0 for span in spans)} of them below the threshold.",
        y_axis(y, counts) + x_axis(x, _time_ticks(x.low, x.high), "time, UTC") + "".join(bars),
    )


def _mark(x: Axis, y: Axis, dot: Dot, label: str, threshold: float | None) -> str:
    px, py = x.at(dot.seconds), y.at(max(y.low, dot.confidence))
    passes = dot.confidence >= (threshold or 0.0)
    shape = (
        f'<circle class="right" cx="{px}" cy="{py}" r="3"/>'
        if passes
        else f'<path class="doubt" d="M{px - 3:.1f} {py - 3:.1f}l6 6m0 -6l-6 6"/>'
    )
    words = f"{moment(dot.seconds):%Y-%m-%d %H:%M:%S}: {label}, {100 * dot.confidence:.1f} %"
    return f"<g><title>{escape(words)}</title>{shape}</g>"


def _band(x: Axis, y: Axis, span: Span) -> str:
    """Two nested boxes and the median; spans are not joined, since values between them are unknown."""
    left, width = _place(x, span)
    lowest, low, median, high, highest = (y.at(max(y.low, value)) for value in span.quantiles)
    boxes = "".join(
        f'<rect class="band" x="{left}" y="{top}" width="{width:.1f}" height="{max(1.0, bottom - top):.1f}"/>'
        for top, bottom in ((highest, lowest), (high, low))
    )
    line = f'<line class="median" x1="{left}" x2="{left + width:.1f}" y1="{median}" y2="{median}"/>'
    return f"<g><title>{escape(_words(span))}</title>{boxes}{line}</g>"


def _place(x: Axis, span: Span) -> tuple[float, float]:
    left = x.at(span.start.timestamp())
    return left, max(2.0, x.at(span.end.timestamp()) - left - 1)


def _words(span: Span) -> str:
    below = "" if span.below is None else f", {span.below} below the threshold"
    return (
        f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}: {span.records} predictions{below}, "
        f"median confidence {100 * span.quantiles[2]:.1f} %"
    )


def _frame(x: Axis, y: Axis) -> str:
    lines = y_axis(y, [percent_tick(value) for value in ticks(y.low, 1.0)])
    return lines + x_axis(x, _time_ticks(x.low, x.high), "time, UTC")


def _confidence_axis(classes: int) -> Axis:
    return Axis(1 / classes, 1.0, HEIGHT - BOTTOM, TOP + 6)


def _span_axis(spans: Sequence[Span]) -> Axis:
    return Axis(spans[0].start.timestamp(), spans[-1].end.timestamp(), LEFT, WIDTH - RIGHT)


def _time_axis(seconds: Sequence[float]) -> Axis:
    first, last = min(seconds), max(seconds)
    room = 0.0 if last > first else 30.0
    return Axis(first - room, last + room, LEFT + 6, WIDTH - RIGHT - 6)


def _time_ticks(first: float, last: float) -> list[tuple[float, str]]:
    """Up to five round times, labelled with the precision of their distance."""
    step = next((step for step in _STEPS if (last - first) / step <= 5), _STEPS[-1] * 10)
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < _DAY / 2 else "%-d %b" if step < 28 * _DAY else "%b %Y"
    numbers = range(int(-(-first // step)), int(last // step) + 1)
    return [(float(n * step), moment(n * step).strftime(form)) for n in numbers]
