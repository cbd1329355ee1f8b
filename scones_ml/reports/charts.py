"""The report's charts as inline SVG, with colours from the page's CSS, a title and a description.

All text is escaped. Right and wrong differ in shape and position, not only in colour. Elements of class ``threshold``
have their scale in ``data-`` attributes, so that the page's slider can move them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from scones_ml.reports.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    path,
    percent_tick,
    svg,
    threshold_across,
    ticks,
    x_axis,
    y_axis,
    y_labels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scones_ml.evaluation.calibration import ReliabilityBin

__all__ = ["CurvePoint", "Dot", "coverage_curve", "histogram", "reliability_diagram", "scatter"]


@dataclass(frozen=True)
class Dot:
    """One prediction in the scatter plot.

    Attributes:
        seconds: time since the start of the run.
        confidence: in [0, 1].
        correct: whether it is right; None if the true label is unknown.
        words: text of the dot's tooltip.
    """

    seconds: float
    confidence: float
    correct: bool | None
    words: str


@dataclass(frozen=True)
class CurvePoint:
    """The accepted predictions at one threshold.

    Attributes:
        threshold: in (0, 1].
        accepted: number of accepted predictions, of ``images``.
        correct: number of these that are right.
        images: number of predictions.
        low: lower end of the precision's 95 % interval.
        high: upper end of the precision's 95 % interval.
    """

    threshold: float
    accepted: int
    correct: int
    images: int
    low: float
    high: float

    @property
    def coverage(self) -> float:
        """The share of accepted predictions."""
        return self.accepted / self.images

    @property
    def precision(self) -> float:
        """The share of right ones among the accepted; 1 if none is accepted."""
        return self.correct / self.accepted if self.accepted else 1.0


def scatter(dots: Sequence[Dot], threshold: float | None, floor: float) -> str:
    """Scatter plot of confidence over time: a disc is right, a cross wrong, a diamond unknown.

    Args:
        dots: in any order, at least one.
        threshold: drawn as a line, if there is one.
        floor: minimum possible confidence, 1 / K.
    """
    last = max(dot.seconds for dot in dots)
    x = Axis(0.0, last or 1.0, LEFT + 6, WIDTH - RIGHT - 6)
    y = Axis(floor, 1.0, HEIGHT - BOTTOM, TOP + 6)
    marks = "".join(_mark(x.at(dot.seconds), y.at(dot.confidence), dot.correct, dot.words) for dot in dots)
    wrong = sum(dot.correct is False for dot in dots)
    return svg(
        "Confidence over time",
        f"{len(dots)} predictions in {last:.2g} seconds, {wrong} of them wrong.",
        y_axis(y, [percent_tick(v) for v in ticks(floor, 1.0)])
        + x_axis(x, [(v, f"{v:g} s") for v in ticks(0.0, last or 1.0)], "seconds since the run began")
        + marks
        + threshold_across(y, threshold),
    )


def histogram(confidence: Sequence[float], correct: Sequence[bool], threshold: float | None, floor: float) -> str:
    """Histogram by confidence, with right predictions upwards and wrong ones downwards.

    Args:
        confidence: (N,) in [floor, 1].
        correct: (N,) booleans.
        threshold: drawn as a line, if there is one.
        floor: minimum possible confidence, 1 / K.
    """
    bins = 20
    right, wrong = [0] * bins, [0] * bins
    for value, hit in zip(confidence, correct, strict=True):
        index = min(bins - 1, max(0, int((value - floor) / (1 - floor) * bins)))
        (right if hit else wrong)[index] += 1
    # wrong predictions are few: they have their own scale, stated on the axis
    x = Axis(floor, 1.0, LEFT, WIDTH - RIGHT)
    middle = 190.0
    up = Axis(0, max(*right, 1), middle, TOP + 6)
    # At least 4, so that a single error is not a tall bar.
    down = Axis(0, max(*wrong, 4), middle + 1, HEIGHT - BOTTOM)
    width = (WIDTH - LEFT - RIGHT) / bins
    bars = []
    for index in range(bins):
        left = LEFT + index * width + 1
        low, high = floor + (1 - floor) * index / bins, floor + (1 - floor) * (index + 1) / bins
        for counts, axis, name in ((right, up, "right"), (wrong, down, "wrong")):
            if counts[index]:
                top, bottom = sorted((axis.at(counts[index]), axis.at(0)))
                words = f"{counts[index]} {name} between {100 * low:.0f} % and {100 * high:.0f} %"
                bars.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{top}" width="{width - 2:.1f}" '
                    f'height="{bottom - top:.1f}" rx="1.5"><title>{words}</title></rect>'
                )
    labels = (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>'
        + y_labels(up, [(float(max(*right, 1)), str(max(*right, 1)))])
        + y_labels(down, [(float(max(*wrong, 4)), str(max(*wrong, 4)))])
        + _named_at("right", right, TOP + 18)
        + _named_at("wrong", wrong, HEIGHT - BOTTOM - 6)
    )
    return svg(
        "Confidence of right and wrong predictions",
        f"{sum(right)} right predictions above the line, {sum(wrong)} wrong ones below it, on their own scale.",
        labels
        + x_axis(x, [percent_tick(v) for v in ticks(floor, 1.0)], "confidence")
        + "".join(bars)
        + _threshold_upright(x, threshold),
    )


def _named_at(name: str, counts: Sequence[int], y: float) -> str:
    """The name of one kind of bars, placed where they are lower."""
    word = len(counts) // 6  # about as wide as a word
    at_left = max(counts[:word]) <= max(counts[-word:])
    end, x = ("", LEFT + 6) if at_left else (" end", WIDTH - RIGHT - 4)
    return f'<text class="name {name}-text{end}" x="{x}" y="{y}">{name}</text>'


def coverage_curve(
    points: Sequence[CurvePoint], chosen: CurvePoint | None, target: float | None
) -> tuple[str, list[str]]:
    """Precision against coverage, with its interval as a band.

    Args:
        points: at least one, from the highest threshold to the lowest.
        chosen: initial position of the marker; None hides it until the slider moves.
        target: target precision, drawn as a line, if there is one.

    Returns:
        The drawing, and the marker's ``"x y"`` at each point.
    """
    # The precision of fewer than ten predictions varies widely and would stretch the axis.
    steady = [point.precision for point in points if point.accepted >= min(10, points[-1].accepted)]
    least = min(steady if target is None else [*steady, target])
    floor = max(0.0, math.floor((least - 0.02) * 20) / 20)
    x = Axis(0.0, 1.0, LEFT, WIDTH - RIGHT)
    y = Axis(floor, 1.0, HEIGHT - BOTTOM, TOP + 6)
    places = [(x.at(point.coverage), y.at(max(floor, point.precision))) for point in points]
    band = [(x.at(p.coverage), y.at(max(floor, p.high))) for p in points]
    band += [(x.at(p.coverage), y.at(max(floor, p.low))) for p in reversed(points)]
    start, hidden = (places[points.index(chosen)], "") if chosen in points else (places[0], " hidden")
    drawing = (
        y_axis(y, [percent_tick(v) for v in ticks(floor, 1.0)])
        + x_axis(x, [percent_tick(v) for v in ticks(0.0, 1.0)], "share accepted")
        + f'<polygon class="band" points="{path(band)}"/>'
        + (_target(y, target) if target is not None else "")
        + f'<polyline class="curve" points="{path(places)}"/>'
        + f'<circle id="marker" class="marker{hidden}" cx="{start[0]}" cy="{start[1]}" r="7"/>'
    )
    last = points[-1]
    title = "Right among the accepted, by share accepted"
    words = (
        f"From {100 * points[0].precision:.0f} % right among the most confident to {100 * last.precision:.1f} % of all."
    )
    return svg(title, words, drawing), [f"{px} {py}" for px, py in places]


def reliability_diagram(bins: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin], floor: float) -> str:
    """Reliability diagram: confidence against accuracy, which agree on the diagonal.

    Args:
        bins: bins after calibration, drawn as discs with intervals.
        before: bins before calibration, drawn as squares; may be empty.
        floor: minimum possible confidence, 1 / K.
    """
    least = min([floor, *(b.accuracy.low for b in bins), *(b.accuracy.value for b in before)])
    low = max(0.0, math.floor(least * 10) / 10)
    x = Axis(floor, 1.0, LEFT + 6, WIDTH - RIGHT - 6)
    y = Axis(low, 1.0, HEIGHT - BOTTOM, TOP + 6)
    squares = [
        f'<g><title>{escape("before calibration: " + _words(b))}</title><rect class="unknown" '
        f'x="{x.at(b.confidence) - 4:.1f}" y="{y.at(b.accuracy.value) - 4:.1f}" width="8" height="8"/></g>'
        for b in before
    ]
    discs = [
        f'<g><title>{escape(_words(b))}</title><line class="whisker" x1="{x.at(b.confidence)}" '
        f'x2="{x.at(b.confidence)}" y1="{y.at(b.accuracy.low)}" y2="{y.at(b.accuracy.high)}"/>'
        f'<circle class="right" cx="{x.at(b.confidence)}" cy="{y.at(b.accuracy.value)}" r="5"/></g>'
        for b in bins
    ]
    diagonal = f'<line class="target" x1="{x.at(floor)}" y1="{y.at(floor)}" x2="{x.at(1.0)}" y2="{y.at(1.0)}"/>'
    return svg(
        "Calibration: confidence against accuracy",
        "; ".join(f"confidence {100 * b.confidence:.0f} %, right {100 * b.accuracy.value:.0f} %" for b in bins) + ".",
        y_axis(y, [percent_tick(v) for v in ticks(low, 1.0)])
        + x_axis(x, [percent_tick(v) for v in ticks(floor, 1.0)], "stated confidence")
        + diagonal
        + "".join(squares)
        + "".join(discs),
    )


def _words(b: ReliabilityBin) -> str:
    return f"{b.count} predictions, confidence {100 * b.confidence:.0f} %, right {b.accuracy.percent()}"


def _target(y: Axis, target: float) -> str:
    return (
        f'<line class="target" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(target)}" y2="{y.at(target)}"/>'
        f'<text class="name" x="{LEFT + 6}" y="{y.at(target) + 16}">target {100 * target:.4g} %</text>'
    )


def _mark(x: float, y: float, correct: bool | None, words: str) -> str:
    if correct is None:
        shape = f'<path class="unknown" d="M{x} {y - 5}l5 5l-5 5l-5 -5z"/>'
    elif correct:
        shape = f'<circle class="right" cx="{x}" cy="{y}" r="4"/>'
    else:
        shape = f'<path class="cross" d="M{x - 5} {y - 5}l10 10m0 -10l-10 10"/>'
    return f"<g><title>{escape(words)}</title>{shape}</g>"


def _threshold_upright(x: Axis, threshold: float | None) -> str:
    place = x.at(threshold if threshold is not None else x.high)
    hidden = "" if threshold is not None else " hidden"
    ends = f'x1="{place}" x2="{place}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
    return f'<line class="threshold{hidden}" {x.data("x")} {ends}/>'
