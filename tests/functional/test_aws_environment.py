"""The AWS environment: from variables, else from the stack's outputs (moto's server plays CloudFormation)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from scones_ml import backends
from scones_ml.aws.environment import AwsEnvironment, stack_outputs
from scones_ml.errors import ConfigurationError
from scones_ml.infrastructure import template
from scones_ml.infrastructure.storage import UPLOAD_PREFIX

ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:images"
OUTPUTS = {
    "StateMachineArn": ARN,
    "BatchStateMachineArn": ARN.replace("images", "batches"),
    "SageMakerRoleArn": "arn:aws:iam::123456789012:role/sagemaker",
    "InputBucketName": "pictures",
    "OutputBucketName": "outcomes",
}


@pytest.fixture
def account(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region of an account that moto's server plays."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": moto_url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stack(account: None) -> Iterator[str]:
    """A stack with the outputs of ours."""
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="vehicles", TemplateBody=json.dumps(body))
    yield "vehicles"
    cloudformation.delete_stack(StackName="vehicles")


def test_what_the_environment_does_not_say_the_stack_does(stack: str) -> None:
    """Every name is an output of the stack that SCONES_STACK names."""
    environment = AwsEnvironment({"SCONES_STACK": stack})
    assert (environment.region, environment.name) == ("eu-west-1", "aws:eu-west-1")
    assert (environment.root, environment.bucket, environment.prefix) == ("s3://outcomes", "outcomes", "")
    assert environment.captures == "s3://outcomes/captures"
    assert environment.role == OUTPUTS["SageMakerRoleArn"]
    assert (environment.state_machine, environment.batch_state_machine) == (ARN, OUTPUTS["BatchStateMachineArn"])
    assert (environment.input_bucket, environment.output_bucket) == ("pictures", "outcomes")


def test_what_the_environment_says_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every variable set no stack is needed: nothing is asked, and none of it needs credentials."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    environment = AwsEnvironment(
        {
            "SCONES_BUCKET": "s3://lake/vehicles/",
            "SCONES_ROLE": OUTPUTS["SageMakerRoleArn"],
            "SCONES_STATE_MACHINE": ARN,
            "SCONES_BATCH_STATE_MACHINE": ARN,
            "SCONES_INPUT_BUCKET": "in-bucket",
            "SCONES_OUTPUT_BUCKET": "out-bucket",
        }
    )
    assert (environment.root, environment.bucket, environment.prefix) == ("s3://lake/vehicles", "lake", "vehicles")
    assert environment.captures == "s3://lake/vehicles/captures"
    assert (environment.role, environment.state_machine) == (OUTPUTS["SageMakerRoleArn"], ARN)
    assert environment.batch_state_machine == ARN
    assert (environment.input_bucket, environment.output_bucket) == ("in-bucket", "out-bucket")


def test_the_stack_is_asked_once_and_only_when_needed() -> None:
    """An environment asks for nothing when it is made; all that it then names takes one call, for plans too."""
    asked: list[str] = []

    def outputs(name: str) -> dict[str, str]:
        asked.append(name)
        return OUTPUTS

    environment = AwsEnvironment({}, outputs)
    assert asked == []
    assert (environment.input_bucket, environment.role) == ("pictures", OUTPUTS["SageMakerRoleArn"])
    assert environment.planned().output_bucket == "outcomes"
    assert asked == ["scones"]


def test_a_plan_shows_what_is_missing_as_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables and without a stack a plan is made for a role and a bucket that bear their variables' names."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    environment = AwsEnvironment({}, lambda _: None)
    with pytest.raises(ConfigurationError, match="SCONES_ROLE is not set"):
        environment.deployment_target()
    planned = environment.planned().deployment_target()
    assert planned.role_arn == "arn:aws:iam::000000000000:role/SCONES_ROLE"
    assert (planned.root, planned.captures) == ("s3://SCONES_BUCKET", "s3://SCONES_BUCKET/captures")


def test_neither_variable_nor_stack_names_both_remedies(account: None) -> None:
    """Without variable and stack the error says which variable, which stack, where, and what to do."""
    with pytest.raises(ConfigurationError) as caught:
        _ = AwsEnvironment({}).role
    assert str(caught.value) == (
        "SCONES_ROLE is not set, and there is no stack scones in eu-west-1: "
        "set SCONES_ROLE, or deploy the stack (docs/deploy.md) and set SCONES_STACK to its name"
    )


def test_a_stack_of_another_kind_is_told(stack: str) -> None:
    """A stack that is not ours, or an old one, lacks an output: the error names it."""
    environment = AwsEnvironment({}, lambda _: {"InputBucketName": "pictures"})
    with pytest.raises(
        ConfigurationError, match=r"^SCONES_STATE_MACHINE is not set, and stack scones has no output St"
    ):
        _ = environment.state_machine


def test_a_machine_of_another_region_is_told(account: None) -> None:
    """A state machine's ARN names its region: another one than ours is one line with the remedy."""
    environment = AwsEnvironment({"SCONES_STATE_MACHINE": ARN.replace("eu-west-1", "us-east-2")})
    with pytest.raises(
        ConfigurationError, match=r"is in us-east-2, but .* eu-west-1: set AWS_DEFAULT_REGION=us-east-2"
    ):
        _ = environment.state_machine


def test_no_region_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region the error says how to set one."""
    with pytest.raises(ConfigurationError, match="no AWS region is set: set AWS_DEFAULT_REGION"):
        _ = AwsEnvironment({}).region
    with pytest.raises(ConfigurationError, match=r"SCONES_BUCKET is not set, and .*region"):
        _ = AwsEnvironment({}).root


def test_the_template_has_every_output_that_is_asked_for() -> None:
    """What an environment takes from the stack is an output of our template."""
    assert set(OUTPUTS) <= set(template()["Outputs"])  # type: ignore[arg-type]


def test_each_run_uploads_under_a_prefix_of_its_own(
    stack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What `scones run` uploads to AWS lies apart from what starts executions, and apart from other runs."""
    monkeypatch.setenv("SCONES_STACK", stack)
    one, other = (backends.backend("aws", tmp_path).buckets for _ in range(2))
    assert one.input == "pictures"
    assert one.uploads.startswith(UPLOAD_PREFIX)
    assert one.uploads != other.uploads
    parameters = template()["Parameters"]
    assert not str(parameters["InputPrefix"]["Default"]).startswith(UPLOAD_PREFIX)  # type: ignore[index,call-overload]
    assert stack_outputs(stack) == OUTPUTS
