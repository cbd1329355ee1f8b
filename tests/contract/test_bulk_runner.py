"""The BulkRunner port's promises, kept by this process and by Step Functions alike."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from PIL import Image

from scones_ml.aws.bulk import StepFunctionsBulk
from scones_ml.aws.store import S3ObjectStore
from scones_ml.errors import ConfigurationError, ExecutionFailedError, InvalidImageError, SconesError
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.local.bulk import LocalBulkRunner
from scones_ml.local.workspace import BUCKETS, WorkspaceObjectStore
from scones_ml.ports import BulkRequest, BulkResult, BulkRunner, ObjectStore, WorkflowModel

FUNCTION = "scones-ClassifyBatchFunction-aB3dE5fG7h"


@dataclass
class Workplace:
    """A runner, where its images and results are, and the model that it is asked to use.

    Attributes:
        runner: of batches of four.
        store: holds images and results.
        input: the bucket of the images.
        output: the bucket of the results.
        model: None where the workflow was deployed with one.
        break_model: makes every later batch fail.
    """

    runner: BulkRunner
    store: ObjectStore
    input: str
    output: str
    model: WorkflowModel | None
    break_model: Callable[[], None]

    def put(self, name: str, data: bytes) -> None:
        self.store.write(self.input, f"images/{name}", data, "image/png")

    def request(self, prefix: str = "images/") -> BulkRequest:
        return BulkRequest(f"s3://{self.input}/{prefix}", self.model)

    def outcomes(self, result: BulkResult) -> dict[str, ImageOutcome]:
        """Every line of the results that a run names, by the image's name."""
        bucket, _, prefix = result.results.removeprefix("s3://").partition("/")
        found = {}
        for summary in self.store.list(bucket, prefix):
            for line in self.store.read(ImageRef(s3_bucket=bucket, s3_key=summary.key)).data.splitlines():
                outcome = ImageOutcome.model_validate_json(line)
                found[outcome.s3_key.removeprefix("images/")] = outcome
        return found


@pytest.fixture(params=["local", "aws"])
def workplace(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workplace]:
    """Each implementation, with eight images of which four are doubtful, a broken one, and a list that is no image."""
    if request.param == "local":
        made = _here(tiny_model, tmp_path)
    else:
        request.getfixturevalue("aws")
        made = _on_aws(tiny_model, monkeypatch)
    for number in range(8):
        made.put(f"{number}.png", make_image(255 if number % 2 else 128))
    made.put("page.png", b"<html>")
    made.put("list.lst", b"0\t0\ta.png")
    yield made
    if request.param == "aws":
        boto3.client("lambda").delete_function(FunctionName=FUNCTION)
        boto3.client("iam").delete_role(RoleName="batch")


def _here(model: Path, folder: Path) -> Workplace:
    store = WorkspaceObjectStore(folder / "buckets")

    def break_model() -> None:
        made.model = WorkflowModel(model, threshold=0.9, image_size=0)

    chosen = WorkflowModel(model, threshold=0.9, image_size=8)
    runner = LocalBulkRunner(store, batch_size=4)
    made = Workplace(runner, store, BUCKETS.input, BUCKETS.output, chosen, break_model)
    return made


def _on_aws(model: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    variables = {"SCONES_CLASSIFIER": f"onnx:{model}", "SCONES_THRESHOLD": "0.9", "SCONES_IMAGE_SIZE": "8"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    boto3.client("lambda").create_function(
        FunctionName=FUNCTION,
        Role=boto3.client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"],
        Runtime="python3.13",
        Handler="classify_batch.lambda_handler",
        Code={"ZipFile": b"code"},
        Environment={"Variables": variables},
    )

    def break_model() -> None:
        monkeypatch.setenv("SCONES_THRESHOLD", "93 %")

    seconds = itertools.count()  # executions' names have seconds: each has another
    runner = StepFunctionsBulk(pause=lambda _: None, clock=lambda: next(seconds))
    return Workplace(runner, S3ObjectStore(), "pictures", "outcomes", None, break_model)


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_each_image_has_one_outcome(workplace: Workplace) -> None:
    """Images are accepted, left to review or quarantined with the reason; lists are no images; counts agree."""
    workplace.runner.check(workplace.request())
    result = workplace.runner.run(workplace.request())
    found = workplace.outcomes(result)
    assert set(found) == {"page.png", *(f"{number}.png" for number in range(8))}
    assert (result.images, result.finished_before) == (9, 0)
    assert result.outcomes == {"accepted": 4, "review": 4, "quarantined": 1}
    assert result.results == f"s3://{workplace.output}/bulk/{result.run}/"
    assert result.seconds > 0
    assert [found[name].outcome for name in ("1.png", "2.png", "page.png")] == ["accepted", "review", "quarantined"]
    assert (found["1.png"].label, found["1.png"].threshold) == ("motorcycle", 0.9)
    assert found["1.png"].confidence == pytest.approx(0.9975, abs=1e-3)
    assert found["page.png"].error == "InvalidImageError"


def test_progress_grows_to_the_total(workplace: Workplace) -> None:
    """Progress never goes back, and ends where everything is done."""
    seen: list[tuple[int, int]] = []
    workplace.runner.run(workplace.request(), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_the_same_request_again_does_nothing_anew(workplace: Workplace) -> None:
    """A second run has the first one's name, finds all images finished, and leaves the results as they are."""
    first = workplace.runner.run(workplace.request())
    before = list(workplace.store.list(workplace.output, f"bulk/{first.run}/"))
    second = workplace.runner.run(workplace.request())
    assert (second.run, second.images, second.finished_before) == (first.run, 9, 9)
    assert list(workplace.store.list(workplace.output, f"bulk/{first.run}/")) == before


def test_what_is_new_is_added(workplace: Workplace) -> None:
    """An image that arrived since is classified in the same run; what is finished is not done again."""
    first = workplace.runner.run(workplace.request())
    workplace.put("zebra.png", make_image(255))
    second = workplace.runner.run(workplace.request())
    assert (second.run, second.images) == (first.run, 10)
    assert 0 < second.finished_before < 10
    assert set(workplace.outcomes(second)) == {*workplace.outcomes(first), "zebra.png"}


def test_a_failed_run_keeps_what_is_finished(workplace: Workplace) -> None:
    """More failed batches than are tolerated end the run by name, and results of earlier runs stay."""
    first = workplace.runner.run(workplace.request())
    workplace.put("zebra.png", make_image(255))
    workplace.break_model()
    with pytest.raises(ExecutionFailedError, match=r"^States\.ExceedToleratedFailureThreshold"):
        workplace.runner.run(workplace.request())
    assert len(workplace.outcomes(first)) == 9


def test_a_source_without_images(workplace: Workplace) -> None:
    """Nothing under the prefix is one line that names it."""
    with pytest.raises(InvalidImageError, match=rf"^s3://{workplace.input}/nothing/ holds no images$"):
        workplace.runner.run(workplace.request("nothing/"))


def test_what_is_no_source_is_refused_at_once(workplace: Workplace) -> None:
    """A name without a bucket is refused by check and by run, and nothing is written."""
    for act in (workplace.runner.check, workplace.runner.run):
        with pytest.raises(SconesError, match="s3://bucket/prefix"):
            act(BulkRequest("s3://", workplace.model))
    assert list(workplace.store.list(workplace.output)) == []


def test_a_model_is_given_where_there_is_none_and_only_there(workplace: Workplace, tiny_model: Path) -> None:
    """A model is needed here, while deployed functions have their own: the other way round is refused at once."""
    workplace.model = None if workplace.model else WorkflowModel(tiny_model, threshold=0.9, image_size=8)
    for act in (workplace.runner.check, workplace.runner.run):
        with pytest.raises(ConfigurationError, match=r"give --model MODEL|the stack sets model and threshold"):
            act(workplace.request())
    assert list(workplace.store.list(workplace.output)) == []
