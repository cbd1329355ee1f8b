"""Sources: which files belong to which class and side."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.dataset import Folder, Synthetic
from scones_ml.dataset.opening import open_source
from scones_ml.errors import DatasetError
from scones_ml.printable import printable


def fill(root: Path, *names: str) -> Folder:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return Folder(root)


def names_of(folder: Folder) -> list[tuple[str, str, bool]]:
    listing = folder.listing(folder.classes())
    return [(c.name, c.class_name, c.split == "test") for c in listing.candidates]


def test_class_folders(tmp_path: Path) -> None:
    """A folder of class folders has these classes, and no test set; nested folders belong to their class."""
    folder = fill(tmp_path, "b/1.png", "a/deep/er/2.JPG")
    assert folder.classes() == ("a", "b")
    assert names_of(folder) == [("a/deep/er/2.JPG", "a", False), ("b/1.png", "b", False)]


def test_train_and_test(tmp_path: Path) -> None:
    """Below train/ and test/ lie the classes, and test/ is held out; val/ is pooled with train/."""
    folder = fill(
        tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "val/b/2.png", "notes/c/1.png", "train.lst"
    )
    assert folder.classes() == ("a", "b")
    assert names_of(folder) == [
        ("test/a/1.png", "a", True),
        ("train/a/1.png", "a", False),
        ("train/b/1.png", "b", False),
        ("val/b/2.png", "b", False),
    ]
    assert folder.listing(("a", "b")).ignored_by_kind == {
        "images outside class folders": 1,
        "lists and manifests": 1,
    }


def test_a_class_called_train(tmp_path: Path) -> None:
    """A folder train/ that holds images is a class: the thing on rails."""
    folder = fill(tmp_path, "train/1.png", "tractor/1.png", "test/1.png")
    assert folder.classes() == ("test", "tractor", "train")
    assert not [name for name, _, held_out in names_of(folder) if held_out]


def test_a_class_called_train_below_train(tmp_path: Path) -> None:
    """train/train/ is the class train of the training set."""
    folder = fill(tmp_path, "train/train/1.png", "train/bus/1.png", "test/train/1.png", "test/bus/1.png")
    assert folder.classes() == ("bus", "train")


def test_hidden_files_are_counted_only(tmp_path: Path) -> None:
    """Hidden files and folders are no images, whatever they are called."""
    folder = fill(tmp_path, "a/._1.png", "a/.DS_Store", "a/.cache/3.png", ".git/x.png", "a/1.png", "b/1.png", "README")
    listing = folder.listing(("a", "b"))
    assert [c.name for c in listing.candidates] == ["a/1.png", "b/1.png"]
    assert (listing.ignored, dict(listing.ignored_by_kind)) == (5, {"hidden and system files": 4, "other files": 1})


def test_links(tmp_path: Path) -> None:
    """A link to a file is read, a broken one is kept to be reported, and a loop of folders ends."""
    folder = fill(tmp_path / "s", "a/1.png", "b/1.png")
    elsewhere = tmp_path / "elsewhere.png"
    elsewhere.write_bytes(b"pixels")
    (tmp_path / "s/a/2.png").symlink_to(elsewhere)
    (tmp_path / "s/a/3.png").symlink_to(tmp_path / "gone")
    (tmp_path / "s/a/loop").symlink_to(tmp_path / "s")
    candidates = {c.name: c for c in folder.listing(("a", "b")).candidates}
    assert list(candidates) == ["a/1.png", "a/2.png", "a/3.png", "b/1.png"]
    assert candidates["a/2.png"].read() == b"pixels"
    with pytest.raises(FileNotFoundError):
        candidates["a/3.png"].read()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAINING", "testing"),
        ("train_set", "Test Images"),
        ("training-data", "TESTSET"),
        ("val", "test"),
        ("Dev", "Testing"),
        ("validation", "test"),
    ],
)
def test_splits_in_any_spelling(train: str, test: str, tmp_path: Path) -> None:
    """Split folders are known in any case and their usual spellings; none becomes a class."""
    folder = fill(tmp_path, *(f"{side}/{name}/{side}.png" for side in (train, test) for name in ("bike", "moto")))
    assert folder.classes() == ("bike", "moto")
    assert {(name.split("/")[0], held_out) for name, _, held_out in names_of(folder)} == {(train, False), (test, True)}


@pytest.mark.parametrize("wrapper", ["data/", "download/vehicles v2/", "a/b/c/d/"])
@pytest.mark.parametrize("split", ["", "Training/"])
def test_wrappers_are_entered(wrapper: str, split: str, tmp_path: Path) -> None:
    """A folder with one folder of folders in it is entered, at any depth, whatever notes and leftovers lie beside."""
    images = [f"{wrapper}{split}{name}/1.png" for name in ("bike", "moto")]
    leftovers = ["README.md", ".DS_Store", "__MACOSX/data/bike/._1.png", f"{wrapper}LICENSE", f"{wrapper}desktop.ini"]
    folder = fill(tmp_path, *images, *leftovers)
    assert folder.classes() == ("bike", "moto")
    assert [name for name, _, _ in names_of(folder)] == images
    assert folder.listing(("bike", "moto")).ignored_by_kind == {
        "hidden and system files": 3,
        "notes and documents": 1,
        "other files": 1,
    }


def test_each_split_may_be_wrapped(tmp_path: Path) -> None:
    """train/train/bike and test/test/bike, as archives of archives leave them, are the class bike."""
    folder = fill(tmp_path, *(f"{side}/{side}/{name}/1.png" for side in ("train", "test") for name in ("bike", "moto")))
    assert folder.classes() == ("bike", "moto")
    assert sum(held_out for _, _, held_out in names_of(folder)) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("2023/bike", "2024/bike", "2023/moto", "2024/moto"),
            "2023, 2024 hold bike, moto and no images of their own: name the classes, "
            "the inner ones with --classes bike,moto, or the outer ones with --classes 2023,2024",
        ),
        (("2023/bike", "2024/bike"), "2023, 2024 hold bike .*: name the classes, with --classes 2023,2024"),
        (("part1/bike", "part2/moto"), "the inner ones with --classes bike,moto"),
        (("north/bike", "south/moto"), "the inner ones with --classes bike,moto"),
        (("Train/2023/bike", "Train/2023/moto", "Train/2024/bike", "Test/2023/moto"), "--classes bike,moto"),
        (("a/train/bike", "a/test/bike", "b/train/moto", "b/test/moto"), "inner ones with --classes bike,moto"),
        (("a/2023/bike", "a/2024/bike", "b/2023/moto"), "a, b hold 2023, 2024 and no images"),
        (("2023/set/bike", "2024/set/moto"), "2023, 2024 hold bike, moto and no images of their own"),
        (("bike/train", "bike/test", "moto/train", "moto/test"), "put the splits outside, test/bike instead of"),
        (("Train/Bike", "Train/moto", "Test/bike", "Test/moto"), "'bike' in one split and 'Bike' in another"),
    ],
)
def test_folders_that_are_no_classes(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Years, parts and splits inside of classes are noticed; the line says what to do."""
    with pytest.raises(DatasetError, match=message):
        fill(tmp_path, *(f"{name}/1.png" for name in names)).classes()


@pytest.mark.parametrize(
    "names",
    [
        ("bike/front/1.png", "bike/rear/1.png", "moto/1.png"),
        ("bike/mountain/1.png", "bike/road/1.png", "moto/sport/1.png", "moto/touring/1.png"),
        ("bike/images/1.png", "moto/images/1.png"),
        ("bike/bike/1.png", "moto/moto/1.png"),
    ],
)
def test_folders_inside_of_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    """Folders in class folders that cannot be classes themselves belong to their class."""
    folder = fill(tmp_path, *names)
    assert folder.classes() == ("bike", "moto")
    assert len(names_of(folder)) == len(names)


def test_named_classes_decide_which_folders_count(tmp_path: Path) -> None:
    """Where the classes are named, theirs are the folders that count, and splits on the way to them hold."""
    files = [f"{year}/{side}/{name}/1.png" for year in "ab" for side in ("train", "test") for name in ("bike", "moto")]
    fill(tmp_path, *files)
    inner = Folder(tmp_path, ("bike", "moto"))
    assert inner.classes() == ("bike", "moto")
    assert sum(candidate.split == "test" for candidate in inner.listing(("bike", "moto")).candidates) == 4
    assert Folder(tmp_path, ("a", "b")).classes() == ("a", "b")
    assert open_source(tmp_path, seed=0, image_size=8, names=("moto", "bkie")).classes() == ("bike", "moto")


NAMES = st.lists(st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & set(b"/\0.")), unique=True)


@given(names=NAMES)
def test_names_of_any_bytes(names: list[bytes]) -> None:
    """Whatever bytes names have, they are shown in characters that can be printed, and two names stay two."""
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            fill(Path(root), f"a/{os.fsdecode(name)}.png", f"{os.fsdecode(name)}-/1.png")
        folder = fill(Path(root), "a/1.png")
        classes = folder.classes()
        shown = [candidate.name for candidate in folder.listing(("a",)).candidates]
    assert len(set(classes)) == len(names) + 1
    assert len(set(shown)) == len({b"1", *names})
    assert all(printable(text) == text for text in (*classes, *shown))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds nothing: it must hold one folder of images for each class"),
        (("1.png", "2.jpg"), "loose images, but no class folders"),
        ((".hidden/1.png",), "holds nothing"),
    ],
)
def test_no_classes(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    """A folder without class folders says what it lacks."""
    with pytest.raises(DatasetError, match=message):
        fill(tmp_path, *names).classes()


def test_no_folder(tmp_path: Path) -> None:
    """What is not there, or is a file, is named."""
    with pytest.raises(DatasetError, match=f"there is no folder {tmp_path / 'x'}"):
        Folder(tmp_path / "x").classes()
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(DatasetError, match="is a file, not a folder"):
        Folder(tmp_path / "f").classes()


def test_what_a_source_may_be(tmp_path: Path) -> None:
    """The word synthetic, a path, or a source: each becomes a source."""
    assert open_source("synthetic", seed=3, image_size=64) == Synthetic(size=64, seed=3)
    assert open_source(str(tmp_path), seed=0, image_size=32) == Folder(tmp_path)
    own = Synthetic(per_class=5)
    assert open_source(own, seed=9, image_size=64) is own


def test_synthetic_images_are_drawn_when_read() -> None:
    """A synthetic source lists its images at once and draws each when it is read."""
    source = Synthetic(per_class=1_000, seed=1)
    listing = source.listing(source.classes())
    assert len(listing.candidates) == 2_000
    assert listing.candidates[0].read().startswith(b"\x89PNG")
    assert [c.class_name for c in source.listing(("motorcycle",)).candidates] == ["motorcycle"] * 1_000
    with pytest.raises(DatasetError, match="give 1 or more"):
        Synthetic(per_class=0).classes()
