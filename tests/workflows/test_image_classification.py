"""The image classification workflow, run with stub functions."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml import asl
from scones_ml.asl import Json
from scones_ml.errors import (
    EventError,
    ImageNotFoundError,
    ImageTooLargeError,
    InferenceError,
    InvalidImageError,
    SconesError,
    TransientServiceError,
)
from scones_ml.events.models import PLACES
from scones_ml.workflows import THRESHOLD_ERROR, image_classification

ROOT = Path(__file__).parents[2]
ID = "0123456789" * 4
START = {"s3_bucket": "images", "s3_key": "a.png"}
FUNCTIONS = ("SerializeImageData", "ClassifyImageData", "FilterLowConfidence")


class Backend:
    """Stub functions and a stub bucket; a function raises the errors that are queued for it, one per call."""

    def __init__(self, *, accepted: bool = True, **errors: list[Exception]) -> None:
        self.accepted, self.errors = accepted, errors
        self.calls: list[str] = []
        self.written: dict[str, Json] = {}
        self.times: dict[str, str] = {}
        self.waits: list[float] = []
        self.put_errors: list[Exception] = []

    def invoke(self, parameters: Json) -> Json:
        name = parameters["FunctionName"].removeprefix("${").removesuffix("FunctionArn}")
        self.calls.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        added = {
            "SerializeImageData": {"image_id": ID, "image_data": "aGk="},
            "ClassifyImageData": {"label": "bicycle", "confidence": 0.97},
            "FilterLowConfidence": {"threshold": 0.9, "accepted": self.accepted},
        }
        return {"StatusCode": 200, "Payload": {**parameters["Payload"], **added[name]}}

    def put(self, parameters: Json) -> Json:
        if self.put_errors:
            raise self.put_errors.pop(0)
        assert parameters["Bucket"] == "${OutputBucketName}"
        assert parameters["ContentType"] == "application/json"
        self.written[parameters["Key"]] = parameters["Body"]
        return {"ETag": '"e"'}

    def get(self, parameters: Json) -> Json:
        assert parameters["Bucket"] == "${OutputBucketName}"
        if parameters["Key"] not in self.written:
            raise asl.TaskFailed("S3.NoSuchKeyException", "The specified key does not exist.")
        time = self.times.get(parameters["Key"], "2026-11-25T18:04:11Z")
        return {"Body": json.dumps(self.written[parameters["Key"]]), "LastModified": time}

    def run(self, machine: asl.StateMachine | None = None) -> asl.Execution:
        resources: dict[str, Callable[[Json], object]] = {
            "arn:aws:states:::lambda:invoke": self.invoke,
            "arn:aws:states:::aws-sdk:s3:getObject": self.get,
            "arn:aws:states:::aws-sdk:s3:putObject": self.put,
        }
        return asl.run(machine or image_classification(), START, resources=resources, sleep=self.waits.append, seed=1)


def test_a_confident_answer_is_accepted_and_written_under_its_identity() -> None:
    """An accepted image ends in outcomes/accepted/<image_id>.json with everything that is known of it."""
    backend = Backend()
    execution = backend.run()
    assert execution.status == "SUCCEEDED"
    assert backend.calls == list(FUNCTIONS)
    assert list(backend.written) == [f"outcomes/accepted/{ID}.json"]
    body = backend.written[f"outcomes/accepted/{ID}.json"]
    assert body == execution.output
    assert body == {
        **START,
        "image_id": ID,
        "image_data": "aGk=",
        "label": "bicycle",
        "confidence": 0.97,
        "threshold": 0.9,
        "accepted": True,
        "outcome": "accepted",
    }


def test_a_doubtful_answer_goes_to_review() -> None:
    """Below the threshold the execution still succeeds, and the image is written to the review queue."""
    backend = Backend(accepted=False)
    execution = backend.run()
    assert execution.status == "SUCCEEDED"
    assert list(backend.written) == [f"outcomes/review/{ID}.json"]


def test_a_doubtful_answer_fails_the_run_when_asked_to() -> None:
    """With below_threshold="fail" the execution fails with the course's error name, and nothing is written."""
    backend = Backend(accepted=False)
    execution = backend.run(image_classification("fail"))
    assert (execution.status, execution.error) == ("FAILED", THRESHOLD_ERROR)
    assert "threshold" in str(execution.cause)
    assert backend.written == {}


def test_failing_below_the_threshold_leaves_confident_answers_alone() -> None:
    """With below_threshold="fail" an accepted image is written as ever."""
    backend = Backend()
    assert backend.run(image_classification("fail")).status == "SUCCEEDED"
    assert list(backend.written) == [f"outcomes/accepted/{ID}.json"]


@pytest.mark.parametrize("state", FUNCTIONS[:2])
@pytest.mark.parametrize("error", [InvalidImageError, ImageTooLargeError])
def test_a_broken_image_is_quarantined_with_its_reason(state: str, error: type[SconesError]) -> None:
    """An image that cannot be read ends in quarantine without a retry, named by the id in the error's message."""
    backend = Backend(**{state: [error(f"{ID} is truncated: send it again")]})
    execution = backend.run()
    assert execution.status == "SUCCEEDED"
    assert backend.calls.count(state) == 1
    assert backend.waits == []
    assert backend.written == {
        f"outcomes/quarantined/{ID}.json": {
            "outcome": "quarantined",
            "image_id": ID,
            "error": error.__name__,
            "reason": f"{ID} is truncated: send it again",
            "input": START,
        }
    }


@pytest.mark.parametrize("state", FUNCTIONS[:2])
def test_an_object_that_is_gone_is_dropped_after_one_retry(state: str) -> None:
    """An image that is gone twice is dropped: the run succeeds, says why, and writes nothing."""
    backend = Backend(**{state: [ImageNotFoundError(f"{ID} is gone")] * 2})
    execution = backend.run()
    assert execution.status == "SUCCEEDED"
    assert backend.calls.count(state) == 2
    assert len(backend.waits) == 1
    assert backend.written == {}
    assert execution.output == {
        "outcome": "dropped",
        "error": "ImageNotFoundError",
        "reason": f"{ID} is gone",
        "input": START,
    }


@pytest.mark.parametrize("place", ["accepted", "review", "quarantined"])
def test_an_object_that_is_gone_ends_as_it_did_before(place: str) -> None:
    """An event that comes once more, after its object is gone, ends with the outcome that is there already."""
    backend = Backend(SerializeImageData=[ImageNotFoundError(f"{ID} is gone")] * 2)
    before = {"image_id": ID, "outcome": place, "s3_key": "a.png"}
    backend.written[f"outcomes/{place}/{ID}.json"] = before
    assert backend.run().output == before
    assert list(backend.written) == [f"outcomes/{place}/{ID}.json"]


@given(st.dictionaries(st.sampled_from(PLACES), st.integers(10, 59), min_size=1))
def test_of_several_outcomes_the_latest_counts(seconds: dict[str, int]) -> None:
    """Decided again with another threshold or model, a version is where its latest outcome is, for late events, too."""
    backend = Backend(SerializeImageData=[ImageNotFoundError(f"{ID} is gone")] * 2)
    for place, second in seconds.items():
        backend.written[f"outcomes/{place}/{ID}.json"] = {"image_id": ID, "outcome": place}
        backend.times[f"outcomes/{place}/{ID}.json"] = f"2026-11-25T18:04:{second}Z"
    output = backend.run().output
    assert seconds[output["outcome"]] == max(seconds.values())
    assert output == {"image_id": ID, "outcome": output["outcome"]}


def test_an_object_that_appears_at_the_second_look_is_classified() -> None:
    """One ImageNotFoundError alone costs a retry and nothing else."""
    backend = Backend(SerializeImageData=[ImageNotFoundError(f"{ID} is gone")])
    assert backend.run().output["outcome"] == "accepted"


@pytest.mark.parametrize("state", FUNCTIONS)
def test_a_transient_error_is_tried_seven_times(state: str) -> None:
    """A transient error is retried six times with growing, jittered waits, then fails the execution."""
    backend = Backend(**{state: [TransientServiceError("throttled")] * 7})
    execution = backend.run()
    assert (execution.status, execution.error) == ("FAILED", "TransientServiceError")
    assert backend.calls.count(state) == 7
    assert len(backend.waits) == 6
    assert all(0 <= wait <= min(2 * 2**used, 60) for used, wait in enumerate(backend.waits))


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        ("Lambda.ClientExecutionTimeoutException", 7),
        ("Lambda.ServiceException", 7),
        ("Lambda.AWSLambdaException", 7),
        ("Lambda.SdkClientException", 7),
        ("Lambda.TooManyRequestsException", 7),
        ("Sandbox.Timedout", 3),
        ("Lambda.Unknown", 3),
        ("States.Timeout", 3),
        ("Lambda.ResourceNotFoundException", 1),
        ("States.Runtime", 1),
    ],
)
def test_lambda_errors_are_retried_as_often_as_aws_advises(error: str, attempts: int) -> None:
    """Throttling and service errors get six retries, time-outs two, permanent ones none."""
    backend = Backend(ClassifyImageData=[asl.TaskFailed(error, "as it says")] * 7)
    execution = backend.run()
    assert (execution.status, execution.error) == ("FAILED", error)
    assert backend.calls.count("ClassifyImageData") == attempts


@pytest.mark.parametrize("error", [EventError, InferenceError, ValueError])
def test_any_other_error_fails_the_execution_at_once(error: type[Exception]) -> None:
    """What nobody foresaw is a failed execution with the function's own error name and message."""
    backend = Backend(ClassifyImageData=[error("not a probability vector")])
    execution = backend.run()
    assert (execution.status, execution.error) == ("FAILED", error.__name__)
    assert json.loads(str(execution.cause))["errorMessage"] == "not a probability vector"
    assert backend.calls.count("ClassifyImageData") == 1


def test_writing_the_outcome_is_retried() -> None:
    """A slow bucket delays the outcome and does not lose it."""
    backend = Backend()
    backend.put_errors = [asl.TaskFailed("S3.SlowDownException", "slow down"), TransientServiceError("again")]
    assert backend.run().status == "SUCCEEDED"
    assert list(backend.written) == [f"outcomes/accepted/{ID}.json"]
    assert len(backend.waits) == 2


def test_every_task_and_the_machine_have_ordered_timeouts() -> None:
    """Every task has a time limit, and the machine's is longer than any of them."""
    for machine in (image_classification(), image_classification("fail")):
        limits = [state.timeout_seconds for state in machine.states.values() if isinstance(state, asl.Task)]
        assert len(limits) == 7
        assert all(isinstance(limit, int) and limit < machine.timeout_seconds for limit in limits)


def test_every_retry_has_jitter_and_a_bound() -> None:
    """No retry of the workflow hammers a service in step with others, or for ever."""
    tasks = [state for state in image_classification().states.values() if isinstance(state, asl.Task)]
    for retrier in (retrier for task in tasks for retrier in task.retry or ()):
        assert retrier.jitter_strategy == "FULL"
        assert 1 <= (retrier.max_attempts or 0) <= 6


def test_every_state_says_in_plain_words_what_it_is_for() -> None:
    """A reader of the console sees a comment on each state."""
    for machine in (image_classification(), image_classification("fail")):
        assert machine.comment
        assert all(state.comment for state in machine.states.values())


def test_the_definitions_have_no_problems() -> None:
    """Validation finds neither errors nor warnings in what we ship."""
    assert asl.validate(image_classification()) == []
    assert asl.validate(image_classification("fail")) == []


def test_tasks_are_named_after_their_functions() -> None:
    """State, placeholder and function carry one name."""
    for name in FUNCTIONS:
        state = image_classification().states[name]
        assert isinstance(state, asl.Task)
        assert state.parameters["FunctionName"] == f"${{{name}FunctionArn}}"


def test_the_npm_validator_agrees(tmp_path: Path) -> None:
    """asl-validator, the JSON-schema check that CI systems use, finds both variants valid."""
    command = shutil.which("asl-validator")
    if command is None:
        pytest.skip("asl-validator is not installed: npm install -g asl-validator")
    for variant in ("review", "fail"):
        path = tmp_path / f"{variant}.asl.json"
        path.write_text(image_classification(variant).to_text())
        checked = subprocess.run([command, "--json-path", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "workflows" / "inputs").glob("*.json")), ids=lambda path: path.stem)
def test_sample_inputs_are_events_that_we_read(path: Path) -> None:
    """Every committed sample input names exactly one image."""
    from scones_ml.events import image_ref

    assert image_ref(json.loads(path.read_text())).s3_bucket == "images"
