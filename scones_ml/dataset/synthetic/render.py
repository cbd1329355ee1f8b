"""Rendering of an image: background, shadow, vehicle, then effects of camera and web site."""

from __future__ import annotations

import io
import math
import random
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from scones_ml.dataset.synthetic.background import background, noise
from scones_ml.dataset.synthetic.bicycle import add_bicycle
from scones_ml.dataset.synthetic.motorcycle import add_motorcycle
from scones_ml.dataset.synthetic.rider import add_bystander
from scones_ml.dataset.synthetic.solid import Camera, Drawing, View
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "Kind", "draw_image", "draw_png", "render"]

Kind = Literal["bicycle", "motorcycle"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_VEHICLES: dict[str, Callable[[Drawing, random.Random], None]] = {"bicycle": add_bicycle, "motorcycle": add_motorcycle}
_RESAMPLINGS = (
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_SMALLEST = 8  # pixels; also the minimum of --image-size
_FINE_FROM = 128  # pixels from which curves get more points


def draw_image(kind: str, seed: int, index: int, size: int | tuple[int, int] = 32) -> Image.Image:
    """Draw image number ``index`` of a seed, independent of other images.

    Args:
        kind: one of ``KINDS``.
        seed: random seed.
        index: number of the image within its kind.
        size: side, or width and height, in pixels.
    """
    return render(kind, random.Random(f"{seed}/{kind}/{index}"), size)  # noqa: S311 - images, not secrets


def draw_png(kind: str, seed: int, index: int, size: int | tuple[int, int] = 32) -> bytes:
    """Draw an image as :func:`draw_image`, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    draw_image(kind, seed, index, size).save(buffer, "PNG")
    return buffer.getvalue()


def render(kind: str, rng: random.Random, size: int | tuple[int, int] = 32) -> Image.Image:
    """Draw one random vehicle.

    Args:
        kind: one of ``KINDS``.
        rng: random generator; the same state gives the same image.
        size: side, or width and height, in pixels; 32 takes about 3 ms, 4000 x 3000 one second.

    Returns:
        An RGB image of that size.

    Raises:
        DatasetError: the kind is unknown, or the size is below 8.
    """
    if kind not in _VEHICLES:
        raise DatasetError(f"no synthetic {kind!r}: choose from {', '.join(KINDS)}")
    final = (size, size) if isinstance(size, int) else size
    if min(final) < _SMALLEST:
        raise DatasetError(f"a synthetic image of {final[0]} x {final[1]} is too small: give {_SMALLEST} or more")
    # Thumbnails are drawn four times as large and reduced, so that thin spokes blend to grey.
    factor = 4 if max(final) <= 64 else 3 if max(final) <= 512 else 1
    scene = _scene(kind, rng, (final[0] * factor, final[1] * factor))
    return _photographed(scene, rng, final)


def _scene(kind: str, rng: random.Random, size: tuple[int, int]) -> Image.Image:
    drawing = Drawing(fine=max(size) > 4 * _FINE_FROM)
    if rng.random() < 0.06:
        add_bystander(drawing, rng)
    _VEHICLES[kind](drawing, rng)
    camera = _camera(rng)
    view = View(drawing, camera, size, *_framing(rng))
    scene = background(rng, size)
    if rng.random() < 0.07:  # several parked in a row
        _row(kind, rng, camera, scene)
    if rng.random() < 0.6:
        mask = Image.new("L", (size[0] // 4, size[1] // 4))  # enlarged afterwards: a cheap soft shadow
        view.paint_shadow(ImageDraw.Draw(mask), 0.25, rng.uniform(-0.6, 0.6), rng.randint(40, 150))
        scene.paste((25, 25, 30), mask=mask.resize(size, Image.Resampling.BILINEAR))
    view.paint(ImageDraw.Draw(scene))
    if rng.random() < 0.6:
        light = noise(rng, rng.randint(2, 7), size, rng.uniform(0.1, 0.6))
        scene = ImageChops.overlay(scene, light.convert("RGB"))
    return scene


def _framing(rng: random.Random) -> tuple[float, float, tuple[float, float]]:
    """Random fill, squeeze and shift of a ``View``: mostly the whole vehicle, sometimes small, sometimes a part."""
    squeeze = rng.uniform(1.0, 1.45)  # web sites squeeze wide images into squares
    chance = rng.random()
    if chance < 0.76:
        return rng.uniform(0.88, 1.06), squeeze, (rng.gauss(0, 0.02), rng.gauss(0, 0.02))
    if chance < 0.9:
        return rng.uniform(0.5, 0.9), squeeze, (rng.gauss(0, 0.05), rng.gauss(0, 0.05))
    return rng.uniform(1.1, 1.7), squeeze, (rng.gauss(0, 0.15), rng.gauss(0, 0.1))


def _row(kind: str, rng: random.Random, camera: Camera, scene: Image.Image) -> None:
    for side in (-1, 1):
        other = Drawing(fine=max(scene.size) > 4 * _FINE_FROM)
        _VEHICLES[kind](other, rng)
        shift = (side * rng.uniform(0.2, 0.5), rng.uniform(-0.2, 0.0))
        View(other, camera, scene.size, rng.uniform(0.6, 0.9), 1.2, shift).paint(ImageDraw.Draw(scene))


def _camera(rng: random.Random) -> Camera:
    """Random camera: mostly a side view, often with the front turned towards or away from the viewer."""
    turned = rng.random()
    if turned < 0.4:
        yaw = rng.gauss(0, 0.08)
    elif turned < 0.9:
        yaw = rng.uniform(-0.4, 1.0)
    else:
        yaw = rng.choice((-1, 1, 1)) * rng.uniform(0.9, 1.4)
    return Camera(
        yaw=yaw,
        elevation=max(-0.05, rng.gauss(0.1, 0.12)),
        distance=rng.uniform(1.6, 5.0),
        roll=rng.gauss(0, 0.05) if rng.random() < 0.88 else rng.gauss(0, 0.3),
        mirrored=rng.random() < 0.5,
    )


def _photographed(scene: Image.Image, rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Reduce to size, and apply random effects of lenses, film, scanners and web sites."""
    image = _reduced(scene, rng, size)
    grey = rng.random() < 0.06
    image = Image.blend(image.convert("L").convert("RGB"), image, 0.0 if grey else rng.uniform(0.5, 1.2))
    image = _grained(image.point(_tone(rng)), rng, rng.uniform(0, 4))
    return _bordered(image, rng) if rng.random() < 0.08 else image


def _reduced(scene: Image.Image, rng: random.Random, size: tuple[int, int]) -> Image.Image:
    resampling = rng.choice(_RESAMPLINGS)
    if rng.random() < 0.3 and max(size) <= 64:  # small images are often enlarged from smaller ones
        soft = rng.uniform(0.6, 1.0)
        scene = scene.resize((round(size[0] * soft), round(size[1] * soft)), resampling)
        resampling = Image.Resampling.BICUBIC
    return scene.resize(size, resampling)


def _bordered(image: Image.Image, rng: random.Random) -> Image.Image:
    """Pad with bars, as web sites do to make an image square."""
    width, height = image.size
    share = rng.uniform(0.05, 0.16)
    colour = (255, 255, 255) if rng.random() < 0.85 else (0, 0, 0)
    frame = Image.new("RGB", image.size, colour)
    if rng.random() < 0.75:
        bar = max(1, round(height * share))
        frame.paste(image.resize((width, height - 2 * bar)), (0, bar))
    else:
        bar = max(1, round(width * share))
        frame.paste(image.resize((width - 2 * bar, height)), (bar, 0))
    return frame


def _tone(rng: random.Random) -> list[int]:
    """Random contrast, brightness, gamma and white balance as one table of 3 x 256 values."""
    contrast, offset, gamma = rng.uniform(0.75, 1.35), rng.gauss(0, 12), math.exp(rng.gauss(0, 0.2))
    value = np.linspace(0, 1, 256) ** gamma * 255 - 128
    table = [value * contrast * rng.gauss(1, 0.03) + 128 + offset for _ in range(3)]
    levels: list[int] = np.concatenate(table).clip(0, 255).astype(int).tolist()
    return levels


def _grained(image: Image.Image, rng: random.Random, amount: float) -> Image.Image:
    """Add noise of this amplitude to every pixel."""
    grain = Image.frombytes("RGB", image.size, rng.randbytes(image.width * image.height * 3))
    grain = Image.blend(Image.new("RGB", image.size, (128, 128, 128)), grain, amount / 128)
    return ImageChops.add(image, grain, 1, -128)
