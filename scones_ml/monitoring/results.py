"""What monitoring found, as frozen data and as one JSON document."""

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
    """How many answers named a class.

    Attributes:
        label: the class.
        count: answers.
        share: of all answers, with its exact 95 % interval.
    """

    label: str
    count: int
    share: Estimate


@dataclass(frozen=True)
class Latency:
    """What the container said of its time, in milliseconds.

    Attributes:
        count: records that say it.
        median: half took at most this.
        q95: 95 % took at most this.
        q99: 99 % took at most this.
    """

    count: int
    median: float
    q95: float
    q99: float


@dataclass(frozen=True)
class Dot:
    """One answer of the scatter plot.

    Attributes:
        seconds: since the epoch.
        confidence: in [0, 1].
        label: index of its class.
    """

    seconds: float
    confidence: float
    label: int


@dataclass(frozen=True)
class Example:
    """One captured answer that is shown with its image.

    Attributes:
        time: UTC.
        label: the answer.
        confidence: in [0, 1].
        event_id: SageMaker's id of the record.
        inference_id: the caller's id; None when none was sent.
        object: the image's URI, where it is known.
        image: what was sent.
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
    """All that was found in a stream of captures.

    Attributes:
        joined: records whose object is known; None when nobody asked.
        first: time of the earliest answer, UTC.
        last: of the latest.
        labels: K class names.
        threshold: least confidence to accept; None when there is none.
        classes: the mix of predicted classes.
        confidence: its quantiles at 5, 25, 50, 75 and 95 %.
        review: share of answers that do not pass the threshold, with its exact 95 % interval.
        reviews: how many these are.
        unlike: share of images that are unlike the training images, with its exact 95 % interval.
        unlikes: how many these are.
        latency: None where no record says it.
        spans: the same over time.
        accuracy: estimated share of right answers.
        accepted_accuracy: the same among those at or above the threshold; None without them.
        drift: None without a reference.
        dots: an even sample of at most 600 answers.
        doubtful: the 12 least confident answers.
        recent: five of the last 1,000 or so, drawn at random; none without a reference.
        reviewed: how many of the captured images reviewers have answered and agree on; None when nobody asked.
        out_of_scope: how many of these show none of the classes.
        records: capture records that were of this model, or have no usable answer.
        skipped: lines that are no record.
        skipped_lines: the first 20 of them.
        earlier: records left out because they are from before ``since``.
        unanswered: records without a usable answer, by reason.
        other_models: how many records were left out because another model answered, by what they say of it.
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
        """Records with a usable answer."""
        return sum(row.count for row in self.classes)

    @property
    def out_of_scope_share(self) -> Estimate | None:
        """The share of reviewed images that show none of the classes, with its exact 95 % interval."""
        return clopper_pearson(self.out_of_scope, self.reviewed) if self.reviewed else None

    def to_json(self) -> dict[str, object]:
        """One JSON document; the dots and the images stay out of it."""
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
    """Three digits at least, no exponent: ``"0.956"``, ``"128"``, ``"6,056"``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def evidence_in_words(evidence: float) -> str:
    """As a number that people read; beyond a million it says no more."""
    return number_in_words(evidence) if evidence < 1e6 else "over 1,000,000"
