"""The renderer: seeded, of any size, fast, and not betraying the class by anything but the vehicle."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.dataset.synthetic import KINDS, draw_image, draw_png, render
from scones_ml.dataset.synthetic.background import noise
from scones_ml.dataset.synthetic.solid import Camera
from scones_ml.errors import DatasetError


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(KINDS), st.integers(), st.integers(0, 10**9))
def test_a_image_depends_on_seed_kind_and_index_alone(kind: str, seed: int, index: int) -> None:
    """The same image comes out however many were drawn before."""
    first = draw_png(kind, seed, index)
    draw_png("bicycle", 0, 0)
    assert draw_png(kind, seed, index) == first


def test_images_differ() -> None:
    """Another index, seed or kind is another image."""
    drawn = [draw_png(kind, seed, index) for kind in KINDS for seed in range(5) for index in range(20)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("size", [8, 32, 100, 256, (48, 20)])
def test_sizes(size: int | tuple[int, int]) -> None:
    """An image is RGB and as large as asked for."""
    image = render("bicycle", random.Random(1), size)
    assert image.mode == "RGB"
    assert image.size == ((size, size) if isinstance(size, int) else size)


def test_a_photograph_of_twelve_megapixels() -> None:
    """One renderer draws thumbnails and images as large as a camera's."""
    image = draw_image("motorcycle", 0, 0, (4000, 3000))
    assert image.size == (4000, 3000)
    assert np.asarray(image.resize((40, 30))).std() > 10


def test_what_cannot_be_drawn() -> None:
    """An unknown kind and a size in which nothing can be seen are refused in one line."""
    with pytest.raises(DatasetError, match="no synthetic 'car': choose from bicycle, motorcycle"):
        render("car", random.Random(0))
    with pytest.raises(DatasetError, match="4 x 4 is too small"):
        render("bicycle", random.Random(0), 4)


def test_speed() -> None:
    """An image of 32x32 takes at most 4 ms of one processor; the best of five rounds, since others use it too."""
    rounds = []
    for number in range(5):
        start = time.process_time()
        for index in range(20):
            draw_image(KINDS[index % 2], number, index)
        rounds.append((time.process_time() - start) / 20)
    assert min(rounds) < 0.004


def test_light_does_not_tell_the_kinds_apart() -> None:
    """Corners, where there is background, are equally bright and colourful for both kinds."""
    corners = [
        np.stack([np.asarray(draw_image(kind, 7, i))[:4, :4].mean((0, 1)) for i in range(300)]) for kind in KINDS
    ]
    brightness = [corner.mean(1) for corner in corners]
    colour = [corner.max(1) - corner.min(1) for corner in corners]
    for one, other in (brightness, colour):
        standard_error = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert abs(one.mean() - other.mean()) < 4 * standard_error


def test_motorcycles_are_massive() -> None:
    """Between the wheels a motorcycle differs from its background far more than a bicycle does."""
    images = [np.stack([np.asarray(draw_image(kind, 3, i), float) for i in range(200)]) for kind in KINDS]
    inner, rim = (slice(None), slice(12, 22), slice(11, 21)), (slice(None), slice(0, 4))
    away = [np.abs(p[inner].mean((1, 2)) - p[rim].mean((1, 2))).mean() for p in images]
    assert away[1] > 1.3 * away[0]


@given(st.floats(-1.5, 1.5), st.floats(2, 9))
def test_the_camera_sees_the_near_side_larger(yaw: float, distance: float) -> None:
    """Of two upright rods of one height the nearer one is seen longer."""
    rods = np.array([(0.0, 0.0, -0.3), (0.0, 1.0, -0.3), (0.0, 0.0, 0.3), (0.0, 1.0, 0.3)])
    seen = Camera(yaw=yaw, distance=distance).project(rods)
    near, far = seen[0, 1] - seen[1, 1], seen[2, 1] - seen[3, 1]
    assert near > far > 0


def test_the_side_view_keeps_shape() -> None:
    """Seen from the side and from far away, lengths stay what they are, and up is up."""
    points = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    origin, front, top = Camera(distance=1e9).project(points)
    assert front - origin == pytest.approx([1, 0])
    assert top - origin == pytest.approx([0, -1])
    mirrored = Camera(distance=1e9, mirrored=True).project(points)
    assert mirrored[1] - mirrored[0] == pytest.approx([-1, 0])


@given(st.integers(2, 12), st.floats(0, 1))
def test_noise_stays_within_its_contrast(cells: int, contrast: float) -> None:
    """A field of noise lies around 128 within its contrast, but for the overshoot of bicubic resampling."""
    values = np.asarray(noise(random.Random(0), cells, (40, 30), contrast), float)
    assert values.shape == (30, 40)
    assert np.abs(values - 128).max() <= 128 * contrast * 1.6 + 1
