"""The training loop and the graph that comes out of it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.errors import TrainingError
from scones_ml.evaluation import softmax
from scones_ml.training.export import to_onnx
from scones_ml.training.fit import Epoch, Fitted, fit, make_repeatable
from scones_ml.training.presets import PRESETS, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = Recipe(epochs=2, batch_size=8, widths=(24, 24, 24))


@pytest.fixture(autouse=True, scope="module")
def _repeatable() -> None:
    make_repeatable(threads=1)


def stripes(count: int, classes: int, size: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy images whose class is the place of a bright stripe."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 120, (count, size, size, 3))
    for image, label in zip(images, labels, strict=True):
        image[:, label * size // classes : (label + 1) * size // classes] += 100
    return images.astype(np.uint8), labels.astype(np.int64)


def run(graph: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ONNX Runtime makes of the images."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"image": images})
    return np.asarray(probabilities)


def trained(classes: int = 2, size: int = 16, seed: int = 0, recipe: Recipe = TINY) -> Fitted:
    """A network after a few steps."""
    return fit(*stripes(24, classes, size), classes, recipe, seed=seed)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two runs with one seed and one thread export identical graphs, whatever torch drew in between."""
    first = to_onnx(trained(seed=3), 16)
    torch.rand(7)
    assert to_onnx(trained(seed=3), 16) == first
    assert to_onnx(trained(seed=4), 16) != first


def test_the_global_random_state_is_left_alone() -> None:
    """Training draws from its own generator only."""
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    trained()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_it_learns(preset: str) -> None:
    """Every preset's recipe tells three classes of unseen noisy images apart after few epochs."""
    recipe = dataclasses.replace(PRESETS[preset], epochs=12, batch_size=20, widths=(24, 24, 24))
    # bands of brightness from top to bottom: mirroring does not change the class
    images, labels = stripes(120, 3, 16)
    fitted = fit(images.swapaxes(1, 2).copy(), labels, 3, recipe)
    unseen, truth = stripes(60, 3, 16, seed=1)
    assert (fitted.logits(unseen.swapaxes(1, 2).copy()).argmax(1) == truth).mean() > 0.9


@settings(deadline=None, max_examples=8)
@given(
    classes=st.integers(2, 5),
    size=st.sampled_from([16, 32, 33, 48, 64]),
    batch=st.integers(1, 9),
    temperature=st.floats(0.1, 5.0),
)
def test_onnx_says_what_torch_says(classes: int, size: int, batch: int, temperature: float) -> None:
    """The graph's probabilities are the softmax of torch's logits over the temperature, within 1e-4."""
    fitted = trained(classes, size)
    images, _ = stripes(batch, classes, size, seed=9)
    expected = softmax(fitted.logits(images), temperature)
    np.testing.assert_allclose(run(to_onnx(fitted, size, temperature), images), expected, atol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_full_size_network_exports_exactly(preset: str) -> None:
    """With the preset's own widths, too, torch and ONNX differ by less than 1e-4."""
    fitted = trained(2, 32, recipe=dataclasses.replace(PRESETS[preset], epochs=3, batch_size=8))
    images, _ = stripes(24, 2, 32)
    np.testing.assert_allclose(run(to_onnx(fitted, 32), images), softmax(fitted.logits(images)), atol=1e-4)


def test_a_image_is_judged_alone() -> None:
    """An image's probabilities do not depend on what else is in the batch."""
    graph = to_onnx(trained(), 16)
    images, _ = stripes(6, 2, 16)
    together = run(graph, images)
    for image, row in zip(images, together, strict=True):
        np.testing.assert_allclose(run(graph, image[None])[0], row, atol=1e-6)


@settings(deadline=None, max_examples=6)
@given(size=st.sampled_from([16, 32, 48, 64]), widths=st.sampled_from([(24, 24, 24), (24, 32, 48), (8, 8, 8)]))
def test_a_mirror_image_is_judged_as_the_image(size: int, widths: tuple[int, int, int]) -> None:
    """An image and its mirror image get the same logits, however long the network has learned from mixed images."""
    fitted = trained(2, size, recipe=dataclasses.replace(TINY, epochs=6, widths=widths))
    images, _ = stripes(6, 2, size, seed=9)
    mirrored = images[:, :, ::-1].copy()
    np.testing.assert_allclose(fitted.logits(mirrored), fitted.logits(images), atol=1e-3)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    """Rates that blow the weights up are reported, not trained on."""
    recipe = dataclasses.replace(TINY, head_lr=1e30, epochs=50)
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf)"):
        trained(recipe=recipe)


def test_every_epoch_is_reported_once() -> None:
    """The callback sees epochs 0, 1, ... with the accuracy on the training images."""
    seen: list[Epoch] = []
    fit(*stripes(24, 2, 16), 2, TINY, on_epoch=lambda epoch, _fitted: seen.append(epoch))
    assert [epoch.number for epoch in seen] == [0, 1]
    assert all(0.0 <= epoch.train_accuracy <= 1.0 for epoch in seen)


def test_fewer_images_than_a_batch_are_enough() -> None:
    """A handful of images is one step an epoch."""
    fitted = fit(*stripes(3, 2, 16), 2, dataclasses.replace(TINY, batch_size=100))
    assert np.isfinite(fitted.logits(stripes(3, 2, 16)[0])).all()


def test_the_shortest_training_learns() -> None:
    """Fewer steps than the look-ahead's interval count too: each leaves another network."""
    recipes = [dataclasses.replace(TINY, epochs=epochs, batch_size=24) for epochs in (1, 2)]
    assert to_onnx(trained(recipe=recipes[0]), 16) != to_onnx(trained(recipe=recipes[1]), 16)
