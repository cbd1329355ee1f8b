"""Monitoring results, as frozen data and as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from scones_ml.captures import Skipped
from scones_ml.evaluation.intervals import Estimate, clopper_pearson
from scones_ml.monitoring.accuracy import AccuracyEstimate
from scones_ml.monitoring.drift import Drift, FigureDrift
from scones_ml.monitoring.timeline import Span

__all__ = ["ClassShare", "Dot", "Example", "Latency", "Monitoring", "evidence_in_words", "number_in_words"]

_SHARES = ("q05", "q25", "q50", "q75", "q95")


@dataclass(frozen=True)
class ClassShare:
    """The predictions of one class.

    Attributes:
        label: the class.
        count: number of predictions.
        share: share of all predictions, with its exact 95 % interval.
    """

    label: str
    count: int
    share: Estimate


@dataclass(frozen=True)
class Latency:
    """The container's latency, in milliseconds.

    Attributes:
        count: number of records with a latency.
        median: median.
        q95: 95 % quantile.
        q99: 99 % quantile.
    """

    count: int
    median: float
    q95: float
    q99: float


@dataclass(frozen=True)
class Dot:
    """One prediction in the scatter plot.

    Attributes:
        seconds: seconds since the epoch.
        confidence: in [0, 1].
        label: index of the class.
    """

    seconds: float
    confidence: float
    label: int


@dataclass(frozen=True)
class Example:
    """A captured prediction that is shown with its image.

    Attributes:
        time: UTC.
        label: the predicted class.
        confidence: in [0, 1].
        event_id: SageMaker's id of the record.
        inference_id: the caller's id; None if none was sent.
        object: the image's URI, if known.
        image: the image that was sent.
    """

    time: datetime
    label: str
    confidence: float
    event_id: str
    inference_id: str | None
    object: str | None
    image: bytes


@dataclass(frozen=True, repr=False)
class Monitoring:
    """Monitoring result of a stream of captures.

    Attributes:
        joined: number of records whose object is known; None if not requested.
        first: time of the earliest prediction, UTC.
        last: time of the latest prediction, UTC.
        labels: K class names.
        threshold: minimum confidence to accept; None if there is none.
        classes: predictions by class.
        confidence: quantiles of the confidence at 5, 25, 50, 75 and 95 %.
        review: share of predictions that go to review, with its exact 95 % interval.
        reviews: number of predictions that go to review.
        unlike: share of images that are unlike the training images, with its exact 95 % interval.
        unlikes: number of images that are unlike the training images.
        latency: None if no record contains it.
        spans: predictions and confidence over time.
        accuracy: estimated share of right predictions.
        accepted_accuracy: the same among predictions at or above the threshold; None if there are none.
        drift: None without a reference.
        dots: a uniform sample of at most 600 predictions.
        doubtful: the 12 least confident predictions.
        recent: five of about the last 1,000, drawn at random; empty without a reference.
        reviewed: number of captured images that reviewers have annotated and agree on; None if not requested.
        out_of_scope: number of these that show none of the classes.
        records: number of capture records of this model or without a usable answer.
        skipped: number of unreadable lines.
        skipped_lines: the first 20 unreadable lines.
        earlier: number of records before ``since``, which were left out.
        unanswered: number of records without a usable answer, by reason.
        other_models: number of records of other models, which were left out, by model.
    """

    joined: int | None
    first: datetime
    last: datetime
    labels: tuple[str, ...]
    threshold: float | None
    classes: tuple[ClassShare, ...]
    confidence: tuple[float, ...]
    review: Estimate | None
    reviews: int | None
    unlike: Estimate
    unlikes: int
    latency: Latency | None
    spans: tuple[Span, ...]
    accuracy: AccuracyEstimate | None
    accepted_accuracy: AccuracyEstimate | None
    drift: Drift | None
    dots: tuple[Dot, ...]
    doubtful: tuple[Example, ...]
    records: int = 0
    skipped: int = 0
    skipped_lines: tuple[Skipped, ...] = ()
    earlier: int = 0
    unanswered: Mapping[str, int] = field(default_factory=dict)
    other_models: Mapping[str, int] = field(default_factory=dict)
    recent: tuple[Example, ...] = ()
    reviewed: int | None = None
    out_of_scope: int = 0

    def __repr__(self) -> str:
        drift = "" if self.drift is None else f", drift={self.drift.alarm}"
        return f"Monitoring(answered={self.answered}, first='{self.first}', last='{self.last}'{drift})"

    def __str__(self) -> str:
        from scones_ml.monitoring.summary import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from scones_ml.monitoring.summary import as_html

        return as_html(self)

    @property
    def answered(self) -> int:
        """The number of records with a usable answer."""
        return sum(row.count for row in self.classes)

    @property
    def out_of_scope_share(self) -> Estimate | None:
        """The share of reviewed images that show none of the classes, with its exact 95 % interval."""
        return clopper_pearson(self.out_of_scope, self.reviewed) if self.reviewed else None

    def to_json(self) -> dict[str, object]:
        """The result as a JSON document, without dots and images."""
        return {
            "records": self.records,
            "skipped": self.skipped,
            "skipped_lines": [asdict(line) for line in self.skipped_lines],
            "earlier": self.earlier,
            "unanswered": dict(self.unanswered),
            "other_models": dict(self.other_models),
            "joined": self.joined,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "labels": list(self.labels),
            "threshold": self.threshold,
            "classes": [{"label": c.label, "count": c.count, "share": c.share.to_json()} for c in self.classes],
            "confidence": dict(zip(_SHARES, self.confidence, strict=True)),
            "review": None if self.review is None else {"count": self.reviews, "rate": self.review.to_json()},
            "unlike": {"count": self.unlikes, "share": self.unlike.to_json()},
            "out_of_scope": None if self.reviewed is None else _out_of_scope(self),
            "latency_ms": None if self.latency is None else asdict(self.latency),
            "over_time": [_span(span) for span in self.spans],
            "accuracy": _accuracy(self.accuracy),
            "accepted_accuracy": _accuracy(self.accepted_accuracy),
            "drift": None if self.drift is None else _drift(self.drift),
            "least_sure": [
                {**asdict(row), "time": row.time.isoformat(), "image": None if not row.image else len(row.image)}
                for row in self.doubtful
            ],
        }


def _out_of_scope(found: Monitoring) -> dict[str, object]:
    share = found.out_of_scope_share
    return {"reviewed": found.reviewed, "count": found.out_of_scope, "share": share.to_json() if share else None}


def _span(span: Span) -> dict[str, object]:
    return {
        "start": span.start.isoformat(),
        "end": span.end.isoformat(),
        "records": span.records,
        "below_threshold": span.below,
        **dict(zip(_SHARES, span.quantiles, strict=True)),
    }


def _accuracy(found: AccuracyEstimate | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        **found.estimate.to_json(),
        "answers": found.answers,
        "labels": found.labels,
        "caveat": found.caveat,
    }


def _drift(drift: Drift) -> dict[str, object]:
    return {
        "alarm": drift.alarm,
        "level": drift.level,
        "reference_images": drift.images,
        "images_measured": drift.measured,
        "images_unreadable": drift.unreadable,
        "figures": [_figure(figure) for figure in drift.figures],
    }


def _figure(figure: FigureDrift) -> dict[str, object]:
    first = figure.first_alarm
    return {
        "name": figure.name,
        "alarm": first is not None,
        "evidence": figure.evidence,
        "needed": figure.needed,
        "reference": figure.reference,
        "recent": figure.recent,
        "first_alarm": None if first is None else {"record": first.record, "time": first.time.isoformat()},
    }


def number_in_words(value: float) -> str:
    """A number with at least three digits and no exponent: ``"0.956"``, ``"128"``, ``"6,056"``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def evidence_in_words(evidence: float) -> str:
    """Evidence as a readable number, capped at a million."""
    return number_in_words(evidence) if evidence < 1e6 else "over 1,000,000"
