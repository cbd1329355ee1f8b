"""``scones train --init``: going on from a model, or from one that has seen drawings only."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import backends, dataset
from scones_ml.cli import main
from scones_ml.inference.model import MODEL_CARD, read_card
from scones_ml.lifecycle.synthetic_model import synthetic_folder
from scones_ml.local.backend import LocalBackend
from scones_ml.training.presets import PRESETS, fine_tuning


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instant_backend: LocalBackend) -> Path:
    """A small staged data set; trainings take no time, and few drawings are made."""
    monkeypatch.setattr(backends, "backend", lambda *_: instant_backend)
    monkeypatch.setattr("scones_ml.lifecycle.synthetic_model._DRAWINGS", 6)
    for name, shade in (("bicycle", 20), ("motorcycle", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (8, 8), (shade, number, shade)).save(tmp_path / "photos" / name / f"{number}.png")
    return dataset.stage(tmp_path / "photos", tmp_path / "data", image_size=8).dataset.root


def test_the_model_of_drawings_is_made_once(data: Path, tmp_path: Path, instant_backend: LocalBackend) -> None:
    """The first training from drawings makes their model, the second finds it; no drawing is left in the workspace."""
    requests = instant_backend.trainer.requests  # type: ignore[attr-defined]
    workspace = tmp_path / "workspace"
    for number in range(2):
        command = ["train", str(data), "--model", str(tmp_path / f"model{number}"), "--init", "synthetic"]
        assert main([*command, "--workspace", str(workspace)]) == 0
    kept = synthetic_folder(workspace, "fast", 8)
    assert [request.model for request in requests] == [kept, tmp_path / "model0", tmp_path / "model1"]
    assert [request.init for request in requests] == [None, kept, kept]
    assert (kept / MODEL_CARD).is_file()
    assert [path.name for path in workspace.iterdir() if "drawings" in path.name] == []


def test_a_model_that_may_have_seen_the_judges_is_named(
    data: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Going on from a model of another data set is warned about; from one of this, or of what it grew from, is not."""
    own = tmp_path / "own"
    shutil.copytree(tiny_model, own)
    card = read_card(tiny_model).model_copy(update={"dataset_hash": dataset.load(data).hash})
    (own / MODEL_CARD).write_text(card.model_dump_json())
    for number, (model, warned) in enumerate([(tiny_model, True), (own, False)]):
        assert main(["train", str(data), "--model", str(tmp_path / f"new{number}"), "--init", str(model)]) == 0
        assert ("temperature and threshold flatter it" in capsys.readouterr().err) == warned


def test_few_images_take_small_steps() -> None:
    """The fewer images a training goes on with, the smaller its rates, down to a floor and up to the preset's own."""
    fast = PRESETS["fast"]
    assert fine_tuning(fast, 1000) == fine_tuning(fast, 5000) == dataclasses.replace(fast, epochs=20)
    assert fine_tuning(fast, 100).muon_lr == pytest.approx(fast.muon_lr / 10)
    assert fine_tuning(fast, 100).head_lr == pytest.approx(fast.head_lr / 10)
    assert fine_tuning(fast, 1).bias_lr == pytest.approx(fast.bias_lr / 20)
