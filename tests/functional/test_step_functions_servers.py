"""Step Functions as tests play it: our server and moto's own engine keep the same promises, within AWS's own model."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from scones_ml.aws.executions import StateMachineExecutions, fetch_execution
from scones_ml.aws.workflow import StepFunctionsRunner
from scones_ml.events import ImageRef
from scones_ml.ports import WorkflowRequest

if TYPE_CHECKING:
    from conftest import StepFunctions

DEFINITION: Mapping[str, Any] = {
    "StartAt": "IsSure",
    "States": {
        "IsSure": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.s3_key", "StringMatches": "sure*", "Next": "Accept"}],
            "Default": "Refuse",
        },
        "Accept": {
            "Type": "Pass",
            "Result": {"outcome": "accepted", "label": "bicycle", "confidence": 0.97},
            "End": True,
        },
        "Refuse": {"Type": "Fail", "Error": "THRESHOLD_CONFIDENCE_NOT_MET", "Cause": "0.6 is below 0.93"},
    },
}
MOTO_LACKS: Mapping[str, Mapping[str, Any]] = {"DescribeStateMachineForExecution": {"updateDate": 0}}
"""Deviations of moto from AWS's own model: what it leaves out, and what would do."""
SURE, UNSURE = '{"s3_key": "sure.png"}', '{"s3_key": "unsure.png"}'
IMAGES = [ImageRef(s3_bucket="pictures", s3_key=key) for key in ("sure.png", "unsure.png")]


@dataclass
class Server:
    """A server with one state machine; each answer is held against AWS's own model of the operation.

    Attributes:
        client: boto3's.
        arn: of the state machine.
        lacks: operation to what its answers leave out that AWS's model requires.
    """

    client: Any
    arn: str
    lacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client._make_api_call(operation, request)
        answer.pop("ResponseMetadata")
        shape = self.client.meta.service_model.operation_model(operation).output_shape
        report = ParamValidator().validate({**answer, **self.lacks.get(operation, {})}, shape)
        assert not report.has_errors(), report.generate_report()
        return answer

    def refusal(self, operation: str, **request: Any) -> str:
        with pytest.raises(ClientError) as caught:
            self.client._make_api_call(operation, request)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return str(caught.value.response["Error"]["Code"])

    def run(self, name: str, document: str) -> dict[str, Any]:
        """Start an execution, and describe it when it has ended."""
        arn = self("StartExecution", stateMachineArn=self.arn, name=name, input=document)["executionArn"]
        while (found := self("DescribeExecution", executionArn=arn))["status"] == "RUNNING":
            pass
        return found


@pytest.fixture(params=["ours", "moto"])
def server(
    request: pytest.FixtureRequest, aws: StepFunctions, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Each server, with the machine and without executions; the environment leads to it."""
    if request.param == "ours":
        aws.machines = {"machine": json.dumps(DEFINITION)}
        yield Server(boto3.client("stepfunctions"), "arn:aws:states:us-east-1:123456789012:stateMachine:machine")
        return
    monkeypatch.delenv("AWS_ENDPOINT_URL_SFN")
    _configure(moto_url, execute=True)
    states, iam = boto3.client("stepfunctions"), boto3.client("iam")
    role = iam.create_role(RoleName="states", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    machine = states.create_state_machine(name="machine", definition=json.dumps(DEFINITION), roleArn=role)
    yield Server(states, machine["stateMachineArn"], MOTO_LACKS)
    states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])
    iam.delete_role(RoleName="states")
    _configure(moto_url, execute=False)


def _configure(moto_url: str, *, execute: bool) -> None:
    body = json.dumps({"stepfunctions": {"execute_state_machine": execute}}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/config", body, method="POST")).close()


def test_a_machine_is_described(server: Server) -> None:
    """A machine tells its definition and its type; one that is not there is refused by name, to start it too."""
    found = server("DescribeStateMachine", stateMachineArn=server.arn)
    assert (found["name"], found["type"], json.loads(found["definition"])) == ("machine", "STANDARD", DEFINITION)
    gone = f"{server.arn}-gone"
    assert server.refusal("DescribeStateMachine", stateMachineArn=gone) == "StateMachineDoesNotExist"
    assert server.refusal("StartExecution", stateMachineArn=gone, name="a", input="{}") == "StateMachineDoesNotExist"


def test_an_execution_tells_how_it_ended(server: Server) -> None:
    """A success has its output, a failure its error and cause, both their times and the machine that they are of."""
    succeeded, failed = server.run("sure", SURE), server.run("unsure", UNSURE)
    assert (succeeded["status"], json.loads(succeeded["output"])["label"]) == ("SUCCEEDED", "bicycle")
    assert (failed["status"], failed["error"], failed["cause"]) == (
        "FAILED",
        "THRESHOLD_CONFIDENCE_NOT_MET",
        "0.6 is below 0.93",
    )
    assert "output" not in failed
    for name, found in {"sure": succeeded, "unsure": failed}.items():
        assert (found["stateMachineArn"], found["name"]) == (server.arn, name)
        assert found["executionArn"] == f"{server.arn.replace(':stateMachine:', ':execution:')}:{name}"
        assert found["startDate"] <= found["stopDate"]


def test_a_name_is_used_once(server: Server) -> None:
    """A name that an execution bore is refused for the same input as for another one, when that has ended."""
    server.run("sure", SURE)
    for document in (SURE, UNSURE):
        code = server.refusal("StartExecution", stateMachineArn=server.arn, name="sure", input=document)
        assert code == "ExecutionAlreadyExists"


def test_an_execution_is_fetched_with_its_definition(server: Server) -> None:
    """What failed is fetched whole: the definition it ran by, and every event in its order."""
    arn = server.run("unsure", UNSURE)["executionArn"]
    found = server("DescribeStateMachineForExecution", executionArn=arn)
    assert (found["stateMachineArn"], json.loads(found["definition"])) == (server.arn, DEFINITION)
    events = server("GetExecutionHistory", executionArn=arn, maxResults=1000)["events"]
    assert [event["id"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "ChoiceStateEntered",
        "ChoiceStateExited",
        "FailStateEntered",
        "ExecutionFailed",
    ]
    assert events[-1]["executionFailedEventDetails"]["error"] == "THRESHOLD_CONFIDENCE_NOT_MET"


@pytest.mark.parametrize("operation", ["DescribeExecution", "GetExecutionHistory", "DescribeStateMachineForExecution"])
def test_an_execution_that_is_not_there(server: Server, operation: str) -> None:
    """Each operation on an execution refuses one that is not there by the code of AWS's model."""
    arn = f"{server.arn.replace(':stateMachine:', ':execution:')}:gone"
    code = server.refusal(operation, executionArn=arn)
    if server.lacks and code == "ResourceNotFound":
        pytest.skip("moto says ResourceNotFound, which is no error of this operation in AWS's model")
    assert code == "ExecutionDoesNotExist"


def test_what_has_ended_does_not_run(server: Server) -> None:
    """Among the executions that run none is listed that has ended."""
    server.run("sure", SURE)
    assert server("ListExecutions", stateMachineArn=server.arn, statusFilter="RUNNING")["executions"] == []


def test_our_runner_follows_both(server: Server) -> None:
    """Our own client of Step Functions tells the same of either server, also of executions that are there already."""
    run = StepFunctionsRunner(StateMachineExecutions(server.arn), pause=lambda _: None).run
    for _ in range(2):
        results = {result.image.s3_key: result for result in run(WorkflowRequest(IMAGES, "outcomes"))}
        assert (results["sure.png"].outcome, results["sure.png"].confidence) == ("accepted", 0.97)
        assert results["unsure.png"].reason == "THRESHOLD_CONFIDENCE_NOT_MET: 0.6 is below 0.93"
    fetched = fetch_execution(str(results["unsure.png"].execution))
    assert json.loads(fetched.definition) == DEFINITION
