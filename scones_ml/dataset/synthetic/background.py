"""Backgrounds: a white page, a studio, a street, a garden, or a wall with objects in front.

Both kinds of vehicle have the same distribution of backgrounds, so that a background does not predict the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw

from scones_ml.dataset.synthetic.palette import Colour, any_colour, dark, metal, mix, shade

if TYPE_CHECKING:
    import random

__all__ = ["background", "noise"]

Size = tuple[int, int]
_FAR: tuple[Colour, ...] = (
    (150, 190, 230),
    (225, 230, 235),
    (70, 100, 50),
    (110, 90, 75),
    (60, 70, 60),
    (150, 110, 90),
    (190, 180, 170),
    (90, 90, 95),
)  # sky, haze, trees, wood, hedge, brick, plaster, concrete
_GROUND: tuple[Colour, ...] = (
    (120, 118, 115),
    (160, 155, 145),
    (80, 110, 50),
    (140, 120, 90),
    (60, 60, 62),
    (195, 190, 185),
    (110, 130, 60),
)  # asphalt, gravel, grass, earth, wet road, paving, meadow


def noise(rng: random.Random, cells: int, size: Size, contrast: float, *, mode: str = "L") -> Image.Image:
    """A smooth random field around 128.

    Args:
        rng: random generator.
        cells: number of random values across; few give soft light, many give texture.
        size: size of the image, in pixels.
        contrast: 0 (none) to 1.
        mode: ``L`` for grey, ``RGB`` for coloured noise.
    """
    channels = len(mode)
    field = Image.frombytes(mode, (cells, cells), rng.randbytes(cells * cells * channels))
    even = Image.new(mode, field.size, (128,) * channels)
    return Image.blend(even, field, contrast).resize(size, Image.Resampling.BICUBIC)


def background(rng: random.Random, size: Size) -> Image.Image:
    """A random RGB background of this size in pixels."""
    chance = rng.random()
    if chance < 0.27:
        return _studio(rng, size)
    if chance < 0.35:
        return _gradient(size, any_colour(rng), rng.uniform(0.6, 1.2))
    return _outdoors(rng, size)


def _gradient(size: Size, colour: Colour, factor: float) -> Image.Image:
    other = shade(colour, factor)
    band = Image.new("RGB", (1, 2))
    band.putpixel((0, 0), colour)
    band.putpixel((0, 1), other)
    return band.resize(size, Image.Resampling.BILINEAR)


def _studio(rng: random.Random, size: Size) -> Image.Image:
    """A catalogue page: mostly white, else a shade of grey with a floor."""
    if rng.random() < 0.5:
        return Image.new("RGB", size, (255, 255, 255))
    grey = rng.choice((250, 240, 225, 200, 170, 130, 90, 50))
    tint = (grey, min(255, grey + rng.randint(-5, 5)), min(255, grey + rng.randint(-8, 8)))
    page = _gradient(size, tint, rng.uniform(0.75, 1.1))
    if rng.random() < 0.4:
        horizon = round(size[1] * rng.uniform(0.55, 0.85))
        page.paste(shade(tint, rng.uniform(0.7, 1.2)), (0, horizon, size[0], size[1]))
    return page


def _outdoors(rng: random.Random, size: Size) -> Image.Image:
    """Textured distance above a horizon, textured ground below, and objects in front."""
    width, height = size
    horizon = round(height * rng.uniform(0.3, 0.85))
    far, ground = _vary(rng, rng.choice(_FAR)), _vary(rng, rng.choice(_GROUND))
    scene = Image.new("RGB", size, far)
    scene.paste(_gradient((width, height - horizon), ground, rng.uniform(0.75, 1.15)), (0, horizon))
    draw = ImageDraw.Draw(scene)
    clutter = rng.random()
    if clutter < 0.4:
        _things(rng, draw, size, horizon, far)
    elif clutter < 0.55:
        _planks(rng, draw, size, horizon, far)
    elif clutter < 0.65:
        _trees(rng, draw, size, horizon)
    if rng.random() < 0.3:
        y = rng.uniform(horizon, height)
        draw.line(
            [(0, y), (width, y + rng.gauss(0, 0.1) * height)],
            fill=shade(ground, rng.choice((0.6, 1.5))),
            width=1 + height // 50,
        )
    tint = noise(rng, rng.randint(4, 9), size, rng.choice((0.0, 0.05, 0.1, 0.15, 0.25)), mode="RGB")
    light = noise(rng, rng.randint(3, 10), size, rng.uniform(0.1, 0.6))
    cells, contrast = rng.randint(10, 40), rng.choice((0.2, 0.4, 0.6, 0.9))
    grain = Image.blend(noise(rng, cells, size, contrast), noise(rng, 2 * cells + 1, size, contrast), 0.45)
    texture = ImageChops.overlay(light, grain).convert("RGB")
    return ImageChops.overlay(ImageChops.overlay(scene, tint), texture)


def _vary(rng: random.Random, colour: Colour) -> Colour:
    shift = rng.gauss(0, 20)
    red, green, blue = (max(0, min(255, round(value + shift + rng.gauss(0, 10)))) for value in colour)
    return red, green, blue


def _things(rng: random.Random, draw: ImageDraw.ImageDraw, size: Size, horizon: int, far: Colour) -> None:
    """Doors, windows, posts, parked cars: upright boxes that end about where the ground begins."""
    width, height = size
    for _ in range(rng.randint(1, 6)):
        left, top = rng.uniform(-0.15, 1) * width, rng.uniform(-0.15, 1) * horizon
        right = left + rng.choice((0.03, 0.06, 0.15, 0.25, 0.4)) * width
        bottom = min(top + rng.uniform(0.1, 0.6) * height, horizon + 0.04 * height)
        if bottom > top:
            draw.rectangle([left, top, right, bottom], fill=mix(any_colour(rng), far, rng.uniform(0.2, 0.8)))


def _planks(rng: random.Random, draw: ImageDraw.ImageDraw, size: Size, horizon: int, far: Colour) -> None:
    """A fence, a garage door, courses of brick: parallel lines, upright or level."""
    width = size[0]
    colour = shade(far, rng.choice((0.55, 0.75, 1.35)))
    step = rng.uniform(0.04, 0.14) * width
    thick = max(1, round(step * rng.uniform(0.08, 0.4)))
    upright = rng.random() < 0.6
    for i in range(int((width if upright else horizon) / step) + 1):
        ends = [(i * step, 0), (i * step, horizon)] if upright else [(0, i * step), (width, i * step)]
        draw.line(ends, fill=colour, width=thick)


def _trees(rng: random.Random, draw: ImageDraw.ImageDraw, size: Size, horizon: int) -> None:
    """Bushes and crowns of trees, some with a trunk or a pole before them."""
    width, height = size
    for _ in range(rng.randint(4, 9)):
        x, y, radius = rng.random() * width, rng.uniform(0.2, 1) * horizon, rng.uniform(0.06, 0.2) * height
        green = _vary(rng, (60, 95, 45))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius * 0.8], fill=green)
    if rng.random() < 0.5:
        x = rng.random() * width
        draw.line([(x, 0), (x, horizon)], fill=rng.choice((dark(rng), metal(rng))), width=max(1, width // 40))
