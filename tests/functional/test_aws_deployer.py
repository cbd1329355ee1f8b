"""Endpoints on SageMaker: moto's server plays AWS; where moto knows no update and no failure, a small server does."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from scones_ml.aws.account import _READING
from scones_ml.aws.classifier import SageMakerClassifier
from scones_ml.aws.deployer import SageMakerDeployer
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.resources import Resources
from scones_ml.aws.store import S3ObjectStore
from scones_ml.aws.transform import BatchTransforms
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError, TransientServiceError
from scones_ml.plans import Ledger, Run
from scones_ml.ports import BuiltInModel, DeploymentRequest, RealTime, Serverless
from scones_ml.sagemaker.endpoint_plan import removal_plan
from scones_ml.sagemaker.resource_kinds import KINDS
from scones_ml.sagemaker.transform import TransformRequest

ROLE = "arn:aws:iam::123456789012:role/scones"
BUCKET = "scones-deployment"


@dataclass
class SageMaker:
    """SageMaker's control plane on loopback: models, configurations and endpoints with tags.

    Attributes:
        url: where it is.
        statuses: what the endpoint goes through; each look takes one, and "InService" follows the last.
        failure: the reason that a failed endpoint gives.
        rolls_back: an update ends with the configuration of before.
        missing: what it says of something that is not there; its words for that are many.
        refusals: operation to the code and message that it is refused with.
        held: noun and name to the request that made it.
        tags: ARN to tags.
        made: when everything was made.
    """

    url: str = ""
    statuses: deque[str] = field(default_factory=deque)
    failure: str = ""
    rolls_back: bool = False
    missing: str = "Could not find {noun} {arn}"
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    held: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    made: float = field(default_factory=time.time)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation in self.refusals:
            raise Refusal(*self.refusals[operation])
        if operation in ("ListTags", "AddTags", "DeleteTags"):
            return self._tags(operation, request)
        verb = next(verb for verb in ("Create", "Describe", "Update", "Delete", "List") if operation.startswith(verb))
        noun = operation.removeprefix(verb)
        if verb == "List":
            return self._listing(noun.removesuffix("s"), request)
        name = request[f"{noun}Name"]
        arn = self._arn(noun, name)
        if verb == "Create":
            if (noun, name) in self.held:
                raise Refusal("ValidationException", f"Cannot create already existing {noun} {arn}")
            self.tags[arn] = {tag["Key"]: tag["Value"] for tag in request.pop("Tags", ())}
            self.held[noun, name] = request
        elif (noun, name) not in self.held:
            raise Refusal("ValidationException", self.missing.format(noun=noun, arn=arn))
        elif verb == "Update" and not self.rolls_back:
            self.held[noun, name] |= request
        elif verb == "Describe":
            return self._description(noun, name)
        elif verb == "Delete":
            del self.held[noun, name], self.tags[arn]
        return {f"{noun}Arn": arn}

    def _listing(self, noun: str, request: dict[str, Any]) -> dict[str, Any]:
        names = [name for kind, name in self.held if kind == noun and request.get("NameContains", "") in name]
        start = int(request.get("NextToken", 0))
        more = {"NextToken": str(start + 5)} if start + 5 < len(names) else {}
        status = {"EndpointStatus": "InService"} if noun == "Endpoint" else {}
        page = [{f"{noun}Name": name, **self._facts(noun, name), **status} for name in names[start : start + 5]]
        return {f"{noun}s": page, **more}

    def _arn(self, noun: str, name: str) -> str:
        kind = {"EndpointConfig": "endpoint-config", "TransformJob": "transform-job"}.get(noun, noun.lower())
        return f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}"

    def _facts(self, noun: str, name: str) -> dict[str, Any]:
        changed = {"LastModifiedTime": self.made} if noun == "Endpoint" else {}
        return {f"{noun}Arn": self._arn(noun, name), "CreationTime": self.made, **changed}

    def _description(self, noun: str, name: str) -> dict[str, Any]:
        found = {f"{noun}Name": name, **self.held[noun, name], **self._facts(noun, name)}
        if noun not in ("Endpoint", "TransformJob"):
            return found
        reason = {"FailureReason": self.failure} if self.failure else {}
        return {**found, **reason, f"{noun}Status": self.statuses.popleft() if self.statuses else "InService"}

    def _tags(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        held = self.tags[request["ResourceArn"]]
        held |= {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}
        for key in request.get("TagKeys", ()):
            held.pop(key, None)
        return {"Tags": [{"Key": key, "Value": value} for key, value in held.items()]}


class Refusal(Exception):  # noqa: N818
    """What AWS answers instead."""


@pytest.fixture(scope="module")
def server() -> Iterator[SageMaker]:
    """SageMaker on loopback."""
    state = SageMaker()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            try:
                status, answer = 200, state.answer(self.headers["X-Amz-Target"].partition(".")[2], request)
            except Refusal as refusal:
                status, answer = 400, {"__type": refusal.args[0], "message": refusal.args[1]}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


class Aws:
    """Clients, and the calls that they made in order."""

    def __init__(self, url: str, **elsewhere: str) -> None:
        self._url, self._elsewhere = url, elsewhere
        self._made: dict[str, Any] = {}
        self.calls: list[str] = []

    def __call__(self, service: str) -> Any:
        if service not in self._made:
            client = boto3.client(
                service,  # type: ignore[call-overload]
                endpoint_url=self._elsewhere.get(service, self._url),
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            client.meta.events.register("before-call", lambda model, **_: self.calls.append(f"{service} {model.name}"))
            self._made[service] = client
        return self._made[service]

    def empty(self) -> Aws:
        """Forget everything that was made."""
        urllib.request.urlopen(urllib.request.Request(f"{self._url}/moto-api/reset", method="POST")).close()
        self("s3").create_bucket(Bucket=BUCKET)
        self.calls.clear()
        return self

    def changes(self) -> list[str]:
        """The calls that change something, and no longer."""
        reading = ("Describe", "List", "Get")
        found = [call for call in self.calls if not call.partition(" ")[2].startswith(reading)]
        self.calls.clear()
        return found


@pytest.fixture
def sagemaker(server: SageMaker) -> SageMaker:
    """SageMaker on loopback, empty, where a test decides how things go."""
    vars(server).update(vars(SageMaker(server.url)))
    return server


@pytest.fixture(scope="module")
def clients(moto_url: str, server: SageMaker) -> Mapping[str, Aws]:
    """Clients of moto's AWS, and of moto's with a SageMaker of our own; made once, since that takes a while."""
    return {"moto": Aws(moto_url), "ours": Aws(moto_url, sagemaker=server.url)}


@pytest.fixture
def aws(clients: Mapping[str, Aws], sagemaker: SageMaker) -> Aws:
    """Moto's AWS with a SageMaker of our own, empty."""
    return clients["ours"].empty()


@pytest.fixture
def moto(clients: Mapping[str, Aws]) -> Aws:
    """Moto's AWS, empty."""
    return clients["moto"].empty()


Make = Callable[..., SageMakerDeployer]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> AwsEnvironment:
    """Region, role and bucket by variables, so that no stack is asked."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return AwsEnvironment({"SCONES_ROLE": ROLE, "SCONES_BUCKET": f"{BUCKET}/vehicles"})


@pytest.fixture
def deployer(tmp_path: Path, environment: AwsEnvironment) -> Make:
    """Makes a deployer of one run; nothing waits."""

    def make(aws: Aws, **more: Any) -> SageMakerDeployer:
        more = {"run": Run("run-1"), "pause": lambda seconds: None} | more
        return SageMakerDeployer(
            environment, S3ObjectStore(aws("s3")), Resources(aws), Ledger(tmp_path / "ledger.jsonl"), **more
        )

    return make


@pytest.fixture(scope="module")
def other_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with another threshold, so another model."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "model.onnx").write_bytes((tiny_model / "model.onnx").read_bytes())
    card = json.loads((tiny_model / "model.json").read_text()) | {"threshold": 0.8}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


FIRST = [
    "s3 PutObject",
    "sagemaker CreateModel",
    "sagemaker CreateEndpointConfig",
    "cloudwatch PutMetricAlarm",
    "sagemaker CreateEndpoint",
]


def test_an_endpoint_comes_and_goes(moto: Aws, deployer: Make, tiny_model: Path, tmp_path: Path) -> None:
    """Deploying makes what the plan says, in its order; the same again changes nothing; removing leaves nothing."""
    made = deployer(moto)
    request = DeploymentRequest("scones", tiny_model, variant=RealTime(instances=2, most_instances=4))
    endpoint = made.deploy(request)
    scaling = ["application-autoscaling RegisterScalableTarget", "application-autoscaling PutScalingPolicy"]
    assert moto.changes() == FIRST + scaling
    assert endpoint.labels == ("bicycle", "motorcycle")
    assert (endpoint.image_size, endpoint.threshold) == (8, 0.9)
    assert endpoint.captures == f"s3://{BUCKET}/vehicles/captures/scones"
    assert made.endpoints() == [endpoint]

    assert made.deploy(request) == endpoint
    assert moto.changes() == []

    made.remove("scones")
    assert moto.changes() == [
        "application-autoscaling DeleteScalingPolicy",
        "application-autoscaling DeregisterScalableTarget",
        "sagemaker DeleteEndpoint",
        "sagemaker DeleteEndpointConfig",
        "sagemaker DeleteModel",
        "cloudwatch DeleteAlarms",
    ]
    assert made.endpoints() == []
    left = [(kind, name) for kind in KINDS for name in Resources(moto).names(kind)]
    assert left == []
    (package,) = Ledger(tmp_path / "ledger.jsonl").resources()
    assert package.kind == "object"
    made.remove("scones")
    assert moto.changes() == []


def test_what_is_made_is_tagged(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """Model, configuration, endpoint and alarm bear the project, the run and the end of their time."""
    run = Run("run-7", datetime(2026, 11, 25, 12, tzinfo=UTC))
    deployer(aws, run=run).deploy(DeploymentRequest("scones", tiny_model))
    tags = {"scones:project": "scones", "scones:run": "run-7", "scones:expires": "2026-11-25T12:00:00Z"}
    assert list(sagemaker.tags.values()) == [tags] * 3
    assert Resources(aws).tags("alarm", "scones-scones-errors") == tags


def test_a_plan_needs_no_account(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a role the preview calls nothing, knows names, prices and permissions, and says what it supposes."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def no_client(service: str) -> object:
        raise AssertionError(f"{service} was asked")

    store = S3ObjectStore(no_client)  # type: ignore[arg-type]
    nowhere = AwsEnvironment({}, lambda stack: None)
    made = SageMakerDeployer(nowhere, store, Resources(no_client), Ledger(tmp_path / "l"), Run.new())
    plan = made.preview(DeploymentRequest("scones", tiny_model))
    assert plan.unseen.startswith("SCONES_ROLE is not set")
    assert plan.dollars_per_hour == pytest.approx(0.115 + 0.10 / 730)
    assert plan.changes[0].name.startswith("s3://SCONES_BUCKET/models/")
    assert not (tmp_path / "l").exists()


def test_a_wrong_request_is_never_sent(aws: Aws, deployer: Make, tiny_model: Path) -> None:
    """An instance type that SageMaker does not have is refused before a call is made."""
    with pytest.raises(ConfigurationError, match=r"InstanceType is 'ml\.m9\.huge', not one of"):
        deployer(aws).deploy(DeploymentRequest("scones", tiny_model, variant=RealTime("ml.m9.huge")))
    assert aws.calls == []


def test_a_new_model_moves_in(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, other_model: Path
) -> None:
    """An update waits for the new fleet, removes the old version and passes the endpoint on to its run."""
    deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    aws.changes()
    sagemaker.statuses.extend(["InService", "Updating", "Updating", "InService"])
    said: list[str] = []
    endpoint = deployer(aws, run=Run("run-2")).deploy(DeploymentRequest("scones", other_model), said.append)
    assert endpoint.threshold == 0.8
    assert aws.changes() == [
        "s3 PutObject",
        "sagemaker CreateModel",
        "sagemaker CreateEndpointConfig",
        "sagemaker UpdateEndpoint",
        "sagemaker AddTags",
        "sagemaker DeleteEndpointConfig",
        "sagemaker DeleteModel",
    ]
    assert "endpoint scones: Updating" in said
    assert sorted(kind for kind, _ in sagemaker.held) == ["Endpoint", "EndpointConfig", "Model"]
    assert Resources(aws).tags("endpoint", "scones")["scones:run"] == "run-2"


def test_an_update_without_an_end_has_none(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, other_model: Path
) -> None:
    """An endpoint that had a time to live and is updated without one lives on."""
    ends = Run("run-1", datetime(2026, 11, 25, 12, tzinfo=UTC))
    deployer(aws, run=ends).deploy(DeploymentRequest("scones", tiny_model))
    assert "scones:expires" in Resources(aws).tags("endpoint", "scones")
    deployer(aws, run=Run("run-2")).deploy(DeploymentRequest("scones", other_model))
    tags = {"scones:project": "scones", "scones:run": "run-2"}
    assert Resources(aws).tags("endpoint", "scones") == tags


def test_doctor_asks_for_every_permission(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, other_model: Path
) -> None:
    """Each call of deploying, updating and removing is a permission that plans name, or that `scones doctor` adds."""
    made = deployer(aws)
    variant = RealTime(instances=2, most_instances=4)
    for model, run in ((tiny_model, Run.new(timedelta(hours=1))), (other_model, Run.new())):
        deployer(aws, run=run).deploy(DeploymentRequest("scones", model, variant=variant))
    made.endpoints()
    made.remove("scones")
    called = {call.replace(" ", ":").replace("s3:ListObjectsV2", "s3:ListBucket") for call in aws.calls}
    removed = {f"{kind.service}:{kind.delete.operation}" for kind in KINDS.values()}
    named = {
        change.permission for change in made.plan(DeploymentRequest("scones", tiny_model, variant=variant)).changes
    }
    assert called - removed - named <= {action for verb in ("stage", "deploy", "cleanup") for action in _READING[verb]}


def test_what_a_killed_update_left_goes_with_the_next(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, other_model: Path
) -> None:
    """An old version that a killed process left behind is removed when the same model is deployed again."""
    deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    sagemaker.refusals["DeleteEndpointConfig"] = ("InternalFailure", "killed")
    with pytest.raises(SconesError, match="killed"):
        deployer(aws).deploy(DeploymentRequest("scones", other_model))
    assert len(sagemaker.held) == 5
    sagemaker.refusals.clear()
    aws.changes()
    deployer(aws).deploy(DeploymentRequest("scones", other_model))
    assert aws.changes() == ["sagemaker DeleteEndpointConfig", "sagemaker DeleteModel"]


def test_an_update_that_fails_is_rolled_back(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, other_model: Path
) -> None:
    """When the alarm brings the old fleet back, one line says which version answers, and why."""
    deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    sagemaker.rolls_back = True
    sagemaker.statuses.extend(["InService", "Updating", "RollingBack", "InService"])
    with pytest.raises(
        DeploymentError, match=r"rolled back to scones-\w{12}, which.*alarm scones-scones-errors"
    ) as caught:
        deployer(aws).deploy(DeploymentRequest("scones", other_model))
    assert "\n" not in str(caught.value)


def test_a_container_that_fails_says_why(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """A failure inside the container is one line: AWS's reason and the container's last lines."""
    logs, group = aws("logs"), "/aws/sagemaker/Endpoints/scones"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="AllTraffic/i-1")
    now = int(time.time() * 1_000)
    events = [{"timestamp": now, "message": "starting"}, {"timestamp": now + 1, "message": "ImportError:\nno numpy"}]
    logs.put_log_events(logGroupName=group, logStreamName="AllTraffic/i-1", logEvents=events)
    sagemaker.statuses.extend(["Creating", "Failed"])
    sagemaker.failure = "The primary container did not pass the ping health check."
    with pytest.raises(DeploymentError) as caught:
        deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    assert str(caught.value) == (
        "endpoint scones is Failed: The primary container did not pass the ping health check.; "
        "its last lines: starting | ImportError: no numpy"
    )


def test_a_failed_endpoint_is_made_anew(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """After a failure the same command removes the failed endpoint and makes it again; without a log it says where."""
    sagemaker.statuses.extend(["Failed"])
    with pytest.raises(DeploymentError, match="no reason given; its log is /aws/sagemaker/Endpoints/scones"):
        deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    aws.changes()
    sagemaker.statuses.extend(["Failed"])
    deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    assert aws.changes() == ["sagemaker DeleteEndpoint", "sagemaker CreateEndpoint"]


def test_an_endpoint_that_is_stuck(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """An endpoint that stays in Creating is given up after 30 minutes, with its log and the ways on."""
    sagemaker.statuses.extend(["Creating"] * 1_000)
    waited: list[float] = []
    with pytest.raises(
        DeploymentError,
        match=r"Creating for more than 30 minutes.*Endpoints/scones.*same command waits again.*cleanup --on aws",
    ):
        deployer(aws, pause=waited.append).deploy(DeploymentRequest("scones", tiny_model))
    assert sum(waited) == 1_800


def test_ctrl_c_lets_go(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """Ctrl-C leaves the endpoint to AWS and says how to come back; the same command then waits and goes on."""

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    request = DeploymentRequest("scones", tiny_model, variant=RealTime(instances=1, most_instances=2))
    sagemaker.statuses.extend(["Creating"] * 2)
    with pytest.raises(DeploymentError, match="continues: the same command waits for it again"):
        deployer(aws, pause=interrupted).deploy(request)
    aws.changes()
    sagemaker.statuses.extend(["Creating"] * 2)
    deployer(aws).deploy(request)
    assert aws.changes() == [
        "application-autoscaling RegisterScalableTarget",
        "application-autoscaling PutScalingPolicy",
    ]


def test_an_endpoint_that_is_not_ours_is_never_touched(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path
) -> None:
    """A name that is taken by an endpoint without our tag stops deploying and removing before anything is changed."""
    sagemaker.held["Endpoint", "scones"] = {"EndpointName": "scones", "EndpointConfigName": "theirs"}
    sagemaker.tags["arn:aws:sagemaker:us-east-1:123456789012:endpoint/scones"] = {"scones:project": "another"}
    made = deployer(aws)
    for act in (lambda: made.deploy(DeploymentRequest("scones", tiny_model)), lambda: made.remove("scones")):
        with pytest.raises(
            DeploymentError, match=r"is not ours \(it has no tag scones:project=scones\): choose another"
        ):
            act()
    assert aws.changes() == []
    assert made.endpoints() == []


@pytest.mark.parametrize(
    "missing",
    ["Requested resource not found.", "No se pudo encontrar {arn}", ""],
    ids=["other words", "Spanish", "none"],
)
def test_what_is_missing_is_known_by_its_code(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path, missing: str
) -> None:
    """An endpoint that is not there is made, and removed twice, whatever SageMaker says beside its error code."""
    sagemaker.missing = missing
    made = deployer(aws)
    made.deploy(DeploymentRequest("scones", tiny_model))
    assert aws.changes() == FIRST
    made.remove("scones")
    made.remove("scones")
    assert sagemaker.held == {}
    for change in removal_plan("aws:us-east-1", {("model", "gone"): {}, ("endpoint", "gone"): {}}).changes:
        Resources(aws).perform(change, Run("run-1"))


def test_a_removal_that_is_refused_for_another_reason_is_an_error(
    aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path
) -> None:
    """The same code for something that is there is handed on, with AWS's reason."""
    made = deployer(aws)
    made.deploy(DeploymentRequest("scones", tiny_model))
    sagemaker.refusals["DeleteEndpoint"] = ("ValidationException", "Cannot update in-progress endpoint")
    with pytest.raises(
        ConfigurationError, match="endpoint scones: ValidationException: Cannot update in-pro"
    ) as caught:
        made.remove("scones")
    assert caught.value.code == "ValidationException"


def test_an_alarm_that_is_not_ours_is_never_touched(aws: Aws, deployer: Make, tiny_model: Path) -> None:
    """An alarm without our tag stops an endpoint that needs one of that name; one that needs none comes and goes."""
    aws("cloudwatch").put_metric_alarm(
        AlarmName="scones-scones-errors", EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold"
    )
    aws.calls.clear()
    made = deployer(aws)
    with pytest.raises(DeploymentError, match="alarm scones-scones-errors exists and is not ours"):
        made.deploy(DeploymentRequest("scones", tiny_model))
    assert aws.changes() == []
    made.deploy(DeploymentRequest("scones", tiny_model, variant=Serverless()))
    made.remove("scones")
    assert list(Resources(aws).names("alarm")) == ["scones-scones-errors"]


DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/dev/me is not authorized to perform: sagemaker:CreateEndpoint "
    "on resource: arn:aws:sagemaker:us-east-1:123456789012:endpoint/scones"
)


@pytest.mark.parametrize(
    ("operation", "code", "said", "error", "message"),
    [
        (
            "CreateEndpoint",
            "AccessDeniedException",
            DENIED,
            ConfigurationError,
            r"role/dev/me is not authorized to perform: sagemaker:CreateEndpoint.*allow the named action",
        ),
        (
            "CreateEndpoint",
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances",
            ConfigurationError,
            "ml.m5.large for endpoint usage.*request a higher quota in Service Quotas, or choose another instance",
        ),
        ("CreateModel", "ValidationException", "Could not access model data", ConfigurationError, "model scones-"),
        ("ListModels", "ThrottlingException", "Rate exceeded", TransientServiceError, "Rate exceeded"),
    ],
)
def test_what_aws_refuses(
    aws: Aws,
    sagemaker: SageMaker,
    deployer: Make,
    tiny_model: Path,
    operation: str,
    code: str,
    said: str,
    error: type[SconesError],
    message: str,
) -> None:
    """No permission, no quota, a role that cannot read the model and throttling are one line each, with a remedy."""
    sagemaker.refusals[operation] = (code, said)
    with pytest.raises(error, match=message) as caught:
        deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    assert "\n" not in str(caught.value)


def test_other_kinds_of_endpoints(aws: Aws, sagemaker: SageMaker, deployer: Make, tiny_model: Path) -> None:
    """A serverless endpoint and what the built-in algorithm left are deployed by the same call."""
    deployer(aws).deploy(DeploymentRequest("rarely", tiny_model, variant=Serverless()))
    assert aws.changes() == [call for call in FIRST if not call.startswith("cloudwatch")]
    course = BuiltInModel("s3://course/job/output/model.tar.gz", ("bicycle", "motorcycle"), 32)
    endpoint = deployer(aws).deploy(DeploymentRequest("course", course))
    assert aws.changes() == FIRST[1:]
    assert (endpoint.labels, endpoint.image_size, endpoint.threshold) == (("bicycle", "motorcycle"), 32, None)


def test_the_built_in_algorithms_answers_are_read(aws: Aws, deployer: Make) -> None:
    """The Classifier of our own endpoints asks the built-in algorithm's as it wants to be asked, and reads its list."""
    asked: list[tuple[str, str]] = []

    class BuiltIn(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Content-Type"]))
            body = b"[0.9316827058792114, 0.06831724941730499]"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    course = BuiltInModel("s3://course/job/output/model.tar.gz", ("bicycle", "motorcycle"), 32)
    endpoint = deployer(aws).deploy(DeploymentRequest("course", course))
    with ThreadingHTTPServer(("127.0.0.1", 0), BuiltIn) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        classifier = SageMakerClassifier(endpoint.name, endpoint.labels, f"http://127.0.0.1:{server.server_port}")
        jpeg = b"\xff\xd8\xff\xe0"
        probabilities = classifier.predict(jpeg, image_id="a" * 40)
        server.shutdown()
        thread.join()
    assert asked == [("/endpoints/course/invocations", "application/x-image")]
    assert dict(zip(classifier.labels, probabilities, strict=True))["bicycle"] == 0.9316827058792114


def test_every_step_is_on_record(aws: Aws, deployer: Make, tiny_model: Path, tmp_path: Path) -> None:
    """The ledger holds everything that was made, with its run and its price, newest first."""
    deployer(aws).deploy(DeploymentRequest("scones", tiny_model))
    found = Ledger(tmp_path / "ledger.jsonl").resources()
    assert [resource.kind for resource in found] == ["endpoint", "alarm", "endpoint config", "model", "object"]
    assert {(resource.place, resource.run, resource.state) for resource in found} == {
        ("aws:us-east-1", "run-1", "created")
    }
    assert found[0].dollars_per_hour == 0.115


CONTAINER = {"Image": "image", "ModelDataUrl": "s3://models/model.tar.gz"}
CREATED: Mapping[str, dict[str, Any]] = {
    "Model": {"ExecutionRoleArn": ROLE, "PrimaryContainer": CONTAINER},
    "EndpointConfig": {
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": "one",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "InitialVariantWeight": 1.0,
            }
        ]
    },
    "Endpoint": {"EndpointConfigName": "one"},
}


@pytest.mark.parametrize("which", ["ours", "moto"])
def test_both_sagemakers_keep_the_same_promises(clients: Mapping[str, Aws], sagemaker: SageMaker, which: str) -> None:
    """What is created is described as it was asked for, listed and tagged, and after it is deleted it is not there."""
    client = clients[which].empty()("sagemaker")

    def call(operation: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = client._make_api_call(operation, request)
        answer.pop("ResponseMetadata")
        shape = client.meta.service_model.operation_model(operation).output_shape
        if shape is not None and which == "ours":  # moto's DescribeModel has a VpcConfig that AWS's model refuses
            report = ParamValidator().validate(answer, shape)
            assert not report.has_errors(), f"{operation}: {report.generate_report()}"
        return answer

    def refused(operation: str, **request: Any) -> str:
        with pytest.raises(ClientError) as caught:
            client._make_api_call(operation, request)
        return str(caught.value.response["Error"]["Code"])

    for noun, request in CREATED.items():
        name = {f"{noun}Name": "one"}
        tags = [{"Key": "scones:project", "Value": "scones"}, {"Key": "scones:run", "Value": "1"}]
        assert refused(f"Describe{noun}", **name) == "ValidationException"
        arn = call(f"Create{noun}", **name, **request, Tags=tags)[f"{noun}Arn"]
        found = call(f"Describe{noun}", **name)
        assert found[f"{noun}Arn"] == arn
        assert _includes(found, {**name, **request}), noun
        assert [item[f"{noun}Name"] for item in call(f"List{noun}s", NameContains="on")[f"{noun}s"]] == ["one"]
        assert call("ListTags", ResourceArn=arn)["Tags"] == tags
        call("AddTags", ResourceArn=arn, Tags=[{"Key": "scones:expires", "Value": "never"}])
        call("DeleteTags", ResourceArn=arn, TagKeys=["scones:run"])
        assert {tag["Key"] for tag in call("ListTags", ResourceArn=arn)["Tags"]} == {"scones:project", "scones:expires"}
    for noun in reversed(CREATED):
        call(f"Delete{noun}", **{f"{noun}Name": "one"})
        for verb in ("Describe", "Delete"):
            assert refused(f"{verb}{noun}", **{f"{noun}Name": "one"}) == "ValidationException"


def _includes(found: Any, wanted: Any) -> bool:
    """Whether an answer says at least what was asked for."""
    if isinstance(wanted, Mapping):
        return all(_includes(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_includes, found, wanted))
    return bool(found == wanted)


JUNE = TransformRequest("june", Path(), "s3://pictures/june/", f"s3://{BUCKET}/june/")


@pytest.fixture
def transforms(tmp_path: Path, environment: AwsEnvironment) -> Callable[..., BatchTransforms]:
    """Makes what runs transform jobs; nothing waits."""

    def make(aws: Aws, pause: Callable[[float], None] = lambda seconds: None) -> BatchTransforms:
        ledger = Ledger(tmp_path / "ledger.jsonl")
        return BatchTransforms(environment, S3ObjectStore(aws("s3")), Resources(aws), ledger, Run("run-1"), pause=pause)

    return make


def test_a_transform_job_leaves_its_answers_alone(
    moto: Aws, transforms: Callable[..., BatchTransforms], tiny_model: Path
) -> None:
    """A job runs to its end, and its model goes; the same name is refused a second time."""
    jobs, request = transforms(moto), replace(JUNE, model=tiny_model)
    jobs.transform(request)
    assert moto.changes() == [
        "s3 PutObject",
        "sagemaker CreateModel",
        "sagemaker CreateTransformJob",
        "sagemaker DeleteModel",
    ]
    found = Resources(moto).find("transform job", "june")
    assert found
    assert found["TransformOutput"]["S3OutputPath"] == f"s3://{BUCKET}/june/"
    with pytest.raises(DeploymentError, match="transform job june already exists: choose another name"):
        jobs.transform(request)
    assert moto.changes() == []
    assert jobs.plan(request).changes[0].kind == "object"


def test_a_transform_job_that_fails(
    aws: Aws, sagemaker: SageMaker, transforms: Callable[..., BatchTransforms], tiny_model: Path
) -> None:
    """A job that fails says AWS's reason in one line; one that is left alone goes on, and is told how to stop."""
    request = replace(JUNE, model=tiny_model)
    sagemaker.statuses.extend(["InProgress", "Failed"])
    sagemaker.failure = "AlgorithmError: See job logs\nfor more information"
    with pytest.raises(
        DeploymentError, match=r"^transform job june failed: AlgorithmError: See job logs for more info"
    ):
        transforms(aws).transform(request)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    sagemaker.statuses.extend(["InProgress"])
    with pytest.raises(DeploymentError, match="july continues: stop it with `aws sagemaker stop-transform-job"):
        transforms(aws, pause=interrupted).transform(replace(request, name="july"))


def test_listings_are_read_to_their_end(aws: Aws, sagemaker: SageMaker) -> None:
    """A kind's listing goes on over all pages, and can keep to some names."""
    sagemaker.held |= {("Model", f"m-{number}"): {} for number in range(12)}
    resources = Resources(aws)
    assert len(list(resources.names("model"))) == 12
    assert aws.calls == ["sagemaker ListModels"] * 3
    assert list(resources.names("model", "m-1")) == ["m-1", "m-10", "m-11"]


def test_the_table_knows_aws() -> None:
    """Every operation and every parameter of the table of kinds is in AWS's own service models."""
    import botocore.session

    session = botocore.session.get_session()
    for kind in KINDS.values():
        service = session.get_service_model(kind.service)
        for call in (kind.describe, kind.delete, kind.listing.call):
            assert set(call.parameters) <= set(service.operation_model(call.operation).input_shape.members)
        for operation in filter(None, (kind.create, kind.update)):
            assert operation in service.operation_names
        listing = service.operation_model(kind.listing.call.operation)
        item = listing.output_shape.members[kind.listing.items].member
        assert kind.listing.name in item.members
        if kind.listing.filter:
            assert kind.listing.filter in listing.input_shape.members
