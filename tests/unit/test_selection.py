"""Which images to label next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.errors import DatasetError
from scones_ml.evaluation import choose_to_label, grid_means


def both(first: list[float]) -> list[list[float]]:
    return [[p, 1 - p] for p in first]


def test_doubt_comes_before_certainty() -> None:
    """Of images that look equally unlike each other, the most doubtful ones are chosen, most doubtful first."""
    looks = np.eye(5) * 100
    assert choose_to_label(both([0.99, 0.5, 0.9, 0.6, 1.0]), looks, 3).tolist() == [1, 3, 2]


def test_one_of_a_kind_is_enough() -> None:
    """Of nine equally doubtful images of three kinds, the first three chosen are one of each kind."""
    kinds = np.repeat(np.eye(3) * 100, 3, axis=0) + np.tile([[0.0], [1.0], [2.0]], (3, 1))
    chosen = choose_to_label(both([0.5] * 9), kinds, 3)
    assert sorted(chosen // 3) == [0, 1, 2]


def test_a_certain_image_is_not_asked_for_to_be_different() -> None:
    """An image that looks like no other is left alone while the model is sure of it and others are in doubt."""
    looks = np.array([[0.0, 1], [1, 0], [1, 1], [500, 500]])
    assert 3 not in choose_to_label(both([0.55, 0.6, 0.5, 1.0]), looks, 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 40), st.integers(2, 4))
def test_each_image_once(seed: int, images: int, count: int, classes: int) -> None:
    """Whatever the images, as many as asked for and there are come back, none twice, and the same again next time."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(classes), images)
    looks = random.integers(0, 3, (images, 2, 2, 3))
    chosen = choose_to_label(probabilities, looks, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(images, count)
    assert chosen.tolist() == choose_to_label(probabilities, looks, count).tolist()


def test_every_image_needs_its_thumbnail() -> None:
    """Thumbnails that are not one for each image are refused."""
    with pytest.raises(DatasetError, match="2 thumbnails for 3 images"):
        choose_to_label(both([0.5] * 3), np.zeros((2, 4)), 1)


def test_cells_hold_means() -> None:
    """Each cell of a thumbnail is the mean colour of its pixels, also where the side is no multiple of the cells."""
    pixels = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(1, 5, 5, 3)
    grid = grid_means(pixels, 2)
    assert grid.shape == (1, 2, 2, 3)
    np.testing.assert_allclose(grid[0, 0, 0], pixels[0, :2, :2].mean((0, 1)))
    np.testing.assert_allclose(grid[0, 1, 1], pixels[0, 2:, 2:].mean((0, 1)))
    assert np.array_equal(grid_means(pixels, 16), pixels)
