"""What starts executions: the real handler on recorded events, against a server that plays Step Functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from scones_ml import backends, steps
from scones_ml.aws.executions import StateMachineExecutions
from scones_ml.aws.observability import logger
from scones_ml.errors import ConfigurationError, EventError, TransientServiceError
from scones_ml.events import CreatedObject, ImageRef, image_refs, start_event
from scones_ml.local.handlers import LambdaContext, load_handler
from scones_ml.testing import recorded_event, recorded_events, sqs_event

STARTS = recorded_events("start_")
DEFINITION = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})


def call(event: object) -> object:
    return load_handler("start_image_classification")(event, LambdaContext("start_image_classification"))


@pytest.fixture
def machine(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """A state machine that the handler starts; gives its executions' inputs by name."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_STEPFUNCTIONS": moto_url,
        "AWS_ENDPOINT_URL_SFN": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/machine"
    arn = client.create_state_machine(name="started", definition=DEFINITION, roleArn=role)["stateMachineArn"]
    monkeypatch.setenv("SCONES_STATE_MACHINE", arn)
    backends._executions.cache_clear()  # the client keeps the address it was made with

    def executions() -> dict[str, Any]:
        found = client.list_executions(stateMachineArn=arn)["executions"]
        return {
            item["name"]: json.loads(client.describe_execution(executionArn=item["executionArn"])["input"])
            for item in found
        }

    yield executions
    client.delete_state_machine(stateMachineArn=arn)
    backends._executions.cache_clear()


@pytest.mark.parametrize("name", STARTS)
def test_every_start_event_starts_its_images(machine: Callable[[], dict[str, Any]], name: str) -> None:
    """From every recorded shape, each image gets one execution, named by its creation, whose input names it again."""
    event = recorded_event(name)
    assert call(event) == {"batchItemFailures": []}
    created, started = start_event(event).created, machine()
    assert list(started.values()) == [image.ref.to_event() for image in created]
    assert all(image.name in (None, name) for image, name in zip(created, started, strict=True))
    assert all(image_refs(document) == (ImageRef(**document),) for document in started.values())


def test_a_duplicate_event_starts_nothing_new(machine: Callable[[], dict[str, Any]]) -> None:
    """S3 and SQS deliver at least once: the second time is a success, and there is still one execution."""
    for _ in range(2):
        assert call(recorded_event("start_s3_notification")) == {"batchItemFailures": []}
    assert len(machine()) == 1


def test_an_sqs_batch_is_answered_message_by_message(machine: Callable[[], dict[str, Any]]) -> None:
    """Only the broken message comes again; markers, lists and test events start nothing; keys are decoded once.

    EventBridge's key is taken as it is and S3's is form-decoded once, so that ``50%25+off`` and ``50%2525+off`` differ.
    """
    answer = call(recorded_event("batch_sqs_mixed"))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000002"}]}
    assert sorted(document["s3_key"] for document in machine().values()) == ["test/50%25 off.png", "test/50%25+off.png"]


def test_what_is_skipped_is_counted_in_the_log(
    machine: Callable[[], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Deletions and tests of a queue start nothing, are no failures, and stand in the log line by their names.

    The queue's messages come as EventBridge Pipes sends them, as a list.
    """
    caplog.set_level("INFO", logger=logger.name)  # runs on this machine are quiet, and the logger is the process's
    names = ["skipped_s3_removed", "skipped_eventbridge_deleted", "start_s3_test", "start_eventbridge"]
    messages = sqs_event(*map(recorded_event, names))["Records"]
    assert call(messages) == {"batchItemFailures": []}
    assert len(machine()) == 1
    (record,) = (record for record in caplog.records if record.getMessage() == "started")
    counts = {"ObjectRemoved:Delete": 1, "Object Deleted": 1, "s3:TestEvent": 1}
    assert (record.__dict__["images"], record.__dict__["skipped"]) == (1, counts)


def test_what_cannot_be_read_fails_the_invocation() -> None:
    """Outside SQS there is no message to send back: the invocation fails, and Lambda's own retry and queue act."""
    with pytest.raises(EventError, match="names no image"):
        call({"something": "else"})


def test_a_setting_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a state machine every message of a batch fails with the variable's name, and none is lost."""
    with pytest.raises(ConfigurationError, match="SCONES_STATE_MACHINE is not set"):
        call(recorded_event("start_direct"))
    started = steps.start_image_classification(recorded_event("start_sqs"), backends.start_execution)
    (reason,) = started.failures.values()
    assert reason.startswith("ConfigurationError: SCONES_STATE_MACHINE is not set")


def test_one_throttled_start_sends_back_its_message_alone() -> None:
    """A message whose image cannot be started now comes again; the images of the others are started."""
    begun = []

    def start(image: CreatedObject) -> None:
        if image.ref.s3_key.endswith("50%25 off.png"):
            raise TransientServiceError("throttled")
        begun.append(image.ref.s3_key)

    started = steps.start_image_classification(recorded_event("batch_sqs_mixed"), start)
    assert begun == ["test/50%25+off.png"]
    assert [name[-1] for name in started.failures] == ["2", "4"]
    assert started.images == 1


def test_a_state_machine_that_is_not_there_is_named(
    machine: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's error arrives as ours, with the ARN."""
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:gone"
    with pytest.raises(ConfigurationError, match="stateMachine:gone: StateMachineDoesNotExist"):
        StateMachineExecutions(arn).start(ImageRef(s3_bucket="b", s3_key="k"), "name")
