"""Sources: which files belong to which class and side."""

from __future__ import annotations

from pathlib import Path

import pytest

from scones_ml.dataset import Folder, Synthetic
from scones_ml.dataset.opening import open_source
from scones_ml.errors import DatasetError


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
    assert folder.listing(("a", "b")).ignored == 1


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
    assert listing.ignored == 3


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
    with pytest.raises(DatasetError, match="ask for at least one"):
        Synthetic(per_class=0).classes()
