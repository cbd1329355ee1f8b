"""``scones threshold``: another threshold on the calibration split, without training again."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset, lifecycle
from scones_ml.cli import main
from scones_ml.inference.model import load_classifier, read_card


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose red says what they are, of which some near the middle are labelled wrong."""
    folder = tmp_path_factory.mktemp("threshold")
    generator = np.random.default_rng(1)
    for number in range(800):
        red = int(generator.integers(0, 256))
        wrong = 110 < red < 145 and generator.random() < 0.4
        name = ("bicycle", "motorcycle")[(red > 127) != wrong]
        path = folder / "photos" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        other = generator.integers(0, 256, 2).tolist()
        Image.new("RGB", (8, 8), (red, *other)).save(path)
    dataset.stage(str(folder / "photos"), folder / "data", image_size=8)
    return folder / "data"


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path, staged: Path) -> Path:
    """A model of one's own to change."""
    shutil.copytree(tiny_model, tmp_path / "model")
    card = read_card(tiny_model).model_copy(update={"dataset_hash": dataset.load(staged).hash})
    (tmp_path / "model" / "model.json").write_text(card.model_dump_json())
    return tmp_path / "model"


def choose(capsys: pytest.CaptureFixture[str], model: Path, staged: Path, *options: str) -> dict[str, Any]:
    assert main(["threshold", str(model), str(staged), *options, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_target_precision_is_promised_and_written(
    capsys: pytest.CaptureFixture[str], model: Path, staged: Path
) -> None:
    """The card gets threshold, choice and the test figures at it; the graph stays, byte for byte."""
    before = (model / "model.onnx").read_bytes()
    found = choose(capsys, model, staged, "--target-precision", "0.9")
    assert (found["rule"], found["target_precision"], found["written"], found["before"]) == (
        "precision",
        0.9,
        True,
        0.9,
    )
    card = read_card(model)
    assert card.threshold == found["threshold"]
    assert card.threshold_choice["reason"] == found["reason"]
    evaluation = lifecycle.evaluate(lifecycle.predict(model, staged))
    assert card.metrics == {"test": json.loads(json.dumps(evaluation.to_json()))}
    assert evaluation.at_threshold is not None
    assert evaluation.at_threshold.threshold == found["threshold"]
    assert (model / "model.onnx").read_bytes() == before
    assert not list(model.glob("*.new"))


def test_only_the_calibration_split_chooses(capsys: pytest.CaptureFixture[str], model: Path, staged: Path) -> None:
    """As many labels are looked at as the calibration split has; the cross-fitted way adds those of validation."""
    data = dataset.load(staged)
    calibration, validation = len(data.split("calibration")), len(data.split("validation"))
    assert choose(capsys, model, staged, "--target-precision", "0.8")["labels"] == calibration
    crossed = choose(capsys, model, staged, "--cross-fitted", "--target-precision", "0.8")
    assert crossed["labels"] == calibration + validation
    assert crossed["reason"].endswith("Cross-fitted: the promise holds approximately.")


def test_a_coverage_is_reached_and_nothing_promised(
    capsys: pytest.CaptureFixture[str], model: Path, staged: Path
) -> None:
    """With --target-coverage at least that share passes, and the precision is called measured."""
    found = choose(capsys, model, staged, "--target-coverage", "0.7")
    assert (found["rule"], found["target_precision"]) == ("coverage", None)
    assert found["coverage"] >= 0.7
    assert found["accepted"] == round(found["coverage"] * found["labels"])
    assert 0 < found["precision_lower_bound"] < found["correct"] / found["accepted"]
    assert "measured, not guaranteed" in found["reason"]


def test_costs_give_chow_s_threshold(capsys: pytest.CaptureFixture[str], model: Path, staged: Path) -> None:
    """With a wrong answer at 20 and a look at 1, the threshold is 1 - 1/20, whatever the images are."""
    found = choose(capsys, model, staged, "--costs", "20,1")
    assert (found["rule"], found["threshold"]) == ("costs", pytest.approx(0.95))
    assert read_card(model).threshold == found["threshold"]


def test_a_report_tells_what_was_chosen(
    capsys: pytest.CaptureFixture[str], model: Path, staged: Path, tmp_path: Path
) -> None:
    """The page of a model whose threshold costs least says so, and promises nothing."""
    choose(capsys, model, staged, "--costs", "20,1")
    assert main(["evaluate", str(model), str(staged), "--html", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "lowest cost; no promise" in page
    assert "promises at least" not in page


def test_what_cannot_be_promised_is_not_written(capsys: pytest.CaptureFixture[str], model: Path, staged: Path) -> None:
    """When no threshold keeps the promise, the reason names the labels that are needed, and the model keeps its own."""
    assert main(["threshold", str(model), str(staged), "--target-precision", "0.999"]) == 1
    said = capsys.readouterr()
    assert "more images labelled for this choice might be enough" in said.err
    assert f"nothing was written: {model} keeps the threshold 0.9" in said.err
    assert said.out == ""
    assert read_card(model).threshold == 0.9


def test_looking_changes_nothing(capsys: pytest.CaptureFixture[str], model: Path, staged: Path) -> None:
    """--dry-run shows a threshold and leaves the card as it is."""
    before = (model / "model.json").read_bytes()
    assert choose(capsys, model, staged, "--dry-run", "--target-precision", "0.8")["written"] is False
    assert (model / "model.json").read_bytes() == before


def test_another_data_set_is_remarked_on(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, model: Path, staged: Path
) -> None:
    """A data set that the model was not trained on may hold images that it was: the promise is said to hang on that."""
    shutil.copy(tiny_model / "model.json", model / "model.json")
    assert main(["threshold", str(model), str(staged), "--target-precision", "0.8"]) == 0
    assert "was trained on another data set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--costs", "20"], "WRONG,REVIEW"),
        (["--costs", "20,0"], "above 0"),
        (["--costs", "3,1", "--target-coverage", "0.5"], "are mutually exclusive"),
        (["--cross-fitted", "--costs", "3,1"], "leave --costs out"),
        (["--target-precision", "2"], "between 0 and 1"),
        (["--target-coverage", "0"], "at most 1"),
        (["--target-precision", "95"], "--target-precision is 95: did you mean 0.95?"),
        (["--confidence", "1"], "between 0 and 1"),
    ],
)
def test_bad_wishes_get_one_line(
    capsys: pytest.CaptureFixture[str], model: Path, staged: Path, options: list[str], remedy: str
) -> None:
    """What cannot be wished for is refused in one line with the remedy, and changes nothing."""
    assert main(["threshold", str(model), str(staged), *options]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert remedy in line
    assert read_card(model).threshold == 0.9


def test_an_archive_is_to_be_unpacked(capsys: pytest.CaptureFixture[str], model: Path, staged: Path) -> None:
    """A model.tar.gz is read, whoever packed it, but its card is only written in a folder."""
    archive = model.parent / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as files:
        files.add(model, ".")
    assert load_classifier(archive).sha256 == load_classifier(model).sha256
    assert main(["threshold", str(archive), str(staged), "--target-precision", "0.9"]) == 1
    assert "is an archive: unpack it into a folder" in capsys.readouterr().err
