"""The pass over the captures: one record at a time, constant memory, whatever there is to read."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from scones_ml.answers import read_probabilities
from scones_ml.captures import Capture, Skipped
from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.arrays import FloatArray, IntArray
from scones_ml.evaluation.intervals import clopper_pearson
from scones_ml.evaluation.unlike import unlike_rows
from scones_ml.events import ImageRef
from scones_ml.monitoring.accuracy import estimate_accuracy
from scones_ml.monitoring.drift import DriftWatch
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, LATENCY, histogram, quantiles
from scones_ml.monitoring.image_figures import measure
from scones_ml.monitoring.martingale import BLOCK
from scones_ml.monitoring.reference import Reference
from scones_ml.monitoring.results import ClassShare, Dot, Doubtful, Latency, Monitoring
from scones_ml.monitoring.timeline import Timeline, moment
from scones_ml.settings import ImagePolicy
from scones_ml.verdicts import least_threshold

__all__ = ["MonitorRequest", "monitor"]

_MOST_DOTS, _MOST_DOUBTFUL, _MOST_SKIPPED = 600, 12, 20  # whatever the stream's length: they bound memory and the page
# all of the first images are measured, then one in twenty: chosen by place, so that drift tests stay exact
_ALL_OF_FIRST, _ONE_IN = 2000, 20


@dataclass(frozen=True)
class MonitorRequest:
    """What to look for.

    Attributes:
        labels: class names in the order of the answers; None takes the reference's, else numbers.
        threshold: least confidence to accept, in (0, 1]; None takes the reference's.
        reference: what is normal; None leaves drift alone.
        since: earlier records are left out.
        level: the chance that a stream that never changed ever raises any alarm is at most this; in (0, 1).
        objects: images by InferenceId, see :func:`scones_ml.captures.objects_by_inference_id`.
    """

    labels: tuple[str, ...] | None = None
    threshold: float | None = None
    reference: Reference | None = None
    since: datetime | None = None
    level: float = 0.01
    objects: Mapping[str, ImageRef] | None = None


def monitor(rows: Iterable[Capture | Skipped], request: MonitorRequest) -> Monitoring:
    """Look at captured requests, in the order in which they come.

    Raises:
        ConfigurationError: no record can be read, none has an answer, none is recent enough, or the answers are of
            other classes than the reference or the labels.
    """
    stream = _Stream(request)
    for row in rows:
        stream.add(row)
    return stream.result()


@dataclass
class _Block:
    """Answers that wait to be counted."""

    captures: list[Capture] = field(default_factory=list)
    probabilities: list[tuple[float, ...]] = field(default_factory=list)


class _Stream:
    def __init__(self, request: MonitorRequest) -> None:
        reference = request.reference
        if reference and request.labels and request.labels != reference.labels:
            raise ConfigurationError(
                f"the reference is of other classes: it knows {', '.join(reference.labels)}, "
                f"the model {', '.join(request.labels)}"
            )
        if not 0.0 < request.level < 1.0:
            raise ConfigurationError(f"a false-alarm chance of {request.level} is not between 0 and 1: 0.01 is usual")
        self._request = request
        self._labels = request.labels or (reference.labels if reference else None)
        self._threshold = request.threshold or (reference.threshold if reference else None)
        self._watch = DriftWatch(reference, request.level) if reference else None
        self._timeline = Timeline(self._threshold)
        self._block = _Block()
        self._records = self._skipped = self._earlier = self._answered = self._joined = self._below = self._unlike = 0
        self._first = self._last = math.nan
        self._samples: list[Skipped] = []
        self._unanswered: Counter[str] = Counter()
        self._predicted = np.zeros(0, np.int64)
        self._confidence, self._accepted = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.int64)
        self._latency = np.zeros(CELLS, np.int64)
        self._dots: FloatArray = np.zeros((0, 4))  # sampling key, seconds, confidence, class
        self._random = np.random.default_rng(0)
        self._doubtful: list[tuple[float, int, Capture, int]] = []

    def add(self, row: Capture | Skipped) -> None:
        if isinstance(row, Skipped):
            self._skipped += 1
            if len(self._samples) < _MOST_SKIPPED:
                self._samples.append(row)
            return
        if self._request.since and row.inference_time < self._request.since:
            self._earlier += 1
            return
        self._records += 1
        try:
            probabilities = read_probabilities(row.output.data, self._labels)
        except ValueError as exc:
            self._unanswered[f"the answer {exc}"] += 1
            return
        if self._labels is None:
            self._labels = tuple(f"class {number}" for number in range(len(probabilities)))
        self._block.captures.append(row)
        self._block.probabilities.append(probabilities)
        if len(self._block.captures) == BLOCK:
            self._count()

    def _count(self) -> None:
        """Count one block of answers."""
        captures = self._block.captures
        matrix = np.array(self._block.probabilities)
        self._block = _Block()
        predicted, confidence = matrix.argmax(axis=1), matrix.max(axis=1)
        seconds = np.array([capture.inference_time.timestamp() for capture in captures])
        numbers = np.arange(self._answered, self._answered + len(captures))
        self._answered += len(captures)
        self._first, self._last = np.fmin(self._first, seconds.min()), np.fmax(self._last, seconds.max())
        found = np.bincount(predicted, minlength=matrix.shape[1]).astype(np.int64)
        self._predicted = self._predicted + found if len(self._predicted) else found
        cells = CONFIDENCE.cells(confidence)
        unlike = unlike_rows(matrix)
        passes = (confidence >= (self._threshold or 0.0)) & ~unlike
        self._unlike += int(unlike.sum())
        self._confidence += histogram(cells)
        self._accepted += histogram(cells[passes])
        self._below += int((~passes).sum())
        self._timeline.add(seconds, confidence)
        latency = [value for capture in captures if (value := capture.latency_ms()) is not None and value >= 0]
        self._latency += histogram(LATENCY.cells(np.array(latency, np.float64)))
        if self._request.objects is not None:
            self._joined += sum(capture.inference_id in self._request.objects for capture in captures)
        self._keep(captures, seconds, confidence, predicted)
        if self._watch:
            self._watch.add_answers(confidence, predicted, numbers, seconds)
            self._measure(captures, numbers, seconds)

    def _measure(self, captures: list[Capture], numbers: IntArray, seconds: FloatArray) -> None:
        assert self._watch is not None and self._request.reference is not None  # noqa: S101, PT018
        chosen = np.flatnonzero((numbers < _ALL_OF_FIRST) | (numbers % _ONE_IN == 0))
        chosen = chosen[[bool(captures[place].input.data) for place in chosen]]
        reference = self._request.reference
        policy = ImagePolicy().of_model(reference.image_size, reference.fit)
        figures = measure([captures[place].input.data for place in chosen], policy)
        self._watch.add_images(figures, numbers[chosen], seconds[chosen])

    def _keep(self, captures: list[Capture], seconds: FloatArray, confidence: FloatArray, predicted: IntArray) -> None:
        """Keep an even sample of dots, and the answers that are least sure."""
        columns = (self._random.random(len(captures)), seconds, confidence, predicted.astype(np.float64))
        dots = np.concatenate((self._dots, np.stack(columns, axis=1)))
        self._dots = dots[np.argsort(dots[:, 0])[:_MOST_DOTS]]
        least = np.argsort(confidence, kind="stable")[:_MOST_DOUBTFUL]
        more = [(float(confidence[i]), self._answered + int(i), captures[i], int(predicted[i])) for i in least]
        self._doubtful = heapq.nsmallest(_MOST_DOUBTFUL, self._doubtful + more, key=lambda entry: entry[:2])

    def result(self) -> Monitoring:
        if self._block.captures:
            self._count()
        self._refuse_nothing()
        assert self._labels is not None  # noqa: S101
        reference = self._request.reference
        normal = right = None
        if reference:
            normal, right = reference.histogram("confidence"), reference.histogram("right")
        # Answers that are unlike the training images pass no threshold; they lie below this one.
        least = max(self._threshold or 0.0, least_threshold(len(self._labels)))
        passing = None if self._threshold is None else CONFIDENCE.middles() >= least
        accepted = (
            None
            if passing is None
            else estimate_accuracy(
                self._accepted,
                None if normal is None else np.where(passing, normal, 0),
                None if right is None else np.where(passing, right, 0),
            )
        )
        return Monitoring(
            records=self._records,
            skipped=self._skipped,
            skipped_lines=tuple(self._samples),
            earlier=self._earlier,
            unanswered=dict(self._unanswered),
            joined=None if self._request.objects is None else self._joined,
            first=moment(self._first),
            last=moment(self._last),
            labels=self._labels,
            threshold=self._threshold,
            classes=tuple(
                ClassShare(label, int(count), clopper_pearson(int(count), self._answered))
                for label, count in zip(self._labels, self._predicted, strict=True)
            ),
            confidence=quantiles(self._confidence, CONFIDENCE, (0.05, 0.25, 0.5, 0.75, 0.95)),
            review=None if self._threshold is None else clopper_pearson(self._below, self._answered),
            reviews=None if self._threshold is None else self._below,
            unlike=clopper_pearson(self._unlike, self._answered),
            unlikes=self._unlike,
            latency=self._latencies(),
            spans=self._timeline.spans(),
            accuracy=estimate_accuracy(self._confidence, normal, right),
            accepted_accuracy=accepted,
            drift=self._watch.result() if self._watch else None,
            dots=tuple(Dot(s, c, int(p)) for _, s, c, p in self._dots[np.argsort(self._dots[:, 1])].tolist()),
            doubtful=tuple(self._name(capture, label, sure) for sure, _, capture, label in self._doubtful),
        )

    def _refuse_nothing(self) -> None:
        if self._answered:
            return
        if self._unanswered:
            reason = self._unanswered.most_common(1)[0][0]
            knows = f"; expected are {', '.join(self._labels)}" if self._labels else ""
            raise ConfigurationError(f"none of {self._records} records has an answer to look at: {reason}{knows}")
        if self._earlier:
            raise ConfigurationError(f"all {self._earlier} records are from before --since {self._request.since}")
        first = self._samples[0] if self._samples else None
        why = f"the first of {self._skipped} broken lines is {first.file}:{first.line}: {first.reason}" if first else ""
        raise ConfigurationError(f"no capture record could be read: {why or 'the files are empty'}")

    def _latencies(self) -> Latency | None:
        count = int(self._latency.sum())
        return Latency(count, *quantiles(self._latency, LATENCY, (0.5, 0.95, 0.99))) if count else None

    def _name(self, capture: Capture, label: int, confidence: float) -> Doubtful:
        assert self._labels is not None  # noqa: S101
        found = (self._request.objects or {}).get(capture.inference_id or "")
        return Doubtful(
            time=capture.inference_time,
            label=self._labels[label],
            confidence=confidence,
            event_id=capture.event_id,
            inference_id=capture.inference_id,
            object=found.uri if found else None,
            image=capture.input.data,
        )
