"""Manifests as sources: .lst files and JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset.opening import open_source
from scones_ml.dataset.sources import Source
from scones_ml.errors import DatasetError
from scones_ml.testing import MemoryObjectStore


def draw(path: Path, seed: int) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(path, "PNG")
    return path.read_bytes()


def opened(path: Path | str, *names: str) -> Source:
    return open_source(path, seed=0, image_size=8, names=names)


def course(root: Path) -> Path:
    """The course's layout: flat folders, and a list beside each; 0 bicycle, 1 motorcycle."""
    for side, count in (("train", 12), ("test", 4)):
        rows = []
        for row in range(count):
            draw(root / side / f"bike_s_{row}.png", hash((side, row)) % 1_000)
            rows.append(f"{row}\t{row % 2}\tbike_s_{row}.png\n")
        (root / f"{side}.lst").write_text("".join(rows))
    return root / "train.lst"


def test_a_list_names_label_and_image(tmp_path: Path) -> None:
    """Rows of number, label and path; the folder of the list's name holds them, and test.lst is the test set."""
    source = opened(course(tmp_path), "bicycle", "motorcycle")
    assert source.classes() == ("bicycle", "motorcycle")
    found = source.listing(("motorcycle",)).candidates
    assert {candidate.class_name for candidate in found} == {"motorcycle"}
    assert sum(candidate.split == "test" for candidate in found) == 2
    result = dataset.stage(tmp_path / "train.lst", tmp_path / "out", classes=["bicycle", "motorcycle"], image_size=8)
    assert result.dataset.counts()["test"] == {"bicycle": 2, "motorcycle": 2}
    assert result.problems == ()


def test_labels_are_names_when_none_are_given(tmp_path: Path) -> None:
    """Without names the labels themselves are the classes, in the order of their numbers."""
    draw(tmp_path / "a.png", 1)
    rows = "".join(f"{row}\t{label}\ta.png\n" for row, label in enumerate((10, 2, 0)))
    (tmp_path / "notes.txt").write_text(rows)
    assert opened(tmp_path / "notes.txt").classes() == ("0", "2", "10")
    assert opened(tmp_path / "notes.txt", "2", "10").classes() == ("0", "2", "10")
    with pytest.raises(DatasetError, match="has 3 labels and 2 names were given"):
        opened(tmp_path / "notes.txt", "car", "tram").classes()


def test_labels_may_be_written_as_floats(tmp_path: Path) -> None:
    """MXNet's own tool writes labels as 1.000000."""
    (tmp_path / "a.lst").write_text("0\t1.000000\ta.png\n1\t0.000000\tb.png\n")
    assert opened(tmp_path / "a.lst", "bicycle", "motorcycle").classes() == ("bicycle", "motorcycle")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0\t0\ta.png\n1\tx\tb.png\n", "line 2 is not a number, a label and a path"),
        ("0\t0\ta.png\n1\t1\n", "line 2 is not a number, a label and a path"),
        ("0\t0\ta.png\n1\t-1\tb.png\n", "line 2: label -1"),
        ("0\t0\ta.png\n1\t0.5\tb.png\n", "line 2: label 0.5"),
        ("0\t0\ta.png\n1\tnan\tb.png\n", "line 2: label nan"),
        ("0\t0\t1\ta.png\n", "line 1 has several labels"),
        ("0\t0\t../../etc/passwd\n", "line 1 names a file outside of its folder"),
        ("0\t0\t/etc/passwd\n", "line 1 names a file outside of its folder"),
    ],
)
def test_lists_that_cannot_be_read(rows: str, message: str, tmp_path: Path) -> None:
    """A row that is something else, or leads outside, is named by its line."""
    (tmp_path / "a.lst").write_text(rows)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.lst")


def test_a_listed_image_that_is_gone(tmp_path: Path) -> None:
    """An image that the list names but nobody has is a problem with its name, not a failure."""
    lists = course(tmp_path)
    (tmp_path / "train" / "bike_s_3.png").unlink()
    result = dataset.stage(lists, tmp_path / "out", image_size=8)
    assert [(problem.name, problem.kind) for problem in result.problems] == [("train/bike_s_3.png", "unreadable")]


def test_our_own_manifest_is_a_source(tmp_path: Path) -> None:
    """A staged data set's manifest.jsonl names images, classes and the test set."""
    staged = dataset.stage(course(tmp_path), tmp_path / "one", classes=["bicycle", "motorcycle"], image_size=8).dataset
    again = dataset.stage(tmp_path / "one" / "manifest.jsonl", tmp_path / "two", image_size=8).dataset
    assert again.hash == staged.hash


def test_an_augmented_manifest_reads_from_the_store(tmp_path: Path) -> None:
    """source-ref names objects, the metadata's class-name the class; many are read at a time, in order."""
    store, lines = MemoryObjectStore(), []
    for row in range(20):
        name = ("bicycle", "motorcycle")[row % 2]
        store.write("photos", f"in/{row}.png", draw(tmp_path / "a.png", row), "image/png")
        metadata = {"class-name": name, "type": "groundtruth/image-classification"}
        lines.append(
            json.dumps({"source-ref": f"s3://photos/in/{row}.png", "label": row % 2, "label-metadata": metadata})
        )
    lines.append(json.dumps({"source-ref": "s3://photos/in/gone.png", "label": 0, "label-metadata": metadata}))
    (tmp_path / "output.manifest").write_text("\n".join(lines) + "\n")
    result = dataset.stage(tmp_path / "output.manifest", tmp_path / "out", image_size=8, store=store)
    assert result.dataset.classes == ("bicycle", "motorcycle")
    assert len(result.dataset.records) == 20
    assert [problem.name for problem in result.problems] == ["s3://photos/in/gone.png"]
    with pytest.raises(DatasetError, match="no object store was given"):
        dataset.stage(tmp_path / "output.manifest", tmp_path / "other", image_size=8)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"path": "a.png", "class": "a"}\n{"path": "b.png"', "line 2 is no JSON object"),
        ('{"path": "a.png", "class": "a"}\n[1]', "line 2 is no JSON object"),
        ('{"path": "a.png"}', "line 1 does not say which image and which class"),
        ('{"class": "a"}', "line 1 does not say which image and which class"),
        ('{"path": 3, "class": "a"}', "line 1 does not say which image"),
        ('{"path": "../a.png", "class": "a"}', "line 1 names a file outside"),
        ('{"source-ref": "s3:///a.png", "class": "a"}', "line 1: 's3:///a.png' is not s3://bucket/prefix"),
        ('{"source-ref": "s3://photos", "class": "a"}', "line 1: 's3://photos' names a bucket alone"),
    ],
)
def test_json_lines_that_cannot_be_read(lines: str, message: str, tmp_path: Path) -> None:
    """A line that is no object, or lacks image or class, is named."""
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(DatasetError, match=message):
        opened(tmp_path / "a.jsonl").classes()


def test_what_a_file_is_its_content_decides(tmp_path: Path) -> None:
    """A list called .png is a list; an image, or a text, called .lst is none."""
    (tmp_path / "list.png").write_text("0\t0\ta.png\n")
    assert isinstance(opened(tmp_path / "list.png"), dataset.ListFile)
    draw(tmp_path / "picture.lst", 1)
    (tmp_path / "text.lst").write_text("hello\n")
    for name in ("picture.lst", "text.lst"):
        with pytest.raises(DatasetError, match="neither a CIFAR-100 archive nor a"):
            opened(tmp_path / name)
