"""``scones stage`` with reviewers' answers, from the workspace's own buckets."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import backends, dataset, lifecycle
from scones_ml.cli import main
from scones_ml.events import ImageRef
from scones_ml.local.backend import LocalBackend
from scones_ml.review.annotations import NONE_OF_THESE, Annotation, AnnotationFile


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a staged data set, twelve images in the workspace's bucket, and answers to all of them."""
    monkeypatch.chdir(tmp_path)
    for name, shade in (("bicycle", 20), ("motorcycle", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (shade, number, shade)).save(tmp_path / "photos" / name / f"{number}.png")
    dataset.stage("photos", "data", image_size=8)
    files = []
    for number in range(12):
        Image.new("RGB", (8, 8), (110, number, 110)).save(tmp_path / "doubtful.png")
        files.append((f"inbox/{number}.png", (tmp_path / "doubtful.png").read_bytes()))
    answers = AnnotationFile(tmp_path / ".scones" / "reviews" / "answers.jsonl")
    for number, ref in enumerate(lifecycle.upload(LocalBackend(tmp_path / ".scones"), files)):
        label = "bicycle" if number < 6 else "motorcycle"
        now = datetime.now(UTC)
        answers.append(Annotation(str(number), now, "ann", ref.image_id, ref, label, None, "bicycle", 0.6, 0.9))
    return tmp_path


def test_a_data_set_grows_by_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --answers, twelve doubtful images join the train split; the others are as large as before."""
    before = dataset.load("data").counts()
    assert main(["stage", "data", "data2", "--answers", ".scones/reviews/answers.jsonl", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts == {**before, "train": {name: count + 6 for name, count in before["train"].items()}}
    assert dataset.load("data2").image_size == 8


def test_answers_alone_are_a_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of answers as SOURCE becomes a data set of its own."""
    assert main(["stage", ".scones/reviews/answers.jsonl", "fresh", "--image-size", "8"]) == 0
    assert len(dataset.load("fresh").records) == 12


def test_disputes_are_left_out_and_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image that a second reviewer calls something else does not teach, and the command says so."""
    file = AnnotationFile(folder / ".scones" / "reviews" / "answers.jsonl")
    first = file.read().current[0]
    file.append(dataclasses.replace(first, id="again", reviewer="bob", label="motorcycle"))
    before = dataset.load("data").counts()["train"]
    assert main(["stage", "data", "data2", "--answers", ".scones/reviews/answers.jsonl"]) == 0
    assert "1  disputed answers, or answers with another class" in capsys.readouterr().err
    assert dataset.load("data2").counts()["train"]["bicycle"] == before["bicycle"] + 5


@pytest.mark.parametrize("source", [["data", "more", "--answers"], []], ids=["added", "alone"])
def test_none_of_these_teaches_nothing(folder: Path, capsys: pytest.CaptureFixture[str], source: list[str]) -> None:
    """Images that show no class of the model are left out and counted, from answers alone as from added ones."""
    path = folder / ".scones" / "reviews" / "answers.jsonl"
    file = AnnotationFile(path)
    for number, given in enumerate(file.read().current[:2]):
        file.append(dataclasses.replace(given, id=f"later {number}", label=NONE_OF_THESE))
    before = dataset.load("data").counts()["train"]
    assert main(["stage", *source, str(path), *([] if source else ["more", "--image-size", "8"])]) == 0
    assert "2  answers “none of these”" in capsys.readouterr().err
    more = dataset.load("more")
    assert more.classes == ("bicycle", "motorcycle")
    assert len(more.records) == 10 if not source else more.counts()["train"]["bicycle"] == before["bicycle"] + 4


def test_images_of_another_bucket_are_read_from_s3(
    folder: Path, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to an image whose bucket is not the workspace's is fetched from S3, beside those that are here."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="answered")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "far.png")
    written = client.put_object(Bucket="answered", Key="far.png", Body=(folder / "far.png").read_bytes())
    file = AnnotationFile(folder / ".scones" / "reviews" / "answers.jsonl")
    far = ImageRef(s3_bucket="answered", s3_key="far.png", etag=written["ETag"].strip('"'))
    first = file.read().current[0]
    file.append(dataclasses.replace(first, id="far", image=far, image_id=far.image_id))
    before = dataset.load("data").counts()["train"]
    backends._object_store.cache_clear()
    try:
        assert main(["stage", "data", "data2", "--answers", ".scones/reviews/answers.jsonl"]) == 0
    finally:
        backends._object_store.cache_clear()
    assert dataset.load("data2").counts()["train"]["bicycle"] == before["bicycle"] + 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data", "data2", "--answers", "nowhere.jsonl"), "there are no review answers nowhere.jsonl"),
        (("photos", "data2", "--answers", ".scones/reviews/answers.jsonl"), "photos is not a staged data set"),
        (("data", "data", "--answers", ".scones/reviews/answers.jsonl"), "overlap: choose another destination"),
    ],
)
def test_what_does_not_fit_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Answers that are not there, a source that is not staged, and growing in place end with one line and nothing."""
    assert main(["stage", *arguments]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (folder / "data2").exists()
