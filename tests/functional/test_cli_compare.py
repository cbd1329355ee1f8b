"""``scones evaluate``: what it shows of many classes, and whether a new model is better beyond chance."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    assert f"Compared with {contrary}: +100.0 points of accuracy (+38.3 to +100.0)." in said
    assert "better beyond chance: 10 images became right" in said


def test_a_model_is_no_better_than_itself(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compared with itself a model shows no difference; the JSON document holds the comparison beside the figures."""
    capsys.readouterr()
    assert main(["evaluate", str(tiny_model), str(data), "--compare", str(tiny_model), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["comparison"]["p_value"] == 1
    assert document["comparison"]["verdict"].startswith("No difference beyond chance")
    assert document["accuracy"]["value"] == 1


@pytest.mark.parametrize("count", [5, 14])
def test_of_many_classes_the_hardest_and_the_most_confused_are_shown(
    other_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    """From five classes on there is a line a class, the hardest twelve at most, and no table as wide as the classes."""
    names = tuple(f"kind {number:02}" for number in range(count))
    for number, name in enumerate(names):
        for copy in range(12):
            path = tmp_path / "photos" / "test" / name / f"{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (255 if number == 1 else 0, 10 * number, copy)).save(path)
            taught = tmp_path / "photos" / "train" / name / path.name
            taught.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (100, 10 * number, copy)).save(taught)
    data = str(tmp_path / "data")
    assert main(["stage", str(tmp_path / "photos"), data, "--image-size", "8"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(other_model(*names)), data]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if line.startswith("kind ") and "%" in line]
    assert len(shown) == min(count, 12)
    assert all(line.split()[2] == "12" for line in shown), "images of each"
    assert shown[0].startswith("kind 02"), "none of it is found"
    assert ("kind 01" in " ".join(shown)) == (count == 5), "all of it is found"
    confused = any(line.split() == ["kind", "02", "kind", "00", "12", "of", "12"] for line in lines)
    assert confused == (count > 6), "of few classes the whole matrix is shown"
    assert any(line.split() == ["kind", "02", "12", "0", "0", "0", "0"] for line in lines) == (count == 5)
    assert not any("precision kind" in line for line in lines)
    assert any(f"the hardest of {count}; {count - 12} more classes: see --json" in line for line in lines) == (
        count > 12
    )
    assert max(map(len, lines)) <= 100
