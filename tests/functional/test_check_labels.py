"""``scones stage --check-labels``: probable label errors and near duplicates, with a trainer that takes no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.cli import main
from scones_ml.cli.context import Backends
from scones_ml.dataset import Dataset
from scones_ml.errors import DatasetError
from scones_ml.lifecycle.label_check import check_labels
from scones_ml.local.backend import LocalBackend


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Forty dark bicycles and forty bright motorcycles, but for two bright bicycles and one dark motorcycle."""
    for name, shade, wrong in (("bicycle", 20, (7, 31)), ("motorcycle", 200, (12,))):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(40):
            red = 220 - shade if number in wrong else shade
            image = Image.new("RGB", (8, 8), (red, 0, shade))
            image.putpixel((number % 8, number // 8), (red, 250, shade))
            image.save(folder / f"{name}-{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def data(photos: Path, tmp_path: Path) -> Dataset:
    return dataset.stage(photos, tmp_path / "data", image_size=8).dataset


def test_wrong_labels_are_named_and_nothing_changes(
    instant_backend: LocalBackend, data: Dataset, tmp_path: Path
) -> None:
    """All three wrong labels, and only they, are named with the class that they are; the data set stays as it is."""
    before = {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()}
    check = check_labels(instant_backend, data, tmp_path / "workspace")
    named = {Path(suspect.path).name: (suspect.given, suspect.suggested) for suspect in check.suspects}
    assert named == {
        "bicycle-7.png": ("bicycle", "motorcycle"),
        "bicycle-31.png": ("bicycle", "motorcycle"),
        "motorcycle-12.png": ("motorcycle", "bicycle"),
    }
    assert check.images == 80
    assert {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()} == before
    assert not [path for path in (tmp_path / "workspace").iterdir() if path.is_dir()]


def test_no_image_is_judged_by_a_model_that_saw_it(
    instant_backend: LocalBackend, data: Dataset, tmp_path: Path
) -> None:
    """Each image is missing in exactly one of the five trainings, and both classes are in every training."""
    seen: list[tuple[int, int]] = []
    check_labels(instant_backend, data, tmp_path / "workspace", progress=lambda done, total: seen.append((done, total)))
    taught = instant_backend.trainer.taught  # type: ignore[attr-defined]
    everything = {record.sha256 for record in data.records}
    missing = [digest for images in taught for digest in everything - images]
    assert sorted(missing) == sorted(everything)
    assert [len(images) for images in taught] == [64] * 5
    assert seen == [(number, 5) for number in range(1, 6)]


def test_too_few_images_for_folds(instant_backend: LocalBackend, tmp_path: Path) -> None:
    """A class with fewer images than folds cannot be checked; the message names it, and nothing is left behind."""
    for name, count in (("a", 4), ("b", 9)):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, len(name), ord(name))).save(tmp_path / "few" / name / f"{number}.png")
    data = dataset.stage(tmp_path / "few", tmp_path / "data", image_size=8).dataset
    with pytest.raises(DatasetError, match=r"class 'a' of .* has 4 images, fewer than the 5 folds"):
        check_labels(instant_backend, data, tmp_path / "workspace")
    assert not [path for path in (tmp_path / "workspace").iterdir() if path.is_dir()]


def test_stage_prints_what_it_suspects(
    photos: Path,
    tmp_path: Path,
    instant_backend: LocalBackend,
    only: Callable[[LocalBackend], Backends],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command prints file, label, suggestion and confidence, says how long it took, and the same as JSON."""
    command = ["stage", str(photos), str(tmp_path / "data"), "--image-size", "8", "--check-labels"]
    assert main(command, only(instant_backend)) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert ["probable", "label", "error", "label", "suggested", "confidence"] in rows
    (row,) = [row for row in rows if row[1:3] == ["motorcycle", "bicycle"]]
    assert row[0].endswith("/motorcycle/motorcycle-12.png")
    assert float(row[3]) > 0.9
    assert "checked 80 labels in " in captured.err
    assert main([*command, "--json"], only(instant_backend)) == 0
    document = json.loads(capsys.readouterr().out)["label_check"]
    assert document["images"] == 80
    assert [set(suspect) for suspect in document["suspects"]] == [{"path", "given", "suggested", "confidence"}] * 3
