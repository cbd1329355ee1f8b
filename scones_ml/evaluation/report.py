"""One self-contained HTML page about a model and a run of it: the answer first, the evidence below.

The page needs no network, no script and no font that is not there: drawings are inline SVG, pictures data URIs. Its
content security policy lets nothing else in, and only the page's own script runs (by its hash), so that an image key
written by a stranger is text and nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from scones_ml.evaluation import charts
from scones_ml.evaluation.arrays import as_labels, as_probabilities, confidences
from scones_ml.evaluation.calibration import ReliabilityBin, reliability_bins
from scones_ml.evaluation.intervals import clopper_pearson
from scones_ml.evaluation.page import asset, environment

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt

    from scones_ml.evaluation.metrics import Evaluation
    from scones_ml.evaluation.threshold import ThresholdChoice

__all__ = [
    "Answer",
    "ClassifiedRow",
    "DatasetFacts",
    "ModelFacts",
    "RunReport",
    "answers",
    "curve_points",
    "render_report",
]

Outcome = Literal["accepted", "review", "quarantined", "dropped"]

_MOST_DOTS = 1500
_MOST_POINTS = 200
_MOST_PICTURES = 48  # in each group; the rest is counted


@dataclass(frozen=True)
class Answer:
    """One answer on a labelled test image.

    Attributes:
        confidence: in [0, 1].
        correct: whether it was right.
    """

    confidence: float
    correct: bool


@dataclass(frozen=True)
class ClassifiedRow:
    """One picture that went through the workflow.

    Attributes:
        key: the object's key; anybody may have written it.
        outcome: where it ended.
        thumbnail: a small PNG, or None when there is no picture.
        label: the answer, None without one.
        confidence: of the answer, in [0, 1], None without one.
        truth: what it really shows, None when nobody knows.
        reason: why it was quarantined or dropped.
        started: seconds from the start of the run.
        duration_ms: from event to outcome.
    """

    key: str
    outcome: Outcome
    thumbnail: bytes | None = None
    label: str | None = None
    confidence: float | None = None
    truth: str | None = None
    reason: str | None = None
    started: float = 0.0
    duration_ms: float = 0.0

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; None when there is no answer or no truth."""
        return None if self.label is None or self.truth is None else self.label == self.truth


@dataclass(frozen=True)
class DatasetFacts:
    """What the model learned from.

    Attributes:
        source: where the pictures come from, in words or as a path.
        classes: K names.
        counts: images by split and class, ``{"train": {"bicycle": 400, ...}, ...}``.
        hash: sha256 of the data set.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    hash: str


@dataclass(frozen=True)
class ModelFacts:
    """What the model is.

    Attributes:
        preset: name of the training recipe.
        seed: of everything random.
        temperature: what its logits are divided by.
        input_size: side of its square input, pixels.
        file_bytes: size of ``model.onnx``.
        hash: sha256 of ``model.onnx``.
        library_version: of scones_ml.
    """

    preset: str
    seed: int
    temperature: float
    input_size: int
    file_bytes: int
    hash: str
    library_version: str


@dataclass(frozen=True)
class RunReport:
    """All that the page tells; it asks nobody and looks nothing up.

    Attributes:
        title: of the page.
        created: when, as the caller says.
        dataset: what was learned from.
        model: what learned it.
        evaluation: on the test split.
        answers: the same test images one by one, for the curves.
        threshold: the choice on the calibration split.
        rows: the run, in order; may be empty.
        stage_seconds: seconds by stage, in order.
        notes: lines on cost and on what is left, in words.
        uncalibrated: the answers as they would be without the temperature, to show what it did; may be empty.
    """

    title: str
    created: datetime
    dataset: DatasetFacts
    model: ModelFacts
    evaluation: Evaluation
    answers: tuple[Answer, ...]
    threshold: ThresholdChoice
    rows: tuple[ClassifiedRow, ...] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    uncalibrated: tuple[Answer, ...] = ()


def answers(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Answer, ...]:
    """The (N, K) probabilities and (N,) labels of a split as answers, in order.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the labels do not fit.
    """
    matrix = as_probabilities(probabilities)
    correct = matrix.argmax(axis=1) == as_labels(labels, *matrix.shape)
    return tuple(Answer(float(c), bool(hit)) for c, hit in zip(confidences(matrix), correct, strict=True))


def render_report(report: RunReport) -> str:
    """The page as HTML text, to be written as UTF-8.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    renderer, markup = environment()
    script = asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    at = report.evaluation.at_threshold
    points = curve_points(report.answers, at.accepted if at else 0)
    chosen = next((point for point in points if at and point.accepted == at.accepted), None)
    floor = 1 / len(report.evaluation.classes)
    curve, places = charts.coverage_curve(points, chosen, report.threshold.target_precision)
    drawings = {
        "curve": curve,
        "histogram": charts.histogram(
            [a.confidence for a in report.answers],
            [a.correct for a in report.answers],
            report.threshold.threshold,
            floor,
        ),
        "reliability": charts.reliability_diagram(_bins(report.answers), _bins(report.uncalibrated), floor),
    }
    if dots := _dots(report.rows):
        drawings["scatter"] = charts.scatter(dots, report.threshold.threshold, floor)
    return renderer.from_string(asset("report.html.j2")).render(
        report=report,
        evaluation=report.evaluation,
        at=at,
        script=markup(script),
        script_hash=digest,
        style=markup(asset("report.css")),
        drawings={name: markup(svg) for name, svg in drawings.items()},
        shown=chosen or points[-1],
        points=[_slider_row(point, place) for point, place in zip(points, places, strict=True)],
        position=points.index(chosen or points[-1]),
        outcomes=_outcomes(report.rows),
        groups=_groups(report.rows),
        most=_MOST_PICTURES,
        durations=_durations(report.rows),
        total_seconds=sum(report.stage_seconds.values()),
        longest=max(report.stage_seconds.values(), default=0.0) or 1.0,
    )


def _bins(given: tuple[Answer, ...]) -> tuple[ReliabilityBin, ...]:
    if not given:
        return ()
    return reliability_bins(np.array([a.confidence for a in given]), np.array([float(a.correct) for a in given]))


def curve_points(given: tuple[Answer, ...], always: int = 0) -> list[charts.CurvePoint]:
    """What each threshold lets through, strict to lenient; equal confidences pass together.

    About 200 points, evenly spread; the last one is always all answers.

    Args:
        given: the answers.
        always: a number of accepted answers whose point is never left out.
    """
    ordered = sorted(given, key=lambda a: -a.confidence)
    images = len(ordered)
    hits = np.cumsum([a.correct for a in ordered])
    ends = [i + 1 for i in range(images) if i + 1 == images or ordered[i + 1].confidence < ordered[i].confidence]
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
        "low": round(point.low, 4),
        "high": round(point.high, 4),
        "x": float(x),
        "y": float(y),
    }


def _dots(rows: tuple[ClassifiedRow, ...]) -> list[charts.Dot]:
    answered = [row for row in rows if row.confidence is not None]
    step = max(1, math.ceil(len(answered) / _MOST_DOTS))
    return [
        charts.Dot(
            seconds=row.started,
            confidence=row.confidence,
            correct=row.correct,
            words=f"{row.key}: {row.label}, {100 * row.confidence:.1f} %"
            + (f", really {row.truth}" if row.correct is False else ""),
        )
        for row in answered[::step]
        if row.confidence is not None
    ]


def _durations(rows: tuple[ClassifiedRow, ...]) -> dict[str, str]:
    spent = [row.duration_ms for row in rows if row.duration_ms]
    return {"median": f"{statistics.median(spent):.0f}", "longest": f"{max(spent):.0f}"} if spent else {}


def _outcomes(rows: tuple[ClassifiedRow, ...]) -> list[tuple[str, str, int]]:
    words = {
        "accepted": "let through",
        "review": "wait for a person",
        "quarantined": "set aside as broken",
        "dropped": "gone before they were read",
    }
    counts = [(name, text, sum(row.outcome == name for row in rows)) for name, text in words.items()]
    return [entry for entry in counts if entry[2]]


def _groups(rows: tuple[ClassifiedRow, ...]) -> list[tuple[str, str, list[ClassifiedRow]]]:
    """The run's pictures, what deserves a look first."""
    accepted = [row for row in rows if row.outcome == "accepted"]
    review = [row for row in rows if row.outcome == "review"]
    groups = [
        ("Let through, but wrong", "The most confident errors first.", [r for r in accepted if r.correct is False]),
        ("Waiting for a person", "The least sure first.", review),
        ("Set aside as broken", "No model has seen them.", [r for r in rows if r.outcome == "quarantined"]),
        (
            "Gone before they were read",
            "The object was deleted or replaced.",
            [r for r in rows if r.outcome == "dropped"],
        ),
        ("Let through", "The least sure first.", [r for r in accepted if r.correct is not False]),
    ]
    return [
        (title, note, sorted(some, key=lambda r: (r.confidence or 0.0) * (-1 if "wrong" in title else 1)))
        for title, note, some in groups
        if some
    ]
