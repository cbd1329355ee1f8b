"""Everything around the state machine that can go wrong, in one process and without waiting.

Real are: the events' readers, the function that starts executions, Step Functions' client of ours, the emitted
definition, its interpreter, the steps, and the store on S3. Fake are S3 and Step Functions themselves, the queue, and a
classifier that knows four images. A call of an execution may be throttled, its answer may be lost after it took effect,
the execution may break off before or after it, and anything else may happen meanwhile, other executions included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from actions import Action, Bulk, Delete, Deliver, Faults, Rerun, Run, Shape, Upload
from botocore.exceptions import ReadTimeoutError
from fake_s3 import Bucket, S3Client, Versioning, refusal
from photos import CONTENTS, POLICY, THRESHOLDS, Classifier, serialized

from scones_ml import asl, backends, events, steps, workflows
from scones_ml.aws.executions import StateMachineExecutions
from scones_ml.aws.store import S3ObjectStore
from scones_ml.errors import SconesError, TransientServiceError
from scones_ml.events import ImageRef
from scones_ml.local.resources import get_object, put_object
from scones_ml.ports import StoredObject

INPUT, OUTPUT = "photos", "results"

T = TypeVar("T")


class _Killed(BaseException):
    """A function breaks off, whatever it catches."""


@dataclass
class Execution:
    """One execution of the state machine.

    Attributes:
        name: its name.
        document: its input.
        threshold: of the functions that it runs.
        result: what it came to; None while it has not run.
        looked: when it last found its object gone, or then looked for an outcome, on the world's clock.
    """

    name: str
    document: Any
    threshold: float
    result: asl.Execution | None = None
    running: bool = False
    looked: int = 0

    @property
    def ended(self) -> bool:
        return self.result is not None and self.result.status == "SUCCEEDED"

    @property
    def outcome(self) -> str:
        assert self.result is not None
        return str(self.result.output["outcome"])  # type: ignore[index, call-overload]


@dataclass(frozen=True)
class Written:
    """An outcome that was written: when, where, and by the functions' threshold."""

    at: int
    place: str
    threshold: float


@dataclass
class Announced:
    """An event on its way.

    Attributes:
        ref: the object version that it tells of, with all that S3 knows.
        shape: how it tells.
        sequencer: S3's, of the write.
        delivered: whether it has arrived at least once.
    """

    ref: ImageRef
    shape: Shape
    sequencer: str
    delivered: bool = False

    def event(self) -> dict[str, Any]:
        ref = self.ref
        if self.shape == "notification":
            known = {"key": ref.s3_key, "eTag": ref.etag, "versionId": ref.version_id, "sequencer": self.sequencer}
            held = {"bucket": {"name": ref.s3_bucket}, "object": _known(known)}
            return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": held}]}
        if self.shape == "rule":
            known = {"key": ref.s3_key, "etag": ref.etag, "version-id": ref.version_id, "sequencer": self.sequencer}
            detail = {"bucket": {"name": ref.s3_bucket}, "object": _known(known), "reason": "PutObject"}
            return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
        told = {"s3_bucket": ref.s3_bucket, "s3_key": ref.s3_key}
        return told | ({"etag": ref.etag} if self.shape == "etag" else {})


def _known(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _without_limits(machine: asl.StateMachine) -> asl.StateMachine:
    """The machine without time limits: no fake hangs, and a task with one is called on another thread."""

    def limitless(document: Any) -> Any:
        if isinstance(document, list):
            return [limitless(item) for item in document]
        if not isinstance(document, dict):
            return document
        return {name: limitless(item) for name, item in document.items() if name != "TimeoutSeconds"}

    text = json.dumps(limitless(machine.to_json())).replace('"${OutputBucketName}"', f'"{OUTPUT}"')
    return asl.StateMachine.from_json(text)


MACHINE: Final = _without_limits(workflows.image_classification())
BATCHES: Final = _without_limits(workflows.batch_classification(batch_size=2, max_concurrency=1))
RUN: Final = "november"
ARN: Final = "arn:aws:states:us-east-1:111122223333:stateMachine:images"


@dataclass
class _Frame:
    """What is going on: its faults, how many calls it has made, and whether it is inside of a function."""

    faults: Faults
    execution: Execution | None = None
    kills: bool = False
    calls: int = 0


class World:
    """One bucket, its queue, its state machine, and whoever uses them.

    Attributes:
        contents: what each object version holds, by its identity; for as long as anybody may ask.
        executions: all of them, in the order of their starts.
        written: when outcomes were written, by the identity of the version.
        bulk: the last bulk run.
        uncovered: keys whose older version may be there again, of which S3 tells nobody.
        now: seconds; each call takes one.
    """

    def __init__(self, versioning: Versioning) -> None:
        self.now = 0
        self.bulk: asl.Execution | None = None
        self.uncovered: set[str] = set()
        self.contents: dict[str, str] = {}
        self.executions: list[Execution] = []
        self.written: dict[str, list[Written]] = {}
        self.announced: list[Announced] = []
        self.photos = Bucket(versioning, lambda: self.now)
        self.results = Bucket("never", lambda: self.now)
        self._queue: list[tuple[str, int]] = []
        self._dead: list[tuple[str, int]] = []
        self._frames = [_Frame(())]
        self._store = S3ObjectStore(S3Client({INPUT: self.photos, OUTPUT: self.results}, self._call))  # type: ignore[arg-type]
        self._executions = StateMachineExecutions(ARN, client=self)  # type: ignore[arg-type]
        self._classifier = Classifier(self._call)
        self._resources = {
            "arn:aws:states:::lambda:invoke": self._invoke,
            "arn:aws:states:::s3:listObjectsV2": self._list,
            "arn:aws:states:::s3:putObject": _service("S3", put_object(self._store, {})),
            "arn:aws:states:::aws-sdk:s3:getObject": _service("S3", get_object(self._store, {})),
            "arn:aws:states:::aws-sdk:s3:putObject": _service("S3", put_object(self._store, {})),
        }

    def happen(self, action: Action) -> None:
        """Let something happen, with all that follows from it at once."""
        match action:
            case Upload():
                self._upload(action)
            case Delete():
                current = self.photos.current(_key(action.key))
                if current is not None:
                    self.uncovered |= {_key(action.key)} if action.purge else set()
                    self.photos.delete(_key(action.key), current.version_id if action.purge else None)
            case Deliver():
                if self.announced:
                    chosen = [self.announced[number % len(self.announced)] for number in action.events]
                    self._deliver(chosen, action)
            case Run():
                waiting = [one for one in self.executions if not one.ended and not one.running]
                if waiting:
                    self._run(waiting[action.number % len(waiting)], action.faults)
            case Rerun():
                if self.announced:
                    ref = self.announced[action.event % len(self.announced)].ref
                    self._start(ref.to_event(), None, THRESHOLDS[action.threshold])
                    self._run(self.executions[-1], action.faults)
            case Bulk():
                self._bulk(action.faults)

    def settle(self) -> None:
        """Have everything done that is still to be done: deliveries, redeliveries, dead letters, redrives."""
        for announced in self.announced:
            if not announced.delivered:
                self._deliver([announced], Deliver((), queued=announced.shape == "notification"))
        self._queue, self._dead = self._queue + self._dead, []
        while self._queue:
            self._deliver([], Deliver((), queued=True))
            assert not self._dead, "a message fails although nothing is wrong any more"
        for execution in self.executions:
            self._run(execution, ())
        if self.bulk is not None:
            self._bulk(())
            assert self.bulk.status == "SUCCEEDED", f"the bulk run fails although nothing is wrong: {self.bulk}"
        for execution in self.executions:
            assert execution.ended, f"{execution.name} fails although nothing is wrong: {execution.result}"

    # Uploads and events

    def _upload(self, upload: Upload) -> None:
        key = _key(upload.key)
        version = self.photos.put(key, CONTENTS[upload.content])
        ref = ImageRef(s3_bucket=INPUT, s3_key=key, etag=version.etag)
        if self.photos.versioning == "enabled":
            ref = ref.model_copy(update={"version_id": version.version_id})
        self.contents[ref.image_id] = upload.content
        self.announced.append(Announced(ref, upload.shape, f"{len(self.announced) + 1:016X}"))

    def _deliver(self, chosen: Iterable[Announced], how: Deliver) -> None:
        chosen = list(chosen)
        for announced in chosen:
            announced.delivered = True
        queued = [one for one in chosen if how.queued or one.shape == "notification"]
        messages, self._queue = self._queue + [(json.dumps(one.event()), 0) for one in queued], []
        before = len(self.executions)
        for one in chosen:
            if one not in queued:
                self._start(one.event(), None, THRESHOLDS[0])
        self._frames.append(_Frame(how.faults, kills=True))
        if messages:
            self._receive(messages)
        self._frames.pop()
        if not how.later:
            for execution in self.executions[before:]:
                self._run(execution, how.faults)

    def _receive(self, messages: list[tuple[str, int]]) -> None:
        """The function behind the queue; what it does not confirm comes again, three times in all."""
        records = [
            {"messageId": f"m{number}", "eventSource": "aws:sqs", "body": body}
            for number, (body, _) in enumerate(messages)
        ]
        try:
            failed = set(steps.start_image_classification({"Records": records}, self._start_created).failures)
        except _Killed:
            failed = {record["messageId"] for record in records}
        for record, (body, received) in zip(records, messages, strict=True):
            if record["messageId"] in failed:
                (self._queue if received < 2 else self._dead).append((body, received + 1))

    def _start_created(self, image: events.CreatedObject) -> None:
        self._executions.start(image.ref, image.name)

    # Step Functions

    def start_execution(self, *, stateMachineArn: str, input: str, name: str | None = None) -> object:  # noqa: A002
        """As a STANDARD machine starts them: a name is taken for good, but the very same call may be repeated."""

        def start() -> object:
            before = next((one for one in self.executions if name is not None and one.name == name), None)
            if before is None:
                self._start(json.loads(input), name, THRESHOLDS[0])
            elif before.ended or before.result is not None or before.document != json.loads(input):
                raise refusal("StartExecution", "ExecutionAlreadyExists", 400)
            return {"executionArn": ""}

        return self._call("StartExecution", name or "", start)

    def _start(self, document: Any, name: str | None, threshold: float) -> None:
        self.executions.append(Execution(name or f"unnamed-{len(self.executions)}", document, threshold))

    def _run(self, execution: Execution, faults: Faults) -> None:
        if execution.ended or execution.running:
            return
        execution.running = True
        self._frames.append(_Frame(faults, execution))
        options: dict[str, Any] = {"resources": self._resources, "sleep": self._wait, "max_workers": 1, "seed": 0}
        if execution.result is None:
            execution.result = asl.run(MACHINE, execution.document, name=execution.name, **options)
        else:
            execution.result = asl.redrive(execution.result, **options)
        self._frames.pop()
        execution.running = False

    def _bulk(self, faults: Faults) -> None:
        """A bulk run is started again, by its name, until it has succeeded."""
        self._frames.append(_Frame(faults))
        document: Any = {"s3_bucket": INPUT, "s3_prefix": "", "run": RUN}
        self.bulk = asl.run(BATCHES, document, resources=self._resources, sleep=self._wait, max_workers=1, seed=0)
        self._frames.pop()

    def _list(self, parameters: Any) -> object:
        found = self._store.list(parameters["Bucket"], parameters["Prefix"])
        return {"Contents": [{"Key": one.key, "ETag": f'"{one.etag}"'} for one in found]}

    def _wait(self, seconds: float) -> None:
        self.now += round(seconds)

    # Functions

    def _invoke(self, parameters: asl.Json) -> object:
        function, payload = parameters["FunctionName"], parameters["Payload"]  # type: ignore[index, call-overload]
        handler = self._functions[function]

        def invoke() -> object:
            self._frames[-1].kills = True
            try:
                return {"Payload": handler(self, payload), "StatusCode": 200}
            except _Killed:
                raise asl.TaskFailed("BrokenOff") from None
            except SconesError as error:  # as Lambda reports it
                name = type(error).__name__
                raise asl.TaskFailed(name, json.dumps({"errorMessage": str(error), "errorType": name})) from error
            finally:
                self._frames[-1].kills = False

        return self._call("Invoke", function, invoke)

    def _read(self, ref: ImageRef) -> StoredObject:
        return steps.read_image(ref, self._store, POLICY)

    def _serialize(self, event: Any) -> object:
        stored = self._read(events.image_ref(event))
        image = serialized(stored, POLICY)
        if stored.data == CONTENTS["large"]:
            image = image.model_copy(update={"image_data": ""})
        return image.to_event()

    def _classify(self, event: Any) -> object:
        image = events.serialized_image(event)
        data = steps.image_bytes(image, self._read, POLICY)
        return steps.classify_image_data(image, data, self._classifier).to_event()

    def _filter(self, event: Any) -> object:
        threshold = self._frames[-1].execution.threshold  # type: ignore[union-attr]
        return steps.filter_low_confidence(events.classified_image(event), threshold).to_event()

    def _classify_batch(self, event: Any) -> object:
        batch, outcomes = events.image_batch(event), None
        if not backends.result_exists(OUTPUT, batch.result_key, self._store):
            threshold = THRESHOLDS[0]
            outcomes = steps.classify_batch(batch.images, self._read, self._classifier, POLICY, threshold, 1)
            key, lines = steps.batch_results(batch, outcomes)
            self._store.write(OUTPUT, key, lines.encode(), "application/jsonl")
        return steps.batch_report(batch, outcomes)

    _functions: Final[Mapping[str, Callable[[World, Any], object]]] = {
        "${SerializeImageDataFunctionArn}": _serialize,
        "${ClassifyImageDataFunctionArn}": _classify,
        "${FilterLowConfidenceFunctionArn}": _filter,
        "${ClassifyBatchFunctionArn}": _classify_batch,
    }

    # Faults

    def _call(self, operation: str, target: str, effect: Callable[[], T]) -> T:
        """Make one call, with the fault that is due."""
        frame = self._frames[-1]
        number, frame.calls = frame.calls, frame.calls + 1
        due = [fault for fault in frame.faults if fault.call <= number < fault.call + fault.times]
        for fault in due:
            if fault.meanwhile is not None:
                self._frames.append(_Frame(()))
                self.happen(fault.meanwhile)
                self._frames.pop()
        kinds = {fault.kind for fault in due}
        if "before" in kinds:
            raise _broken_off(frame)
        if "throttled" in kinds:
            raise _throttled(operation)
        self.now += 1
        answer = self._noted(frame.execution, operation, target, effect)
        if "after" in kinds:
            raise _broken_off(frame)
        if "lost" in kinds:
            raise _lost(operation)
        return answer

    def _noted(self, execution: Execution | None, operation: str, target: str, effect: Callable[[], T]) -> T:
        """The effect of a call, and what the rules need to know of it."""
        bucket, _, key = target.partition("/")
        if execution is None:
            return effect()
        if operation == "GetObject" and bucket == OUTPUT and not execution.looked:
            execution.looked = self.now
        if operation == "GetObject" and bucket == INPUT:
            execution.looked = 0
        answer = effect()
        if operation == "PutObject" and key.startswith("outcomes/"):
            _, place, name = key.split("/")
            self.written.setdefault(name.removesuffix(".json"), []).append(
                Written(self.now, place, execution.threshold)
            )
        return answer


def _service(name: str, function: asl.Resource) -> asl.Resource:
    """A service that a state calls by itself: whatever ails it has a name of its own."""

    def call(parameters: asl.Json) -> object:
        try:
            return function(parameters)
        except TransientServiceError as error:
            raise asl.TaskFailed(f"{name}.{name}Exception", str(error)) from error

    return call


def _broken_off(frame: _Frame) -> BaseException:
    return _Killed() if frame.kills else asl.TaskFailed("BrokenOff")


def _throttled(operation: str) -> Exception:
    if operation == "Invoke":
        return asl.TaskFailed("Lambda.TooManyRequestsException", "Rate exceeded")
    if operation == "InvokeEndpoint":
        return TransientServiceError("ThrottlingException")
    return refusal(operation, "SlowDown", 503)


def _lost(operation: str) -> Exception:
    if operation == "Invoke":
        return asl.TaskFailed("Lambda.SdkClientException", "Read timed out")
    if operation == "InvokeEndpoint":
        return TransientServiceError("Read timed out")
    return ReadTimeoutError(endpoint_url="https://aws")


def _key(number: int) -> str:
    return f"{number}.png"
