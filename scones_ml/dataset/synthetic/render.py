"""One picture from nothing: background, shadow, vehicle, then what a camera and a web site do to it."""

from __future__ import annotations

import io
import math
import random
from typing import TYPE_CHECKING, Literal, get_args

from PIL import Image, ImageChops, ImageDraw

from scones_ml.dataset.synthetic.background import background, noise
from scones_ml.dataset.synthetic.bicycle import add_bicycle
from scones_ml.dataset.synthetic.motorcycle import add_motorcycle
from scones_ml.dataset.synthetic.solid import Camera, Drawing
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "Kind", "draw_picture", "draw_png", "render"]

Kind = Literal["bicycle", "motorcycle"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_VEHICLES: dict[str, Callable[[Drawing, random.Random], None]] = {"bicycle": add_bicycle, "motorcycle": add_motorcycle}
_FINE_FROM = 128  # pixels from which curves get more points


def draw_picture(kind: str, seed: int, index: int, size: int | tuple[int, int] = 32) -> Image.Image:
    """Draw picture number ``index`` of a seed; each is drawn alone, so the order does not matter.

    Args:
        kind: one of ``KINDS``.
        seed: another seed gives other pictures.
        index: which picture of its kind.
        size: side, or width and height, in pixels.
    """
    return render(kind, random.Random(f"{seed}/{kind}/{index}"), size)  # noqa: S311 - pictures, not secrets


def draw_png(kind: str, seed: int, index: int, size: int | tuple[int, int] = 32) -> bytes:
    """``draw_picture`` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    draw_picture(kind, seed, index, size).save(buffer, "PNG")
    return buffer.getvalue()


def render(kind: str, rng: random.Random, size: int | tuple[int, int] = 32) -> Image.Image:
    """Draw one vehicle by chance.

    Args:
        kind: one of ``KINDS``.
        rng: source of all chance: the same state gives the same picture.
        size: side, or width and height, in pixels; 32 takes about 3 ms, 4000 x 3000 some seconds.

    Returns:
        An RGB picture of that size.

    Raises:
        DatasetError: no such kind.
    """
    if kind not in _VEHICLES:
        raise DatasetError(f"no synthetic {kind!r}: there are {', '.join(KINDS)}")
    final = (size, size) if isinstance(size, int) else size
    # Thumbnails are drawn four times as large and reduced, so that spokes turn into the grey veil that they are.
    factor = 4 if max(final) <= 64 else 2 if max(final) <= 1024 else 1
    scene = _scene(kind, rng, (final[0] * factor, final[1] * factor))
    return _photographed(scene, rng, final)


def _scene(kind: str, rng: random.Random, size: tuple[int, int]) -> Image.Image:
    drawing = Drawing(fine=max(size) > 4 * _FINE_FROM)
    _VEHICLES[kind](drawing, rng)
    camera = _camera(rng)
    fill = rng.uniform(0.82, 1.06) if rng.random() < 0.85 else rng.uniform(0.5, 0.85)
    frame = drawing.frame(camera, size, fill, (rng.gauss(0, 0.02), rng.gauss(0, 0.02)))
    scene = background(rng, size)
    if rng.random() < 0.6:
        small = (size[0] // 4, size[1] // 4)  # reduced and enlarged again: a soft shadow for little
        mask = Image.new("L", small)
        drawing.shadow(ImageDraw.Draw(mask), camera, frame.scaled(0.25), rng.uniform(-0.6, 0.6), rng.randint(40, 150))
        scene.paste((25, 25, 30), mask=mask.resize(size, Image.Resampling.BILINEAR))
    drawing.paint(ImageDraw.Draw(scene), camera, frame)
    if rng.random() < 0.5:
        light = noise(rng, rng.randint(2, 5), size, rng.uniform(0.1, 0.5))
        scene = ImageChops.overlay(scene, light.convert("RGB"))
    return scene


def _camera(rng: random.Random) -> Camera:
    """Mostly from the side, often with the front turned somewhat towards or away from the viewer."""
    turned = rng.random()
    yaw = rng.gauss(0, 0.08) if turned < 0.45 else rng.uniform(-0.5, 1.0) if turned < 0.95 else rng.uniform(-1.1, 1.3)
    return Camera(
        yaw=yaw,
        elevation=max(-0.05, rng.gauss(0.1, 0.12)),
        distance=rng.uniform(1.6, 5.0),
        roll=rng.gauss(0, 0.05) if rng.random() < 0.88 else rng.gauss(0, 0.3),
        mirrored=rng.random() < 0.5,
    )


def _photographed(scene: Image.Image, rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Reduce to size, and vary what lenses, film, scanners and web sites vary."""
    filters = (Image.Resampling.BOX, Image.Resampling.HAMMING, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    soft = rng.uniform(0.6, 1.0) if rng.random() < 0.35 else 1.0
    chosen = rng.choice(filters)
    if soft < 1 and max(size) <= 64:  # many small pictures were enlarged from even smaller ones
        scene = scene.resize((round(size[0] * soft), round(size[1] * soft)), chosen)
        chosen = Image.Resampling.BICUBIC
    picture = scene.resize(size, chosen)
    grey = rng.random() < 0.08
    saturation = 0.0 if grey else rng.uniform(0.5, 1.2)
    picture = Image.blend(picture.convert("L").convert("RGB"), picture, saturation)
    picture = picture.point(_tone(rng))
    return _grained(picture, rng, rng.uniform(0, 12))


def _tone(rng: random.Random) -> list[int]:
    """Contrast, brightness, gamma and white balance as one table of 3 x 256 values."""
    contrast, offset, gamma = rng.uniform(0.7, 1.2), rng.gauss(0, 10), math.exp(rng.gauss(0, 0.15))
    table: list[int] = []
    for _ in range(3):
        gain = contrast * rng.gauss(1, 0.03)
        table += [
            max(0, min(255, round(((value / 255) ** gamma * 255 - 128) * gain + 128 + offset))) for value in range(256)
        ]
    return table


def _grained(picture: Image.Image, rng: random.Random, amount: float) -> Image.Image:
    grain = Image.frombytes("RGB", picture.size, rng.randbytes(picture.width * picture.height * 3))
    half = round(amount)
    grain = grain.point([round(value / 255 * 2 * half) for value in range(256)] * 3)
    return ImageChops.add(picture, grain, 1, -half)
