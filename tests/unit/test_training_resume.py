"""Going on: from a model that is finished, and from a training that was put down."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.inference.model import MODEL_CARD, MODEL_WEIGHTS, ModelCard
from scones_ml.npz import BROKEN, read_arrays, write_arrays
from scones_ml.training.checkpoints import Checkpoint, Checkpoints
from scones_ml.training.export import to_onnx
from scones_ml.training.fit import Fitted, Training, fit, make_repeatable
from scones_ml.training.presets import Recipe
from scones_ml.training.weights import initial, to_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = (24, 24, 24)
RECIPE = Recipe(epochs=5, batch_size=8, widths=WIDTHS, whiten_epochs=2)
LABELS = ("bicycle", "motorcycle")


@pytest.fixture(autouse=True, scope="module")
def _repeatable() -> None:
    make_repeatable(threads=1)


def make_images(classes: int = 2) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise, brighter from class to class."""
    labels = np.arange(24) % classes
    noise = np.random.default_rng(0).integers(0, 120, (24, 16, 16, 3))
    return (noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels.astype(np.int64)


def training(init: Fitted | None = None) -> Training:
    """A training that has not begun."""
    return Training(*make_images(), 2, RECIPE, seed=3, init=init)


def save(folder: Path, fitted: Fitted) -> Path:
    """What going on needs of a model's folder."""
    (folder / MODEL_WEIGHTS).write_bytes(to_weights(fitted))
    (folder / MODEL_CARD).write_text(ModelCard(labels=LABELS, input_size=16).model_dump_json())
    return folder


@settings(deadline=None, max_examples=5)
@given(stop=st.integers(1, RECIPE.epochs - 1))
def test_a_training_goes_on_bit_for_bit(stop: int) -> None:
    """Put down after any epoch and taken up by another object, it ends with the very graph of an undisturbed one."""
    undisturbed = training()
    expected = [epoch.train_accuracy for epoch in undisturbed]
    first, seen = training(), []
    for epoch in first:
        seen.append(epoch.train_accuracy)
        if len(seen) == stop:
            break
    second = training()
    second.restore(first.state())
    seen += [epoch.train_accuracy for epoch in second]
    assert seen == expected
    assert to_onnx(second.fitted, 16) == to_onnx(undisturbed.fitted, 16)


def test_a_state_is_a_copy() -> None:
    """Training on does not change a state that was taken."""
    going = training()
    epochs = iter(going)
    next(epochs)
    state = going.state()
    kept = {name: torch.as_tensor(value).clone() for name, value in state.items()}
    next(epochs)
    assert all(torch.equal(torch.as_tensor(value), kept[name]) for name, value in state.items())


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    """A network read from weights.npz exports to the very same graph, and the same network to the same bytes."""
    fitted = fit(*make_images(), 2, RECIPE)
    again = initial(save(tmp_path, fitted), LABELS, 16, WIDTHS)
    assert to_onnx(again, 16) == to_onnx(fitted, 16)
    assert to_weights(again) == to_weights(fitted)


@pytest.mark.parametrize("prefix", ["", "./"])
def test_weights_are_read_from_an_archive(tmp_path: Path, prefix: str) -> None:
    """A model.tar.gz serves as well as a folder, also one that was packed with `tar -C model .`."""
    fitted = fit(*make_images(), 2, RECIPE)
    (tmp_path / "model").mkdir()
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for file in save(tmp_path / "model", fitted).iterdir():
            archive.add(file, f"{prefix}{file.name}")
    assert to_weights(initial(tmp_path / "model.tar.gz", LABELS, 16, WIDTHS)) == to_weights(fitted)


def test_going_on_starts_from_the_model(tmp_path: Path) -> None:
    """With rates of zero a training from a model ends as that model; the model that was given is left as it is."""
    fitted = fit(*make_images(), 2, RECIPE)
    init = initial(save(tmp_path, fitted), LABELS, 16, WIDTHS)
    still = dataclasses.replace(RECIPE, muon_lr=0.0, head_lr=1e-30, bias_lr=1e-30)
    after = fit(*make_images(), 2, still, init=init)
    trained = fit(*make_images(), 2, RECIPE, init=init)
    assert torch.equal(after.network.whiten.weight, fitted.network.whiten.weight)
    decayed = 1e-3  # what weight decay takes in so few steps
    torch.testing.assert_close(after.network.head.weight, fitted.network.head.weight, atol=decayed, rtol=decayed)
    assert to_onnx(init, 16) == to_onnx(fitted, 16)
    assert to_onnx(trained, 16) != to_onnx(fitted, 16)


def test_a_model_of_0_1_0_is_gone_on_from(tmp_path: Path) -> None:
    """Its filters of 2x2 pixels respond as they did; it is not symmetric, learns all the same and is saved as new."""
    arrays = read_arrays(to_weights(fit(*make_images(), 2, RECIPE)))
    filters = torch.randn(24, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    save(tmp_path, fit(*make_images(), 2, RECIPE))
    (tmp_path / MODEL_WEIGHTS).write_bytes(write_arrays(arrays | {"whiten.weight": filters.numpy()}))
    init = initial(tmp_path, LABELS, 16, WIDTHS)
    x = torch.randn(2, 3, 16, 16)
    expected = torch.nn.functional.conv2d(x, filters, init.network.whiten.bias)
    torch.testing.assert_close(init.network.whiten(x)[..., :-1, :-1], expected, atol=1e-5, rtol=1e-5)
    assert not init.network.is_symmetric()
    images, labels = make_images()
    after = fit(images, labels, 2, RECIPE, init=init)
    assert after.accuracy(images, labels) > 0.9
    assert to_weights(initial(save(tmp_path, after), LABELS, 16, WIDTHS)) == to_weights(after)


def test_classes_find_their_place(tmp_path: Path) -> None:
    """A class that the model knows keeps its weights at its new place; a class that is new starts from zero."""
    fitted = fit(*make_images(), 2, RECIPE)
    head = initial(save(tmp_path, fitted), ("motorcycle", "tram", "bicycle"), 16, WIDTHS).network.head.weight
    known = fitted.network.head.weight
    assert torch.equal(head, torch.stack([known[1], torch.zeros_like(known[0]), known[0]]))


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    """The message says how to stage the data set."""
    save(tmp_path, fit(*make_images(), 2, RECIPE))
    with pytest.raises(
        TrainingError, match=r"takes images of 16 pixels, those of the data set have 32: .*--image-size 16"
    ):
        initial(tmp_path, LABELS, 32, WIDTHS)


def test_another_network_is_refused(tmp_path: Path) -> None:
    """Weights of other widths are not forced into a network."""
    save(tmp_path, fit(*make_images(), 2, RECIPE))
    with pytest.raises(TrainingError, match="has another architecture"):
        initial(tmp_path, LABELS, 16, (24, 48, 96))


@pytest.mark.parametrize("weights", [b"", b"PK", b"\x80\x04cos\nsystem\n"])
def test_weights_that_are_none(tmp_path: Path, weights: bytes) -> None:
    """A file that is no archive of arrays is one line, and no pickle is ever read."""
    save(tmp_path, fit(*make_images(), 2, RECIPE))
    (tmp_path / MODEL_WEIGHTS).write_bytes(weights)
    with pytest.raises(TrainingError, match=r"weights\.npz cannot be read; train the model again"):
        initial(tmp_path, LABELS, 16, WIDTHS)


def npz(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(shape: str, data: bytes, kind: str = "<f4") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HOSTILE_WEIGHTS = {
    "bomb": npz(zipfile.ZIP_DEFLATED, mean=npy("(5000000,)", bytes(20_000_000))),
    "announced": npz(mean=npy("(1000000000000,)", b"")),
    "negative": npz(mean=npy("(-1,)", b"")),
    "objects": npz(mean=npy("(1,)", bytes(8), "|O")),
    "no array": npz(mean=b"mean"),
    "deep header": npz(mean=npy("(" * 9_000, b"")),
    "many members": npz(**{f"m{n}": b"" for n in range(3_000)}),
    "encrypted": npz(mean=npy("(1,)", bytes(4))).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    ),
}


@pytest.mark.parametrize("name", HOSTILE_WEIGHTS)
def test_hostile_weights_cost_nothing(name: str) -> None:
    """Bombs, sizes that are not there and objects are refused before any room is made for them."""
    tracemalloc.start()
    with pytest.raises(BROKEN):
        read_arrays(HOSTILE_WEIGHTS[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize(
    "change", [{"head.weight": np.zeros(4, np.float32)}, {"head.weight": np.zeros((1, 4))}, {"mean": np.array(["x"])}]
)
def test_weights_of_another_card_are_refused(tmp_path: Path, change: dict[str, NDArray[np.generic]]) -> None:
    """A head that is not the card's, and values that are no numbers, are one line."""
    path = save(tmp_path, fit(*make_images(), 2, RECIPE)) / MODEL_WEIGHTS
    path.write_bytes(write_arrays(read_arrays(path.read_bytes()) | change))
    with pytest.raises(TrainingError, match=r"weights\.npz does not match the card; train the model again"):
        initial(tmp_path, LABELS, 16, WIDTHS)


def test_a_model_without_weights_is_named(tmp_path: Path, tiny_model: Path) -> None:
    """A model that was made without weights cannot be gone on from, and neither can one that is not there."""
    with pytest.raises(ConfigurationError, match=r"holds no weights\.npz"):
        initial(tiny_model, LABELS, 8, WIDTHS)
    with pytest.raises(ConfigurationError, match="nowhere does not exist"):
        initial(tmp_path / "nowhere", LABELS, 16, WIDTHS)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """State and history survive the way to the disk and back, and nothing else lies in the folder."""
    going = training()
    next(iter(going))
    kept = Checkpoints(tmp_path, {"seed": 3, "labels": LABELS})
    assert kept.load() is None
    kept.save(Checkpoint(going.state(), [{"epoch": 0, "Train-accuracy": 0.5}]))
    found = kept.load()
    assert found is not None
    assert found.history == [{"epoch": 0, "Train-accuracy": 0.5}]
    assert all(torch.equal(value, found.state[name]) for name, value in going.state().items())
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"half"])
def test_checkpoints_that_are_none(tmp_path: Path, content: bytes) -> None:
    """A checkpoint that is broken or another training's is passed over: the training starts from its beginning."""
    (tmp_path / "checkpoint.npz").write_bytes(content)
    kept = Checkpoints(tmp_path, {"seed": 3})
    assert kept.load() is None
    kept.save(Checkpoint({"flips": torch.ones(3)}, []))
    assert kept.load() is not None
    assert Checkpoints(tmp_path, {"seed": 4}).load() is None
    (tmp_path / "checkpoint.npz").write_bytes((tmp_path / "checkpoint.npz").read_bytes()[:-30])
    assert kept.load() is None
