"""The verbs as a library: a backend, functions, results."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import backends, dataset, lifecycle
from scones_ml.dataset import Synthetic
from scones_ml.errors import ConfigurationError, DatasetError, TrainingError
from scones_ml.inference.model import load_classifier
from scones_ml.ports import Backend, TrainingRequest


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return backends.backend("local", tmp_path / "workspace")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred drawn images, staged."""
    folder = tmp_path_factory.mktemp("staged") / "data"
    dataset.stage(Synthetic(per_class=50, size=32), folder)
    return folder


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_training_reports_epochs_and_writes_a_model(backend: Backend, data: Path, tmp_path: Path) -> None:
    """A training process counts its epochs for the caller and leaves a model that can be loaded."""
    seen: list[tuple[int, int]] = []
    request = TrainingRequest(data, tmp_path / "model", epochs=2)
    card = lifecycle.train(backend, request, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert card.labels == ("bicycle", "motorcycle")
    assert card.dataset_hash == dataset.load(data).hash
    assert load_classifier(tmp_path / "model").card == card


def test_a_failed_training_says_its_last_words(backend: Backend, data: Path, tmp_path: Path) -> None:
    """What the training process complained of is the error's message."""
    request = TrainingRequest(data, tmp_path / "model", device="cuda")
    with pytest.raises(TrainingError, match="no CUDA device"):
        lifecycle.train(backend, request)


def test_images_run_through_the_emitted_definition(backend: Backend, tiny_model: Path) -> None:
    """Each image ends in one outcome; the results are in order, with label and confidence."""
    files = [("a.png", make_image(0)), ("b.png", make_image(130)), ("c.png", b"<html>"), ("d.png", b"")]
    refs = lifecycle.upload(backend, files)
    results = list(lifecycle.run(backend, refs, tiny_model))
    assert [(result.image.s3_key, result.outcome) for result in results] == [
        ("a.png", "accepted"),
        ("b.png", "review"),
        ("c.png", "quarantined"),
        ("d.png", "quarantined"),
    ]
    assert results[0].label == "bicycle"
    assert results[2].reason == "not an image: it starts with '<html>'"


def test_an_object_replaced_since_its_event_is_dropped(backend: Backend, tiny_model: Path) -> None:
    """When the bytes under a key changed, the old event is dropped with its reason and nothing is written."""
    (old,) = lifecycle.upload(backend, [("a.png", make_image(0))])
    lifecycle.upload(backend, [("a.png", make_image(255))])
    (result,) = lifecycle.run(backend, [old], tiny_model)
    assert result.outcome == "dropped"
    assert "was replaced since the event" in str(result.reason)
    assert list(backend.store.list(backend.buckets.output)) == []


def test_a_model_without_threshold_lets_nothing_pass(backend: Backend, tiny_model: Path, tmp_path: Path) -> None:
    """Where no threshold could keep its promise, all goes to review, and says why; a threshold that is given holds."""
    (tmp_path / "model.onnx").write_bytes((tiny_model / "model.onnx").read_bytes())
    card = load_classifier(tiny_model).card.model_copy(update={"threshold": None})
    (tmp_path / "model.json").write_text(card.model_dump_json())
    refs = lifecycle.upload(backend, [("a.png", make_image(0))])
    (result,) = lifecycle.run(backend, refs, tmp_path)
    assert (result.outcome, result.reason) == ("review", "no threshold")
    (result,) = lifecycle.run(backend, refs, tmp_path, threshold=0.5)
    assert (result.outcome, result.reason) == ("accepted", None)


def test_evaluation_needs_fitting_data(data: Path, tiny_model: Path) -> None:
    """A data set of another size than the model's is refused with the remedy."""
    with pytest.raises(DatasetError, match="--image-size 8"):
        lifecycle.predict(tiny_model, data)


def test_cleanup_proves_that_nothing_is_left(backend: Backend, tiny_model: Path, tmp_path: Path) -> None:
    """Objects and outcomes are listed before, gone after, and the listing that follows is empty; the record stays."""
    refs = lifecycle.upload(backend, [("a.png", make_image(0))])
    list(lifecycle.run(backend, refs, tiny_model))
    assert len(lifecycle.remaining_resources(backend)) == 2
    assert lifecycle.cleanup(backend) == ()
    left = {path.name for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    assert left == {"ledger.jsonl", "workspace.json"}


def test_a_graph_that_cannot_be_loaded_is_named(tiny_model: Path, tmp_path: Path) -> None:
    """A damaged model.onnx is named with its folder, and the remedy with it."""
    (tmp_path / "model.json").write_bytes((tiny_model / "model.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(
        ConfigurationError, match=rf"{tmp_path}/model.onnx is not an ONNX graph, or cut short; train the model again"
    ):
        load_classifier(tmp_path)
