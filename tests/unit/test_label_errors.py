"""Probable label errors from probabilities, near duplicates from pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from scones_ml.errors import DatasetError
from scones_ml.evaluation import LabelError, find_label_errors, find_near_duplicates


def test_a_confident_contradiction_is_named() -> None:
    """What is called another class as surely as that class usually is, is a suspect, with that class suggested."""
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.1, 0.9], [0.1, 0.9]]
    (found,) = find_label_errors(probabilities, [0, 0, 0, 1, 1])
    assert found == LabelError(index=2, given=0, suggested=1, confidence=pytest.approx(0.95))


def test_doubt_alone_is_no_error() -> None:
    """A wrong answer below its class's usual confidence says that the image is hard, not that its label is wrong."""
    probabilities = [[0.95, 0.05], [0.45, 0.55], [0.1, 0.9], [0.05, 0.95]]
    assert find_label_errors(probabilities, [0, 0, 1, 1]) == ()


def test_every_class_has_its_own_usual_confidence() -> None:
    """A class that the model is timid about is suggested at a confidence that would not do for a class it knows."""
    timid = [[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.05, 0.9, 0.05], [0.05, 0.9, 0.05]]
    found = find_label_errors([*timid, [0.6, 0.2, 0.2], [0.2, 0.6, 0.2]], [0, 0, 1, 1, 2, 2])
    assert [(error.index, error.suggested) for error in found] == [(4, 0)]


def test_flipped_labels_come_first() -> None:
    """Of 400 images with 20 flipped labels, a model that is right on 97 of 100 names most of them, surest first."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    flipped = random.choice(400, 20, replace=False)
    labels = truth.copy()
    labels[flipped] = 1 - labels[flipped]
    logit = (2 * truth - 1) * 3 + random.normal(0, 1.6, 400)
    motorcycle = 1 / (1 + np.exp(-logit))
    found = find_label_errors(np.stack([1 - motorcycle, motorcycle], 1), labels)
    hits = [error.index in flipped for error in found]
    assert sum(hits) >= 12
    assert np.mean(hits) >= 0.75
    assert [error.confidence for error in found] == sorted((error.confidence for error in found), reverse=True)


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 40))
def test_suspects_are_what_they_say(seed: int, classes: int, rows: int) -> None:
    """Whatever the probabilities, a suspect's label is as given and less probable than the class suggested."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), rows)
    labels = random.integers(0, classes, rows)
    for error in find_label_errors(probabilities, labels):
        assert error.given == labels[error.index] != error.suggested
        assert probabilities[error.index, error.suggested] > probabilities[error.index, error.given]
        assert 0.5 < error.confidence <= 1


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Thirty images of coloured blotches, no two of them alike."""
    blotches = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(b).resize((32, 32), Image.Resampling.BICUBIC)) for b in blotches])


def test_other_images_are_no_duplicates(images: NDArray[np.uint8]) -> None:
    """Among images that have nothing in common no pair is named."""
    assert find_near_duplicates(images) == ()


def _as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (_as_jpeg, False),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.7), False),
        (lambda image: image.resize((20, 20)).resize((32, 32)), False),
        (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), True),
    ],
)
def test_a_changed_copy_is_found(images: NDArray[np.uint8], change: object, mirrored: bool) -> None:
    """A copy that was compressed, darkened, scaled or mirrored is named with its original, and nothing else is."""
    assert callable(change)
    copy = np.asarray(change(Image.fromarray(images[3])).convert("RGB"))
    (pair,) = find_near_duplicates(np.concatenate([images, copy[None]]))
    assert (pair.first, pair.second, pair.mirrored) == (3, 30, mirrored)


def test_blank_images_are_like_none() -> None:
    """Images of one colour have nothing to compare: none of them is a duplicate, and nothing is divided by zero."""
    assert find_near_duplicates(np.full((3, 16, 16, 3), 7, np.uint8)) == ()


def test_images_of_another_shape_are_refused() -> None:
    """The message says which shape was expected."""
    with pytest.raises(DatasetError, match=r"pass \(N, S, S, 3\)"):
        find_near_duplicates(np.zeros((2, 16, 16), np.uint8))
