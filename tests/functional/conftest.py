"""An account for functional tests: moto's server plays most of AWS, and a small one of ours Step Functions.

Executions are really run, by our interpreter with the real handlers, S3 as moto plays it; boto3 speaks to both. Moto's
own Step Functions runs no handler of ours, throttles nothing and refuses nothing; where both can do a thing,
``test_step_functions_servers.py`` holds both to the same facts.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scones_ml import asl, backends
from scones_ml.workflows import batch_classification, image_classification

if TYPE_CHECKING:
    from scones_ml.cli.context import Backends
    from scones_ml.plans import Run
    from scones_ml.ports import Backend

ACCOUNT = "123456789012"
STATES = f"arn:aws:states:us-east-1:{ACCOUNT}"
INVOKE = "arn:aws:states:::lambda:invoke"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function"


class RefusedError(Exception):
    """An answer that is an error of the API."""


@dataclass
class StepFunctions:
    """What the server knows, and what tests may change.

    Attributes:
        url: where it is.
        machines: name to definition, as it was deployed.
        resources: what stands behind the definition's resources.
        kind: STANDARD or EXPRESS.
        looks: how often an execution is RUNNING before its end is told.
        page: events of one page of a history.
        calls: every operation and its request, in order.
        message: of those errors.
        busy: whether it is at work on a request; calls that handlers then make are not the caller's.
        refuse: operations to the error that they answer, as often as the list is long.
    """

    url: str = ""
    machines: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Callable[[asl.Json], object]] = field(default_factory=dict)
    kind: str = "STANDARD"
    looks: int = 0
    page: int = 7
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    message: str = "the server said so"
    busy: bool = False
    refuse: dict[str, list[str]] = field(default_factory=dict)
    executions: dict[str, asl.Execution] = field(default_factory=dict)
    looked: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)

    def operations(self) -> list[str]:
        """The operations that were called, in order."""
        return [name for name, _ in self.calls]

    def _machine(self, request: dict[str, Any]) -> str:
        name = str(request["stateMachineArn"].rpartition(":")[2])
        if name not in self.machines:
            raise RefusedError("StateMachineDoesNotExist")
        return name

    def _execution(self, request: dict[str, Any]) -> asl.Execution:
        if request["executionArn"] not in self.executions:
            raise RefusedError("ExecutionDoesNotExist")
        return self.executions[request["executionArn"]]

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request as the API would."""
        self.calls.append((operation, request))
        if self.refuse.get(operation):
            raise RefusedError(self.refuse[operation].pop(0))
        self.busy = True
        try:
            return dict(getattr(self, operation)(request))
        finally:
            self.busy = False

    def DescribeStateMachine(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - AWS's names
        name = self._machine(request)
        return {
            "stateMachineArn": request["stateMachineArn"],
            "name": name,
            "definition": self.machines[name],
            "roleArn": "arn:aws:iam::123456789012:role/r",
            "type": self.kind,
            "creationDate": time.time(),
        }

    def StartExecution(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        machine = self._machine(request)
        arn = f"{STATES}:execution:{machine}:{request['name']}"
        if arn in self.executions:
            raise RefusedError("ExecutionAlreadyExists")
        self.items[arn] = 0

        def invoke(parameters: Any) -> object:
            self.items[arn] += len(parameters["Payload"].get("Items", ()))
            return self.resources[INVOKE](parameters)

        self.executions[arn] = asl.run(
            self.machines[machine],
            json.loads(request["input"]),
            resources=self.resources | {INVOKE: invoke},
            sleep=lambda _: None,
        )
        return {"executionArn": arn, "startDate": time.time()}

    def ListExecutions(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        machine = request["stateMachineArn"]
        running = [
            arn
            for arn in self.executions
            if self.looked.get(arn, 0) < self.looks and arn.split(":")[6] == machine.rpartition(":")[2]
        ]
        begin = int(request.get("nextToken", "0"))
        page = [
            {
                "executionArn": arn,
                "stateMachineArn": machine,
                "name": arn.rpartition(":")[2],
                "status": "RUNNING",
                "startDate": time.time(),
            }
            for arn in running[begin : begin + 1]
        ]
        return {"executions": page} | ({"nextToken": str(begin + 1)} if begin + 1 < len(running) else {})

    def ListMapRuns(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        arn = request["executionArn"]
        facts = {"executionArn": arn, "stateMachineArn": f"{STATES}:stateMachine:batches", "startDate": time.time()}
        return {"mapRuns": [{**facts, "mapRunArn": f"{arn}:map"}]}

    def DescribeMapRun(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        total = self.items[request["mapRunArn"].removesuffix(":map")]
        counts = dict.fromkeys(("pending", "running", "failed", "timedOut", "aborted", "resultsWritten"), 0)
        counts |= {"succeeded": total, "total": total}
        return {
            "mapRunArn": request["mapRunArn"],
            "executionArn": request["mapRunArn"].removesuffix(":map"),
            "status": "SUCCEEDED",
            "startDate": time.time(),
            "maxConcurrency": 1,
            "toleratedFailurePercentage": 5.0,
            "toleratedFailureCount": 0,
            "itemCounts": counts,
            "executionCounts": counts,
        }

    def DescribeExecution(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        arn, ended = request["executionArn"], self._execution(request)
        self.looked[arn] = self.looked.get(arn, 0) + 1
        began = ended.history[0].timestamp
        machine = f"{STATES}:stateMachine:{arn.split(':')[6]}"
        found = {"executionArn": arn, "stateMachineArn": machine, "name": arn.split(":")[7], "startDate": began}
        if self.looked[arn] <= self.looks:
            return found | {"status": "RUNNING"}
        more = {"output": json.dumps(ended.output)} if ended.status == "SUCCEEDED" else {}
        more |= {name: value for name in ("error", "cause") if (value := getattr(ended, name)) is not None}
        return found | {"status": ended.status, "stopDate": began + 0.9, **more}

    def DescribeStateMachineForExecution(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        self._execution(request)
        machine = request["executionArn"].split(":")[6]
        found = self.DescribeStateMachine({"stateMachineArn": f"{STATES}:stateMachine:{machine}"})
        return {name: found[name] for name in ("stateMachineArn", "name", "definition", "roleArn")} | {
            "updateDate": time.time()
        }

    def GetExecutionHistory(self, request: dict[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        events = [event.to_json() for event in self._execution(request).history]
        begin = int(request.get("nextToken", "0"))
        page = [dict(event, timestamp=time.time()) for event in events[begin : begin + self.page]]
        more = {"nextToken": str(begin + self.page)} if begin + self.page < len(events) else {}
        return {"events": page, **more}


class _Handler(BaseHTTPRequestHandler):
    state: StepFunctions
    lock: threading.Lock

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            with self.lock:
                status, body = 200, self.state.answer(self.headers["X-Amz-Target"].rpartition(".")[2], request)
        except RefusedError as exc:
            status, body = 400, {"__type": str(exc), "message": self.state.message}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[StepFunctions]:
    """An account with our buckets and state machine; the environment says where they are, as after `sam deploy`."""
    import boto3

    from scones_ml.aws.observability import logger
    from scones_ml.aws.store import S3ObjectStore
    from scones_ml.local.resources import task_resources

    state = StepFunctions()
    handler = type("Handler", (_Handler,), {"state": state, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ENDPOINT_URL_SFN": state.url,
        "SCONES_INPUT_BUCKET": "pictures",
        "SCONES_OUTPUT_BUCKET": "outcomes",
        "SCONES_STATE_MACHINE": f"{STATES}:stateMachine:images",
        "SCONES_BATCH_STATE_MACHINE": f"{STATES}:stateMachine:batches",
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3")
    for name in ("pictures", "outcomes"):
        s3.create_bucket(Bucket=name)
    backends._object_store.cache_clear()
    caplog.set_level("CRITICAL", logger.name)  # Lambda's log, not ours
    machines = {"images": image_classification(), "batches": batch_classification(batch_size=4)}
    state.machines = {name: _deployed(machine.to_text()) for name, machine in machines.items()}
    state.resources = {**task_resources(S3ObjectStore(), {}), **_optimized_s3()}
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
    for name in ("pictures", "outcomes"):
        s3.Bucket(name).objects.all().delete()
        s3.Bucket(name).delete()
    backends._object_store.cache_clear()


def _deployed(definition: str) -> str:
    """The definition with its substitutions, as CloudFormation fills them in: functions have a stack's names."""
    for name in ("SerializeImageData", "ClassifyImageData", "FilterLowConfidence", "ClassifyBatch"):
        definition = definition.replace(f"${{{name}FunctionArn}}", f"{FUNCTION}:scones-{name}Function-aB3dE5fG7h")
    return definition.replace("${OutputBucketName}", "outcomes")


def _optimized_s3() -> dict[str, Callable[[asl.Json], object]]:
    """What a distributed map reads and writes by, on S3 itself."""
    import boto3

    s3 = boto3.client("s3")

    def list_objects(parameters: Any) -> object:
        found = s3.list_objects_v2(**parameters).get("Contents", [])
        return {"Contents": [{"Key": item["Key"], "ETag": item["ETag"], "Size": item["Size"]} for item in found]}

    def put_object(parameters: Any) -> object:
        return {"ETag": s3.put_object(**parameters)["ETag"]}

    return {"arn:aws:states:::s3:listObjectsV2": list_objects, "arn:aws:states:::s3:putObject": put_object}


@pytest.fixture(scope="session")
def put_alarm() -> Callable[..., None]:
    """Makes an alarm: takes a client of CloudWatch, the alarm's name, and its tags."""
    return _put_alarm


def _put_alarm(cloudwatch: Any, name: str, *tags: Mapping[str, str]) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        MetricName="m",
        Namespace="n",
        ComparisonOperator="LessThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        Threshold=1.0,
        Tags=list(tags),
    )


@pytest.fixture(scope="session")
def hurried() -> Backends:
    """The real backends, but training jobs on AWS are looked at again after a tenth of a second at the latest."""
    return _Hurried()


class _Hurried:
    def backend(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        if name != "aws":
            return backends.backend(name, workspace, run)
        from scones_ml.aws.backend import AwsBackend

        return AwsBackend(workspace, run, pause=lambda seconds: time.sleep(min(seconds, 0.1)))

    def planner(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        return backends.planner(name, workspace, run)
