"""Estimates for each design: dollars a month and for 1,000 images, with the formula of every line.

Included are requests, transitions, durations, instance hours, logs and alarms at list price. Not included: storage,
data transfer out of the region, data capture, retries, free tiers and taxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scones_ml.cost.designs import DESIGNS, Line, compute
from scones_ml.cost.prices import HOURS_A_MONTH, PriceTable, price_table
from scones_ml.cost.workload import Workload
from scones_ml.errors import ConfigurationError
from scones_ml.reports.facts import BreakEven

__all__ = ["DesignEstimate", "Point", "break_evens", "chart", "estimate", "instance_break_even"]

_THOUSAND = 1000  # images of a displayed rate: that of one image is mostly zeros


@dataclass(frozen=True)
class DesignEstimate:
    """Estimated cost of one design.

    Attributes:
        design: its name in `DESIGNS`.
        description: a short description.
        images: images a month.
        lines: the bill.
    """

    design: str
    description: str
    images: float
    lines: tuple[Line, ...]

    @property
    def per_month(self) -> float:
        """Dollars a month."""
        return _dollars(self, self.images)

    @property
    def idle_per_month(self) -> float:
        """Dollars for a month without an image."""
        return _dollars(self, 0)

    @property
    def per_thousand(self) -> float:
        """Dollars for 1,000 additional images."""
        return _THOUSAND * sum(line.per_image for line in self.lines)


@dataclass(frozen=True)
class Point:
    """One point of a chart: a design's cost in a month with a number of images."""

    design: str
    images: float
    dollars: float


def estimate(
    images: float,
    designs: Sequence[str] | None = None,
    *,
    workload: Workload | None = None,
    prices: PriceTable | None = None,
) -> tuple[DesignEstimate, ...]:
    """Estimate the cost of designs in a month with a number of images.

    Args:
        images: images a month, 0 or more.
        designs: names in `DESIGNS`; None for all.
        workload: durations and sizes.
        prices: price table; None for that of us-east-1.

    Raises:
        ConfigurationError: a design or an instance is unknown, or ``images`` is negative.
    """
    if images < 0:
        raise ConfigurationError(f"{images:g} images a month: give 0 or more")
    workload, prices = workload or Workload(), prices or price_table()
    found = []
    for name in designs if designs is not None else DESIGNS:
        if name not in DESIGNS:
            raise ConfigurationError(f"there is no design {name!r}: choose from {', '.join(DESIGNS)}")
        design = DESIGNS[name]
        found.append(DesignEstimate(name, design.description, images, tuple(design.lines(workload, prices))))
    return tuple(found)


def break_evens(estimates: Sequence[DesignEstimate]) -> tuple[BreakEven, ...]:
    """Every volume at which two designs cost the same, fewest images first."""
    found = []
    for index, one in enumerate(estimates):
        for other in estimates[index + 1 :]:
            # Includes the start-up of jobs, since months with images are compared.
            fixed = _fixed(other) - _fixed(one)
            slope = (one.per_thousand - other.per_thousand) / _THOUSAND
            if slope and fixed / slope > 0:
                below, above = (one, other) if fixed > 0 else (other, one)
                images = fixed / slope
                found.append(BreakEven(below.design, above.design, images, _dollars(below, images)))
    return tuple(sorted(found, key=lambda row: row.images))


def instance_break_even(workload: Workload | None = None, prices: PriceTable | None = None) -> float:
    """Images a month above which an always-on instance costs less than a function's compute.

    ``hours x instance price / (GB-seconds of one image x price of a GB-second)``.
    """
    workload, prices = workload or Workload(), prices or price_table()
    inside = compute("model in the function", workload.model_inside, workload, prices)
    return HOURS_A_MONTH * prices.instance(workload.instance) / inside.per_image


def chart(estimates: Sequence[DesignEstimate], images: Sequence[float]) -> tuple[Point, ...]:
    """Each design's cost at each volume: rows for a chart with logarithmic axes."""
    return tuple(Point(one.design, volume, _dollars(one, volume)) for one in estimates for volume in images)


def _dollars(one: DesignEstimate, images: float) -> float:
    return sum(line.dollars(images) for line in one.lines)


def _fixed(one: DesignEstimate) -> float:
    return sum(line.per_month for line in one.lines)
