"""Reviewers' answers as a source, and data sets that are extended by them."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset import AnnotatedImages, Dataset, ExtendedDataset
from scones_ml.errors import DatasetError
from scones_ml.events import ImageRef
from scones_ml.review.annotations import Annotation, AnnotationFile, Undo
from scones_ml.testing import MemoryObjectStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", (8, 8), (number, 90, 160))
    image.putpixel((number % 8, number // 8 % 8), (255 - number, 0, 0))
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Desk:
    """Images 100, 101, ... in a bucket, and reviewers who answer."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryObjectStore({("photos", f"{number}.png"): png(number) for number in range(100, 130)})
        self.file = AnnotationFile(folder / "answers.jsonl")
        self._answers = 0

    def answer(self, number: int, label: str, reviewer: str = "ann", classes: str | None = None) -> Annotation:
        self._answers += 1
        ref = self.store.read(ImageRef(s3_bucket="photos", s3_key=f"{number}.png")).ref
        time = NOON + timedelta(minutes=self._answers)
        answer = Annotation(
            str(self._answers), time, reviewer, ref.image_id, ref, label, None, "bicycle", 0.6, 0.9, classes
        )
        self.file.append(answer)
        return answer

    @property
    def source(self) -> AnnotatedImages:
        return AnnotatedImages(self.file.path, self.store)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """A staged set of forty images of two classes."""
    for index, name in enumerate(("bicycle", "motorcycle")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(png(20 * index + number))
    return dataset.stage(tmp_path / "photos", tmp_path / "data", image_size=8).dataset


def splits(data: Dataset) -> dict[str, str]:
    return {record.sha256: record.split for record in data.records}


def test_answers_are_a_source(desk: Desk, tmp_path: Path) -> None:
    """Answers alone make a data set: each image is under the class that was named, split as any other."""
    for number in range(100, 120):
        desk.answer(number, "bicycle" if number % 2 else "motorcycle")
    data = dataset.stage(desk.source, tmp_path / "data", image_size=8).dataset
    assert data.classes == ("bicycle", "motorcycle")
    assert {split: sum(counts.values()) for split, counts in data.counts().items()} == {
        "train": 12,
        "validation": 2,
        "calibration": 2,
        "test": 4,
    }
    assert {Path(record.path).stem: record.class_name for record in data.records}["101"] == "bicycle"


def test_only_what_holds_is_taken(desk: Desk) -> None:
    """An answer that was undone is none, the latest of a reviewer counts, and what is in dispute is left out."""
    desk.answer(100, "bicycle")
    taken_back = desk.answer(101, "bicycle")
    desk.file.append(Undo(NOON + timedelta(hours=1), "ann", taken_back.id))
    desk.answer(102, "bicycle")
    desk.answer(102, "motorcycle")
    desk.answer(103, "bicycle")
    desk.answer(103, "motorcycle", "bob")
    listing = desk.source.listing(desk.source.classes())
    assert [(c.name, c.class_name) for c in listing.candidates] == [
        ("s3://photos/100.png", "bicycle"),
        ("s3://photos/102.png", "motorcycle"),
    ]
    assert listing.ignored == 1


def test_a_data_set_is_extended_where_it_teaches(desk: Desk, data: Dataset, tmp_path: Path) -> None:
    """Answers go to the train split; every older image stays in its split, and the new data set names the old one."""
    for number in range(100, 110):
        desk.answer(number, "motorcycle")
    extended = dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended", seed=5).dataset
    assert splits(data).items() <= splits(extended).items()
    added = set(splits(extended).items()) - set(splits(data).items())
    assert [split for _, split in added] == ["train"] * 10
    assert extended.image_size == 8
    assert extended.extended_from == (data.hash,)
    again = dataset.stage(ExtendedDataset(extended, desk.source), tmp_path / "again").dataset
    assert again.hash == extended.hash
    assert again.extended_from == (data.hash, extended.hash)


@pytest.mark.parametrize("split", ["test", "calibration", "validation"])
def test_a_image_that_judges_does_not_teach(desk: Desk, data: Dataset, tmp_path: Path, split: dataset.Split) -> None:
    """An answer to an image that is in a split which judges leaves it there, and adds nothing to train."""
    judge = next(record for record in data.split(split) if record.class_name == "bicycle")
    desk.store.write("photos", "100.png", (data.root / judge.path).read_bytes(), "image/png")
    desk.answer(100, "bicycle")
    result = dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended")
    assert splits(result.dataset) == splits(data)
    assert [problem.name for problem in result.problems] == ["s3://photos/100.png"]


def test_an_answer_against_a_label_is_a_conflict(desk: Desk, data: Dataset, tmp_path: Path) -> None:
    """An image of the train split that a reviewer calls something else is left out, with both labels named."""
    taught = next(record for record in data.split("train") if record.class_name == "bicycle")
    desk.store.write("photos", "100.png", (data.root / taught.path).read_bytes(), "image/png")
    desk.answer(100, "motorcycle")
    result = dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended")
    assert taught.sha256 not in splits(result.dataset)
    assert {problem.kind for problem in result.problems} == {"conflict"}
    assert "labelled bicycle, but the same image is s3://photos/100.png (motorcycle)" in {
        problem.reason for problem in result.problems
    }


def test_a_image_that_was_replaced_is_reported(desk: Desk, data: Dataset, tmp_path: Path) -> None:
    """Answers belong to the version that was shown: an image that is another by now is left out, with the reason."""
    desk.answer(100, "bicycle")
    desk.answer(101, "bicycle")
    desk.store.write("photos", "100.png", png(7), "image/png")
    result = dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended")
    (problem,) = result.problems
    assert problem.name == "s3://photos/100.png"
    assert "was replaced since the event" in problem.reason


def test_classes_that_the_data_set_does_not_know(desk: Desk, data: Dataset, tmp_path: Path) -> None:
    """An answer that names another class, such as "neither", teaches nothing and is counted."""
    desk.answer(100, "neither")
    with pytest.raises(DatasetError, match=r"has classes neither, .* has bicycle, motorcycle: there is nothing to add"):
        dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended")
    desk.answer(101, "bicycle")
    result = dataset.stage(ExtendedDataset(data, desk.source), tmp_path / "extended")
    assert len(splits(result.dataset)) == len(splits(data)) + 1
    assert result.dataset.classes == data.classes
    assert result.ignored == 1


def test_a_data_set_is_not_extended_in_place(desk: Desk, data: Dataset) -> None:
    """The destination must be another folder, so that nothing is read and replaced at the same time."""
    desk.answer(100, "bicycle")
    with pytest.raises(DatasetError, match="overlap"):
        dataset.stage(ExtendedDataset(data, desk.source), data.root)


def test_no_answers_are_no_source(desk: Desk, tmp_path: Path) -> None:
    """A file that is not there, or holds no answer that stands, says what to do."""
    with pytest.raises(DatasetError, match="there are no review answers"):
        dataset.stage(desk.source, tmp_path / "data")
    desk.file.append(Undo(NOON, "ann", desk.answer(100, "bicycle").id))
    with pytest.raises(DatasetError, match="holds no class that reviewers agree on"):
        dataset.stage(dataclasses.replace(desk.source), tmp_path / "data")


def test_answers_to_two_tasks_are_no_one_data_set(desk: Desk, tmp_path: Path) -> None:
    """Answers to models of different classes are staged for the classes that are chosen, never as one set of all."""
    for number in range(100, 108):
        desk.answer(number, ("bicycle", "motorcycle")[number % 2], classes="one")
        desk.answer(number, ("car", "bus")[number % 2], classes="other")
    with pytest.raises(DatasetError, match=r"2 different sets .* with bicycle, bus, car, motorcycle: .*--classes a,b"):
        dataset.stage(desk.source, tmp_path / "all", image_size=8)
    staged = dataset.stage(desk.source, tmp_path / "data", classes=("car", "bus"), image_size=8).dataset
    assert {record.class_name for record in staged.records} == {"car", "bus"}
    assert len(staged.records) == 8
