"""Staging folders of images: what comes out, what is refused, and that nothing half-done is left."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import images
from scones_ml.dataset import SPLITS, KeptTogether, StageResult, Synthetic, load, stage
from scones_ml.errors import DatasetError


def make_image(number: int, size: tuple[int, int] = (20, 12), kind: str = "PNG") -> bytes:
    """An image of noise; another number is another image."""
    noise = random.Random(number).randbytes(size[0] * size[1] * 3)
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, noise).save(buffer, kind)
    return buffer.getvalue()


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten images each of a and b, without a test set."""
    root = tmp_path / "source"
    for number in range(10):
        put(root / "a" / f"{number}.png", make_image(number))
        put(root / "b" / f"{number}.jpg", make_image(100 + number, kind="JPEG"))
    return root


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()}


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_lies_on_disk(source: Path, tmp_path: Path) -> None:
    """Images by split and class, one manifest line and one .lst row each, and dataset.json with the facts."""
    result = stage(source, tmp_path / "out", seed=4)
    root, data = tmp_path / "out", result.dataset
    assert result == StageResult(load(root), (), 0, 0)
    assert data.counts() == {
        "train": {"a": 6, "b": 6},
        "validation": {"a": 1, "b": 1},
        "calibration": {"a": 1, "b": 1},
        "test": {"a": 2, "b": 2},
    }
    lines = [json.loads(line) for line in (root / "manifest.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [record.path for record in data.records]
    assert set(lines[0]) == {"path", "label", "class", "split", "sha256"}
    card = json.loads((root / "dataset.json").read_text())
    assert (card["classes"], card["seed"], card["image_size"]) == (["a", "b"], 4, 32)
    assert (card["hash"], card["counts"]) == (data.hash, data.counts())
    on_disk = {name for name in files(root) if name.endswith(".png")}
    assert on_disk == {record.path for record in data.records}


def test_lst_files(source: Path, tmp_path: Path) -> None:
    """A .lst row is number, label and path below the split's folder, with tabs between; the numbers are unique."""
    data = stage(source, tmp_path / "out").dataset
    rows = {split: (data.root / f"{split}.lst").read_text().splitlines() for split in SPLITS}
    numbers = []
    for split in SPLITS:
        for row, record in zip(rows[split], data.split(split), strict=True):
            number, label, path = row.split("\t")
            numbers.append(int(number))
            assert (int(label), f"{split}/{path}") == (record.label, record.path)
    assert numbers == list(range(20))


def test_the_same_source_and_seed_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    """Staging twice gives the same files, from wherever; another seed gives another data set."""
    first = stage(source, tmp_path / "one")
    moved = source.rename(tmp_path / "moved")
    second = stage(moved, tmp_path / "two")
    assert first.dataset.hash == second.dataset.hash
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    for card in (one, two):
        assert b'"source"' in card.pop("dataset.json")
    assert one == two
    assert stage(moved, tmp_path / "three", seed=1).dataset.hash != first.dataset.hash


def test_file_names_do_not_change_the_data_set(source: Path, tmp_path: Path) -> None:
    """Renamed files give the same hash: identity is content, labels and splits."""
    before = stage(source, tmp_path / "one").dataset
    for path in list(source.rglob("*.png")):
        path.rename(path.with_name(f"other{path.name}"))
    assert stage(source, tmp_path / "two").dataset.hash == before.hash


def test_staging_a_staged_data_set_leaves_its_test_set(source: Path, tmp_path: Path) -> None:
    """A staged data set is a source too: its test set and its images stay, the others are split anew."""
    first = stage(source, tmp_path / "one", seed=3).dataset
    again = stage(tmp_path / "one", tmp_path / "two", seed=3).dataset
    assert again.split("test") == first.split("test")
    assert {record.sha256 for record in again.records} == {record.sha256 for record in first.records}
    assert again.counts() == first.counts()


def test_an_image_size_of_nothing(source: Path, tmp_path: Path) -> None:
    """A size below one pixel is refused."""
    with pytest.raises(DatasetError, match="choose 1 to 4,096"):
        stage(source, tmp_path / "out", image_size=0)


def test_large_images_are_reduced_as_in_serving(source: Path, tmp_path: Path) -> None:
    """A photograph is staged so that the model's square holds the pixels that serving would make of it."""
    photograph = make_image(7, (300, 240), "JPEG")
    put(source / "a" / "photograph.jpg", photograph)
    data = stage(source, tmp_path / "out").dataset
    record = next(record for record in data.records if "photograph" in record.path)
    staged = (data.root / record.path).read_bytes()
    for fit in ("crop", "pad", "stretch"):
        policy = images.ImagePolicy(image_size=32, fit=fit)
        served = images.pixels(images.normalise(photograph, policy).png, 32, policy)
        assert (images.pixels(staged, 32, policy) == served).all()
    with Image.open(io.BytesIO(staged)) as image:
        assert image.size == (40, 32)


def test_chosen_classes_keep_their_order(source: Path, tmp_path: Path) -> None:
    """Labels follow the order in which the classes were asked for; other classes are left out."""
    put(source / "c" / "1.png", make_image(1000))
    data = stage(source, tmp_path / "out", classes=["b", "a"]).dataset
    assert data.classes == ("b", "a")
    assert {(record.label, record.class_name) for record in data.records} == {(0, "b"), (1, "a")}


def test_problems_are_listed(source: Path, tmp_path: Path) -> None:
    """Broken files, duplicates and links to nowhere are left out and listed; notes are ignored and counted."""
    put(source / "a" / "empty.png")
    put(source / "a" / "page.jpg", b"<html>")
    put(source / "a" / "cut.png", make_image(1)[:100])
    put(source / "a" / "twin.bmp", make_image(3, kind="BMP"))
    put(source / "a" / "notes.txt", b"bought in May")
    put(source / "b" / ".DS_Store", b"\0")
    put(source / "train.lst", b"0\t0\tx.png\n")
    put(source / "b" / "really_a_png.txt", make_image(500))
    (source / "b" / "gone.png").symlink_to("nowhere")
    result = stage(source, tmp_path / "out")
    found = {problem.name: (problem.kind, problem.reason) for problem in result.problems}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "a/cut.png": "unreadable",
        "a/empty.png": "unreadable",
        "a/page.jpg": "unreadable",
        "a/twin.bmp": "duplicate",
        "b/gone.png": "unreadable",
    }
    assert found["a/twin.bmp"][1] == "the same image as a/3.png"
    assert found["b/gone.png"][1] == "No such file or directory"
    assert result.ignored == 3
    assert len(result.dataset.records) == 21
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [problem["name"] for problem in card["problems"]] == [problem.name for problem in result.problems]
    assert card["ignored"] == 3
    kinds = {"hidden and system files": 1, "lists and manifests": 1, "notes and documents": 1}
    assert card["ignored_by_kind"] == result.ignored_by_kind == kinds


def test_a_given_test_set_is_kept_and_guarded(tmp_path: Path) -> None:
    """All of test/ is the test set, and what leaks from it into train/ is taken out there."""
    for number in range(10):
        put(tmp_path / "s/train/a" / f"{number}.png", make_image(number))
        put(tmp_path / "s/train/b" / f"{number}.png", make_image(100 + number))
    for number in range(3):
        put(tmp_path / "s/test/a" / f"{number}.png", make_image(200 + number))
        put(tmp_path / "s/test/b" / f"{number}.png", make_image(300 + number))
    put(tmp_path / "s/train/b" / "leak.png", make_image(200))
    result = stage(tmp_path / "s", tmp_path / "out")
    assert [(p.name, p.kind) for p in result.problems] == [("train/b/leak.png", "leak")]
    assert "there labelled a" in result.problems[0].reason
    assert result.dataset.counts()["test"] == {"a": 3, "b": 3}
    assert result.dataset.counts()["train"] == {"a": 8, "b": 8}


def test_names_are_made_safe(source: Path, tmp_path: Path) -> None:
    """Names with spaces, plus signs, dots in front or nothing but case between them become safe and unique."""
    odd = ["my photo+1.png", "ümläut.png", "-dash.png", "x" * 200 + ".png", "Same.png", "same.png", "tab\there.png"]
    for number, name in enumerate(odd):
        put(source / "a" / name, make_image(600 + number))
    put(source / "a" / "deeper" / "1.png", make_image(700))
    for number in range(4):
        put(source / "two words" / f"{number}.png", make_image(800 + number))
    data = stage(source, tmp_path / "out").dataset
    paths = [record.path for record in data.records]
    assert len({path.casefold() for path in paths}) == len(paths) == 32
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
    assert set("".join(paths)) <= allowed
    assert not [part for path in paths for part in path.split("/") if part[0] in ".-" or len(part) > 130]
    assert "two words" in data.classes


def test_names_that_are_no_text(source: Path, tmp_path: Path) -> None:
    """Names whose bytes are no UTF-8 can be staged, listed and read back."""
    put(source / os.fsdecode(b"caf\xe9.png"))
    put(source / "a" / os.fsdecode(b"\xff.png"))
    for number in range(4):
        put(source / os.fsdecode(b"cl\xe9") / f"{number}.png", make_image(900 + number))
    result = stage(source, tmp_path / "out")
    assert result.problems[0].name == "a/\\xff.png"
    assert load(tmp_path / "out").classes == ("a", "b", "cl\\xe9")
    assert stage(source, tmp_path / "two", classes=["a", os.fsdecode(b"cl\xe9")]).dataset.classes == ("a", "cl\\xe9")


def test_progress(source: Path, tmp_path: Path) -> None:
    """Progress counts every file once, up to all of them."""
    seen: list[tuple[int, int]] = []
    stage(source, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 20) for i in range(1, 21)]


def test_an_earlier_data_set_is_replaced(source: Path, tmp_path: Path) -> None:
    """Staging again replaces what was staged there, completely."""
    stage(source, tmp_path / "out")
    put(tmp_path / "out" / "train" / "stray.txt")
    data = stage(source, tmp_path / "out", seed=1).dataset
    assert data == load(tmp_path / "out")
    assert not (tmp_path / "out" / "train" / "stray.txt").exists()
    assert left(tmp_path) == {"source", "out"}


def test_an_empty_folder_is_a_destination(source: Path, tmp_path: Path) -> None:
    """An empty folder, and one whose parents do not exist yet, can be staged to."""
    (tmp_path / "out").mkdir()
    assert stage(source, tmp_path / "out").dataset.root == tmp_path / "out"
    assert stage(source, tmp_path / "x" / "y").dataset.root == tmp_path / "x" / "y"


def test_something_else_at_the_destination_is_left_alone(source: Path, tmp_path: Path) -> None:
    """A folder that holds anything but a staged data set is not touched, nor is a file."""
    thesis = put(tmp_path / "out" / "thesis.txt", b"years of work")
    with pytest.raises(DatasetError, match=r"is not empty and not a staged data set: choose another folder"):
        stage(source, tmp_path / "out")
    with pytest.raises(DatasetError, match="is a file"):
        stage(source, thesis)
    assert files(tmp_path / "out") == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("place", ["source", "source/staged", "source/a/staged", "."])
def test_source_and_destination_overlap(source: Path, tmp_path: Path, place: str) -> None:
    """A destination inside of the source, or around it, is refused before anything is written."""
    before = files(tmp_path)
    with pytest.raises(DatasetError, match="overlap"):
        stage(source, tmp_path / place)
    assert files(tmp_path) == before


def test_ctrl_c_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """An interrupted run leaves no destination and no folder beside it; an earlier data set stays as it was."""

    def interrupt(done: int, _total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(source, tmp_path / "out", progress=interrupt)
    assert left(tmp_path) == {"source"}
    before = stage(source, tmp_path / "out").dataset
    with pytest.raises(KeyboardInterrupt):
        stage(source, tmp_path / "out", seed=1, progress=interrupt)
    assert load(tmp_path / "out") == before
    assert left(tmp_path) == {"source", "out"}


def test_a_disk_that_is_full(source: Path, tmp_path: Path) -> None:
    """When the space runs out, the line says what to do about it."""

    def run_out(_done: int, _total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DatasetError, match=r"cannot write .*out: No space left on device: free some space"):
        stage(source, tmp_path / "out", progress=run_out)
    assert left(tmp_path) == {"source"}


def test_a_write_that_the_system_refuses(source: Path, tmp_path: Path) -> None:
    """Any refusal is one line with the system's reason, and leaves nothing behind."""
    script = (
        "import resource, sys; from scones_ml.dataset import stage; from scones_ml.errors import DatasetError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"  # every image is larger than 100 bytes
        "try: stage(sys.argv[1], sys.argv[2])\n"
        "except DatasetError as exc: sys.exit(f'DatasetError: {exc}')\n"
    )
    command = [sys.executable, "-c", script, str(source), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == f"DatasetError: cannot write {tmp_path / 'out'}: File too large\n"
    assert left(tmp_path) == {"source"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_destination_without_permission(source: Path, tmp_path: Path) -> None:
    """A folder that may not be written to is one clear line."""
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DatasetError, match=r"cannot write .*: Permission denied"):
        stage(source, tmp_path / "locked" / "out")


def test_classes_that_do_not_exist(source: Path, tmp_path: Path) -> None:
    """A class that is not there is named with the nearest one and with all there are."""
    (source / "a").rename(source / "bicycle")
    with pytest.raises(
        DatasetError, match=r"no class 'bycicle' in .*: did you mean 'bicycle'\? choose from b, bicycle"
    ):
        stage(source, tmp_path / "out", classes=["bycicle", "b"])
    with pytest.raises(DatasetError, match=r"no class 'zebra' in .*source: choose from b, bicycle"):
        stage(source, tmp_path / "out", classes=["zebra", "b"])


@pytest.mark.parametrize("classes", [["a"], ["a", "a"], []])
def test_one_class_only(source: Path, tmp_path: Path, classes: list[str]) -> None:
    """One class cannot be told from anything."""
    with pytest.raises(DatasetError, match="give two or more"):
        stage(source, tmp_path / "out", classes=classes)


def test_a_class_without_images(source: Path, tmp_path: Path) -> None:
    """An empty class folder is named, with the way out."""
    put(source / "c" / "notes.txt", b"none yet")
    with pytest.raises(DatasetError, match=r"class 'c' of .*source has no usable images.*--classes"):
        stage(source, tmp_path / "out")
    assert left(tmp_path) == {"source"}


def test_nothing_can_be_read(tmp_path: Path) -> None:
    """When no image can be used, the first one's reason is given."""
    for name in ("a/1.png", "b/1.png"):
        put(tmp_path / "s" / name, b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DatasetError, match=r"none of the 2 images in .* can be used; a/1.png: broken PNG"):
        stage(tmp_path / "s", tmp_path / "out")


def test_a_image_beyond_the_caps(source: Path, tmp_path: Path) -> None:
    """A file larger than serving would take is listed without being read."""
    with put(source / "a" / "huge.png").open("wb") as file:
        file.truncate(90_000_000)
    problems = stage(source, tmp_path / "out").problems
    assert [(p.name, p.reason) for p in problems] == [
        ("a/huge.png", "90,000,000 bytes exceed the limit of 80,000,000: make it smaller")
    ]


def scene(number: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """An image of coloured blotches; another number is another image."""
    return Image.frombytes("RGB", (7, 7), random.Random(number).randbytes(147)).resize(size, Image.Resampling.BICUBIC)


def as_bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def vehicles(tmp_path: Path) -> Path:
    """Photographs of twelve vehicles of each class, four of each, and of every other photograph a small copy."""
    root = tmp_path / "vehicles"
    for number, name in enumerate(("car", "van")):
        for vehicle in range(12):
            for view in range(4):
                photograph = scene(1000 * number + 10 * vehicle + view)
                put(root / name / f"veh{vehicle + 20 * number}_{view}.png", as_bytes(photograph))
                if view % 2 == 0:
                    put(root / name / f"copy{vehicle}_{view}.jpg", as_bytes(photograph.resize((64, 48)), "JPEG"))
    return root


def split_of(root: Path) -> dict[str, str]:
    """The split of each image, by its name in the source."""
    return {Path(record.path).stem: record.split for record in load(root).records}


def test_the_split_is_the_same_at_every_image_size(vehicles: Path, tmp_path: Path) -> None:
    """Splits depend on the source's bytes and the seed alone, neither on the image size nor on the names."""
    found = [stage(vehicles, tmp_path / f"{size}", image_size=size) for size in (8, 32, 96, 500)]
    splits = [split_of(result.dataset.root) for result in found]
    assert all(other == splits[0] for other in splits)
    for path in vehicles.rglob("*.*"):
        path.rename(path.with_name(f"x{path.name}"))
    assert split_of(stage(vehicles, tmp_path / "renamed").dataset.root) == {f"x{n}": s for n, s in splits[0].items()}


def test_drawn_images_keep_their_split_at_every_size(tmp_path: Path) -> None:
    """A drawn image is the same at every size, though its pixels differ."""
    sizes = [stage(Synthetic(per_class=20, size=size), tmp_path / f"{size}", image_size=size) for size in (16, 48)]
    first, second = (split_of(result.dataset.root) for result in sizes)
    assert first == second


def test_near_duplicates_stay_on_one_side(vehicles: Path, tmp_path: Path) -> None:
    """A photograph and its small copy are in one split, and dataset.json says how many such groups there are."""
    result = stage(vehicles, tmp_path / "out")
    splits = split_of(tmp_path / "out")
    assert result.problems == ()
    for vehicle in range(12):
        assert splits[f"copy{vehicle}_0"] in {splits[f"veh{vehicle}_0"], splits[f"veh{vehicle + 20}_0"]}
    assert result.together == KeptTogether(alike=96, alike_groups=48)
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (card["group_by"], card["signature_version"], card["near_duplicate_groups"]) == (None, 1, 48)


def test_named_groups_stay_on_one_side(vehicles: Path, tmp_path: Path) -> None:
    """--group-by keeps all photographs of a vehicle in one split, and their small copies with them."""
    result = stage(vehicles, tmp_path / "out", group_by="^(veh[0-9]+)_")
    splits = split_of(tmp_path / "out")
    for vehicle in (*range(12), *range(20, 32)):
        assert len({splits[f"veh{vehicle}_{view}"] for view in range(4)}) == 1
    assert result.together == KeptTogether(alike=96, alike_groups=48, named=96, named_groups=24)
    assert all(count > 0 for counts in result.dataset.counts().values() for count in counts.values())
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["group_by"] == "^(veh[0-9]+)_"


def test_near_duplicates_of_a_test_set(vehicles: Path, tmp_path: Path) -> None:
    """What is nearly the same as an image of the source's own test set is left out of training, and named."""
    for name, number in (("car", 0), ("van", 1000)):
        put(tmp_path / "both" / "test" / name / "1.jpg", as_bytes(scene(number).crop((3, 2, 158, 119)), "JPEG"))
    vehicles.rename(tmp_path / "both" / "train")
    result = stage(tmp_path / "both", tmp_path / "out")
    assert [(problem.name, problem.kind) for problem in result.problems] == [
        ("train/car/copy0_0.jpg", "leak"),
        ("train/car/veh0_0.png", "leak"),
        ("train/van/copy0_0.jpg", "leak"),
        ("train/van/veh20_0.png", "leak"),
    ]
    assert result.problems[0].reason == "nearly the same image as test/car/1.jpg in the test set"
    assert result.dataset.counts()["test"] == {"car": 1, "van": 1}


def test_groups_that_prevent_a_split(vehicles: Path, tmp_path: Path) -> None:
    """Where a class is one group, the error says so and what to do; nothing is left."""
    with pytest.raises(DatasetError, match="class 'car' has too few groups of images for every split"):
        stage(vehicles, tmp_path / "out", group_by="veh|copy")
    assert left(tmp_path) == {"vehicles"}


def test_a_data_set_that_was_staged_before_keeps_its_splits(source: Path, tmp_path: Path) -> None:
    """Staged again, smaller and with another seed, every image of a data set stays in its split."""
    first = stage(source, tmp_path / "first", image_size=48, seed=1).dataset
    again = stage(first.root, tmp_path / "again", image_size=16, seed=2).dataset
    assert [record.path for record in again.records] == [record.path for record in first.records]
    same_size = stage(first.root, tmp_path / "same", image_size=48, seed=3).dataset
    assert same_size.hash == first.hash
