"""Bulk runs on this machine: the deployed definition and handler in our interpreter, with a thread per processor.

Pillow and ONNX Runtime release the GIL, so threads keep every processor busy and share one model
(``benchmarks/bulk.py`` compares them with processes). Results are the same JSON Lines objects as on AWS; a second run
of the same name reads them and classifies only new images.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from pydantic import ValidationError

from scones_ml import asl, events, strict_json, workflows
from scones_ml.batches import json_lines
from scones_ml.errors import ConfigurationError, ExecutionFailedError, InvalidImageError
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.events.models import FAILED, RESULT, UNDECIDED
from scones_ml.events.readers import is_image_key
from scones_ml.inference.shared import shared_model
from scones_ml.local.resources import task_resources
from scones_ml.local.workflow import handler_environment, variables
from scones_ml.local.workspace import BUCKETS, WorkspaceObjectStore, image_location
from scones_ml.ports import (
    CONCURRENT_REQUESTS,
    NAMED_FAILURES,
    BulkRequest,
    BulkResult,
    Progress,
    WorkflowModel,
    failures_in_words,
    no_progress,
)
from scones_ml.verdicts import UNLIKE

__all__ = ["LocalBulkRunner"]

_Version: TypeAlias = tuple[str, str | None]  # key and etag


class LocalBulkRunner:
    """Runs batches concurrently in this process.

    Args:
        store: the workspace's store, for results; images may be in folders or in S3.
        batch_size: images in a batch.
        workers: concurrent batches; None for one per processor.
    """

    def __init__(self, store: WorkspaceObjectStore, batch_size: int = 64, workers: int | None = None) -> None:
        self._store, self._batch_size, self._workers = store, batch_size, workers or os.cpu_count() or 1

    def check(self, request: BulkRequest) -> None:
        """See :meth:`scones_ml.ports.BulkRunner.check`: requires a model that can be loaded."""
        shared_model(cast("Path", _model(request).classifier))
        image_location(request.source)

    def run(self, request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
        """See :meth:`scones_ml.ports.BulkRunner.run`; the run's name is a hash of source, model and threshold."""
        started = time.perf_counter()
        model, bucket, prefix = _model(request), *image_location(request.source)
        run = _run_name(bucket, prefix, model)
        refs = self._list(bucket, prefix)
        earlier, documents = self._outcomes(run)
        waiting = [ref for ref in refs if not _is_decided(earlier.get(_version(ref)))]
        before = len(refs) - len(waiting)
        progress(before, len(refs))
        batches = _Batches(self._store, waiting, lambda done: progress(before + done, len(refs)))
        failure = None
        if waiting:
            with variables(self._environment(model, bucket)):
                failure = self._execute({"s3_bucket": bucket, "s3_prefix": prefix, "run": run}, batches.resources())
        found, _ = self._outcomes(run) if waiting else (earlier, documents)
        seconds = time.perf_counter() - started
        result = _result(run, refs, before + batches.finished_before, found, batches.errors, seconds)
        if failure is not None:
            count = result.outcomes.get("failed", 0)
            raise ExecutionFailedError(failure, failures_in_words(result.failed, count, result.images))
        for document in documents - batches.failed:  # images that failed before have an outcome of this run by now
            if document.endswith(FAILED):
                self._keep_decided(document)
        return result

    def _keep_decided(self, document: str) -> None:
        """Keep the decided outcomes of an earlier, failed batch: its other images are in newer results by now."""
        decided = [one for one in self._lines(document) if _is_decided(one)]
        if decided:
            key = document.removesuffix(FAILED) + RESULT
            self._store.write(BUCKETS.output, key, json_lines(decided).encode(), "application/jsonl")
        self._store.delete(BUCKETS.output, document)

    def _list(self, bucket: str, prefix: str) -> list[ImageRef]:
        refs = [
            ImageRef(s3_bucket=bucket, s3_key=found.key, etag=found.etag)
            for found in self._store.list(bucket, prefix)
            if is_image_key(found.key)
        ]
        if not refs:
            raise InvalidImageError(f"{events.object_uri(bucket, prefix)} holds no images")
        return refs

    def _outcomes(self, run: str) -> tuple[dict[_Version, ImageOutcome], frozenset[str]]:
        """The latest outcome of each image from runs of this name, and the keys of the results."""
        listed = sorted(self._store.list(BUCKETS.output, f"bulk/{run}/"), key=lambda found: found.modified)
        keys = [found.key for found in listed]
        found = (outcome for key in keys for outcome in self._lines(key))
        return {_version(outcome): outcome for outcome in found}, frozenset(keys)

    def _lines(self, key: str) -> Iterator[ImageOutcome]:
        ref = ImageRef(s3_bucket=BUCKETS.output, s3_key=key)
        for number, line in strict_json.lines(io.BytesIO(self._store.read(ref).data)):
            try:
                yield ImageOutcome.model_validate_json(line)
            except ValidationError as exc:
                raise ConfigurationError(
                    f"{ref.uri}, line {number}: this version cannot read the result: update scones_ml, or move "
                    "the file away to classify its images again"
                ) from exc

    def _environment(self, model: WorkflowModel, bucket: str) -> Mapping[str, str]:
        """The handlers' environment; on local files one reader per batch, since batches use every processor."""
        readers = 1 if self._store.is_here(bucket) else max(1, CONCURRENT_REQUESTS // self._workers)
        return handler_environment(model, self._store.root) | {"SCONES_READERS": str(readers)}

    def _execute(self, document: asl.Json, tasks: Mapping[str, asl.Resource]) -> str | None:
        """Run the state machine and return its error, or None."""
        machine = workflows.batch_classification(batch_size=self._batch_size, max_concurrency=self._workers)
        execution = asl.run(
            machine.to_text().replace("${OutputBucketName}", BUCKETS.output),
            document,
            resources=tasks,
            history=False,  # never read, and it would grow with every batch
            max_workers=self._workers,
        )
        return None if execution.status == "SUCCEEDED" else execution.error or execution.status


class _Batches:
    """Functions behind the definition's Resources; the listing leaves out finished images.

    Attributes:
        finished_before: number of images that another process has finished meanwhile.
        errors: errors of images whose batch failed, by key.
        failed: keys of results with undecided images.
    """

    def __init__(self, store: WorkspaceObjectStore, waiting: Sequence[ImageRef], done: Callable[[int], None]) -> None:
        self.finished_before = 0
        self.errors: dict[str, str] = {}
        self.failed: set[str] = set()
        self._count = 0
        self._tasks = task_resources(store, {})
        self._waiting, self._done, self._lock = waiting, done, threading.Lock()

    def resources(self) -> dict[str, asl.Resource]:
        """Functions by the ARN of their Resource."""
        return {
            "arn:aws:states:::lambda:invoke": self._classify,
            "arn:aws:states:::s3:listObjectsV2": self._list_objects,
            "arn:aws:states:::s3:putObject": self._tasks["arn:aws:states:::aws-sdk:s3:putObject"],
        }

    def _classify(self, parameters: asl.Json) -> object:
        """Call the handler and count the images that it reports."""
        payload = cast("Mapping[str, Mapping[str, object]]", parameters)["Payload"]
        keys = [str(item["s3_key"]) for item in cast("list[Mapping[str, object]]", payload["Items"])]
        try:
            answer = self._tasks["arn:aws:states:::lambda:invoke"](parameters)
        except Exception as exc:
            with self._lock:
                self.errors.update(dict.fromkeys(keys, f"{type(exc).__name__}: {exc}"))
            raise
        report = cast("Mapping[str, Mapping[str, Mapping[str, int]]]", answer)["Payload"]
        with self._lock:
            self.finished_before += report["counts"].get("finished_before", 0)
            if str(report["result_key"]).endswith(FAILED):
                self.failed.add(str(report["result_key"]))
            for key in keys:
                self.errors.pop(key, None)
            self._count += len(keys)
            self._done(self._count)
        return answer

    def _list_objects(self, _parameters: asl.Json) -> object:
        return {"Contents": [{"Key": ref.s3_key, "ETag": f'"{ref.etag}"'} for ref in self._waiting]}


def _version(image: ImageRef | ImageOutcome) -> _Version:
    return image.s3_key, image.etag


def _is_decided(outcome: ImageOutcome | None) -> bool:
    return outcome is not None and outcome.outcome not in UNDECIDED


def _result(
    run: str,
    refs: Sequence[ImageRef],
    before: int,
    found: Mapping[_Version, ImageOutcome],
    errors: Mapping[str, str],
    seconds: float,
) -> BulkResult:
    """Match outcomes to the requested images: an image without an outcome has failed."""
    outcomes = [found.get(_version(ref)) for ref in refs]
    failed = {
        ref.s3_key: (outcome and outcome.reason) or errors.get(ref.s3_key, "its batch was not classified")
        for ref, outcome in zip(refs, outcomes, strict=True)
        if outcome is None or outcome.outcome == "failed"
    }
    return BulkResult(
        run=run,
        images=len(refs),
        finished_before=before,
        outcomes=dict(Counter[str](outcome.outcome if outcome else "failed" for outcome in outcomes)),
        results=f"s3://{BUCKETS.output}/bulk/{run}/",
        seconds=seconds,
        unlike=sum(outcome is not None and outcome.reason == UNLIKE for outcome in outcomes),
        failed=dict(itertools.islice(failed.items(), NAMED_FAILURES)),
    )


def _model(request: BulkRequest) -> WorkflowModel:
    if request.model is None or not isinstance(request.model.classifier, Path):
        raise ConfigurationError("a bulk run on this machine needs a model: give --model MODEL")
    return request.model


def _run_name(bucket: str, prefix: str, model: WorkflowModel) -> str:
    """Name a run by its images, model and threshold; refuses a model that cannot be loaded."""
    facts = [bucket, prefix, shared_model(cast("Path", model.classifier)).sha256, model.threshold]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
