"""Random colours typical of vehicles, people and streets."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

__all__ = ["Colour", "any_colour", "dark", "metal", "mix", "paint", "shade", "skin"]

Colour = tuple[int, int, int]


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), min(1.0, value))
    return int(255 * red), int(255 * green), int(255 * blue)


def any_colour(rng: random.Random) -> Colour:
    """A random colour, neither black nor pale."""
    return _hsv(rng.random(), rng.uniform(0.2, 1.0), rng.uniform(0.25, 1.0))


def dark(rng: random.Random) -> Colour:
    """Rubber, leather or shadowed steel: nearly black, with little colour."""
    return _hsv(rng.random(), rng.uniform(0.0, 0.3), rng.uniform(0.02, 0.26))


def metal(rng: random.Random) -> Colour:
    """Steel, aluminium or chrome: grey, at most slightly blue."""
    return _hsv(0.6, rng.uniform(0.0, 0.08), rng.uniform(0.3, 0.9))


def paint(rng: random.Random) -> Colour:
    """A vehicle's paint: mostly red, blue, yellow, green or orange; else white, black or silver."""
    chance = rng.random()
    if chance < 0.62:
        hue = rng.choice((0.0, 0.0, 0.02, 0.6, 0.62, 0.14, 0.33, 0.07, 0.5, 0.85)) + rng.gauss(0, 0.02)
        return _hsv(hue, rng.uniform(0.55, 1.0), rng.uniform(0.4, 1.0))
    if chance < 0.74:
        return any_colour(rng)
    if chance < 0.88:
        return dark(rng)
    return _hsv(rng.random(), rng.uniform(0.0, 0.1), rng.uniform(0.55, 1.0))


def skin(rng: random.Random) -> Colour:
    """A human skin colour."""
    return _hsv(rng.uniform(0.05, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.95))


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor below 1) towards black, or lighten (above 1) towards white."""
    return mix(colour, (0, 0, 0), 1 - factor) if factor <= 1 else mix(colour, (255, 255, 255), factor - 1)


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """Mix two colours, with a share ``amount``, 0 to 1, of the second."""
    red, green, blue = (int(a + (b - a) * amount) for a, b in zip(first, second, strict=True))
    return red, green, blue
