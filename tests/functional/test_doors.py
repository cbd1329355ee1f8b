"""One image, one answer: whichever door it comes through, a model sees the same pixels."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scones_ml
from scones_ml import dataset, images
from scones_ml.cli import main
from scones_ml.images import Fit, ImagePolicy
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, ModelCard, OnnxClassifier, load_classifier
from scones_ml.local.backend import LocalBackend
from scones_ml.ports import DeploymentRequest

SIZE = 24
LABELS = ("bicycle", "motorcycle")
CLOSE = 1e-6  # a single pixel that differs by 1 moves an answer by more


def write_model(folder: Path, fit: Fit | None, scale: float = 2.0**-13, threshold: float | None = 0.5) -> Path:
    """A model whose answer is a fingerprint of its pixels: whole-number weights, whose sums are exact."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(1).integers(-7, 8, (3 * SIZE * SIZE, 2)).astype(np.float32)
    constants = {
        "flat": np.array([-1, 3 * SIZE * SIZE], np.int64),
        "weights": weights,
        "scale": np.array(scale, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["sums"]),
        helper.make_node("Mul", ["sums", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fingerprint",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True)
    (folder / MODEL_GRAPH).write_bytes(model.SerializeToString())
    card = ModelCard(labels=LABELS, input_size=SIZE, policy=1 if fit is None else 2, fit=fit, threshold=threshold)
    (folder / MODEL_CARD).write_text(card.model_dump_json())
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two class folders of images of every kind: formats, proportions, sizes, orientation, transparency."""
    rng = np.random.default_rng(0)
    sizes = [(300, 200), (200, 310), (24, 24), (10, 17), (900, 100), (1000, 1400)]
    formats = [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"progressive": True}), ("TIFF", {})]
    for number in range(30):
        width, height = sizes[number % len(sizes)]
        kind, options = formats[number % len(formats)]
        coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8))
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        if number % 4 == 3 and kind != "JPEG":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        path = tmp_path / "photographs" / LABELS[number % 2] / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, kind, exif=exif, **options)
    return tmp_path / "photographs"


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_door_gives_the_same_answer(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: Fit
) -> None:
    """Staged, run through the workflow, in bulk, and posted to an endpoint, an image has one answer."""
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path / "model", fit)
    files = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in photographs.rglob("*.*")}
    classifier = load_classifier(model)
    expected = {name: classifier.predict(data) for name, data in files.items()}
    assert len({answer[0] for answer in expected.values()}) == len(files)
    found = {
        "staged": staged(photographs, classifier),
        "run": run(photographs, model),
        "bulk": bulk(photographs, model),
        "endpoint": posted(files, model, tmp_path),
        "library": predicted(files, model),
        "library, many": predicted_many(photographs, model),
        "payload": {
            name: classifier.predict(images.normalise(data, classifier.card.image_policy()).png)
            for name, data in files.items()
        },
    }
    for door, answers in found.items():
        assert answers.keys() == expected.keys(), door
        for name, answer in answers.items():
            assert answer == pytest.approx(expected[name], abs=CLOSE), (door, name)


def test_a_model_of_policy_1_keeps_its_reading(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workflow, bulk run and endpoint read for it as version 0.1 did: each side reduced by itself, then stretched."""
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path / "model", None)
    files = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in photographs.rglob("*.*")}
    classifier, policy = load_classifier(model), ImagePolicy().of_model(SIZE, None)
    expected = {
        name: tuple(classifier.predict_batch(images.pixels(images.normalise(data, policy).png, SIZE, policy)[None])[0])
        for name, data in files.items()
    }
    for answers in (run(photographs, model), bulk(photographs, model), posted(files, model, tmp_path)):
        assert answers.keys() == expected.keys()
        for name, answer in answers.items():
            assert answer == pytest.approx(expected[name], abs=CLOSE), name


@pytest.mark.parametrize(
    ("scale", "threshold", "confidence", "reason"),
    [(1.0, None, 1.0, "no threshold"), (0.0, 0.01, 0.5, "unlike the training images")],
    ids=["without a threshold", "unlike the training images"],
)
def test_what_nothing_may_accept_is_accepted_by_no_door(
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scale: float,
    threshold: float | None,
    confidence: float,
    reason: str,
) -> None:
    """Workflow, bulk run and endpoint leave it to a person and say why: a confidence of exactly 1.0 changes nothing."""
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path / "model", "crop", scale, threshold)
    run(photographs, model)
    bulk(photographs, model)
    assert main(["deploy", str(model), "--workspace", "served"]) == 0
    try:
        assert main(["run", str(photographs), "--workspace", "served", "--json"]) == 0
    finally:
        assert main(["cleanup", "--yes", "--workspace", "served"]) == 0
    printed = capsys.readouterr()
    outcomes = Path(".scones/buckets/scones-output/outcomes").rglob("*.json")
    results = Path(".scones/buckets/scones-output/bulk").rglob("*.jsonl")
    lines = (line for path in results for line in path.read_text().splitlines())
    found = [json.loads(text) for text in (*(path.read_text() for path in outcomes), *lines)]
    assert len(found) == 60
    verdict = {"outcome": "review", "accepted": False, "confidence": confidence, "reason": reason}
    assert all(verdict.items() <= outcome.items() for outcome in found)
    assert printed.err.count("30 unlike the training images") == (threshold is not None)
    assert printed.out.count(reason) == 60  # a line of the table, and one of the JSON document, for each image
    assert printed.err.count("has no threshold: every image goes to review\nwhat helps: ") == (
        4 if threshold is None else 0
    )


def predicted(files: dict[str, bytes], model: Path) -> dict[str, tuple[float, ...]]:
    loaded = scones_ml.load_model(model)
    return {name: tuple(loaded.predict(data).probabilities.values()) for name, data in files.items()}


def predicted_many(photographs: Path, model: Path) -> dict[str, tuple[float, ...]]:
    paths = list(photographs.rglob("*.*"))
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    found = scones_ml.load_model(model).predict_many(paths)
    return {name: tuple(one.probabilities.values()) for name, one in zip(names, found, strict=True)}


def staged(folder: Path, classifier: OnnxClassifier) -> dict[str, tuple[float, ...]]:
    data = dataset.stage(folder, "data", image_size=SIZE).dataset
    found = {}
    for split in dataset.SPLITS:
        pixels, _ = data.arrays(split, classifier.card.image_policy())
        for record, answer in zip(data.split(split), classifier.predict_batch(pixels), strict=True):
            number = Path(record.path).stem
            (name,) = (path.name for path in (folder / record.class_name).glob(f"{number}.*"))
            found[f"{record.class_name}/{name}"] = tuple(answer)
    return found


def run(folder: Path, model: Path) -> dict[str, tuple[float, ...]]:
    assert main(["run", str(folder), "--model", str(model)]) == 0
    outcomes = Path(".scones/buckets/scones-output/outcomes").rglob("*.json")
    return dict(answer(json.loads(path.read_text())) for path in outcomes)


def bulk(folder: Path, model: Path) -> dict[str, tuple[float, ...]]:
    assert main(["run", str(folder), "--bulk", "--model", str(model)]) == 0
    results = Path(".scones/buckets/scones-output/bulk").rglob("*.jsonl")
    return dict(answer(json.loads(line)) for path in results for line in path.read_text().splitlines())


def posted(files: dict[str, bytes], model: Path, workspace: Path) -> dict[str, tuple[float, ...]]:
    deployer = LocalBackend(workspace / "server").deployer
    endpoint = deployer.deploy(DeploymentRequest("doors", model))
    try:
        found = {}
        for name, data in files.items():
            request = urllib.request.Request(
                f"{endpoint.url}/endpoints/doors/invocations", data, {"Content-Type": "application/x-image"}
            )
            with urllib.request.urlopen(request) as response:
                found[name] = tuple(json.load(response))
        return found
    finally:
        deployer.remove("doors")


def answer(outcome: dict[str, object]) -> tuple[str, tuple[float, ...]]:
    *_, class_name, name = str(outcome["s3_key"]).split("/")
    inferences = outcome["inferences"]
    assert isinstance(inferences, list)
    return f"{class_name}/{name}", tuple(inferences)


def test_functions_that_do_not_fit_their_model_say_so(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function set to another size or fit than its model's names both variables and their values."""
    from scones_ml import backends
    from scones_ml.errors import ConfigurationError

    model = write_model(tmp_path / "model", "pad")
    monkeypatch.setenv("SCONES_CLASSIFIER", f"onnx:{model}")
    for size, fit in (("224", "pad"), ("24", "crop"), ("24", "")):
        monkeypatch.setenv("SCONES_IMAGE_SIZE", size)
        monkeypatch.setenv("SCONES_IMAGE_FIT", fit)
        with pytest.raises(ConfigurationError, match=r"set SCONES_IMAGE_SIZE=24 and SCONES_IMAGE_FIT=pad \(the stack"):
            backends.classifier()
    monkeypatch.setenv("SCONES_IMAGE_FIT", "pad")
    assert backends.classifier().labels == LABELS
