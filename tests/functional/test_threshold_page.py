"""docs/threshold.md: its images are there and can be drawn anew, its commands exist, its counts are exact."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer.main
from PIL import Image

from scones_ml import dataset
from scones_ml.cli.app import app
from scones_ml.evaluation.intervals import clopper_pearson_lower

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threshold.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[([^\]]+)\]\((threshold-\w+\.svg)\)", PAGE)


def test_every_image_is_there_with_words() -> None:
    """Each image is a small SVG of its own, with an alternative text, a title and a description."""
    assert len(PICTURES) == 4
    for words, name in PICTURES:
        file = ROOT / "docs" / name
        drawing = ElementTree.parse(file).getroot()
        assert len(words) > 40
        assert [child.tag.rpartition("}")[2] for child in drawing if child.tag.endswith(("title", "desc"))] != []
        assert file.stat().st_size < 20_000
        assert "prefers-color-scheme: dark" in file.read_text(encoding="utf-8")


def test_every_option_on_the_page_exists() -> None:
    """What the page tells to type, the command takes."""
    command = typer.main.get_command(app).commands["threshold"]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    typed = set(re.findall(r"scones threshold MODEL DATA (--[\w-]+)", PAGE))
    assert typed == {"--target-precision", "--target-coverage", "--costs"}
    assert typed | {"--cross-fitted", "--dry-run"} <= known


@pytest.mark.parametrize(("labels", "promise"), [(59, 0.95), (299, 0.99), (2995, 0.999)])
def test_the_numbers_of_labels_are_exact(labels: int, promise: float) -> None:
    """So many labels without a mistake are enough for the promise, and one fewer is not."""
    assert f"{labels:,}" in PAGE
    assert clopper_pearson_lower(labels, labels, 0.95) >= promise
    assert clopper_pearson_lower(labels - 1, labels - 1, 0.95) < promise


def test_the_images_can_be_drawn_for_any_model(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script draws the page's four images from a model and a data set, and tells their figures."""
    generator = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "photos" / ("bicycle", "motorcycle")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        red = int(generator.integers(0, 160)) + 90 * (number % 2)
        Image.new("RGB", (8, 8), (red, number, 0)).save(path)
    dataset.stage(str(tmp_path / "photos"), tmp_path / "data", image_size=8)
    script = runpy.run_path(str(ROOT / "examples" / "threshold_pictures.py"))
    script["main"]([str(tiny_model), str(tmp_path / "data"), str(tmp_path / "drawn")])
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == sorted(name for _, name in PICTURES)
    for path in (tmp_path / "drawn").iterdir():
        ElementTree.parse(path)
    assert "every answer passes" in capsys.readouterr().out
