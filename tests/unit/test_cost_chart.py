"""What the report says of costs: the dated prices' own figures, drawn so that they can be read."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.cost import estimate as cost
from scones_ml.lifecycle.report_data import cost_estimate
from scones_ml.reports.cost_chart import cost_chart, two_digits
from scones_ml.reports.facts import CostEstimate, DesignCost

DOLLARS = st.floats(0.001, 1e6)


def test_the_estimate_is_what_scones_cost_prints() -> None:
    """Every design is in the table, at every volume with the dollars that ``scones cost`` prints for it."""
    found = cost_estimate()
    for column, volume in enumerate(found.volumes):
        printed = {row.design: row.per_month for row in cost.estimate(volume)}
        assert {design.name: design.dollars[column] for design in found.designs} == pytest.approx(printed)
    assert {design.name: design.idle for design in found.designs} == {
        row.design: row.idle_per_month for row in cost.estimate(0)
    }


def test_at_a_break_even_both_designs_cost_the_same() -> None:
    """Where one design overtakes another, both cost what the ring says, and both are drawn."""
    found = cost_estimate()
    assert found.break_evens
    drawn = {design.name for design in found.designs if design.drawn}
    for even in found.break_evens:
        assert {even.below, even.above} <= drawn
        for one in cost.estimate(even.images, [even.below, even.above]):
            assert one.per_month == pytest.approx(even.dollars)


def test_the_chart_names_every_line() -> None:
    """Each drawn design has a line, its name at the end of it, and its words when it is pointed at."""
    found = cost_estimate()
    drawing = cost_chart(found)
    names = re.findall(r'<text class="series-name"[^>]*>([^<]+)</text>', drawing)
    assert sorted(names) == sorted(design.name for design in found.designs if design.drawn)
    assert drawing.count("<polyline") == len(names)
    assert drawing.count('class="ring"') == len(found.break_evens)
    assert "10,000,000 images a month" in drawing


@given(st.lists(st.tuples(DOLLARS, DOLLARS), min_size=1, max_size=8))
def test_names_never_touch(costs: list[tuple[float, float]]) -> None:
    """However close the lines end, their names are a line apart and inside the drawing, in the lines' order."""
    designs = tuple(DesignCost(f"d{i}", "", 0.0, pair) for i, pair in enumerate(costs))
    drawing = cost_chart(CostEstimate("prices", (1_000.0, 10_000.0), designs))
    heights = [float(y) for y in re.findall(r'class="series-name" x="[\d.]+" y="([\d.]+)"', drawing)]
    ordered = sorted(heights)
    assert all(below - above >= 14.9 for above, below in pairwise(ordered))
    assert ordered[0] > 0
    assert ordered[-1] <= 300


@pytest.mark.parametrize(("number", "words"), [(1775.5, "1,800"), (428_778_489.9, "430,000,000"), (99.9, "100")])
def test_volumes_claim_no_more_than_is_known(number: float, words: str) -> None:
    """A break-even is told with two digits."""
    assert two_digits(number) == words
