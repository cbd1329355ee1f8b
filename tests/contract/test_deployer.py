"""The Deployer port's promises, kept by processes of this machine and by SageMaker alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from scones_ml.aws.deployer import SageMakerDeployer
from scones_ml.aws.environment import AwsEnvironment
from scones_ml.aws.resources import Resources
from scones_ml.aws.store import S3ObjectStore
from scones_ml.errors import ConfigurationError, DeploymentError
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.plans import Ledger, Run
from scones_ml.ports import Deployer, DeploymentRequest

NAME = "contract"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture(params=["local", "aws"])
def deployer(
    request: pytest.FixtureRequest, ledger: Ledger, moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployer]:
    """Each implementation, with nothing deployed."""
    made: Deployer
    if request.param == "local":
        made = LocalDeployer(tmp_path / "endpoints", tmp_path / "captures", ledger, Run.new())
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
        boto3.client("s3").create_bucket(Bucket="scones-contract")
        variables = {"SCONES_ROLE": "arn:aws:iam::123456789012:role/scones", "SCONES_BUCKET": "scones-contract"}
        made = SageMakerDeployer(AwsEnvironment(variables), S3ObjectStore(), Resources(), ledger, Run.new())
    yield made
    made.remove(NAME)


def test_deployed_found_and_removed(deployer: Deployer, ledger: Ledger, tiny_model: Path) -> None:
    """What is deployed is found with its model's facts, is on record while it is there, and is gone when removed."""
    endpoint = deployer.deploy(DeploymentRequest(NAME, tiny_model))
    assert (endpoint.name, endpoint.labels) == (NAME, ("bicycle", "motorcycle"))
    assert (endpoint.image_size, endpoint.threshold) == (8, 0.9)
    assert endpoint.url.startswith("http")
    assert endpoint.captures.endswith(f"/captures/{NAME}")
    assert endpoint in deployer.endpoints()
    assert ("endpoint", NAME) in {(found.kind, found.name) for found in ledger.resources()}
    deployer.remove(NAME)
    assert NAME not in {found.name for found in deployer.endpoints()}
    deployer.remove(NAME)


def test_a_plan_does_nothing(deployer: Deployer, ledger: Ledger, tiny_model: Path) -> None:
    """A plan names the endpoint among what it creates, is the same each time, and leaves no trace."""
    plan = deployer.plan(DeploymentRequest(NAME, tiny_model))
    assert plan == deployer.plan(DeploymentRequest(NAME, tiny_model))
    assert plan.verb == "deploy"
    assert ("create", "endpoint", NAME) in {(change.action, change.kind, change.name) for change in plan.changes}
    assert NAME not in {found.name for found in deployer.endpoints()}
    assert ledger.resources() == ()


def test_a_name_stays_over_updates(deployer: Deployer, tiny_model: Path) -> None:
    """The same name deployed again is one endpoint, not two."""
    for _ in range(2):
        deployer.deploy(DeploymentRequest(NAME, tiny_model))
    assert [found.name for found in deployer.endpoints()].count(NAME) == 1


def test_what_cannot_be_deployed(deployer: Deployer, ledger: Ledger, tmp_path: Path, tiny_model: Path) -> None:
    """No model and no name are refused by plan and by deploy, and nothing is made."""
    for act in (deployer.plan, deployer.deploy):
        with pytest.raises(ConfigurationError, match="nowhere does not exist: train one"):
            act(DeploymentRequest(NAME, tmp_path / "nowhere"))
        with pytest.raises(DeploymentError, match="is not a valid endpoint name"):
            act(DeploymentRequest("two words", tiny_model))
    assert ledger.resources() == ()
