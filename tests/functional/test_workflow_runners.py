"""The WorkflowRunner port's promises, kept by this process and by Step Functions alike."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from scones_ml.aws.executions import StateMachineExecutions
from scones_ml.aws.store import S3ObjectStore
from scones_ml.aws.workflow import StepFunctionsRunner
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.workflow import LocalWorkflowRunner
from scones_ml.ports import ObjectStore, WorkflowModel, WorkflowRequest, WorkflowRunner

ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:images"


@dataclass
class Workplace:
    """A runner, its store, and the model that it is asked to use; None where it was deployed with one."""

    runner: WorkflowRunner
    store: ObjectStore
    model: WorkflowModel | None

    def put(self, name: str, data: bytes) -> ImageRef:
        etag = self.store.write("pictures", name, data, "image/png")
        return ImageRef(s3_bucket="pictures", s3_key=name, etag=etag)

    def request(self, *images: ImageRef) -> WorkflowRequest:
        return WorkflowRequest(images, "outcomes", self.model)


@pytest.fixture(params=["local", "aws"])
def workplace(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workplace:
    if request.param == "local":
        buckets = tmp_path / "buckets"
        model = WorkflowModel(tiny_model, threshold=0.9, image_size=8)
        return Workplace(LocalWorkflowRunner(buckets), DirectoryObjectStore(buckets), model)
    request.getfixturevalue("aws")
    for name, value in {"CLASSIFIER": f"onnx:{tiny_model}", "THRESHOLD": "0.9", "IMAGE_SIZE": "8"}.items():
        monkeypatch.setenv(f"SCONES_{name}", value)
    runner = StepFunctionsRunner(StateMachineExecutions(ARN), pause=lambda _: None)
    return Workplace(runner, S3ObjectStore(), None)


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_each_image_has_one_result_and_one_object(workplace: Workplace) -> None:
    """What became of an image is told and written under its identity: accepted, in review or quarantined, and why."""
    refs = [workplace.put("red.png", make_image(255)), workplace.put("half.png", make_image(128))]
    refs.append(workplace.put("page.png", b"<html>"))
    results = {result.image: result for result in workplace.runner.run(workplace.request(*refs))}
    assert [results[ref].outcome for ref in refs] == ["accepted", "review", "quarantined"]
    assert (results[refs[0]].label, results[refs[2]].label) == ("motorcycle", None)
    assert results[refs[0]].confidence == pytest.approx(0.9975, abs=1e-3)
    assert results[refs[2]].reason == "not an image: it starts with '<html>'"
    assert all(result.seconds > 0 for result in results.values())
    written = {found.key for found in workplace.store.list("outcomes")}
    assert written == {f"outcomes/{results[ref].outcome}/{ref.image_id}.json" for ref in refs}


def test_an_image_that_was_replaced_is_dropped(workplace: Workplace) -> None:
    """A version that is no longer there leaves no outcome: the newer one has an event of its own."""
    old = workplace.put("a.png", make_image(0))
    workplace.put("a.png", make_image(255))
    (result,) = workplace.runner.run(workplace.request(old))
    assert result.outcome == "dropped"
    assert list(workplace.store.list("outcomes")) == []


def test_a_failed_execution_tells_error_and_cause(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution that fails is a result without an outcome, with the error's name and its message."""
    if workplace.model:
        workplace.model = WorkflowModel(Path("/no/such/model"), threshold=0.9, image_size=8)
    monkeypatch.setenv("SCONES_CLASSIFIER", "onnx:/no/such/model")
    (result,) = workplace.runner.run(workplace.request(workplace.put("red.png", make_image(255))))
    assert (result.outcome, result.label) == (None, None)
    assert result.reason
    assert result.reason.startswith("ConfigurationError: the model /no/such/model does not exist")


def test_images_may_still_be_arriving(workplace: Workplace) -> None:
    """Images are taken one after the other: none is asked for before the one before it was sent."""
    taken: list[str] = []

    def arriving() -> Iterator[ImageRef]:
        for name in ("a.png", "b.png"):
            taken.append(name)
            yield workplace.put(name, make_image(255))

    results = workplace.runner.run(WorkflowRequest(arriving(), "outcomes", workplace.model))
    assert taken == []
    assert sorted(result.image.s3_key for result in results) == ["a.png", "b.png"]


def test_a_model_is_given_where_there_is_none_and_only_there(workplace: Workplace, tiny_model: Path) -> None:
    """A model is needed here, while a deployed machine has its own: the other way round is refused at once."""
    workplace.model = None if workplace.model else WorkflowModel(tiny_model, threshold=0.9, image_size=8)
    with pytest.raises(ConfigurationError, match=r"give a model or an endpoint|the stack sets model and threshold"):
        workplace.runner.run(workplace.request())
