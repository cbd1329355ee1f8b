"""A staged data set read back: what is refused, and what its hash depends on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.dataset import Record, Synthetic, load, stage
from scones_ml.dataset.records import dataset_hash
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from scones_ml.dataset import Dataset

SPLIT = st.sampled_from(["train", "validation", "calibration", "test"])
RECORDS = st.lists(
    st.builds(Record, st.text(), st.integers(0, 1), st.just("a"), SPLIT, st.text("0123456789abcdef")), max_size=8
)


@pytest.fixture
def staged(tmp_path: Path) -> Dataset:
    """Ten drawn images a class."""
    return stage(Synthetic(per_class=10, size=32), tmp_path / "data").dataset


def test_load_returns_what_stage_returned(staged: Dataset) -> None:
    """A data set is the same after it was written and read."""
    assert load(staged.root) == staged
    assert [len(staged.split(name)) for name in ("train", "validation", "calibration", "test")] == [12, 2, 2, 4]
    assert staged.counts()["test"] == {"bicycle": 2, "motorcycle": 2}


def test_arrays(staged: Dataset) -> None:
    """Pixels come as (N, S, S, 3) bytes and labels as (N,) integers, in the order of the records."""
    pixels, labels = staged.arrays("train")
    assert pixels.shape == (12, 32, 32, 3)
    assert str(pixels.dtype) == "uint8"
    assert str(labels.dtype) == "int64"
    assert labels.tolist() == [record.label for record in staged.split("train")]
    assert pixels.std() > 10


def test_arrays_of_a_file_that_is_gone(staged: Dataset) -> None:
    """A file that vanished after loading is named."""
    victim = staged.root / staged.split("test")[0].path
    victim.unlink()
    with pytest.raises(DatasetError, match=f"{victim.name}.*stage the data set again"):
        staged.arrays("test")


def test_not_staged(tmp_path: Path) -> None:
    """A folder of images that nobody staged says what to run."""
    with pytest.raises(DatasetError, match=r"no dataset\.json.*scones stage"):
        load(tmp_path)
    with pytest.raises(DatasetError, match="there is no data set"):
        load(tmp_path / "nowhere")


def test_missing_files(staged: Dataset) -> None:
    """Missing images are counted and the first is named."""
    for record in staged.split("test"):
        (staged.root / record.path).unlink()
    with pytest.raises(DatasetError, match=r"4 files are missing, such as test/bicycle/"):
        load(staged.root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, r"\(format 99\): update scones_ml to read it"),
        ({"hash": "0" * 64}, "was altered"),
        ({"classes": None}, r"dataset\.json has a field of the wrong type.*: stage it again"),
        ({"seed": "x"}, r"dataset\.json has a field of the wrong type.*: stage it again"),
        ({"image_size": 1e308, "seed": []}, r"dataset\.json has a field of the wrong type.*: stage it again"),
    ],
)
def test_altered_card(staged: Dataset, change: dict[str, object], message: str) -> None:
    """A dataset.json of a newer format, or one that does not fit the manifest, is refused."""
    path = staged.root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=message):
        load(staged.root)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "{}", '{"seed": 1e999}', '{"seed": 1, "seed": 2}'])
def test_broken_card(staged: Dataset, text: str) -> None:
    """A dataset.json that is not a JSON object is one clear line that names the file, not a traceback."""
    (staged.root / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=r"^\S*/dataset\.json .*: stage it again$"):
        load(staged.root)


def test_files_that_never_end_are_refused(staged: Dataset) -> None:
    """A dataset.json that links to itself or to a device is refused before it is read."""
    path = staged.root / "dataset.json"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match="not a staged data set"):
        load(staged.root)


def test_a_manifest_that_never_ends_is_refused(staged: Dataset) -> None:
    """A manifest.jsonl that is a device is refused before it is read."""
    path = staged.root / "manifest.jsonl"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match=r"manifest\.jsonl is not a regular file: stage it again"):
        load(staged.root)


@pytest.mark.parametrize("line", ["[" * 100_000, "[]", '{"path": "a"}', '{"path": "a", "label": 1e308}', "\x00"])
def test_a_broken_line_of_the_manifest_is_named(staged: Dataset, line: str) -> None:
    """A line of manifest.jsonl that is no record is named by its number; blank lines and byte order marks are read."""
    manifest = staged.root / "manifest.jsonl"
    text = manifest.read_text()
    manifest.write_text("\ufeff" + text.replace("\n", "\r\n\r\n"))
    assert load(staged.root) == staged
    manifest.write_text(text + line)
    with pytest.raises(DatasetError, match=rf"manifest\.jsonl line {text.count(chr(10)) + 1} is not an image record"):
        load(staged.root)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "train/../../secret.png"])
def test_a_manifest_cannot_name_files_outside(staged: Dataset, path: str) -> None:
    """A manifest from elsewhere cannot make anybody read a file outside of the data set."""
    manifest = staged.root / "manifest.jsonl"
    first, *rest = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(json.dumps(json.loads(first) | {"path": path}) + "\n" + "".join(rest))
    with pytest.raises(DatasetError, match="outside the data set"):
        load(staged.root)


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_hash_ignores_order_and_paths(records: list[Record], chance: object) -> None:
    """Neither the order of the records nor where their files lie is part of a data set's identity."""
    moved = [Record("elsewhere", r.label, r.class_name, r.split, r.sha256) for r in records]
    chance.shuffle(moved)  # type: ignore[attr-defined]
    assert dataset_hash(["a", "b"], records) == dataset_hash(["a", "b"], moved)


@given(RECORDS.filter(bool), st.sampled_from(["label", "split", "sha256", "classes", "fewer"]))
def test_the_hash_sees_every_change(records: list[Record], what: str) -> None:
    """Another label, split, image, class name or number of images is another data set."""
    first, rest = records[0], records[1:]
    changed = {
        "label": Record(first.path, first.label + 2, first.class_name, first.split, first.sha256),
        "split": Record(first.path, first.label, first.class_name, _next(first.split), first.sha256),
        "sha256": Record(first.path, first.label, first.class_name, first.split, first.sha256 + "0"),
    }
    after = rest if what == "fewer" else [changed.get(what, first), *rest]
    names = ["a", "c"] if what == "classes" else ["a", "b"]
    if what == "sha256":  # a digest that is already there in the same place would be no change
        rest = [r for r in rest if r.sha256 != first.sha256]
        after, records = [changed["sha256"], *rest], [first, *rest]
    assert dataset_hash(["a", "b"], records) != dataset_hash(names, after)


def _next(split: str) -> str:
    order = ["train", "validation", "calibration", "test"]
    return order[(order.index(split) + 1) % 4]
