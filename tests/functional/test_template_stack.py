"""The translated template as a stack in moto: conditions, substitutions and permissions as an account would hold them.

What moto does not know (alarms, resource policies) is left out here, and proven elsewhere.
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from samtranslator.translator.transform import transform

from scones_ml.infrastructure import template

UNKNOWN_TO_MOTO = (
    "AWS::CloudWatch::Alarm",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
)
CODE = {"Bucket": "artifacts", "Key": "code.zip"}


class NoManagedPolicies:
    """SAM asks for AWS's managed policies by name; we use none."""

    def load(self) -> dict[str, str]:
        return {}


class Stack:
    """A stack in moto, for parameters of a deployment."""

    def __init__(self, body: str, **parameters: str) -> None:
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        boto3.client("cloudformation").create_stack(StackName="scones", TemplateBody=body, Parameters=given)

    def physical(self, name: str) -> str:
        """The physical name of a resource."""
        # Moto trips over resources whose condition is false when it is asked for one alone.
        found = boto3.client("cloudformation").list_stack_resources(StackName="scones")["StackResourceSummaries"]
        return next(str(one["PhysicalResourceId"]) for one in found if one["LogicalResourceId"] == name)

    def environment(self, function: str) -> dict[str, Any]:
        found = boto3.client("lambda").get_function_configuration(FunctionName=self.physical(function))
        return found["Environment"]["Variables"]  # type: ignore[return-value]

    def statements(self, role: str, policy: str = "least-privilege") -> dict[str, dict[str, Any]]:
        """The statements of a role by their Sid."""
        name = self.physical(role)
        document = boto3.client("iam").get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        held = ast.literal_eval(document) if isinstance(document, str) else document
        return {statement["Sid"]: statement for statement in held["Statement"] if statement}


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The template behind SAM's transform, its code uploaded, in an account of moto's."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    whole = json.loads(json.dumps(template()))
    for resource in whole["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE
    translated = transform(whole, {}, NoManagedPolicies())
    resources = translated["Resources"]
    translated["Resources"] = {key: held for key, held in resources.items() if held["Type"] not in UNKNOWN_TO_MOTO}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", "")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=CODE["Bucket"])
        s3.put_object(**CODE, Body=buffer.getvalue())
        yield json.dumps(translated)


def test_a_bulk_run_may_follow_its_own_batches(body: str) -> None:
    """The bulk machine may start itself, and follow executions of that very name: role and machine name each other."""
    stack = Stack(body, Threshold="0.93")
    machine = stack.physical("BatchClassification")
    found = stack.statements("BatchClassificationRole", policy="on-itself")
    assert found["StartBatches"]["Resource"] == [machine]
    assert found["FollowBatches"]["Resource"] == [machine.replace(":stateMachine:", ":execution:") + ":*"]
    assert "StartBatches" not in stack.statements("BatchClassificationRole")


def test_a_packaged_model_needs_no_other_service(body: str) -> None:
    """By default the function loads its own model: no endpoint to ask, no bucket of models to read, no traces."""
    stack = Stack(body, Threshold="0.93")
    assert stack.environment("ClassifyImageDataFunction")["SCONES_CLASSIFIER"] == "onnx:/var/task/model"
    assert set(stack.statements("ClassifyImageDataRole")) == {"ReadImages", "TellGoneFromForbidden", "WriteLogs"}
    assert stack.environment("FilterLowConfidenceFunction")["SCONES_THRESHOLD"] == "0.93"
    assert set(stack.statements("FilterLowConfidenceRole")) == {"WriteLogs"}


def test_an_endpoint_may_be_asked_by_its_name_alone(body: str) -> None:
    """With EndpointName the function asks that endpoint, and may ask no other."""
    stack = Stack(body, Threshold="0.93", EndpointName="scones", Labels="bicycle,motorcycle", Tracing="on")
    environment = stack.environment("ClassifyImageDataFunction")
    assert (environment["SCONES_CLASSIFIER"], environment["SCONES_LABELS"]) == (
        "sagemaker:scones",
        "bicycle,motorcycle",
    )
    found = stack.statements("ClassifyImageDataRole")
    assert found["AskEndpoint"]["Resource"] == ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/scones"]
    assert "SendTraces" in found
    assert "ReadModel" not in found


def test_a_model_in_s3_may_be_read_alone(body: str) -> None:
    """With ModelUri the function may read that one object of that bucket."""
    stack = Stack(body, Threshold="0.93", ModelUri="s3://models/vehicles/model.tar.gz")
    environment = stack.environment("ClassifyBatchFunction")
    assert environment["SCONES_CLASSIFIER"] == "onnx:s3://models/vehicles/model.tar.gz"
    read = stack.statements("ClassifyBatchRole")["ReadModel"]
    assert read["Resource"] == ["arn:aws:s3:::models/vehicles/model.tar.gz"]


def test_images_are_read_under_the_prefix_that_starts_executions(body: str) -> None:
    """InputPrefix moves the rule and the permission together."""
    stack = Stack(body, Threshold="0.93", InputPrefix="inbox/vehicles/")
    bucket = stack.physical("InputBucket")
    read = stack.statements("SerializeImageDataRole")["ReadImages"]
    assert read["Resource"] == [f"arn:aws:s3:::{bucket}/inbox/vehicles/*", f"arn:aws:s3:::{bucket}/runs/*"]
    rule = boto3.client("events").describe_rule(Name=stack.physical("ImageCreatedRule"))
    detail = json.loads(rule["EventPattern"])["detail"]
    assert detail["bucket"]["name"] == [bucket]
    assert {"wildcard": "inbox/vehicles/*.png"} in detail["object"]["key"]
