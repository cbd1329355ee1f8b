"""Elements of charts as inline SVG: scales, axes and the frame, with colours from the page's CSS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BOTTOM",
    "HEIGHT",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "Axis",
    "path",
    "percent_tick",
    "svg",
    "threshold_across",
    "ticks",
    "x_axis",
    "y_axis",
    "y_labels",
]

WIDTH, HEIGHT = 480, 300  # units of the viewBox, which the page scales
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 44  # room for ticks and the name of the axis


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to the drawing's units."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The position of a value."""
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)

    def data(self, name: str) -> str:
        """The scale as attributes for the slider."""
        return (
            f'data-axis="{name}" data-low="{self.low}" data-high="{self.high}" '
            f'data-start="{self.start}" data-end="{self.end}"'
        )


def svg(title: str, description: str, content: str) -> str:
    """A drawing with a title and a description for screen readers."""
    name = "".join(c if c.isalnum() else "-" for c in title.lower())
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{content}</svg>'
    )


def threshold_across(y: Axis, threshold: float | None) -> str:
    """The threshold as a horizontal line; hidden if there is none, so that a slider can show it."""
    place = y.at(threshold if threshold is not None else y.high)
    hidden = "" if threshold is not None else " hidden"
    return f'<line class="threshold{hidden}" {y.data("y")} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place}" y2="{place}"/>'


def y_axis(axis: Axis, ticks: Sequence[tuple[float, str]]) -> str:
    """Lines across the drawing, each with its label on the left."""
    lines = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axis.at(v)}" y2="{axis.at(v)}"/>' for v, _ in ticks
    )
    return lines + y_labels(axis, ticks)


def y_labels(axis: Axis, ticks: Sequence[tuple[float, str]]) -> str:
    """Labels on the left."""
    return "".join(f'<text class="tick end" x="{LEFT - 8}" y="{axis.at(v) + 4.5}">{t}</text>' for v, t in ticks)


def x_axis(axis: Axis, ticks: Sequence[tuple[float, str]], name: str) -> str:
    """Labels at the bottom, and the axis's name."""
    base = HEIGHT - BOTTOM
    labels = "".join(f'<text class="tick middle" x="{axis.at(v)}" y="{base + 18}">{t}</text>' for v, t in ticks)
    middle = (axis.start + axis.end) / 2
    return f'{labels}<text class="name middle" x="{middle}" y="{base + 37}">{escape(name)}</text>'


def percent_tick(value: float) -> tuple[float, str]:
    """Shares with their labels in percent."""
    return value, f"{100 * value:.3g}"


def ticks(low: float, high: float) -> list[float]:
    """About five round values from low to high."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def path(places: Sequence[tuple[float, float]]) -> str:
    """Positions as the points of a line."""
    return " ".join(f"{x},{y}" for x, y in places)
