"""Permissions against the calls of a full run: each is needed, none is missing.

The calls of handlers and of the state machine are recorded from a real run (S3 played by moto, the endpoint by a small
server, Step Functions by our interpreter). What AWS's services do on their own behalf is listed by hand, with where AWS
says so. IAM's answer is worked out here, by IAM's own rules for wildcards: moto grants everything.
"""

from __future__ import annotations

import dataclasses
import io
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple

import boto3
import pytest
from PIL import Image

from scones_ml import asl, backends
from scones_ml.aws import clients
from scones_ml.infrastructure import TemplateSettings
from scones_ml.infrastructure.definitions import machines
from scones_ml.infrastructure.permissions import policies, roles
from scones_ml.infrastructure.statements import Statement
from scones_ml.local.handlers import LambdaContext, load_handler

INPUT, OUTPUT, KEY = "in-bucket", "out-bucket", "images/my photo+1.png"
UPLOADED = "runs/1/photo.png"
ARN = "arn:aws:{}:us-east-1:123456789012:{}"
FUNCTIONS = ("SerializeImageData", "ClassifyImageData", "FilterLowConfidence", "ClassifyBatch")
MACHINES = machines(TemplateSettings())
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "InputBucket": INPUT,
    "InputBucket.Arn": f"arn:aws:s3:::{INPUT}",
    "InputPrefix": "images/",
    "OutputBucket": OUTPUT,
    "OutputBucket.Arn": f"arn:aws:s3:::{OUTPUT}",
    "EndpointName": "scones",
    "ModelObject": "models/a/model.tar.gz",
    "ImageClassification": ARN.format("states", "stateMachine:scones"),
    "BatchClassification": ARN.format("states", "stateMachine:batch"),
    "BatchClassification.Name": "batch",
    "DeadLetterQueue.Arn": ARN.format("sqs", "dead"),
    "AlarmTopic": ARN.format("sns", "alarms"),
    "ImageCreatedRule.Arn": ARN.format("events", "rule/created"),
    "ExecutionFailedRule.Arn": ARN.format("events", "rule/failed"),
} | {
    f"{name}{kind}.Arn": ARN.format(*arn)
    for name in FUNCTIONS
    for kind, arn in {"Function": ("lambda", f"function:{name}"), "Logs": ("logs", f"log-group:{name}:*")}.items()
}


class Call(NamedTuple):
    """Who does what with what; a listing names the prefix that it asks for, a metric its namespace."""

    who: str
    action: str
    resource: str
    context: str = ""


def by_services() -> Iterator[Call]:
    """What services call with our roles, as AWS's developer guides of Lambda, Step Functions and X-Ray list it."""
    for name in FUNCTIONS:
        for action in ("CreateLogStream", "PutLogEvents"):
            yield Call(f"{name}Role", f"logs:{action}", ARN.format("logs", f"log-group:{name}:log-stream:1"))
        for action in ("PutTelemetryRecords", "PutTraceSegments"):
            yield Call(f"{name}Role", f"xray:{action}", "*")
    for name in MACHINES:
        for action in ("Create", "Delete", "Get", "Update"):
            yield Call(f"{name}Role", f"logs:{action}LogDelivery", "*")
        for action in ("DescribeLogGroups", "DescribeResourcePolicies", "ListLogDeliveries", "PutResourcePolicy"):
            yield Call(f"{name}Role", f"logs:{action}", "*")
        for action in ("GetSamplingRules", "GetSamplingTargets", "PutTelemetryRecords", "PutTraceSegments"):
            yield Call(f"{name}Role", f"xray:{action}", "*")
    yield Call("ImageCreatedRole", "states:StartExecution", NAMES["ImageClassification"])
    # EventBridge Scheduler's universal target, and its dead letters.
    yield Call("EndpointExpiryRole", "sagemaker:DeleteEndpoint", ARN.format("sagemaker", "endpoint/scones"))
    yield Call("EndpointExpiryRole", "sqs:SendMessage", NAMES["DeadLetterQueue.Arn"])
    # The model is loaded by the function itself; GetObject is also what HeadObject asks for.
    for name in ("ClassifyImageDataRole", "ClassifyBatchRole"):
        yield Call(name, "s3:GetObject", "arn:aws:s3:::models/a/model.tar.gz")
    # Training jobs and endpoints, as "SageMaker AI Roles" lists it for CreateTrainingJob and CreateModel.
    jobs, ours = "SageMakerRole", f"arn:aws:s3:::{OUTPUT}"
    for prefix in ("checkpoints/", "data/", "models/", "source/"):
        yield Call(jobs, "s3:GetObject", f"{ours}/{prefix}a/b")
        yield Call(jobs, "s3:ListBucket", ours, f"{prefix}a/")
    for prefix in ("captures/", "checkpoints/", "models/"):
        yield Call(jobs, "s3:PutObject", f"{ours}/{prefix}a/b")
    for name in ("image-classification", "pytorch-inference", "pytorch-training"):
        for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
            yield Call(jobs, f"ecr:{action}", f"arn:aws:ecr:us-east-1:763104351884:repository/{name}")
    yield Call(jobs, "ecr:GetAuthorizationToken", "*")
    for action in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"):
        yield Call(jobs, f"logs:{action}", ARN.format("logs", "log-group:/aws/sagemaker/TrainingJobs:*"))
    yield Call(jobs, "cloudwatch:PutMetricData", "*", "/aws/sagemaker/TrainingJobs")
    # A distributed map: its batches are executions; large results are written in parts.
    batches = "BatchClassificationRole"
    yield Call(batches, "states:StartExecution", NAMES["BatchClassification"])
    for action in ("DescribeExecution", "StopExecution"):
        yield Call(batches, f"states:{action}", ARN.format("states", "execution:batch:ClassifyImages-1"))
    yield Call(batches, "states:RedriveExecution", ARN.format("states", "execution:batch/ClassifyImages:1"))
    for action in ("AbortMultipartUpload", "GetObject", "ListMultipartUploadParts"):
        yield Call(batches, f"s3:{action}", f"arn:aws:s3:::{OUTPUT}/bulk-runs/nightly/1/manifest.json")


def resolve(value: object) -> list[str]:
    """The ARNs that a template's value stands for."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        ((name, held),) = value.items()
        if name == "Ref":
            return [NAMES[held]]
        if name == "Fn::GetAtt":
            return [NAMES[".".join(held)]]
        assert name == "Fn::Sub"
        text = held if isinstance(held, str) else held[0]
        return [re.sub(r"\$\{([\w.:]+)\}", lambda match: NAMES[match[1]], text)]
    assert isinstance(value, Sequence)
    return [arn for item in value for arn in resolve(item)]


def allows(statements: Iterable[Statement], call: Call) -> bool:
    return any(
        any(fnmatchcase(call.action, allowed) for allowed in statement.actions)
        and any(fnmatchcase(call.resource, arn) for arn in resolve(statement.resources))
        and all(
            any(fnmatchcase(call.context, held) for (values,) in [test.values()] for held in resolve(values))
            for test in map(dict, statement.condition.values())
        )
        for statement in statements
        if statement.effect == "Allow"
    )


class Endpoint(BaseHTTPRequestHandler):
    """An endpoint that is sure of a bicycle."""

    def do_POST(self) -> None:
        body = b"[0.97, 0.03]"
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Recorder:
    """Notes each call of our clients as IAM sees it, on behalf of the function that runs."""

    def __init__(self, etag: str) -> None:
        self.etag = etag
        self.calls: set[Call] = set()
        self.role = self.machine = ""

    def __call__(self, params: dict[str, object], event_name: str, **_: object) -> None:
        service, operation = event_name.split(".")[1:3]
        if operation == "ListObjectsV2":
            arn = f"arn:aws:s3:::{params['Bucket']}"
            self.calls.add(Call(self.role, "s3:ListBucket", arn, str(params["Prefix"])))
        elif service == "s3":
            action = "GetObjectVersion" if "VersionId" in params else operation
            self.calls.add(Call(self.role, f"s3:{action}", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}"))
        else:
            arn = ARN.format("sagemaker", f"endpoint/{params['EndpointName']}")
            self.calls.add(Call(self.role, f"sagemaker:{operation}", arn))

    def invoke(self, parameters: asl.Json) -> object:
        assert isinstance(parameters, Mapping)
        name = str(parameters["FunctionName"]).removeprefix("${").removesuffix("FunctionArn}")
        arn = NAMES[f"{name}Function.Arn"]
        self.calls.add(Call(self.machine, "lambda:InvokeFunction", arn))
        self.role = f"{name}Role"
        handler = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        return {"Payload": load_handler(handler)(parameters["Payload"], LambdaContext(handler))}

    def put(self, parameters: asl.Json) -> object:
        assert isinstance(parameters, Mapping)
        assert parameters["Bucket"] == "${OutputBucketName}"
        self.calls.add(Call(self.machine, "s3:PutObject", f"arn:aws:s3:::{OUTPUT}/{parameters['Key']}"))
        return {"ETag": '"0"'}

    def get(self, parameters: asl.Json) -> object:
        """Nothing is there, and S3 asks whether the caller may list the bucket before it says so."""
        assert isinstance(parameters, Mapping)
        assert parameters["Bucket"] == "${OutputBucketName}"
        self.calls.add(Call(self.machine, "s3:GetObject", f"arn:aws:s3:::{OUTPUT}/{parameters['Key']}"))
        self.calls.add(Call(self.machine, "s3:ListBucket", f"arn:aws:s3:::{OUTPUT}"))
        raise asl.TaskFailed("S3.NoSuchKeyException")

    def list(self, parameters: asl.Json) -> object:
        assert isinstance(parameters, Mapping)
        bucket, prefix = str(parameters["Bucket"]), str(parameters["Prefix"])
        self.calls.add(Call(self.machine, "s3:ListBucket", f"arn:aws:s3:::{bucket}", prefix))
        return {"Contents": [{"Key": KEY, "ETag": self.etag}]}

    def run(self, machine: str, given: asl.Json) -> asl.Json:
        self.machine = f"{machine}Role"
        resources = {
            "arn:aws:states:::lambda:invoke": self.invoke,
            "arn:aws:states:::aws-sdk:s3:getObject": self.get,
            "arn:aws:states:::aws-sdk:s3:putObject": self.put,
            "arn:aws:states:::s3:putObject": self.put,
            "arn:aws:states:::s3:listObjectsV2": self.list,
        }
        definition = (
            MACHINES[machine]
            .to_text()
            .replace('"output_bucket": "${OutputBucketName}"', f'"output_bucket": "{OUTPUT}"')
        )
        execution = asl.run(definition, given, resources=resources, sleep=lambda _: None)
        assert execution.status == "SUCCEEDED", execution.cause
        return execution.output


@pytest.fixture
def recorded(moto_url: str, endpoint_url: str, monkeypatch: pytest.MonkeyPatch) -> set[Call]:
    """The calls of four runs: an object's version, an object without one, an uploaded one, and one that is gone."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint_url,
        "SCONES_CLASSIFIER": "sagemaker:scones",
        "SCONES_LABELS": "bicycle,motorcycle",
        "SCONES_THRESHOLD": "0.9",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=INPUT)
    s3.create_bucket(Bucket=OUTPUT)
    s3.put_bucket_versioning(Bucket=INPUT, VersioningConfiguration={"Status": "Enabled"})
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    written = s3.put_object(Bucket=INPUT, Key=KEY, Body=buffer.getvalue())
    uploaded = s3.put_object(Bucket=INPUT, Key=UPLOADED, Body=buffer.getvalue())
    recorder = Recorder(written["ETag"])
    clients.session().register("before-parameter-build.s3", recorder)
    clients.session().register("before-parameter-build.sagemaker-runtime", recorder)
    backends._object_store.cache_clear()
    backends._classifier.cache_clear()
    here = {"s3_bucket": INPUT, "s3_key": KEY}
    inputs = [here | {"version_id": written["VersionId"]}, here, here | {"s3_key": "images/gone.png"}]
    inputs.insert(2, {"s3_bucket": INPUT, "s3_key": UPLOADED, "etag": uploaded["ETag"].strip('"')})
    outcomes = []
    for given in inputs:
        output = recorder.run("ImageClassification", given)
        assert isinstance(output, Mapping)
        outcomes.append(output["outcome"])
        if outcomes[-1] == "accepted":
            # Classify reads an image itself when it was too large for a state: a claim check.
            claim = {**given, "image_id": "0" * 40, "image_data": ""}
            recorder.invoke({"FunctionName": "${ClassifyImageDataFunctionArn}", "Payload": claim})
    assert outcomes == ["accepted", "accepted", "accepted", "dropped"]
    recorder.run("BatchClassification", {"s3_bucket": INPUT, "s3_prefix": "images/", "run": "nightly"})
    items = [{"s3_key": KEY, "version_id": written["VersionId"]}]
    batch = {"Items": items, "BatchInput": {"s3_bucket": INPUT, "output_bucket": OUTPUT, "run": "versions"}}
    recorder.invoke({"FunctionName": "${ClassifyBatchFunctionArn}", "Payload": batch})
    backends._object_store.cache_clear()
    backends._classifier.cache_clear()
    # S3 asks whether the caller may list the bucket before it says that an object is gone.
    for role in ("SerializeImageDataRole", "ClassifyImageDataRole", "ClassifyBatchRole"):
        recorder.calls.add(Call(role, "s3:ListBucket", f"arn:aws:s3:::{INPUT}"))
    return recorder.calls


def test_a_full_run_is_allowed_and_every_permission_is_needed(recorded: set[Call]) -> None:
    """Every call of a full run is allowed; take any action or resource of any statement away, and some call is not."""
    calls = recorded | set(by_services())
    found = roles(MACHINES)
    assert {call.who for call in calls} == {role.name for role in found}
    for role in found:
        mine = [call for call in calls if call.who == role.name]
        for call in mine:
            assert allows((*role.statements, *role.on_itself), call), call
        for fewer, taken in narrowed((*role.statements, *role.on_itself)):
            assert any(not allows(fewer, call) for call in mine), f"{role.name}: {taken}"


def narrowed(statements: tuple[Statement, ...]) -> Iterator[tuple[list[Statement], str]]:
    """The statements without one of them, without one action, without one resource."""
    for index, statement in enumerate(statements):
        others = [*statements[:index], *statements[index + 1 :]]
        yield others, statement.sid
        for field in ("actions", "resources"):
            values = getattr(statement, field)
            for value in values:
                rest = tuple(held for held in values if held != value)
                yield [*others, dataclasses.replace(statement, **{field: rest})], f"{statement.sid} {value}"


@pytest.mark.parametrize(
    "call",
    [
        Call("SerializeImageDataRole", "s3:GetObject", f"arn:aws:s3:::{INPUT}/private/a.png"),
        Call("SerializeImageDataRole", "s3:GetObject", f"arn:aws:s3:::{OUTPUT}/outcomes/review/a.json"),
        Call("SerializeImageDataRole", "s3:PutObject", f"arn:aws:s3:::{INPUT}/{KEY}"),
        Call("SerializeImageDataRole", "sagemaker:InvokeEndpoint", ARN.format("sagemaker", "endpoint/scones")),
        Call("ClassifyImageDataRole", "sagemaker:InvokeEndpoint", ARN.format("sagemaker", "endpoint/other")),
        Call("FilterLowConfidenceRole", "s3:GetObject", f"arn:aws:s3:::{INPUT}/{KEY}"),
        Call("ImageClassificationRole", "s3:PutObject", f"arn:aws:s3:::{OUTPUT}/captures/a.jsonl"),
        Call("ImageClassificationRole", "s3:PutObject", f"arn:aws:s3:::{INPUT}/{KEY}"),
        Call("ImageClassificationRole", "lambda:InvokeFunction", ARN.format("lambda", "function:another")),
        Call("BatchClassificationRole", "s3:ListBucket", f"arn:aws:s3:::{INPUT}", "private/"),
        Call("BatchClassificationRole", "s3:PutObject", f"arn:aws:s3:::{OUTPUT}/outcomes/accepted/a.json"),
        Call("BatchClassificationRole", "states:StartExecution", NAMES["ImageClassification"]),
        Call("ClassifyBatchRole", "s3:ListBucket", f"arn:aws:s3:::{OUTPUT}", "outcomes/"),
        Call("ClassifyBatchRole", "s3:GetObject", f"arn:aws:s3:::{OUTPUT}/bulk/nightly/a.jsonl"),
        Call("ImageCreatedRole", "states:StartExecution", ARN.format("states", "stateMachine:another")),
        Call("ClassifyBatchRole", "s3:GetObject", f"arn:aws:s3:::{INPUT}/{UPLOADED}"),
        Call("EndpointExpiryRole", "sagemaker:DeleteEndpoint", ARN.format("sagemaker", "endpoint/another")),
        Call("SageMakerRole", "s3:GetObject", f"arn:aws:s3:::{INPUT}/{KEY}"),
        Call("SageMakerRole", "s3:GetObject", f"arn:aws:s3:::{OUTPUT}/outcomes/review/a.json"),
        Call("SageMakerRole", "s3:PutObject", f"arn:aws:s3:::{OUTPUT}/outcomes/accepted/a.json"),
        Call("SageMakerRole", "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:123456789012:repository/private"),
    ],
)
def test_nothing_else_is_allowed(call: Call) -> None:
    """A neighbour's key, bucket, endpoint, function or machine is out of reach."""
    (role,) = [role for role in roles(MACHINES) if role.name == call.who]
    assert not allows((*role.statements, *role.on_itself), call)


RULES = (NAMES["ImageCreatedRule.Arn"], NAMES["ExecutionFailedRule.Arn"])
QUEUE, TOPIC = NAMES["DeadLetterQueue.Arn"], NAMES["AlarmTopic"]
DELIVERIES = [
    ("DeadLetterQueuePolicy", "events.amazonaws.com", "sqs:SendMessage", QUEUE, {"aws:SourceArn": RULES[0]}),
    ("DeadLetterQueuePolicy", "events.amazonaws.com", "sqs:SendMessage", QUEUE, {"aws:SourceArn": RULES[1]}),
    ("AlarmTopicPolicy", "events.amazonaws.com", "sns:Publish", TOPIC, {"aws:SourceArn": RULES[1]}),
    ("AlarmTopicPolicy", "cloudwatch.amazonaws.com", "sns:Publish", TOPIC, {"aws:SourceAccount": "123456789012"}),
]
IN_THE_CLEAR = [
    ("InputBucketPolicy", "s3:GetObject", f"arn:aws:s3:::{INPUT}/{KEY}"),
    ("InputBucketPolicy", "s3:ListBucket", f"arn:aws:s3:::{INPUT}"),
    ("OutputBucketPolicy", "s3:PutObject", f"arn:aws:s3:::{OUTPUT}/outcomes/a.json"),
    ("OutputBucketPolicy", "s3:ListBucket", f"arn:aws:s3:::{OUTPUT}"),
    ("DeadLetterQueuePolicy", "sqs:ReceiveMessage", QUEUE),
    ("AlarmTopicPolicy", "sns:Publish", TOPIC),
]


def answers(statements: Iterable[Statement], action: str, resource: str, who: str, context: Mapping[str, str]) -> str:
    """What a resource policy answers: Deny wins, then Allow; nothing means the caller's own role decides."""
    effects = set()
    for statement in statements:
        conditions = [(key, held) for test in statement.condition.values() for key, held in dict(test).items()]
        holds = all(context.get(key) in resolve(held) for key, held in conditions)
        if statement.principal in ("*", who) and holds:
            matches = any(fnmatchcase(action, named) for named in statement.actions)
            if matches and any(fnmatchcase(resource, arn) for arn in resolve(statement.resources)):
                effects.add(statement.effect)
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else ""


def all_answers(statements: Mapping[str, Sequence[Statement]]) -> list[str]:
    return [
        *(answers(statements[name], action, what, who, more) for name, who, action, what, more in DELIVERIES),
        *(
            answers(statements[name], action, what, "arn:me", {"aws:SecureTransport": "false"})
            for name, action, what in IN_THE_CLEAR
        ),
    ]


def test_resource_policies_let_reports_in_and_plain_http_out() -> None:
    """Rules and alarms reach queue and topic, plain HTTP reaches nothing; without any statement that changes."""
    found = {policy.name: policy.statements for policy in policies()}
    right = ["Allow"] * len(DELIVERIES) + ["Deny"] * len(IN_THE_CLEAR)
    assert all_answers(found) == right
    for name, statements in found.items():
        for fewer, taken in narrowed(statements):
            assert all_answers({**found, name: fewer}) != right, f"{name}: {taken}"


def test_strangers_reach_neither_queue_nor_topic() -> None:
    """Another rule, another account's alarm or another service is not let in by queue or topic."""
    found = {policy.name: policy.statements for policy in policies()}
    for name, who, action, what, context in DELIVERIES:
        for stranger in (dict.fromkeys(context, "arn:aws:events:us-east-1:999999999999:rule/x"), {}):
            assert answers(found[name], action, what, who, stranger) == ""
        assert answers(found[name], action, what, "s3.amazonaws.com", context) == ""
