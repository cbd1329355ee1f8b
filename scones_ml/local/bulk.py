"""The bulk workflow on this machine: the emitted definition, our interpreter, the real handler, a thread per processor.

Pillow and ONNX Runtime work without the interpreter's lock, so threads keep every processor busy and share one model
(``benchmarks/bulk.py`` compares them with processes). Results are the same JSON Lines objects as on AWS; a second run
of the same name reads them, and classifies what is new.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from scones_ml import asl, events, strict_json, workflows
from scones_ml.errors import ConfigurationError, ExecutionFailedError, InvalidImageError
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.inference.model import load_model
from scones_ml.local.resources import task_resources
from scones_ml.local.workflow import handler_environment, variables
from scones_ml.local.workspace import BUCKETS, WorkspaceObjectStore, image_location
from scones_ml.ports import CONCURRENT_REQUESTS, BulkRequest, BulkResult, Progress, WorkflowModel, no_progress
from scones_ml.verdicts import UNLIKE

__all__ = ["LocalBulkRunner"]


class LocalBulkRunner:
    """Runs batches side by side in this process.

    Args:
        store: of the workspace, which results are written to; images may lie in folders or in S3.
        batch_size: images of one batch.
        workers: batches at a time; None takes one per processor.
    """

    def __init__(self, store: WorkspaceObjectStore, batch_size: int = 64, workers: int | None = None) -> None:
        self._store, self._batch_size, self._workers = store, batch_size, workers or os.cpu_count() or 1

    def check(self, request: BulkRequest) -> None:
        """See :meth:`scones_ml.ports.BulkRunner.check`: a model is given, and loaded into this process."""
        _model(request)
        image_location(request.source)

    def run(self, request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
        """See :meth:`scones_ml.ports.BulkRunner.run`; results are named by a hash of source, model and threshold."""
        started = time.perf_counter()
        model, bucket, prefix = _model(request), *image_location(request.source)
        run = _run_name(bucket, prefix, model)
        refs = self._list(bucket, prefix)
        finished = {(outcome.s3_key, outcome.etag): outcome for outcome in self._outcomes(run)}
        waiting = [ref for ref in refs if (ref.s3_key, ref.etag) not in finished]
        before = len(refs) - len(waiting)
        known = [finished[ref.s3_key, ref.etag] for ref in refs if (ref.s3_key, ref.etag) in finished]
        counts: Counter[str] = Counter(outcome.outcome for outcome in known)
        unlike = sum(outcome.reason == UNLIKE for outcome in known)
        progress(before, len(refs))
        if waiting:
            batches = _Batches(self._store, waiting, lambda done: progress(before + done, len(refs)))
            with variables(self._environment(model, bucket)):
                self._execute({"s3_bucket": bucket, "s3_prefix": prefix, "run": run}, batches.resources())
            before += batches.counts.pop("finished_before", 0)
            counts += batches.counts
            unlike += batches.unlike
        results = f"s3://{BUCKETS.output}/bulk/{run}/"
        return BulkResult(run, len(refs), before, dict(counts), results, time.perf_counter() - started, unlike)

    def _list(self, bucket: str, prefix: str) -> list[ImageRef]:
        refs = [
            ImageRef(s3_bucket=bucket, s3_key=found.key, etag=found.etag)
            for found in self._store.list(bucket, prefix)
            if events.is_image_key(found.key)
        ]
        if not refs:
            raise InvalidImageError(f"{events.object_uri(bucket, prefix)} holds no images")
        return refs

    def _outcomes(self, run: str) -> Iterator[ImageOutcome]:
        """Every result that earlier runs of this name have left."""
        for found in self._store.list(BUCKETS.output, f"bulk/{run}/"):
            ref = ImageRef(s3_bucket=BUCKETS.output, s3_key=found.key)
            for number, line in strict_json.lines(io.BytesIO(self._store.read(ref).data)):
                try:
                    yield ImageOutcome.model_validate_json(line)
                except ValidationError as exc:
                    raise ConfigurationError(
                        f"{ref.uri}, line {number}: no result that this version can read: update scones_ml, or move "
                        "the file away to classify its images anew"
                    ) from exc

    def _environment(self, model: WorkflowModel, bucket: str) -> Mapping[str, str]:
        """Batches keep the processors busy by themselves: more readers of files would only be in each other's way."""
        readers = 1 if self._store.is_here(bucket) else max(1, CONCURRENT_REQUESTS // self._workers)
        return handler_environment(model, self._store.root) | {"SCONES_READERS": str(readers)}

    def _execute(self, document: asl.Json, tasks: Mapping[str, asl.Resource]) -> None:
        machine = workflows.batch_classification(batch_size=self._batch_size, max_concurrency=self._workers)
        execution = asl.run(
            machine.to_text().replace("${OutputBucketName}", BUCKETS.output),
            document,
            resources=tasks,
            history=False,  # nobody reads it, and it would grow with every batch
            max_workers=self._workers,
        )
        if execution.status != "SUCCEEDED":
            raise ExecutionFailedError(execution.error or execution.status, execution.cause or "")


class _Batches:
    """What stands behind the definition's Resources; the listing leaves out what is finished.

    Attributes:
        counts: images of the batches that are done, by what became of them.
        unlike: how many of them are unlike the training images.
    """

    def __init__(self, store: WorkspaceObjectStore, waiting: Sequence[ImageRef], done: Callable[[int], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.unlike = 0
        self._tasks = task_resources(store, {})
        self._waiting, self._done, self._lock = waiting, done, threading.Lock()

    def resources(self) -> dict[str, asl.Resource]:
        """Functions by the ARNs of their Resources."""
        return {
            "arn:aws:states:::lambda:invoke": self._classify,
            "arn:aws:states:::s3:listObjectsV2": self._list_objects,
            "arn:aws:states:::s3:putObject": self._tasks["arn:aws:states:::aws-sdk:s3:putObject"],
        }

    def _classify(self, parameters: asl.Json) -> object:
        """Call the handler and count what it reports."""
        answer = self._tasks["arn:aws:states:::lambda:invoke"](parameters)
        report = cast("Mapping[str, Mapping[str, object]]", answer)["Payload"]
        with self._lock:
            self.counts.update(cast("Mapping[str, int]", report["counts"]))
            self.unlike += cast("int", report.get("unlike", 0))
            self._done(self.counts.total())
        return answer

    def _list_objects(self, _parameters: asl.Json) -> object:
        return {"Contents": [{"Key": ref.s3_key, "ETag": f'"{ref.etag}"'} for ref in self._waiting]}


def _model(request: BulkRequest) -> WorkflowModel:
    if request.model is None or not isinstance(request.model.classifier, Path):
        raise ConfigurationError("a bulk run loads the model into this process: give --model MODEL")
    return request.model


def _run_name(bucket: str, prefix: str, model: WorkflowModel) -> str:
    """The same images, model and threshold have the same name; a model that cannot be loaded is refused here."""
    facts = [bucket, prefix, load_model(cast("Path", model.classifier)).sha256, model.threshold]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
