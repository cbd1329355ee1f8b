"""Chart of the costs on AWS, with logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from scones_ml.reports.drawing import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Axis, path, svg, x_axis, y_axis
from scones_ml.reports.facts import BreakEven, CostEstimate, DesignCost

__all__ = ["cost_chart", "two_digits"]

_NAMES = 170  # room on the right for the designs' names
_LINE = 15  # height of a name
_STEPS = 4  # points between two volumes, so that lines are smooth
_STYLES = 8  # number of line styles in the page's style sheet


def cost_chart(costs: CostEstimate) -> str:
    """Chart of dollars a month against images a month, with a ring where two designs cost the same.

    Args:
        costs: at least two volumes; costs of drawn designs must be above 0, and at most eight have distinct styles.
    """
    drawn = [design for design in costs.designs if design.drawn]
    decades = [math.log10(dollars) for design in drawn for dollars in design.dollars]
    x = Axis(math.log10(costs.volumes[0]), math.log10(costs.volumes[-1]), LEFT, WIDTH - _NAMES)
    y = Axis(math.floor(min(decades)), math.ceil(max(decades)), HEIGHT - BOTTOM, TOP + 6)
    rings = "".join(
        f'<g><title>{escape(_words(found))}</title><circle class="ring" cx="{x.at(math.log10(found.images))}" '
        f'cy="{y.at(math.log10(found.dollars))}" r="4.5"/></g>'
        for found in costs.break_evens
    )
    last = costs.volumes[-1]
    return svg(
        "What a month on AWS costs",
        f"At {last:,.0f} images a month: "
        + ", ".join(f"{design.name} {design.dollars[-1]:,.2f} dollars" for design in drawn)
        + ".",
        y_axis(y, [(float(d), _short(10.0**d)) for d in range(int(y.low), int(y.high) + 1)])
        + x_axis(x, [(math.log10(v), _short(v)) for v in costs.volumes], "images a month")
        + _lines(drawn, costs.volumes, x, y)
        + rings,
    )


def _lines(drawn: Sequence[DesignCost], volumes: Sequence[float], x: Axis, y: Axis) -> str:
    """The line of each design, with its name at the end; names that would overlap are moved apart."""
    heights = _apart([y.at(math.log10(design.dollars[-1])) for design in drawn])
    parts = []
    for number, (design, height) in enumerate(zip(drawn, heights, strict=True)):
        places = [
            (x.at(math.log10(v)), y.at(math.log10(dollars)))
            for v, dollars in zip(_fine(volumes), _between(design.dollars), strict=True)
        ]
        style = f"style-{number % _STYLES}"
        words = f"{design.name}: {design.description}"
        end, edge = places[-1][1], WIDTH - _NAMES
        parts.append(
            f'<g class="{style}"><title>{escape(words)}</title><polyline class="series" points="{path(places)}"/>'
            f'<path class="leader" d="M{edge} {end}L{edge + 12} {height}"/>'
            f'<text class="series-name" x="{edge + 15}" y="{height + 4.5:.1f}">{escape(design.name)}</text></g>'
        )
    return "".join(parts)


def _fine(volumes: Sequence[float]) -> list[float]:
    """The volumes with three more between each two, evenly spaced on the logarithmic axis."""
    fine = [low * (high / low) ** (step / _STEPS) for low, high in pairwise(volumes) for step in range(_STEPS)]
    return [*fine, volumes[-1]]


def _between(dollars: Sequence[float]) -> list[float]:
    """The costs at the finer volumes; a cost is a fixed amount plus an amount per image."""
    fine = [
        low + (high - low) * (10 ** (step / _STEPS) - 1) / 9
        for low, high in pairwise(dollars)
        for step in range(_STEPS)
    ]
    return [*fine, dollars[-1]]


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights at least one line apart, in the same order, and within the drawing."""
    placed = [0.0] * len(heights)
    above = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        above = placed[index] = max(heights[index], above + _LINE)
    below: float = HEIGHT - BOTTOM + _LINE
    for index in sorted(range(len(heights)), key=placed.__getitem__, reverse=True):
        below = placed[index] = min(placed[index], below - _LINE)
    return placed


def _short(value: float) -> str:
    """``10k``, ``1M``, ``0.01``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _words(found: BreakEven) -> str:
    images = two_digits(found.images)
    return f"from about {images} images a month on, {found.above} costs less than {found.below}"


def two_digits(number: float) -> str:
    """A number rounded to its precision, ``1,800`` for 1,775."""
    return f"{float(f'{number:.2g}'):,.0f}"
