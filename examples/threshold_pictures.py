"""The figures of docs/threshold.md, from a model's predictions: ``threshold_pictures.py MODEL DATA FOLDER``.

Predictions are those on the test split, which was used for no choice; the guarantees follow from counts.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scones_ml import lifecycle
from scones_ml.evaluation import threshold_for_costs
from scones_ml.evaluation.intervals import clopper_pearson_lower
from scones_ml.lifecycle import Predictions
from scones_ml.reports.charts import coverage_curve, histogram
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
    ticks,
    x_axis,
    y_axis,
)
from scones_ml.reports.evaluation_report import curve_points, scored_predictions
from scones_ml.reports.facts import ScoredPrediction
from scones_ml.reports.page import asset

WRONG, REVIEW = 20.0, 1.0  # a wrong prediction costs as much as twenty reviews
MOST_LABELS = 600
ERRORS = {"none of them wrong": 0.0, "1 in 100 wrong": 0.01, "3 in 100 wrong": 0.03}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw four figures, and print them in words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    predictions = lifecycle.predict(options.model, options.data)
    given = scored_predictions(predictions.probabilities, predictions.labels)
    drawings = {
        "confidence": histogram(
            [a.confidence for a in given],
            [a.correct for a in given],
            predictions.threshold,
            1 / len(predictions.classes),
        ),
        "tradeoff": tradeoff(given, predictions.threshold),
        "costs": costs(predictions, given),
        "labels": promises(),
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in drawings.items():
        (options.folder / f"threshold-{name}.svg").write_text(standalone(drawing), encoding="utf-8")
    tell(given, predictions.threshold)


def tradeoff(given: Sequence[ScoredPrediction], threshold: float | None) -> str:
    """Precision against coverage, with a marker at the model's threshold."""
    accepted = sum(a.confidence >= threshold for a in given) if threshold else 0
    points = curve_points(tuple(given), accepted)
    chosen = next((point for point in points if point.accepted == accepted), None)
    return coverage_curve(points, chosen, None)[0]


def costs(predictions: Predictions, given: Sequence[ScoredPrediction]) -> str:
    """Cost of an image at each threshold, in reviews."""
    floor = 1 / len(predictions.classes)
    thresholds = np.linspace(floor, 1.0, 101)
    spent = [cost(given, float(threshold)) for threshold in thresholds]
    x = Axis(floor, 1.0, LEFT, WIDTH - RIGHT)
    y = Axis(0.0, max(*spent, REVIEW) * 1.05, HEIGHT - BOTTOM, TOP + 6)
    best = threshold_for_costs(predictions.probabilities, predictions.labels, wrong_accept=WRONG, review=REVIEW)
    place, cheapest = best.acceptance.threshold, best.cost.value
    return svg(
        "What an image costs, by threshold",
        f"Least, {cheapest:.2f} looks, about the threshold of {place:.2f}.",
        y_axis(y, [(value, f"{value:g}") for value in ticks(0.0, y.high)])
        + x_axis(x, [percent_tick(value) for value in ticks(floor, 1.0)], "threshold")
        + f'<line class="target" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.at(REVIEW)}" y2="{y.at(REVIEW)}"/>'
        + f'<text class="name" x="{LEFT + 6}" y="{y.at(REVIEW) - 6}">every image is reviewed</text>'
        + polyline(x, y, zip(thresholds, spent, strict=True))
        + f'<circle class="marker" cx="{x.at(place)}" cy="{y.at(cost(given, place))}" r="7"/>',
    )


def cost(given: Sequence[ScoredPrediction], threshold: float) -> float:
    """Mean cost of an image at a threshold."""
    spent = [(0.0 if a.correct else WRONG) if a.confidence >= threshold else REVIEW for a in given]
    return sum(spent) / len(spent)


def promises() -> str:
    """Guaranteed precision at 95 % confidence, by number of accepted labelled images and of errors among them."""
    x = Axis(0.0, MOST_LABELS, LEFT, WIDTH - RIGHT)
    y = Axis(0.85, 1.0, HEIGHT - BOTTOM, TOP + 6)
    parts = []
    for number, (words, rate) in enumerate(ERRORS.items()):
        # points with an exact share; in between, each further error would be a step down
        passed = [(round(k / rate), k) for k in range(1, int(rate * MOST_LABELS) + 1)] if rate else _faultless()
        points = [(count, clopper_pearson_lower(count - wrong, count, 0.95)) for count, wrong in passed]
        label = f'<text class="series-name end" x="{WIDTH - RIGHT}" y="{y.at(points[-1][1]) + (18 if rate else -7)}">'
        line = polyline(x, y, [point for point in points if point[1] >= y.low], "series")
        parts.append(f'<g class="style-{4 - 2 * number}">{line}{label}{words}</text></g>')
    return svg(
        "What can be promised, by how many labelled images there are",
        "With 59 labelled images that pass and no error among them, 95 % can be promised; with 299, 99 %.",
        y_axis(y, [percent_tick(value) for value in ticks(0.85, 1.0)])
        + x_axis(x, [(value, f"{value:g}") for value in ticks(0.0, MOST_LABELS)], "labelled images that pass")
        + "".join(parts),
    )


def _faultless() -> list[tuple[int, int]]:
    return [(count, 0) for count in range(19, MOST_LABELS + 1, 5)]


def polyline(x: Axis, y: Axis, points: Iterable[tuple[float, float]], style: str = "curve") -> str:
    """A polyline through points."""
    return f'<polyline class="{style}" points="{path([(x.at(a), y.at(b)) for a, b in points])}"/>'


def standalone(drawing: str) -> str:
    """A drawing as a standalone SVG: the report's colours, light and dark, on the report's card."""
    style = asset("report.css")
    colours = style[: style.index("* {")]
    rules = "\n".join(re.findall(r"^(?:svg|\.style-).*$", style, re.MULTILINE))
    font = "svg { font-family: system-ui, sans-serif; }"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * 4 // 3}" height="{HEIGHT * 4 // 3}" '
    card = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="var(--card)"/>'
    start = drawing.index(">") + 1
    opening = drawing[:start].replace("<svg ", head, 1)
    return f"{opening}<style>{colours}{font}\n{rules}</style>{card}{drawing[start:]}\n"


def tell(given: Sequence[ScoredPrediction], threshold: float | None) -> None:
    """The key values in words, for the page."""
    for name, at in (("every answer passes", 0.0), ("the model's threshold", threshold or 1.0), ("very strict", 0.99)):
        passed = [a for a in given if a.confidence >= at]
        right = sum(a.correct for a in passed)
        print(f"{name}: {len(passed)} of {len(given)} pass, {right} of them are right")
    for at in (0.0, 0.95, 1.01):
        print(f"at a threshold of {at:g} an image costs {cost(given, at):.2f} looks")


if __name__ == "__main__":
    main()
