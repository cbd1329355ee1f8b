"""``scones evaluate --compare``: is the new model better beyond chance?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from scones_ml.cli import main
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A staged set of dark bicycles and bright motorcycles, ten of them in the test split."""
    for name, shade in (("bicycle", 20), ("motorcycle", 220)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(25):
            Image.new("RGB", (8, 8), (shade + number, number, 0)).save(folder / f"{number}.png")
    assert main(["stage", str(tmp_path / "photos"), str(tmp_path / "data"), "--image-size", "8"]) == 0
    return tmp_path / "data"


@pytest.fixture
def contrary(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with its two answers exchanged."""
    folder = tmp_path / "contrary"
    folder.mkdir()
    graph = onnx.load(tiny_model / MODEL_GRAPH)
    for constant in graph.graph.initializer:
        if constant.name in ("weights", "bias"):
            values = np.ascontiguousarray(numpy_helper.to_array(constant)[..., ::-1])
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    onnx.save(graph, folder / MODEL_GRAPH)
    (folder / MODEL_CARD).write_bytes((tiny_model / MODEL_CARD).read_bytes())
    return folder


def test_a_better_model_is_called_better(
    data: Path, tiny_model: Path, contrary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the old model was wrong on all ten images and the new one is right, the verdict is better beyond chance."""
    capsys.readouterr()
    assert main(["evaluate", str(tiny_model), str(data), "--compare", str(contrary)]) == 0
    out = capsys.readouterr().out
    assert f"against {contrary}: accuracy +100.0 points (95 % interval +38.3 to +100.0)" in out
    assert "The new model is better beyond chance: 10 images became right and 0 wrong of 10 (p = 0.002)." in out


def test_the_page_says_it_too(data: Path, tiny_model: Path, contrary: Path, tmp_path: Path) -> None:
    """With --compare the page of --html names the older model and says whether this one is better."""
    page = tmp_path / "report.html"
    assert main(["evaluate", str(tiny_model), str(data), "--compare", str(contrary), "--html", str(page)]) == 0
    said = page.read_text()
    assert f"Beside {contrary}: +100.0 points right (+38.3 to +100.0)." in said
    assert "better beyond chance: 10 images became right" in said


def test_a_model_is_no_better_than_itself(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compared with itself a model shows no difference; the JSON document holds the comparison beside the figures."""
    capsys.readouterr()
    assert main(["evaluate", str(tiny_model), str(data), "--compare", str(tiny_model), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["comparison"]["p_value"] == 1
    assert document["comparison"]["verdict"].startswith("No difference beyond chance")
    assert document["accuracy"]["value"] == 1
