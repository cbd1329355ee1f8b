"""The evaluation report: a self-contained HTML page about a model and a run of it, with the conclusion first.

The page needs no network, script or extra font: drawings are inline SVG, images data URIs. Its content security policy
blocks everything else and allows only the page's own script (by hash), so that untrusted image keys are only text.
"""

from __future__ import annotations

import base64
import hashlib
import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scones_ml.evaluation.arrays import as_labels, as_probabilities, confidences
from scones_ml.evaluation.calibration import ReliabilityBin, reliability_bins
from scones_ml.evaluation.intervals import clopper_pearson
from scones_ml.evaluation.unlike import unlike_rows
from scones_ml.reports import charts
from scones_ml.reports.cost_chart import cost_chart, two_digits
from scones_ml.reports.facts import ClassifiedRow, RunReport, ScoredPrediction
from scones_ml.reports.page import asset, environment

if TYPE_CHECKING:
    import numpy.typing as npt


__all__ = ["curve_points", "hardest_examples", "render_report", "scored_predictions"]

_MOST_DOTS = 1500  # more would overlap, and each takes more than a hundred bytes of the page
_MOST_POINTS = 200  # one for every two units of the chart: finer steps would be invisible
_MOST_IMAGES = 48  # images per group; the rest is counted
_FIRST_IMAGES = 12  # visible images per group; a click shows the others
_MOST_CELLS = 20  # classes per side: a larger matrix is unreadable
_MOST_ROWS = 40  # rows of classes in a table: the hardest ones
_MOST_PAIRS = 12  # pairs of confused classes
_LARGE = 64  # pixels: models of this input size take photographs, which are drawn smoothly


def scored_predictions(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[ScoredPrediction, ...]:
    """Predictions from the (N, K) probabilities and (N,) labels of a split, in order.

    Raises:
        InferenceError: a row is not a probability vector.
        DatasetError: the labels do not match the probabilities.
    """
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    rows = zip(confidences(matrix), correct, unlike_rows(matrix), strict=True)
    return tuple(ScoredPrediction(float(c), bool(hit), bool(unlike)) for c, hit, unlike in rows)


def hardest_examples(probabilities: npt.ArrayLike, labels: npt.ArrayLike, most: int = 24) -> tuple[int, ...]:
    """Select the hardest images of a split: the most confident errors, then the least confident right predictions.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices in 0..K-1.
        most: maximum number of each kind.

    Returns:
        Row numbers, at most ``2 * most``.
    """
    given = scored_predictions(probabilities, labels)
    errors = sorted((i for i, a in enumerate(given) if not a.correct), key=lambda i: -given[i].confidence)
    hits = sorted((i for i, a in enumerate(given) if a.correct), key=lambda i: given[i].confidence)
    return (*errors[:most], *hits[:most])


def render_report(report: RunReport) -> str:
    """The page as HTML text; write it as UTF-8.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    renderer, markup = environment()
    script = asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    at = report.evaluation.at_threshold
    points = curve_points(report.predictions, at.accepted if at else 0)
    chosen = next((point for point in points if at and point.accepted == at.accepted), None)
    if at and chosen:  # the chosen threshold is slightly below the lowest accepted confidence
        points[points.index(chosen)] = chosen = replace(chosen, threshold=at.threshold)
    floor = 1 / len(report.evaluation.classes)
    curve, places = charts.coverage_curve(points, chosen, report.threshold.target_precision)
    slider = [_slider_row(point, place) for point, place in zip(points, places, strict=True)]
    if chosen is None:  # the slider starts at the threshold that accepts nothing
        slider.insert(0, _nothing_accepted(at.threshold if at else None, points[0].images))
    drawings = {
        "curve": curve,
        "histogram": charts.histogram(
            [a.confidence for a in report.predictions],
            [a.correct for a in report.predictions],
            report.threshold.threshold,
            floor,
        ),
        "reliability": charts.reliability_diagram(_bins(report.predictions), _bins(report.uncalibrated), floor),
    }
    if dots := _dots(report.rows):
        drawings["scatter"] = charts.scatter(dots, report.threshold.threshold, floor)
    if report.costs:
        drawings["costs"] = cost_chart(report.costs)
    return renderer.from_string(asset("report.html.j2")).render(
        report=report,
        evaluation=report.evaluation,
        at=at,
        script=markup(script),
        script_hash=digest,
        style=markup(asset("report.css")),
        drawings={name: markup(svg) for name, svg in drawings.items()},
        contents=_contents(report),
        shown=chosen or replace(points[0], accepted=0, correct=0),
        points=slider,
        position=0 if chosen is None else points.index(chosen),
        outcomes=_outcomes(report.rows),
        groups=_groups(report.rows),
        tested=_tested(report),
        pairs=report.evaluation.confused_pairs(),
        most_pairs=_MOST_PAIRS,
        supports={row.name: row.support for row in report.evaluation.per_class},
        most_cells=_MOST_CELLS,
        hardest=report.evaluation.hardest_classes()[:_MOST_ROWS],
        large=report.model.input_size >= _LARGE,
        about=two_digits,
        first=_FIRST_IMAGES,
        most=_MOST_IMAGES,
        durations=_durations(report.rows),
        total_seconds=sum(report.stage_seconds.values()),
        longest=max(report.stage_seconds.values(), default=0.0) or 1.0,
    )


def _bins(given: tuple[ScoredPrediction, ...]) -> tuple[ReliabilityBin, ...]:
    """The confidences of predictions on images that are not unlike the training images."""
    given = tuple(answer for answer in given if not answer.unlike)
    if not given:
        return ()
    return reliability_bins(np.array([a.confidence for a in given]), np.array([float(a.correct) for a in given]))


def curve_points(given: tuple[ScoredPrediction, ...], always: int = 0) -> list[charts.CurvePoint]:
    """The accepted predictions at each threshold, highest first; equal confidences are accepted together.

    About 200 points, evenly spread; the last one is all predictions except those unlike the training images.

    Args:
        given: the predictions.
        always: a number of accepted predictions whose point is always included.
    """
    ordered = sorted((a for a in given if not a.unlike), key=lambda a: -a.confidence)
    images, last = len(given), len(ordered)
    if not ordered:
        return [charts.CurvePoint(1.0, 0, 0, images, 0.0, 1.0)]
    hits = np.cumsum([a.correct for a in ordered])
    ends = [i + 1 for i in range(last) if i + 1 == last or ordered[i + 1].confidence < ordered[i].confidence]
    spread = np.linspace(0, len(ends) - 1, min(len(ends), _MOST_POINTS)).round().astype(int)
    points = []
    for accepted in sorted({*(ends[i] for i in spread), *(end for end in ends if end == always)}):
        right = int(hits[accepted - 1])
        interval = clopper_pearson(right, accepted)
        threshold = ordered[accepted - 1].confidence
        points.append(charts.CurvePoint(threshold, accepted, right, images, interval.low, interval.high))
    return points


def _slider_row(point: charts.CurvePoint, place: str) -> dict[str, object]:
    x, y = place.split()
    return {
        "threshold": point.threshold,
        "accepted": point.accepted,
        "correct": point.correct,
        "images": point.images,
        "low": round(point.low, 4),
        "high": round(point.high, 4),
        "x": float(x),
        "y": float(y),
    }


def _nothing_accepted(threshold: float | None, images: int) -> dict[str, object]:
    """The slider's row if there is no threshold, or no confidence reaches it: a point that is not drawn."""
    figures: dict[str, object] = {"threshold": threshold, "accepted": 0, "correct": 0, "images": images}
    return figures | {"low": 0.0, "high": 1.0, "x": None, "y": None}


def _contents(report: RunReport) -> list[tuple[str, str]]:
    """The page's sections by id, with their short names."""
    parts = (
        ("run", "This run", report.rows),
        ("sure", "Confidence", True),
        ("move", "Threshold", True),
        ("trust", "Calibration and classes", True),
        ("tested", "Errors", any(row.correct is not None for row in report.tested)),
        ("images", "Images", report.rows),
        ("costs", "Cost", report.costs),
        ("identity", "Data set and model", True),
    )
    return [(name, title) for name, title, there in parts if there]


def _dots(rows: tuple[ClassifiedRow, ...]) -> list[charts.Dot]:
    answered = [row for row in rows if row.confidence is not None]
    step = max(1, math.ceil(len(answered) / _MOST_DOTS))
    return [
        charts.Dot(
            seconds=row.started,
            confidence=row.confidence,
            correct=row.correct,
            words=f"{row.key}: {row.label}, {100 * row.confidence:.1f} %"
            + (f", labelled {row.truth}" if row.correct is False else ""),
        )
        for row in answered[::step]
        if row.confidence is not None
    ]


def _durations(rows: tuple[ClassifiedRow, ...]) -> dict[str, str]:
    spent = [row.duration_ms for row in rows if row.duration_ms]
    return {"median": f"{statistics.median(spent):.0f}", "longest": f"{max(spent):.0f}"} if spent else {}


def _outcomes(rows: tuple[ClassifiedRow, ...]) -> list[tuple[str, str, int]]:
    words = {
        "accepted": "accepted",
        "review": "sent to review",
        "quarantined": "quarantined: not readable as an image",
        "dropped": "dropped: deleted or replaced before they were read",
    }
    counts = [(name, text, sum(row.outcome == name for row in rows)) for name, text in words.items()]
    return [entry for entry in counts if entry[2]]


def _tested(report: RunReport) -> list[tuple[str, str, list[ClassifiedRow]]]:
    wrong = report.evaluation.images - report.evaluation.correct
    groups = [
        (
            "Most confident errors",
            f"Of {wrong} wrong {'prediction' if wrong == 1 else 'predictions'}, most confident first.",
            False,
        ),
        ("Least confident right predictions", f"Of {report.evaluation.correct}, least confident first.", True),
    ]
    return [
        (title, note, some)
        for title, note, correct in groups
        if (some := [row for row in report.tested if row.correct is correct])
    ]


def _groups(rows: tuple[ClassifiedRow, ...]) -> list[tuple[str, str, list[ClassifiedRow]]]:
    """The run's images in groups, the most important first."""
    accepted = [row for row in rows if row.outcome == "accepted"]
    review = [row for row in rows if row.outcome == "review"]
    groups = [
        ("Accepted, but wrong", "Most confident first.", [r for r in accepted if r.correct is False]),
        ("Sent to review", "Least confident first.", review),
        ("Quarantined", "Not readable as an image; not classified.", [r for r in rows if r.outcome == "quarantined"]),
        (
            "Dropped",
            "Deleted or replaced before they were read.",
            [r for r in rows if r.outcome == "dropped"],
        ),
        ("Accepted", "Least confident first.", [r for r in accepted if r.correct is not False]),
    ]
    return [
        (title, note, sorted(some, key=lambda r: (r.confidence or 0.0) * (-1 if "wrong" in title else 1)))
        for title, note, some in groups
        if some
    ]
