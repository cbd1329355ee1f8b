"""Analysis of captures in one pass, one record at a time and in constant memory."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from scones_ml.answers import OtherClassesError, read_probabilities
from scones_ml.captures import Capture, Skipped
from scones_ml.errors import ConfigurationError
from scones_ml.evaluation.arrays import FloatArray, IntArray
from scones_ml.evaluation.intervals import clopper_pearson
from scones_ml.evaluation.unlike import unlike_rows
from scones_ml.events import ImageRef
from scones_ml.monitoring.accuracy import estimate_accuracy
from scones_ml.monitoring.drift import DriftWatch
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, LATENCY, histogram, quantiles
from scones_ml.monitoring.image_figures import measure, source_size_is_known
from scones_ml.monitoring.martingale import BLOCK
from scones_ml.monitoring.reference import Reference
from scones_ml.monitoring.results import ClassShare, Dot, Example, Latency, Monitoring
from scones_ml.monitoring.timeline import Timeline, moment
from scones_ml.settings import ImagePolicy
from scones_ml.verdicts import least_threshold

__all__ = ["MonitorRequest", "monitor"]

_MOST_DOTS, _MOST_DOUBTFUL, _MOST_SKIPPED = 600, 12, 20  # limits for memory and the size of the page
_MOST_MODELS, _MOST_OTHERS = 4, 20  # models counted in parallel, and models reported by name
# all of the first images are measured, then one in twenty, chosen by position, so that drift tests stay exact
_ALL_OF_FIRST, _ONE_IN = 2000, 20
_MOST_RECENT, _RECENT_BLOCKS = 5, 4  # recent examples, drawn from the last blocks, like the recent values of drift
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class MonitorRequest:
    """Options of a monitoring pass.

    Attributes:
        labels: class names in the order of the probabilities; default: the reference's, or else numbers.
        threshold: minimum confidence to accept, in (0, 1]; default: the reference's.
        reference: reference for the drift tests; None for no drift tests.
        since: earlier records are left out.
        level: maximum lifetime false-alarm probability, in (0, 1).
        objects: images by InferenceId, see :func:`scones_ml.captures.objects_by_inference_id`.
        model: id of the model, ``"sha256:..."`` of its graph; default: the reference's. Records of other models are
            left out and counted; so are records without a model id if they have other classes.
        none_of_these: for reviewed images, by InferenceId: whether they show none of the classes.
        all_models: whether to include predictions of other models with the same classes.
    """

    labels: tuple[str, ...] | None = None
    threshold: float | None = None
    reference: Reference | None = None
    since: datetime | None = None
    level: float = 0.01
    objects: Mapping[str, ImageRef] | None = None
    model: str | None = None
    all_models: bool = False
    none_of_these: Mapping[str, bool] | None = None


def monitor(rows: Iterable[Capture | Skipped], request: MonitorRequest) -> Monitoring:
    """Analyse captured requests of one model, in order of arrival.

    If neither labels nor a reference determine the model, it is the one that answered last; records without a model id
    are distinguished by their number of classes.

    Raises:
        ConfigurationError: no record can be read, has an answer or is recent enough, or the answers have another model
            or other classes than the reference or the labels.
    """
    records = _Records(request)
    for row in rows:
        records.add(row)
    return records.result()


@dataclass
class _Block:
    """Predictions that are not yet counted."""

    captures: list[Capture] = field(default_factory=list)
    probabilities: list[tuple[float, ...]] = field(default_factory=list)


class _Records:
    """A sorter of records by model, which also counts unusable records."""

    def __init__(self, request: MonitorRequest) -> None:
        reference = request.reference
        if reference and request.labels and request.labels != reference.labels:
            raise ConfigurationError(
                f"the reference has other classes: {', '.join(reference.labels)}; "
                f"the model has {', '.join(request.labels)}"
            )
        if not 0.0 < request.level < 1.0:
            raise ConfigurationError(
                f"the false-alarm probability {request.level} is not between 0 and 1: 0.01 is usual"
            )
        self._request = request
        self._labels = request.labels or (reference.labels if reference else None)
        self._model = request.model or (
            f"sha256:{reference.model_sha256}" if reference and reference.model_sha256 else None
        )
        self._streams: dict[tuple[str | None, int], _Stream] = {}
        self._skipped = self._earlier = 0
        self._samples: list[Skipped] = []
        self._unanswered: Counter[str] = Counter()
        self._others: Counter[str] = Counter()

    def add(self, row: Capture | Skipped) -> None:
        if isinstance(row, Skipped):
            self._skipped += 1
            if len(self._samples) < _MOST_SKIPPED:
                self._samples.append(row)
            return
        if self._request.since and row.inference_time < self._request.since:
            self._earlier += 1
            return
        said = None if self._request.all_models else row.model()
        if self._model and said and said != self._model:
            self._leave_out(said)
            return
        try:
            probabilities = read_probabilities(row.output.data, self._labels)
        except OtherClassesError as exc:
            if self._request.all_models or (self._model and said):
                self._unanswered[f"the answer {exc}"] += 1
            else:
                self._leave_out(f"a model whose answer {exc}")
        except ValueError as exc:
            self._unanswered[f"the answer {exc}"] += 1
        else:
            self._stream(said, len(probabilities)).add(row, probabilities)

    def _leave_out(self, model: str, records: int = 1) -> None:
        """Count records of other models; the number of distinct names is limited."""
        known = model in self._others or len(self._others) < _MOST_OTHERS
        self._others[model if known else "further models"] += records

    def _stream(self, said: str | None, classes: int) -> _Stream:
        """The counter for predictions with this number of classes."""
        model = (None if self._labels else said, classes)
        if model not in self._streams:
            if len(self._streams) == _MOST_MODELS:
                oldest = min(self._streams, key=lambda other: self._streams[other].latest)
                self._leave_out(_named(*oldest), self._streams.pop(oldest).answered)
            labels = self._labels or tuple(f"class {number}" for number in range(classes))
            self._streams[model] = _Stream(self._request, labels)
        return self._streams[model]

    def result(self) -> Monitoring:
        if not self._streams:
            self._refuse_nothing()
        # Times have whole seconds: of two models within one second, the last one read is used.
        latest = max(reversed(self._streams), key=lambda model: self._streams[model].latest)
        stream = self._streams.pop(latest)
        for model, other in self._streams.items():
            self._leave_out(_named(*model), other.answered)
        return replace(
            stream.result(),
            records=stream.answered + self._unanswered.total(),
            skipped=self._skipped,
            skipped_lines=tuple(self._samples),
            earlier=self._earlier,
            unanswered=dict(self._unanswered),
            other_models=dict(self._others),
        )

    def _refuse_nothing(self) -> None:
        knows = f"; expected are {', '.join(self._labels)}" if self._labels else ""
        if self._others:
            name, most = self._others.most_common(1)[0]
            raise ConfigurationError(
                f"none of {self._others.total() + self._unanswered.total():,} records is of the requested model: "
                f"{most:,} are of {name}{knows}: choose theirs with --model, or --all for every model of these classes"
            )
        if self._unanswered:
            reason = self._unanswered.most_common(1)[0][0]
            records = self._unanswered.total()
            raise ConfigurationError(f"none of {records:,} records has a usable answer: {reason}{knows}")
        if self._earlier:
            raise ConfigurationError(f"all {self._earlier:,} records are from before --since {self._request.since}")
        first = self._samples[0] if self._samples else None
        why = "the files are empty"
        if first is not None:
            why = f"the first of {self._skipped:,} unreadable lines is {first.file}:{first.line}: {first.reason}"
        raise ConfigurationError(f"no capture record could be read: {why}")


def _named(said: str | None, classes: int) -> str:
    return said or f"a model whose answer has {classes} classes"


class _Stream:
    """The predictions of one model, at least one when the result is computed.

    Attributes:
        answered: number of predictions.
        latest: time of the latest one; None before the first.
    """

    def __init__(self, request: MonitorRequest, labels: tuple[str, ...]) -> None:
        reference = request.reference
        self._request = request
        self._labels = labels
        self._threshold = request.threshold or (reference.threshold if reference else None)
        self._watch = DriftWatch(reference, request.level) if reference else None
        self._timeline = Timeline(self._threshold)
        self._block = _Block()
        self.answered = self._counted = self._joined = self._below = self._unlike = 0
        self.latest = _NEVER
        self._first = self._last = math.nan
        self._predicted = np.zeros(len(labels), np.int64)
        self._confidence, self._accepted = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.int64)
        self._latency = np.zeros(CELLS, np.int64)
        self._dots: FloatArray = np.zeros((0, 4))  # sampling key, seconds, confidence, class
        self._random = np.random.default_rng(0)
        self._drawing = np.random.default_rng(1)
        self._recent: deque[list[tuple[float, float, Capture, int]]] = deque(maxlen=_RECENT_BLOCKS)
        self._reviewed: set[str] = set()
        self._doubtful: list[tuple[float, int, Capture, int]] = []

    def add(self, capture: Capture, probabilities: tuple[float, ...]) -> None:
        self.answered += 1
        self.latest = max(self.latest, capture.inference_time)
        self._block.captures.append(capture)
        self._block.probabilities.append(probabilities)
        if len(self._block.captures) == BLOCK:
            self._count()

    def _count(self) -> None:
        """Count one block of predictions."""
        captures = self._block.captures
        matrix = np.array(self._block.probabilities)
        self._block = _Block()
        predicted, confidence = matrix.argmax(axis=1), matrix.max(axis=1)
        seconds = np.array([capture.inference_time.timestamp() for capture in captures])
        numbers = np.arange(self._counted, self._counted + len(captures))
        self._counted += len(captures)
        self._first, self._last = np.fmin(self._first, seconds.min()), np.fmax(self._last, seconds.max())
        self._predicted += np.bincount(predicted, minlength=matrix.shape[1])
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
        reviewed = self._request.none_of_these or {}
        self._reviewed.update(name for capture in captures if (name := capture.inference_id) and name in reviewed)
        self._keep(captures, seconds, confidence, predicted)
        if self._watch:
            self._watch.add_answers(confidence, predicted, numbers, seconds)
            self._measure(captures, numbers, seconds)
            self._draw(captures, confidence, predicted)

    def _measure(self, captures: list[Capture], numbers: IntArray, seconds: FloatArray) -> None:
        assert self._watch is not None and self._request.reference is not None  # noqa: S101, PT018
        chosen = np.flatnonzero((numbers < _ALL_OF_FIRST) | (numbers % _ONE_IN == 0))
        chosen = chosen[[bool(captures[place].input.data) for place in chosen]]
        reference = self._request.reference
        policy = ImagePolicy().of_model(reference.image_size, reference.fit)
        files = [captures[place].input.data for place in chosen]
        figures = measure(files, policy)
        figures[[not source_size_is_known(data, reference.image_size) for data in files], -1] = np.nan
        self._watch.add_images(figures, numbers[chosen], seconds[chosen])

    def _draw(self, captures: list[Capture], confidence: FloatArray, predicted: IntArray) -> None:
        """Draw examples from this block; the lowest keys of the last blocks' examples are a uniform sample."""
        keys = self._drawing.random(len(captures))
        with_image = [place for place in np.argsort(keys).tolist() if captures[place].input.data]
        self._recent.append(
            [(float(keys[i]), float(confidence[i]), captures[i], int(predicted[i])) for i in with_image[:_MOST_RECENT]]
        )

    def _keep(self, captures: list[Capture], seconds: FloatArray, confidence: FloatArray, predicted: IntArray) -> None:
        """Keep a uniform sample of dots, and the least confident predictions."""
        columns = (self._random.random(len(captures)), seconds, confidence, predicted.astype(np.float64))
        dots = np.concatenate((self._dots, np.stack(columns, axis=1)))
        self._dots = dots[np.argsort(dots[:, 0])[:_MOST_DOTS]]
        least = np.argsort(confidence, kind="stable")[:_MOST_DOUBTFUL]
        more = [(float(confidence[i]), self._counted + int(i), captures[i], int(predicted[i])) for i in least]
        self._doubtful = heapq.nsmallest(_MOST_DOUBTFUL, self._doubtful + more, key=lambda entry: entry[:2])

    def result(self) -> Monitoring:
        if self._block.captures:
            self._count()
        reference = self._request.reference
        normal = right = None
        if reference:
            normal, right = reference.histogram("confidence"), reference.histogram("right")
        # Images unlike the training images are not accepted at any threshold; this puts them below it.
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
            joined=None if self._request.objects is None else self._joined,
            first=moment(self._first),
            last=moment(self._last),
            labels=self._labels,
            threshold=self._threshold,
            classes=tuple(
                ClassShare(label, int(count), clopper_pearson(int(count), self._counted))
                for label, count in zip(self._labels, self._predicted, strict=True)
            ),
            confidence=quantiles(self._confidence, CONFIDENCE, (0.05, 0.25, 0.5, 0.75, 0.95)),
            review=None if self._threshold is None else clopper_pearson(self._below, self._counted),
            reviews=None if self._threshold is None else self._below,
            unlike=clopper_pearson(self._unlike, self._counted),
            unlikes=self._unlike,
            latency=self._latencies(),
            spans=self._timeline.spans(),
            accuracy=estimate_accuracy(self._confidence, normal, right),
            accepted_accuracy=accepted,
            drift=self._watch.result() if self._watch else None,
            dots=tuple(Dot(s, c, int(p)) for _, s, c, p in self._dots[np.argsort(self._dots[:, 1])].tolist()),
            doubtful=tuple(self._name(capture, label, sure) for sure, _, capture, label in self._doubtful),
            recent=tuple(self._name(capture, label, sure) for _, sure, capture, label in self._latest()),
            reviewed=None if self._request.none_of_these is None else len(self._reviewed),
            out_of_scope=sum((self._request.none_of_these or {})[name] for name in self._reviewed),
        )

    def _latest(self) -> list[tuple[float, float, Capture, int]]:
        drawn = [example for block in self._recent for example in block]
        return sorted(drawn, key=lambda example: example[0])[:_MOST_RECENT]

    def _latencies(self) -> Latency | None:
        count = int(self._latency.sum())
        return Latency(count, *quantiles(self._latency, LATENCY, (0.5, 0.95, 0.99))) if count else None

    def _name(self, capture: Capture, label: int, confidence: float) -> Example:
        found = (self._request.objects or {}).get(capture.inference_id or "")
        return Example(
            time=capture.inference_time,
            label=self._labels[label],
            confidence=confidence,
            event_id=capture.event_id,
            inference_id=capture.inference_id,
            object=found.uri if found else None,
            image=capture.input.data,
        )
