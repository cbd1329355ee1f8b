"""The demo: the whole life cycle on one machine, from images to proof that nothing is left.

Stage, train, choose the threshold, serve, run 60 test images and three unusual files through the state machine, read
the captures back, evaluate, clean up. Everything is seeded: the same seed and threads give the same result, except
times.
"""

from __future__ import annotations

import io
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scones_ml import dataset, images, lifecycle
from scones_ml.captures import Capture, read_captures
from scones_ml.dataset import Dataset, StageResult, Synthetic
from scones_ml.errors import DatasetError, ImageError
from scones_ml.events import ImageRef
from scones_ml.inference.model import ModelCard
from scones_ml.lifecycle.features import has_photographs
from scones_ml.plans import Change, Plan
from scones_ml.ports import Backend, DeploymentRequest, Endpoint, ImageResult, Progress, TrainingRequest
from scones_ml.reports.facts import ClassifiedRow
from scones_ml.wording import counted, listed

if TYPE_CHECKING:
    from scones_ml.evaluation import Evaluation

__all__ = ["DemoRequest", "DemoResult", "Observer", "plan_demo", "run_demo"]

ENDPOINT = "scones-demo"
BROKEN_KEY = "truncated.png"
LARGE_KEY = "twelve-megapixels.jpg"
AWKWARD_KEY = "my photo+1.png"
_EASY_PRECISION = 0.99  # drawings are easy for a pretrained backbone: at 0.95 nothing would go to review
_LARGE = (4000, 3000)  # pixels: 12 megapixels, like a phone's photographs
_LARGE_KIND = "motorcycle"


class Observer(Protocol):
    """Observer of the demo's progress."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Context of a stage; yields the stage's progress callback."""
        ...

    def said(self, text: str) -> None:
        """Called with a line about the current stage."""
        ...


@dataclass(frozen=True)
class DemoRequest:
    """Request for a demo.

    Attributes:
        folder: folder of the results: data set, model, captures, ``report.html``.
        source: a folder of class folders; None for generated drawings.
        classes: classes of the source; None for all.
        seed: random seed.
        threads: CPU threads for training.
        images: number of test images to run through the workflow.
        per_class: number of images to draw for each class.
        image_size: side of the model's input square, in pixels; None for one that suits the images.
    """

    folder: Path
    source: Path | None = None
    classes: tuple[str, ...] | None = None
    seed: int = 0
    threads: int = 1
    images: int = 60
    per_class: int = 300
    image_size: int | None = None


@dataclass(frozen=True)
class DemoResult:
    """Result of the demo.

    Attributes:
        staged: the data set, and the files that were left out.
        card: the model's card.
        evaluation: the whole test split at the model's threshold.
        results: result of each image's execution, in order.
        truth: class of each test image, by key.
        captures: the endpoint's captures.
        seconds: duration of each stage.
        leftovers: resources left after clean-up; empty.
    """

    staged: StageResult
    card: ModelCard
    evaluation: Evaluation
    results: tuple[ImageResult, ...]
    truth: dict[str, str]
    captures: tuple[Capture, ...]
    remaining: tuple[lifecycle.RemainingResource, ...]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        """Number of images by outcome."""
        counts = Counter(result.outcome or "failed" for result in self.results)
        return {name: counts[name] for name in ("accepted", "review", "quarantined", "dropped", "failed")}

    def to_json(self) -> dict[str, object]:
        """The document that ``scones demo --json`` prints."""
        acceptance = self.evaluation.at_threshold
        accuracy = self.evaluation.accuracy
        return {
            "accuracy": accuracy.value,
            "accuracy_interval": [accuracy.low, accuracy.high],
            "threshold": self.card.threshold,
            "coverage": acceptance.coverage.value if acceptance else 0.0,
            "precision_of_accepted": acceptance.precision.value if acceptance else None,
            "outcomes": self.outcomes,
            "captures": len(self.captures),
            "dataset_hash": self.card.dataset_hash,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "resources_left": len(self.remaining),
        }


def plan_demo(backend: Backend, request: DemoRequest) -> Plan:
    """The demo's plan; everything except data set, model and report is removed at its end."""
    changes = (
        *lifecycle.plan_stage(request.folder / "data").changes,
        Change("create", "model", str((request.folder / "model").absolute()), "trained on the data set"),
        Change("create", "endpoint", ENDPOINT, "answers requests with the model"),
        *lifecycle.plan_run(backend).changes,
        _report(request),
    )
    removed = [
        replace(change, action="delete", why="the demo leaves nothing running")
        for change in reversed(changes)
        if change.kind in ("endpoint", "objects")
    ]
    return Plan("demo", "local", (*changes, *removed))


def _report(request: DemoRequest) -> Change:
    return Change("create", "report", str((request.folder / "report.html").absolute()), "the demo's results")


def run_demo(backend: Backend, request: DemoRequest, observer: Observer) -> DemoResult:
    """Run every stage in turn.

    If it ends early, no endpoint is left running; finished stages leave their files in ``request.folder``.

    Raises:
        SconesError: a stage failed.
    """
    clock = _Clock(observer)
    with clock.stage("stage") as progress:
        with lifecycle.recording(backend, lifecycle.plan_stage(request.folder / "data")):
            staged = _stage(request, progress)
        observer.said(_describe(staged))
    with clock.stage("train") as progress:
        model = request.folder / "model"
        cache = request.folder / "cache"
        job = TrainingRequest(staged.dataset.root, model, cache=cache, seed=request.seed, threads=request.threads)
        if not request.source and lifecycle.recipe_of(job).recipe == "head":
            job = replace(job, target_precision=_EASY_PRECISION)
        card = lifecycle.train(backend, job, progress)
        observer.said(_learned(card, staged.dataset))
    with clock.stage("threshold"):
        observer.said(str(card.threshold_choice["reason"]))
    try:
        with clock.stage("serve"):
            endpoint = lifecycle.deploy(backend, DeploymentRequest(ENDPOINT, model))
            observer.said(f"{endpoint.url}/endpoints/{endpoint.name}/invocations")
        with backend.using(ENDPOINT):
            with clock.stage("drop"):
                truth, files = _choose(staged.dataset, request)
                refs = lifecycle.upload(backend, files)
                observer.said(
                    f"{len(refs)} files into s3://{backend.buckets.input}: test images, a truncated file, one of 12 "
                    "megapixels, one with blanks in its name"
                )
            with clock.stage("run") as progress:
                results = _run(backend, refs, endpoint, progress)
                observer.said(_summary(results))
        with clock.stage("captures"):
            captured = _captures(endpoint, results)
            observer.said(
                f"{counted(len(captured), 'request')} recorded in SageMaker's data-capture format, "
                "each joined to its image"
            )
        with clock.stage("evaluate") as progress:
            predictions = lifecycle.predict(model, staged.dataset.root, progress=progress)
            evaluation = lifecycle.evaluate(predictions)
            observer.said(_verdict(evaluation, "" if request.source else "drawn "))
    finally:
        with clock.stage("clean up"):
            left = lifecycle.cleanup(backend)
            observer.said(f"{counted(len(left), 'resource')} left")
    result = DemoResult(staged, card, evaluation, results, truth, captured, left, clock.seconds)
    # After clean-up, since the report says what is left.
    with clock.stage("report"), lifecycle.recording(backend, Plan("demo", "local", (_report(request),))):
        _write_report(request, result, predictions, dict(files))
        observer.said(str(request.folder / "report.html"))
    return result


class _Clock:
    """Notifies the observer of stages and records the duration of each."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        started = time.perf_counter()
        with self._observer.stage(name) as progress:
            yield progress
        self.seconds[name] = time.perf_counter() - started


def _stage(request: DemoRequest, progress: Progress) -> StageResult:
    staged = _staged_at(request.image_size, request, progress)
    if request.image_size is None and not has_photographs(staged.dataset) and find_spec("torch") is None:
        return _staged_at(Synthetic.size, request, progress)  # large enough for the recipe that needs no torch
    return staged


def _staged_at(size: int | None, request: DemoRequest, progress: Progress) -> StageResult:
    source = request.source or Synthetic(request.per_class, size or Synthetic.size, request.seed)
    return dataset.stage(
        source,
        request.folder / "data",
        classes=request.classes,
        seed=request.seed,
        image_size=size,
        progress=progress,
        workspace=request.folder,
    )


def _describe(staged: StageResult) -> str:
    counts = staged.dataset.counts()
    sizes = ", ".join(f"{sum(by_class.values()):,} {split}" for split, by_class in counts.items())
    skipped = f"; {len(staged.problems)} left out (see dataset.json)" if staged.problems else ""
    size = staged.dataset.image_size
    larger = f", {staged.larger:,} reduced (--image-size)" if staged.larger else ""
    return f"{listed(staged.dataset.classes)}: {sizes}; {size} x {size} pixels{larger}{skipped}"


def _learned(card: ModelCard, data: Dataset) -> str:
    """Description of the training: model and number of images."""
    temperature = f"temperature {card.temperature:.2f}"
    if card.recipe == "scratch":
        return f"{counted(card.epochs, 'epoch')} on {len(data.split('train')):,} images, {temperature}"
    images = len(data.records) - len(data.split("test"))
    return f"a classifier head on {card.backbone['name']}, {images:,} images, {temperature}"


def _choose(data: Dataset, request: DemoRequest) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Test images by a seeded draw, and three unusual files; the true class is known only for the test images."""
    records = data.split("test")
    if not records:
        raise DatasetError(f"{data.root} has no test images")
    chosen = random.Random(request.seed).sample(records, min(request.images, len(records)))  # noqa: S311
    files = [(record.path, (data.root / record.path).read_bytes()) for record in chosen]
    truth = {record.path: record.class_name for record in chosen}
    some_png = files[0][1]
    files.append((BROKEN_KEY, some_png[: len(some_png) // 2]))
    files.append((LARGE_KEY, _large_image(request.seed)))
    files.append((AWKWARD_KEY, some_png))
    truth[AWKWARD_KEY] = chosen[0].class_name
    if _LARGE_KIND in data.classes:
        truth[LARGE_KEY] = _LARGE_KIND
    return truth, files


def _large_image(seed: int) -> bytes:
    """An image with a photograph's size."""
    from scones_ml.dataset.synthetic import draw_image

    buffer = io.BytesIO()
    draw_image(_LARGE_KIND, seed, 0, _LARGE).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _run(
    backend: Backend,
    refs: Sequence[ImageRef],
    endpoint: Endpoint,
    progress: Progress,
) -> tuple[ImageResult, ...]:
    results = []
    with closing(lifecycle.run(backend, refs, endpoint)) as running:  # clean-up follows in any case
        for result in running:
            results.append(result)
            progress(len(results), len(refs))
    return tuple(results)


def _captures(endpoint: Endpoint, results: Sequence[ImageResult]) -> tuple[Capture, ...]:
    """The captures of this run's images; an earlier demo's captures may be next to them."""
    newest = {row.inference_id: row for row in read_captures(endpoint.captures) if isinstance(row, Capture)}
    return tuple(newest[result.image.image_id] for result in results if result.image.image_id in newest)


def _write_report(
    request: DemoRequest, result: DemoResult, predictions: lifecycle.Predictions, files: dict[str, bytes]
) -> None:
    from scones_ml.lifecycle.report_data import evaluation_report
    from scones_ml.reports.evaluation_report import render_report

    data = result.staged.dataset
    told = evaluation_report(
        request.folder / "model",
        data.root,
        predictions,
        title=f"{' or '.join(data.classes)}: the demo",
        source="drawn on the spot" if request.source is None else str(request.source),
        created=datetime.now(UTC),
        workspace=request.folder,
    )
    page = render_report(
        replace(
            told,
            rows=tuple(_row(found, result.truth, files) for found in result.results),
            stage_seconds=result.seconds,
            notes=(
                "On this machine: no cost.",
                f"After clean-up: {counted(len(result.remaining), 'resource')} left.",
            ),
        )
    )
    report_path = Path(_report(request).name)
    # Under a temporary name until it is complete: clean-up removes what a killed demo left.
    half = report_path.with_suffix(".part")
    half.write_text(page, encoding="utf-8")
    half.replace(report_path)


def _row(found: ImageResult, truth: dict[str, str], files: dict[str, bytes]) -> ClassifiedRow:
    from scones_ml.lifecycle.report_data import THUMBNAIL

    key = found.image.s3_key
    try:
        thumbnail = images.preview(files[key], THUMBNAIL).data
    except ImageError:
        thumbnail = None
    return ClassifiedRow(
        key=key,
        outcome=found.outcome or "dropped",
        thumbnail=thumbnail,
        label=found.label,
        confidence=found.confidence,
        truth=truth.get(key),
        reason=found.reason,
        started=found.started,
        duration_ms=found.seconds * 1000,
    )


def _summary(results: Sequence[ImageResult]) -> str:
    counts = Counter(result.outcome or "failed" for result in results)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _verdict(evaluation: Evaluation, drawn: str) -> str:
    accuracy = evaluation.accuracy
    return (
        f"{accuracy.value:.1%} right on {counted(evaluation.images, f'{drawn}test image')} "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})"
    )
