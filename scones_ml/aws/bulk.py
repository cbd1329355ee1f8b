"""Bulk runs on Step Functions: one execution over all images under a prefix, followed through its map run.

The run's name is derived from source and model: repeating the command follows an execution that still runs, or
otherwise classifies only the missing images.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from scones_ml.aws import clients
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.errors import translated
from scones_ml.aws.resources import Resources
from scones_ml.aws.store import S3ObjectStore
from scones_ml.aws.workflow import refuse_model
from scones_ml.errors import ConfigurationError, ExecutionFailedError, InvalidImageError, WorkflowError
from scones_ml.events import ImageRef, parse_object_uri, parse_uri
from scones_ml.events.readers import is_image_key
from scones_ml.ports import NAMED_FAILURES, BulkRequest, BulkResult, ObjectStore, Progress, no_progress

__all__ = ["StepFunctionsBulk"]

_LOOK_SECONDS: Final = 3.0  # often enough to look live; a poll is three calls, far below the API's request rates
_FUNCTION: Final = re.compile(r'"(arn:[^"]+:lambda:[^"]+:function:[^"]+)"')


class _StepFunctions(Protocol):
    """The part of a Step Functions client that is used here."""

    def describe_state_machine(self, *, stateMachineArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe a state machine."""
        ...

    def list_executions(self, **request: Any) -> Mapping[str, Any]:
        """List executions of a state machine, newest first."""
        ...

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Mapping[str, Any]:  # noqa: A002, N803
        """Start an execution."""
        ...

    def describe_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe an execution."""
        ...

    def list_map_runs(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """List the map runs of an execution."""
        ...

    def describe_map_run(self, *, mapRunArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe a map run."""
        ...


class _Lambda(Protocol):
    """The part of a Lambda client that is used here."""

    def get_function_configuration(self, *, FunctionName: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Get a function's configuration."""
        ...


class StepFunctionsBulk:
    """Bulk runs on AWS.

    Args:
        environment: buckets and state machine.
        store: the S3 store.
        pause: sleeps for the seconds between two polls.
        clock: seconds since 1970, used in names of executions.
    """

    def __init__(
        self,
        environment: AwsEnvironment | None = None,
        store: ObjectStore | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environment, self._store = environment or AwsEnvironment(), store or S3ObjectStore()
        self._pause, self._clock = pause, clock
        self._states = cast("_StepFunctions", clients.client("stepfunctions", clients.BULK))
        self._lambda = cast("_Lambda", clients.client("lambda", clients.BULK))

    def check(self, request: BulkRequest) -> None:
        """See :meth:`scones_ml.ports.BulkRunner.check`: the state machine has its model and reads only the input
        bucket.
        """
        self._location(request)

    def run(self, request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
        """See :meth:`scones_ml.ports.BulkRunner.run`; after Ctrl-C the execution continues."""
        bucket, prefix = self._location(request)
        machine = self._environment.batch_state_machine
        run = self._name(machine, bucket, prefix)
        execution = self._running(machine, run) or self._start(machine, run, bucket, prefix)
        found = self._follow(execution, progress)
        if found["status"] != "SUCCEEDED":
            raise ExecutionFailedError(
                found.get("error") or found["status"],
                f"{found.get('cause') or 'no cause was given'} ({execution}): finished results are kept, and the "
                "same command does the rest",
            )
        counts, unlike, failed = self._counts(json.loads(found["output"]))
        if not counts:
            raise InvalidImageError(f"{request.source} holds no images")
        before = counts.pop("finished_before", 0)
        return BulkResult(
            run=run,
            images=before + counts.total(),
            finished_before=before,
            outcomes=dict(counts),
            results=f"s3://{self._environment.output_bucket}/bulk/{run}/",
            seconds=(found["stopDate"] - found["startDate"]).total_seconds(),
            unlike=unlike,
            failed=dict(itertools.islice(failed.items(), NAMED_FAILURES)),
        )

    def _location(self, request: BulkRequest) -> tuple[str, str]:
        """Bucket and prefix of the images, if the request is valid."""
        refuse_model(request.model)
        bucket, prefix = parse_uri(request.source)
        if bucket != self._environment.input_bucket:
            raise ConfigurationError(
                f"{request.source}: the state machine reads only s3://{self._environment.input_bucket}: "
                "put the images there"
            )
        return bucket, prefix

    def _name(self, machine: str, bucket: str, prefix: str) -> str:
        """The run's name, derived from the images' location and every setting that affects their predictions."""
        with translated(machine):
            definition = self._states.describe_state_machine(stateMachineArn=machine)["definition"]
        facts: list[object] = [bucket, prefix, definition]
        for function in sorted(set(_FUNCTION.findall(definition))):
            with translated(function):
                found = self._lambda.get_function_configuration(FunctionName=function)
            variables = found.get("Environment", {}).get("Variables", {})
            facts += [found["CodeSha256"], variables, self._model(variables.get("SCONES_CLASSIFIER", ""))]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _model(self, classifier: str) -> object:
        """Identify the version of the model that a function's setting names."""
        kind, _, name = classifier.partition(":")
        if kind == "sagemaker":
            endpoint = Resources().find("endpoint", name)
            return endpoint and endpoint["EndpointConfigName"]
        if name.startswith("s3://"):
            bucket, key = parse_object_uri(name)
            return next((found.etag for found in self._store.list(bucket, key) if found.key == key), None)
        return None

    def _running(self, machine: str, run: str) -> str | None:
        request: dict[str, object] = {"stateMachineArn": machine, "statusFilter": "RUNNING"}
        with translated(machine):
            while True:
                found = self._states.list_executions(**request)
                for execution in found["executions"]:
                    if execution["name"].startswith(f"{run}-"):
                        return str(execution["executionArn"])
                if not found.get("nextToken"):
                    return None
                request["nextToken"] = found["nextToken"]

    def _start(self, machine: str, run: str, bucket: str, prefix: str) -> str:
        document = json.dumps({"s3_bucket": bucket, "s3_prefix": prefix, "run": run})
        name = f"{run}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(self._clock()))}"
        with translated(machine):
            return str(self._states.start_execution(stateMachineArn=machine, name=name, input=document)["executionArn"])

    def _follow(self, execution: str, progress: Progress) -> Mapping[str, Any]:
        try:
            while True:
                with translated(execution):
                    found = self._states.describe_execution(executionArn=execution)
                    for counts in self._item_counts(execution):
                        ended = (counts[name] for name in ("succeeded", "failed", "timedOut", "aborted"))
                        progress(sum(ended), counts["total"])
                if found["status"] not in ("RUNNING", "PENDING_REDRIVE"):
                    return found
                self._pause(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise WorkflowError(
                "the bulk run continues: the same command follows it again, "
                f"`aws stepfunctions stop-execution --execution-arn {execution}` stops it"
            ) from None

    def _item_counts(self, execution: str) -> Iterator[Mapping[str, int]]:
        for run in self._states.list_map_runs(executionArn=execution)["mapRuns"]:
            yield self._states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]

    def _counts(self, output: Mapping[str, Any]) -> tuple[Counter[str], int, dict[str, str]]:
        """Sum the batch reports in the map's result files; images of a tolerated failure count as failed.

        Returns:
            Number of images by outcome, number of images unlike the training images, and reasons of the failed images
            that a batch names.
        """
        details = output["ResultWriterDetails"]
        files = self._read(details["Bucket"], details["Key"])["ResultFiles"]
        counts: Counter[str] = Counter()
        unlike, failed = 0, dict[str, str]()
        for batch in self._batches(details["Bucket"], files.get("SUCCEEDED", ())):
            found = json.loads(batch["Output"])
            for report in found if isinstance(found, list) else [found]:  # a list when each image ran by itself
                counts.update(report["counts"])
                unlike += report.get("unlike", 0)
                failed |= report.get("failed", {}) | ({report["image"]: report["reason"]} if "image" in report else {})
        for batch in self._batches(details["Bucket"], [*files.get("FAILED", ()), *files.get("PENDING", ())]):
            keys = [item["s3_key"] for item in json.loads(batch["Input"])["Items"] if is_image_key(item["s3_key"])]
            counts["failed"] += len(keys)
            failed |= dict.fromkeys(
                keys, f"{batch.get('Error', 'its batch did not run')} {batch.get('Cause', '')}"[:300]
            )
        return counts, unlike, failed

    def _batches(self, bucket: str, files: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        for file in files:
            yield from self._read(bucket, file["Key"])

    def _read(self, bucket: str, key: str) -> Any:
        return json.loads(self._store.read(ImageRef(s3_bucket=bucket, s3_key=key)).data)
