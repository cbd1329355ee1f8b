"""Photographs in the places that looked at thumbnails: labels, near duplicates, what to label next, the report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from scones_ml.cli import main
from scones_ml.dataset.synthetic import KINDS, draw_png


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings of 128 pixels, one of them under the wrong name and one there twice, cut a little; and a model."""
    root = tmp_path_factory.mktemp("photographs")
    for name in KINDS:
        (root / "photos" / name).mkdir(parents=True)
        for number in range(16):
            (root / "photos" / name / f"{name}-{number}.png").write_bytes(draw_png(name, 0, number, 128))
    shutil.move(root / "photos" / KINDS[0] / f"{KINDS[0]}-3.png", root / "photos" / KINDS[1] / "wrong.png")
    original = Image.open(root / "photos" / KINDS[1] / f"{KINDS[1]}-5.png")
    original.crop((1, 1, 127, 127)).save(root / "photos" / KINDS[1] / "twin.png")
    data, model = str(root / "data"), str(root / ".scones" / "model")
    workspace = ("--workspace", str(root / ".scones"))
    assert main(["stage", str(root / "photos"), data, "--image-size", "128", *workspace]) == 0
    assert main(["train", data, "--recipe", "head", "--model", model, *workspace]) == 0
    return root


def cached(work: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in (work / ".scones" / "cache").rglob("*") if path.is_file()}


def test_labels_are_checked_on_features(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong label and the cut copy are named, and no feature that training has computed is computed again."""
    before = cached(work)
    command = ["stage", str(work / "photos"), str(work / "again"), "--image-size", "128", "--check-labels", "--json"]
    assert main([*command, "--workspace", str(work / ".scones")]) == 0
    check = json.loads(capsys.readouterr().out)["label_check"]
    assert "wrong.png" in {Path(suspect["path"]).name for suspect in check["suspects"]}
    assert any(
        {Path(p["first"]).name, Path(p["second"]).name} == {"twin.png", f"{KINDS[1]}-5.png"}
        for p in check["near_duplicates"]
    )
    assert cached(work) == before


def test_what_to_label_next_is_chosen_by_features(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder of images and their copies in other brightness, three are asked for, no two of one drawing."""
    inbox = work / "inbox"
    inbox.mkdir()
    for number in range(40, 46):
        for copy in range(2):
            (inbox / f"{number}-{copy}.png").write_bytes(draw_png(KINDS[number % 2], 0, number, 128 + copy))
    model = str(work / ".scones" / "model")
    assert main(["label-next", "3", str(inbox), "--model", model, "--json", "--workspace", str(work / ".scones")]) == 0
    names = [Path(found["name"]).stem for found in json.loads(capsys.readouterr().out)]
    assert len({name.partition("-")[0] for name in names}) == 3


def test_the_report_takes_features_from_the_cache(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report of a model is written without a feature being computed again."""
    before, page = cached(work), work / "report.html"
    command = ["evaluate", str(work / ".scones" / "model"), str(work / "data"), "--html", str(page)]
    assert main([*command, "--workspace", str(work / ".scones")]) == 0
    assert cached(work) == before
    wrong = int(re.findall(r"(\d+) of (\d+) images", capsys.readouterr().out)[0][1]) - int(
        json.loads((work / ".scones" / "model" / "model.json").read_text())["metrics"]["test"]["correct"]
    )
    assert page.read_text().count('<ol class="similar"') == wrong


def test_the_reference_is_of_images_that_were_not_learned_from(work: Path) -> None:
    """A cross-fitted model has learned from its calibration split, so monitoring looks at the test split."""
    from scones_ml import lifecycle
    from scones_ml.inference.model import read_card

    card = read_card(work / ".scones" / "model")
    assert lifecycle.unseen_split(card) == "test"
    assert lifecycle.unseen_split(card.model_copy(update={"trained_on": ("train",)})) == "calibration"
