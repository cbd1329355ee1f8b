"""Endpoints as plans: what is asked of AWS, what it costs, and what is left to do."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.aws.requests import check_request
from scones_ml.errors import ConfigurationError, DeploymentError, SconesError
from scones_ml.plans import Change, Plan
from scones_ml.ports import BuiltInModel, DeploymentRequest, RealTime, Serverless
from scones_ml.sagemaker.endpoint_plan import changes_needed, deployment_plan, removal_plan
from scones_ml.sagemaker.endpoint_requests import DeploymentTarget, Vpc, is_version, versioned
from scones_ml.sagemaker.model_package import ModelPackage, pack_model
from scones_ml.sagemaker.resource_kinds import KINDS
from scones_ml.sagemaker.transform import TransformRequest, transform_plan
from scones_ml.settings import read_labels

TARGET = DeploymentTarget(
    "us-east-1", "arn:aws:iam::123456789012:role/scones", "s3://scones-models/vehicles", "s3://scones-models/captures"
)
COURSE = BuiltInModel("s3://course/models/job/output/model.tar.gz", ("bicycle", "motorcycle"), 32, 0.93)


@pytest.fixture(scope="session")
def package(tiny_model: Path) -> ModelPackage:
    return pack_model(tiny_model)


def plan(package: ModelPackage, variant: RealTime | Serverless, target: DeploymentTarget = TARGET, **more: Any) -> Plan:
    return deployment_plan(DeploymentRequest("scones", Path("model"), variant=variant, **more), target, package)


def request_of(found: Plan, kind: str) -> Mapping[str, Any]:
    return next(change.request for change in found.changes if change.kind == kind)


def kinds(found: Plan) -> list[tuple[str, str]]:
    return [(change.action, change.kind) for change in found.changes]


def described(found: Plan) -> dict[tuple[str, str], Mapping[str, object]]:
    """What AWS would describe once a plan is executed."""
    status = {"EndpointStatus": "InService", "Arn": "arn"}
    return {(change.kind, change.name): {**change.request, **status} for change in found.changes}


def test_two_scaled_instances(package: ModelPackage) -> None:
    """A real-time endpoint takes a package, a model, a configuration, an alarm, the endpoint, and what scales it."""
    found = plan(package, RealTime(instances=2, most_instances=6, invocations_per_instance=600))
    assert kinds(found) == [
        ("create", "object"),
        ("create", "model"),
        ("create", "endpoint config"),
        ("create", "alarm"),
        ("create", "endpoint"),
        ("create", "scaling target"),
        ("create", "scaling policy"),
    ]
    assert found.dollars_per_hour == pytest.approx(2 * 0.115 + 0.10 / 730)
    assert found.place == "aws:us-east-1"
    model = request_of(found, "model")["PrimaryContainer"]
    assert model["Image"] == "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
    assert model["ModelDataUrl"] == found.changes[0].name
    (variant,) = request_of(found, "endpoint config")["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 2)
    target = request_of(found, "scaling target")
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        "endpoint/scones/variant/AllTraffic",
        2,
        6,
    )
    policy = request_of(found, "scaling policy")["TargetTrackingScalingPolicyConfiguration"]
    assert policy["TargetValue"] == 600.0
    metric = policy["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"


def test_data_capture(package: ModelPackage) -> None:
    """Input and output are captured in the share that is asked for, answers as JSON; none at 0."""
    capture = request_of(plan(package, RealTime(), capture_percentage=25), "endpoint config")["DataCaptureConfig"]
    assert capture["InitialSamplingPercentage"] == 25
    assert capture["DestinationS3Uri"] == "s3://scones-models/captures"
    assert [option["CaptureMode"] for option in capture["CaptureOptions"]] == ["Input", "Output"]
    assert capture["CaptureContentTypeHeader"] == {
        "CsvContentTypes": ["text/csv"],
        "JsonContentTypes": ["application/json", "application/jsonlines"],
    }
    assert "DataCaptureConfig" not in request_of(plan(package, RealTime(), capture_percentage=0), "endpoint config")


def test_labels_and_threshold_travel(package: ModelPackage) -> None:
    """Whoever finds the endpoint finds its classes, its input size and its threshold in the model's environment."""
    environment = request_of(plan(package, RealTime()), "model")["PrimaryContainer"]["Environment"]
    assert environment["SCONES_LABELS"] == "bicycle,motorcycle"
    assert environment["SCONES_IMAGE_SIZE"] == "8"
    assert environment["SCONES_THRESHOLD"] == "0.9"


def test_the_built_in_algorithm_is_deployed_as_it_is() -> None:
    """What the built-in algorithm left is served by its own image where it lies: nothing is uploaded."""
    found = deployment_plan(DeploymentRequest("course", COURSE), TARGET, None)
    assert [change.kind for change in found.changes] == ["model", "endpoint config", "alarm", "endpoint"]
    container = request_of(found, "model")["PrimaryContainer"]
    assert container["Image"] == "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
    assert container["ModelDataUrl"] == COURSE.uri
    assert container["Environment"] == {
        "SCONES_LABELS": "bicycle,motorcycle",
        "SCONES_IMAGE_SIZE": "32",
        "SCONES_THRESHOLD": "0.93",
    }


def test_a_serverless_endpoint_costs_nothing_while_idle(package: ModelPackage) -> None:
    """A serverless endpoint has memory and a limit of requests; no machines, no capture, no alarm, no hourly price."""
    found = plan(package, Serverless(3072, 20))
    assert [change.kind for change in found.changes] == ["object", "model", "endpoint config", "endpoint"]
    config = request_of(found, "endpoint config")
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 20}
    assert "DataCaptureConfig" not in config
    assert found.dollars_per_hour == 0.0


@pytest.mark.parametrize(
    ("target", "more", "message"),
    [
        (TARGET, {"capture_percentage": 10}, "does not support data capture"),
        (TARGET, {"container": "1.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-gpu-py312"}, "has no GPU"),
        (replace(TARGET, vpc=Vpc(("subnet-1",), ("sg-1",))), {}, "does not support a VPC"),
    ],
)
def test_what_serverless_excludes(
    package: ModelPackage, target: DeploymentTarget, more: dict[str, Any], message: str
) -> None:
    """Data capture, GPUs and a VPC are refused with their remedy before anything is sent."""
    with pytest.raises(
        DeploymentError, match=rf"^a serverless endpoint {message}.*leave it out for scones, or use instances"
    ):
        plan(package, Serverless(), target, **more)


def test_a_private_network(package: ModelPackage) -> None:
    """Containers of a real-time endpoint reach the VPC that is named."""
    target = replace(TARGET, vpc=Vpc(("subnet-1", "subnet-2"), ("sg-1",)))
    found = request_of(plan(package, RealTime(), target), "model")["VpcConfig"]
    assert found == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}


@pytest.mark.parametrize("variant", [RealTime(), RealTime(instances=2, most_instances=4), Serverless()])
def test_aws_would_take_every_request(package: ModelPackage, variant: RealTime | Serverless) -> None:
    """Each request of a first and of a second deployment passes AWS's own model, and names the permission it takes."""
    first = plan(package, variant)
    changed = DeploymentRequest("scones", Path("model"), variant=variant)
    second = deployment_plan(changed, TARGET, replace(package, hash="f" * 64))
    update = changes_needed(changed, second, described(first))
    assert ("update", "endpoint") in kinds(update)
    for change in (*first.changes, *update.changes):
        if change.kind == "object":
            continue
        how = KINDS[change.kind]
        operation = {"create": how.create, "update": how.update, "delete": how.delete.operation}[change.action]
        request = how.delete.request(change.name) if change.action == "delete" else change.request
        check_request(how.service, operation, request)
        prefix = how.service
        assert change.permission == f"{prefix}:{operation}"


def test_the_same_again_changes_nothing(package: ModelPackage) -> None:
    """A second deployment of the same model in the same way leaves nothing to do."""
    variant = RealTime(instances=2, most_instances=4)
    first = plan(package, variant)
    request = DeploymentRequest("scones", Path("model"), variant=variant)
    assert changes_needed(request, plan(package, variant), described(first)).changes == ()


def test_a_new_model_updates_and_removes_the_old(package: ModelPackage) -> None:
    """A new model comes beside the old one, the endpoint moves over guarded by the alarm, then the old one goes."""
    old = plan(package, RealTime(instances=2))
    request = DeploymentRequest("scones", Path("model"), variant=RealTime(instances=2))
    needed = changes_needed(request, deployment_plan(request, TARGET, replace(package, hash="f" * 64)), described(old))
    assert kinds(needed) == [
        ("create", "object"),
        ("create", "model"),
        ("create", "endpoint config"),
        ("update", "endpoint"),
        ("delete", "endpoint config"),
        ("delete", "model"),
    ]
    update = request_of(needed, "endpoint")
    assert update["EndpointConfigName"] != request_of(old, "endpoint")["EndpointConfigName"]
    deployment = update["DeploymentConfig"]
    assert deployment["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "scones-scones-errors"}]}
    assert deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert needed.changes[-1].name == request_of(old, "model")["ModelName"]


def test_a_scaled_endpoint_keeps_its_size(package: ModelPackage) -> None:
    """An update of a scaled endpoint keeps as many instances as there are by now; a fixed one takes what is asked."""
    for most, kept in ((4, True), (None, False)):
        variant = RealTime(instances=2, most_instances=most)
        request = DeploymentRequest("scones", Path("model"), variant=variant)
        wanted = deployment_plan(request, TARGET, replace(package, hash="f" * 64))
        update = request_of(changes_needed(request, wanted, described(plan(package, variant))), "endpoint")
        assert update.get("RetainAllVariantProperties", False) is kept


def test_scaling_can_be_changed_and_given_up(package: ModelPackage) -> None:
    """Other limits update the target alone; without limits target and policy go before the endpoint changes."""
    there = described(plan(package, RealTime(instances=2, most_instances=4)))
    wider = DeploymentRequest("scones", Path("model"), variant=RealTime(instances=2, most_instances=8))
    assert kinds(changes_needed(wider, deployment_plan(wider, TARGET, package), there)) == [
        ("update", "scaling target")
    ]
    fixed = DeploymentRequest("scones", Path("model"), variant=RealTime(instances=3))
    assert kinds(changes_needed(fixed, deployment_plan(fixed, TARGET, package), there)) == [
        ("delete", "scaling policy"),
        ("delete", "scaling target"),
        ("create", "endpoint config"),
        ("update", "endpoint"),
        ("delete", "endpoint config"),
    ]


def test_other_machines_are_not_scaled_meanwhile(package: ModelPackage) -> None:
    """AWS changes no instance type while it scales: scaling stops before the update and starts again after it."""
    there = described(plan(package, RealTime(instances=2, most_instances=4)))
    request = DeploymentRequest("scones", Path("model"), variant=RealTime("ml.m5.xlarge", 2, 4))
    assert kinds(changes_needed(request, deployment_plan(request, TARGET, package), there)) == [
        ("delete", "scaling policy"),
        ("delete", "scaling target"),
        ("create", "endpoint config"),
        ("update", "endpoint"),
        ("create", "scaling target"),
        ("create", "scaling policy"),
        ("delete", "endpoint config"),
    ]


def test_a_failed_endpoint_is_replaced(package: ModelPackage) -> None:
    """An endpoint that has failed cannot be updated: it is removed and made anew."""
    found = described(plan(package, RealTime()))
    found["endpoint", "scones"] = {**found["endpoint", "scones"], "EndpointStatus": "Failed"}
    request = DeploymentRequest("scones", Path("model"))
    needed = changes_needed(request, plan(package, RealTime()), found)
    assert kinds(needed) == [("delete", "endpoint"), ("create", "endpoint")]


def test_instances_do_not_become_serverless(package: ModelPackage) -> None:
    """AWS makes no endpoint on instances serverless: that is refused with its remedy; the other way is an update."""
    request = DeploymentRequest("scones", Path("model"), variant=Serverless())
    with pytest.raises(DeploymentError, match=r"runs on instances.*another name, or run"):
        changes_needed(request, plan(package, Serverless()), described(plan(package, RealTime())))
    request = replace(request, variant=RealTime())
    needed = changes_needed(request, plan(package, RealTime()), described(plan(package, Serverless())))
    assert ("update", "endpoint") in kinds(needed)


def test_everything_is_removed_in_order(package: ModelPackage) -> None:
    """What scales goes before the endpoint, the endpoint before what it is made of."""
    there = described(plan(package, RealTime(instances=2, most_instances=4)))
    del there[next(identity for identity in there if identity[0] == "object")]
    assert [kind for _, kind in kinds(removal_plan("aws:us-east-1", there))] == [
        "scaling policy",
        "scaling target",
        "endpoint",
        "endpoint config",
        "model",
        "alarm",
    ]


def test_a_transform_job(package: ModelPackage) -> None:
    """A transform job takes a model of its own name, which goes when the job is done; AWS's model takes its request."""
    request = TransformRequest("june", Path("model"), "s3://pictures/june/", "s3://scones-models/june/", instances=3)
    found = transform_plan(request, TARGET, package)
    assert kinds(found) == [("create", "object"), ("create", "model"), ("create", "transform job"), ("delete", "model")]
    assert {change.name for change in found.changes[1:]} == {"june"}
    assert found.dollars_per_hour == pytest.approx(3 * 0.115)
    job = request_of(found, "transform job")
    check_request("sagemaker", "CreateTransformJob", job)
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://pictures/june/"
    built_in = transform_plan(replace(request, model=COURSE), TARGET, None)
    assert [change.kind for change in built_in.changes] == ["model", "transform job", "model"]
    for wrong in ({"name": "two words"}, {"source": "june"}, {"instances": 0}):
        with pytest.raises(SconesError):
            replace(request, **wrong)  # type: ignore[arg-type]


def test_prices_that_are_not_known(package: ModelPackage) -> None:
    """A region or an instance without a price makes the total unknown, not wrong."""
    assert plan(package, RealTime(), replace(TARGET, region="eu-west-1")).dollars_per_hour is None
    assert plan(package, RealTime("ml.g5.48xlarge")).dollars_per_hour is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RealTime("m5.large"), "SageMaker types begin with ml"),
        (lambda: RealTime(instances=0), "0 instances: give 1 or more"),
        (lambda: RealTime(instances=3, most_instances=2), "instances 3-2: the second must be larger"),
        (lambda: Serverless(memory_mb=1000), "memory of 1000 MB: give one of 1024, 2048"),
        (lambda: Serverless(max_concurrency=0), "max_concurrency=0: give 1 to 200"),
        (lambda: BuiltInModel("model.tar.gz", ("a", "b")), "is not s3://bucket"),
        (lambda: BuiltInModel("s3://b/output/model.tar.gz", ()), "needs two or more class names"),
        (lambda: replace(COURSE, threshold=0.0), "threshold is 0: give a number above 0 and at most 1"),
    ],
)
def test_what_cannot_be(make: Any, message: str) -> None:
    """What no endpoint can be is refused where it is written down, with what to give instead."""
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("name", ["", "two words", "-a", "a-", "a" * 51, "a_b"])
def test_names_that_no_endpoint_can_have(package: ModelPackage, name: str) -> None:
    """A name that AWS would refuse, or that leaves no room for a version, is refused first."""
    with pytest.raises(DeploymentError, match="is not a valid endpoint name: give 1 to 50 letters, digits and hyphens"):
        deployment_plan(DeploymentRequest(name, Path("model")), TARGET, package)


def test_class_names_with_a_comma(package: ModelPackage) -> None:
    """Class names that a list with commas could not tell apart reach the endpoint as they are."""
    card = package.card.model_copy(update={"labels": ("bicycle, old", "motorcycle")})
    found = next(change for change in plan(replace(package, card=card), RealTime()).changes if change.kind == "model")
    environment = cast("dict[str, dict[str, dict[str, str]]]", found.request)["PrimaryContainer"]["Environment"]
    assert read_labels(environment["SCONES_LABELS"]) == card.labels


@settings(max_examples=25)
@given(st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,30}", fullmatch=True), st.dictionaries(st.text(), st.integers()))
def test_versions_belong_to_their_endpoint(name: str, content: dict[str, int]) -> None:
    """A version's name says which endpoint it belongs to, and the same content gives the same name."""
    version = versioned(name, content)
    assert version == versioned(name, dict(reversed(content.items())))
    assert is_version(version, name)
    assert not is_version(version, f"{name}-{version[-12:]}")
    assert not is_version(versioned(version, content), name)


def test_the_package_is_the_same_each_time(tiny_model: Path, package: ModelPackage, tmp_path: Path) -> None:
    """The same model gives the same bytes from a folder or an archive, whenever and wherever it is packed."""
    assert pack_model(tiny_model) == package
    path = tmp_path / "model.tar.gz"
    path.write_bytes(package.data)
    assert pack_model(path) == package
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(package.data))) as members:
        found = {member.name: (member.mtime, member.uid, member.mode) for member in members}
    assert set(found.values()) == {(0, 0, 0o644)}
    assert {"model.onnx", "model.json", "code/inference.py", "code/requirements.txt"} <= set(found)


def test_a_plan_is_plain_data(package: ModelPackage) -> None:
    """Two plans of the same request are equal, so that tests compare plans and not calls."""
    assert plan(package, RealTime()) == plan(package, RealTime())
    assert isinstance(plan(package, RealTime()).changes[0], Change)
