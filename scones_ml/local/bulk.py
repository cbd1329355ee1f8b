"""The bulk workflow on this machine: the emitted definition, our interpreter, one thread per processor.

Pillow and ONNX Runtime work without the interpreter's lock, so threads keep every processor busy and share one model
(``benchmarks/bulk.py`` compares them with processes). Results are the same JSON Lines objects as on AWS; a second run
of the same name reads them, and classifies what is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from scones_ml import asl, events, steps, workflows
from scones_ml.errors import ExecutionFailedError, InvalidImageError
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.inference.model import OnnxClassifier, load_model
from scones_ml.ports import BulkResult, ObjectStore, Progress, no_progress
from scones_ml.settings import ImagePolicy

__all__ = ["BulkRequest", "bulk_outcomes", "run_bulk"]

Resources = Mapping[str, Callable[[asl.Json], object]]


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Images to classify in bulk.

    Attributes:
        images: the store that holds them.
        bucket: the bucket in it; a folder's path.
        prefix: of their keys; empty for all.
        results: the store that results are written to.
        output_bucket: the bucket in it.
        model: a model's folder or model.tar.gz.
        threshold: least confidence that is accepted, in (0, 1].
        run: names the run; None takes a hash of source, model and threshold, so that the same command resumes.
        batch_size: images of one batch.
        workers: batches at a time; None takes one per processor.
    """

    images: ObjectStore
    bucket: str
    prefix: str
    results: ObjectStore
    output_bucket: str
    model: Path
    threshold: float
    run: str | None = None
    batch_size: int = 64
    workers: int | None = None


def run_bulk(request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
    """Classify every image of a source; what an earlier run of the same name has finished is not done again.

    Args:
        request: what, by which model, and where to.
        progress: counts images, those that were finished before included.

    Raises:
        InvalidImageError: the source holds no images.
        ConfigurationError: the model cannot be loaded.
        ExecutionFailedError: more batches failed than are tolerated; what is finished is kept.
    """
    started = time.perf_counter()
    classifier = load_model(request.model)
    run = request.run or _run_name(request, classifier)
    refs = _list(request)
    finished = {(outcome.s3_key, outcome.etag): outcome.outcome for outcome in bulk_outcomes(request, run)}
    waiting = [ref for ref in refs if (ref.s3_key, ref.etag) not in finished]
    before = len(refs) - len(waiting)
    counts: Counter[str] = Counter(finished[ref.s3_key, ref.etag] for ref in refs if (ref.s3_key, ref.etag) in finished)
    progress(before, len(refs))
    if waiting:
        batches = _Batches(request, classifier, lambda done: progress(before + done, len(refs)))
        _execute(request, run, _resources(request, waiting, batches))
        counts += batches.counts
    prefix = f"s3://{request.output_bucket}/bulk/{run}/"
    return BulkResult(run, len(refs), before, dict(counts), prefix, time.perf_counter() - started)


def bulk_outcomes(request: BulkRequest, run: str) -> Iterator[ImageOutcome]:
    """Read every result of a run."""
    for found in request.results.list(request.output_bucket, f"bulk/{run}/"):
        ref = ImageRef(s3_bucket=request.output_bucket, s3_key=found.key)
        for line in request.results.read(ref).data.splitlines():
            yield ImageOutcome.model_validate_json(line)


class _Batches:
    """The function behind ``lambda:invoke``: what ``handlers/classify_batch.py`` does, on stores of this process."""

    def __init__(self, request: BulkRequest, classifier: OnnxClassifier, done: Callable[[int], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._request = request
        self._classifier = classifier
        self._policy = ImagePolicy(image_size=classifier.card.input_size)
        self._done = done
        self._lock = threading.Lock()

    def __call__(self, parameters: asl.Json) -> object:
        """Classify one batch and write its results."""
        payload = cast("Mapping[str, Mapping[str, object]]", parameters)["Payload"]
        request = self._request
        batch = events.image_batch(payload).model_copy(update={"output_bucket": request.output_bucket})
        limit = self._policy.max_bytes + 1
        outcomes = steps.classify_batch(
            batch.images,
            lambda ref: request.images.read(ref, limit),
            self._classifier,
            self._policy,
            request.threshold,
            readers=1,  # batches themselves run side by side
        )
        lines = steps.json_lines(outcomes).encode()
        request.results.write(batch.output_bucket, batch.result_key, lines, "application/jsonl")
        with self._lock:
            self.counts.update(outcome.outcome for outcome in outcomes)
            self._done(self.counts.total())
        return {"ExecutedVersion": "$LATEST", "Payload": steps.batch_report(batch, outcomes), "StatusCode": 200}


def _run_name(request: BulkRequest, classifier: OnnxClassifier) -> str:
    facts = [request.bucket, request.prefix, classifier.sha256, request.threshold]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _list(request: BulkRequest) -> list[ImageRef]:
    refs = [
        ImageRef(s3_bucket=request.bucket, s3_key=found.key, etag=found.etag)
        for found in request.images.list(request.bucket, request.prefix)
        if events.is_image_key(found.key)
    ]
    if not refs:
        raise InvalidImageError(f"{events.object_uri(request.bucket, request.prefix)} holds no images")
    return refs


def _execute(request: BulkRequest, run: str, resources: Resources) -> None:
    workers = request.workers or os.cpu_count() or 1
    execution = asl.run(
        workflows.batch_classification(batch_size=request.batch_size, max_concurrency=workers),
        {"s3_bucket": request.bucket, "s3_prefix": request.prefix, "run": run},
        resources=resources,
        history=False,
        max_workers=workers,
    )
    if execution.status != "SUCCEEDED":
        raise ExecutionFailedError(execution.error or execution.status, execution.cause or "")


def _resources(request: BulkRequest, waiting: Sequence[ImageRef], classify: Callable[[asl.Json], object]) -> Resources:
    """What stands behind the definition's Resources; the listing leaves out what is finished."""

    def list_objects(_parameters: asl.Json) -> object:
        return {"Contents": [{"Key": ref.s3_key, "ETag": f'"{ref.etag}"'} for ref in waiting]}

    def put_object(parameters: asl.Json) -> object:
        values = cast("Mapping[str, str]", parameters)
        etag = request.results.write(request.output_bucket, values["Key"], values["Body"].encode(), "application/json")
        return {"ETag": f'"{etag}"'}

    return {
        "arn:aws:states:::lambda:invoke": classify,
        "arn:aws:states:::s3:listObjectsV2": list_objects,
        "arn:aws:states:::s3:putObject": put_object,
    }
