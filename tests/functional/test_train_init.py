"""``scones train --init``: going on from a model, or from one that has seen drawings only."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.cli import main
from scones_ml.cli.context import Backends
from scones_ml.inference.model import MODEL_CARD, read_card
from scones_ml.lifecycle.synthetic_model import synthetic_model
from scones_ml.local.backend import LocalBackend
from scones_ml.training.presets import PRESETS, fine_tuning


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small staged data set."""
    for name, shade in (("bicycle", 20), ("motorcycle", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (8, 8), (shade, number, shade)).save(tmp_path / "photos" / name / f"{number}.png")
    return dataset.stage(tmp_path / "photos", tmp_path / "data", image_size=8).dataset.root


def test_the_model_of_drawings_is_made_once(tmp_path: Path, instant_backend: LocalBackend) -> None:
    """The first use trains the model on drawings, the second finds it; no drawing is left in the workspace."""
    workspace = tmp_path / "workspace"
    made = [synthetic_model(instant_backend, workspace, image_size=8, drawings=6) for _ in range(2)]
    (request,) = instant_backend.trainer.requests  # type: ignore[attr-defined]
    assert made == [request.model] * 2
    assert request.init is None
    assert (request.model / MODEL_CARD).is_file()
    assert [path.name for path in workspace.iterdir() if "drawings" in path.name] == []


def test_a_training_goes_on_from_the_model_of_drawings(
    data: Path, tmp_path: Path, instant_backend: LocalBackend, only: Callable[[LocalBackend], Backends]
) -> None:
    """``--init synthetic`` starts from the workspace's model of drawings, of the data set's own size of images."""
    workspace = tmp_path / "workspace"
    kept = synthetic_model(instant_backend, workspace, image_size=8, drawings=6)
    command = ["train", str(data), "--model", str(tmp_path / "model"), "--init", "synthetic"]
    assert main([*command, "--workspace", str(workspace)], only(instant_backend)) == 0
    requests = instant_backend.trainer.requests  # type: ignore[attr-defined]
    assert [(request.model, request.init) for request in requests] == [(kept, None), (tmp_path / "model", kept)]


def test_a_model_that_may_have_seen_the_judges_is_named(
    data: Path,
    tmp_path: Path,
    tiny_model: Path,
    instant_backend: LocalBackend,
    only: Callable[[LocalBackend], Backends],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Going on from a model of another data set is warned about; from one of this, or of what it grew from, is not."""
    own = tmp_path / "own"
    shutil.copytree(tiny_model, own)
    card = read_card(tiny_model).model_copy(update={"dataset_hash": dataset.load(data).hash})
    (own / MODEL_CARD).write_text(card.model_dump_json())
    for number, (model, warned) in enumerate([(tiny_model, True), (own, False)]):
        command = ["train", str(data), "--model", str(tmp_path / f"new{number}"), "--init", str(model)]
        assert main(command, only(instant_backend)) == 0
        assert ("temperature and threshold are too optimistic" in capsys.readouterr().err) == warned


def test_few_images_take_small_steps() -> None:
    """The fewer images a training goes on with, the smaller its rates, down to a floor and up to the preset's own."""
    fast = PRESETS["fast"]
    assert fine_tuning(fast, 1000) == fine_tuning(fast, 5000) == dataclasses.replace(fast, epochs=20)
    assert fine_tuning(fast, 100).muon_lr == pytest.approx(fast.muon_lr / 10)
    assert fine_tuning(fast, 100).head_lr == pytest.approx(fast.head_lr / 10)
    assert fine_tuning(fast, 1).bias_lr == pytest.approx(fast.bias_lr / 20)
