"""``scones stage --check-labels``: probable label errors and near duplicates, with a trainer that takes no time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import backends, dataset, labels
from scones_ml.cli import main
from scones_ml.dataset import Dataset
from scones_ml.errors import DatasetError
from scones_ml.local.backend import LocalBackend
from scones_ml.ports import Progress, TrainingRequest, no_progress


class InstantTrainer:
    """A Trainer that hands out a model that was made before, and remembers which pictures it was given."""

    def __init__(self, model: Path) -> None:
        self.taught: list[set[str]] = []
        self._model = model

    def train(self, request: TrainingRequest, progress: Progress = no_progress) -> None:
        data = dataset.load(request.data)
        self.taught.append({record.sha256 for record in data.split("train")})
        shutil.copytree(self._model, request.model)
        progress(1, 1)


@pytest.fixture
def backend(tmp_path: Path, tiny_model: Path) -> LocalBackend:
    backend = LocalBackend(tmp_path / "workspace")
    backend.trainer = InstantTrainer(tiny_model)  # type: ignore[assignment]
    return backend


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


def test_wrong_labels_are_named_and_nothing_changes(backend: LocalBackend, data: Dataset, tmp_path: Path) -> None:
    """All three wrong labels, and only they, are named with the class that they are; the data set stays as it is."""
    before = {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()}
    check = labels.check_labels(backend, data, tmp_path / "workspace")
    named = {Path(suspect.path).name: (suspect.given, suspect.suggested) for suspect in check.suspects}
    assert named == {
        "bicycle-7.png": ("bicycle", "motorcycle"),
        "bicycle-31.png": ("bicycle", "motorcycle"),
        "motorcycle-12.png": ("motorcycle", "bicycle"),
    }
    assert check.images == 80
    assert {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()} == before
    assert list((tmp_path / "workspace").iterdir()) == []


def test_no_picture_is_judged_by_a_model_that_saw_it(backend: LocalBackend, data: Dataset, tmp_path: Path) -> None:
    """Each picture is missing in exactly one of the five trainings, and both classes are in every training."""
    seen: list[tuple[int, int]] = []
    labels.check_labels(backend, data, tmp_path / "workspace", progress=lambda done, total: seen.append((done, total)))
    trainer = backend.trainer
    assert isinstance(trainer, InstantTrainer)
    everything = {record.sha256 for record in data.records}
    missing = [digest for taught in trainer.taught for digest in everything - taught]
    assert sorted(missing) == sorted(everything)
    assert [len(taught) for taught in trainer.taught] == [64] * 5
    assert seen == [(number, 5) for number in range(1, 6)]


def test_too_few_pictures_for_folds(backend: LocalBackend, tmp_path: Path) -> None:
    """A class with fewer pictures than folds cannot be checked; the message names it, and nothing is left behind."""
    for name, count in (("a", 4), ("b", 9)):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, len(name), ord(name))).save(tmp_path / "few" / name / f"{number}.png")
    data = dataset.stage(tmp_path / "few", tmp_path / "data", image_size=8).dataset
    with pytest.raises(DatasetError, match=r"class 'a' of .* has 4 pictures, and 5 folds need as many"):
        labels.check_labels(backend, data, tmp_path / "workspace")
    assert list((tmp_path / "workspace").iterdir()) == []


def test_stage_prints_what_it_suspects(
    photos: Path,
    tmp_path: Path,
    backend: LocalBackend,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command prints file, label, suggestion and confidence, says how long it took, and the same as JSON."""
    monkeypatch.setattr(backends, "backend", lambda name, workspace: backend)
    command = ["stage", str(photos), str(tmp_path / "data"), "--image-size", "8", "--check-labels"]
    assert main(command) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert ["probable", "label", "error", "label", "suggested", "confidence"] in rows
    (row,) = [row for row in rows if row[1:3] == ["motorcycle", "bicycle"]]
    assert row[0].endswith("/motorcycle/motorcycle-12.png")
    assert float(row[3]) > 0.9
    assert "looked at 80 labels in " in captured.err
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["label_check"]
    assert document["images"] == 80
    assert [set(suspect) for suspect in document["suspects"]] == [{"path", "given", "suggested", "confidence"}] * 3
