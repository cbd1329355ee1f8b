"""``scones doctor``: each line is ok, a warning or an error, and says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scones_ml import lifecycle
from scones_ml.aws.account import account_checks, idle_endpoints
from scones_ml.aws.backend import AwsBackend
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.requests import check_request
from scones_ml.aws.resources import Resources
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError
from scones_ml.lifecycle import doctor
from scones_ml.local.backend import LocalBackend
from scones_ml.plans import Change, Plan, Run, execute
from scones_ml.ports import Check
from scones_ml.settings import ImagePolicy

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/engineer"
ENVIRONMENT = AwsEnvironment(
    {
        "SCONES_BUCKET": "pictures",
        "SCONES_ROLE": f"arn:aws:iam::{ACCOUNT}:role/sagemaker",
        "SCONES_STATE_MACHINE": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:images",
    },
    lambda stack: {},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return tmp_path


def by_name(checks: Any) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_healthy_machine_is_all_ok(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a machine that has everything no line is an error, and the exit code is 0."""
    assert main(["doctor"]) == 0
    shown = capsys.readouterr()
    assert {line.split()[0] for line in shown.out.splitlines()} <= {"ok", "warning", "->"}
    assert " 0 errors" in shown.err
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"Python", "extras", "disk", "ports", "endpoints", "resources"} <= {check["name"] for check in document}


def test_what_is_past_its_time_is_named(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint past its ttl is a warning here and, where it costs, an error; the remedy is the very command."""
    assert main(["deploy", str(tiny_model), "--ttl", "0.001s"]) == 0
    (run,) = {one.run for one in LocalBackend(folder / ".scones").ledger.resources()}
    capsys.readouterr()
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "warning endpoint scones" in out
    assert f"-> scones cleanup --run {run}\n" in out
    assert main(["cleanup", "--run", run]) == 0
    assert main(["doctor"]) == 0
    assert "expired since" not in capsys.readouterr().out


def test_what_costs_past_its_time_is_an_error(folder: Path) -> None:
    """On AWS what has outlived its time goes on to cost: that is an error."""
    change = Change("create", "endpoint", "x", "", "", 3.0)
    backend = AwsBackend(folder, Run("1", NOW))
    backend.inventory.is_there = lambda change: change.name == "x"  # type: ignore[method-assign]
    execute(Plan("deploy", "aws:us-east-1", (change,)), lambda _: None, backend.ledger, backend.current_run)
    found = by_name(doctor.resources(backend, NOW))["endpoint x"]
    assert found.level == "error"
    assert found.remedy == "scones cleanup --run 1 --on aws"


def test_what_a_killed_command_left_is_named(folder: Path) -> None:
    """What was begun and never finished is a warning with the command that removes it."""
    backend = LocalBackend(folder, Run("1"))
    (folder / ".data.0a1b2c3d.partial").mkdir()
    with pytest.raises(ZeroDivisionError):
        execute(lifecycle.plan_stage(folder / "data"), lambda _: 1 / 0, backend.ledger, backend.current_run)
    found = by_name(doctor.resources(backend, NOW))[f"data set {folder / 'data'}"]
    assert (found.level, found.remedy) == ("warning", "scones cleanup --run 1")
    assert "begun and not finished" in found.found


def test_an_endpoint_that_died_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint on record whose process is gone is a warning, a damaged record an error and exit code 1."""
    records = folder / ".scones" / "endpoints"
    records.mkdir(parents=True)
    (records / "bikes.log").write_text("")
    assert main(["doctor"]) == 0
    assert "on record, but not running" in capsys.readouterr().out
    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["endpoint", "bikes", "not", "running"]
    (records / "bikes.json").write_text("{broken")
    assert main(["doctor"]) == 1
    assert "is not an endpoint's record" in capsys.readouterr().out


@pytest.mark.parametrize(("free", "level"), [(10**8, "error"), (10**9, "warning"), (10**10, "ok")])
def test_room_on_the_disk(folder: Path, free: int, level: str) -> None:
    """Less than 200 MB is an error, less than 2 GB a warning."""
    assert by_name(doctor.machine(folder, free_bytes=lambda _: free))["disk"].level == level


def test_a_missing_extra_is_named(folder: Path) -> None:
    """An extra whose packages are not installed is a warning with the command that installs it."""
    lines = ["no-such-package>=1; extra == 'report'", "numpy>=2; extra == 'onnx'"]
    found = by_name(doctor.machine(folder, requirements=lambda: lines))
    assert "onnx" in found["extras"].found.split(", ")
    assert "report" not in found["extras"].found
    assert found["extra report"].remedy == "pip install 'scones-ml[report]' if you need it"


@pytest.mark.parametrize(
    ("missing", "found", "level"),
    [
        ((), "scones train --recipe head or scratch", "ok"),
        (("train",), "scones train --recipe head", "ok"),
        (("pretrained",), "scones train --recipe scratch", "ok"),
        (("pretrained", "train"), "none: training is not possible here", "warning"),
    ],
)
def test_recipes_of_training(folder: Path, missing: tuple[str, ...], found: str, level: str) -> None:
    """The recipes are named whose extras are installed; a machine without any is a warning."""
    lines = [f"no-such-package; extra == '{extra}'" for extra in missing]
    recipes = by_name(doctor.machine(folder, requirements=lambda: lines))["recipes"]
    assert (recipes.found, recipes.level) == (found, level)


def test_images_too_large_for_a_state_are_an_error() -> None:
    """An image size whose images, as noise, exceed 262,144 bytes between states is an error with the remedy."""
    assert all(check.level == "ok" for check in doctor.limits(ImagePolicy(), None))
    found = by_name(doctor.limits(ImagePolicy(image_size=300), None))["an image between states"]
    assert found.level == "error"
    assert "SCONES_IMAGE_SIZE" in found.remedy


def test_images_are_held_against_the_policy(tmp_path: Path) -> None:
    """Files beyond the policy's bytes or with names longer than S3's keys are counted; the first is named."""
    (tmp_path / "a.png").write_bytes(b"x" * 10)
    assert by_name(doctor.limits(ImagePolicy(max_bytes=10), tmp_path))["images"].level == "ok"
    found = by_name(doctor.limits(ImagePolicy(max_bytes=9), tmp_path))["images"]
    assert found.level == "warning"
    assert "a.png" in found.found
    assert by_name(doctor.limits(ImagePolicy(), tmp_path / "nowhere"))["images"].level == "error"


class Account(Resources):
    """An account that answers as a test says; every request is held against AWS's own models."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.simulated: dict[str, set[str]] = {}

    def call(self, service: str, operation: str, request: Mapping[str, object], what: str) -> Mapping[str, Any]:
        check_request(service, operation, request)
        if operation == "SimulatePrincipalPolicy":
            assert request["PolicySourceArn"] == ROLE
            names: Any = request["ActionNames"]
            (resource,) = request["ResourceArns"]  # type: ignore[misc]
            self.simulated.setdefault(resource, set()).update(names)
            denied = self._answers.get("denied", ())
            return {
                "EvaluationResults": [
                    {"EvalActionName": name, "EvalDecision": "implicitDeny" if name in denied else "allowed"}
                    for name in names
                ]
            }
        answer = (
            self._answers.get(operation)
            or {
                "GetCallerIdentity": {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/engineer/session"},
                "GetRole": {"Role": {"Arn": ROLE}},
                "ListServiceQuotas": {
                    "Quotas": [
                        {"QuotaName": "ml.m5.large for endpoint usage", "Value": 4.0},
                        {"QuotaName": "ml.g4dn.xlarge for training job usage", "Value": 1.0},
                    ]
                },
                "GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 1000}},
                "ListEndpoints": {"Endpoints": []},
            }[operation]
        )
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def checked(tmp_path: Path, account: Account) -> dict[str, Check]:
    plans = AwsBackend(tmp_path, environment=ENVIRONMENT)._plans()
    return by_name(account_checks(ENVIRONMENT, account, plans))


def test_a_sound_account_is_all_ok(folder: Path) -> None:
    """Permissions are asked of the session's role, for exactly what plans need, on the resources that they name."""
    account = Account()
    found = checked(folder, account)
    assert {check.level for check in found.values()} == {"ok"}
    assert {name for name in found if name.startswith("permissions")} == {
        f"permissions to {verb}" for verb in ("stage", "train", "run", "deploy", "cleanup")
    }
    endpoint = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/scones"
    assert account.simulated[endpoint] == {"sagemaker:CreateEndpoint", "sagemaker:DeleteEndpoint"}
    assert account.simulated[f"arn:aws:iam::{ACCOUNT}:role/sagemaker"] == {"iam:PassRole"}
    assert "s3:ListBucketVersions" in account.simulated["arn:aws:s3:::pictures"]


def test_what_is_not_allowed_is_named(folder: Path) -> None:
    """A missing permission is an error that names the action, the verb that needs it, and the role."""
    found = checked(folder, Account(denied=("sagemaker:CreateEndpoint",)))
    check = found["permissions to deploy"]
    assert check.level == "error"
    assert "sagemaker:CreateEndpoint" in check.found
    assert check.remedy == f"allow them for {ROLE}"
    assert found["permissions to cleanup"].level == "ok"


def test_no_credentials_end_it(folder: Path) -> None:
    """Without credentials that is the one error, and nothing else is asked."""
    found = checked(folder, Account(GetCallerIdentity=ConfigurationError("no credentials")))
    assert [check.name for check in found.values() if check.level == "error"] == ["credentials"]
    assert list(found) == ["boto3", "credentials"]


def test_quotas_that_would_refuse_are_named(folder: Path) -> None:
    """A quota of 0 for our instances is an error; functions of a new account are a warning with the parameter."""
    quotas = {"Quotas": [{"QuotaName": "ml.m5.large for endpoint usage", "Value": 0.0}]}
    settings = {"AccountLimit": {"ConcurrentExecutions": 10}}
    found = checked(folder, Account(ListServiceQuotas=quotas, GetAccountSettings=settings))
    assert found["quota ml.m5.large for endpoint usage"].level == "error"
    assert found["quota ml.g4dn.xlarge for training job usage"].level == "warning"
    assert "ReservedConcurrency=0" in found["quota of Lambda"].remedy
    assert "the stack reserves 160 of 260" in found["quota of Lambda"].found  # 3 functions 20, batches 100


def test_what_cannot_be_asked_is_a_warning(folder: Path) -> None:
    """When AWS will not tell of quotas, that is said, and the rest is looked at all the same."""
    found = checked(folder, Account(ListServiceQuotas=ConfigurationError("AccessDenied")))
    assert found["quotas of SageMaker"].level == "warning"
    assert found["endpoints"].level == "ok"


@pytest.mark.parametrize(
    ("age", "invocations", "idle"),
    [(30, [], True), (30, [{"Sum": 0.0}], True), (30, [{"Sum": 2.0}], False), (3, [], False)],
)
def test_an_endpoint_that_nobody_asks_is_named(age: int, invocations: list[dict[str, float]], idle: bool) -> None:
    """An endpoint of ours, older than a day, without an invocation in a day is a warning."""
    account = Account(
        ListEndpoints={"Endpoints": [{"EndpointName": "scones"}]},
        DescribeEndpoint={
            "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/scones",
            "CreationTime": NOW - timedelta(hours=age),
            "ProductionVariants": [{"VariantName": "AllTraffic"}],
        },
        ListTags={"Tags": [{"Key": "scones:project", "Value": "scones"}]},
        GetMetricStatistics={"Datapoints": invocations},
    )
    found = by_name(idle_endpoints(account, NOW))
    assert ("endpoint scones" in found) is idle
    assert found["endpoints"].found == "1 of ours"
