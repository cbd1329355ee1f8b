"""The image that most kinds show, with the functions to draw and store it."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from scones_ml.testing.kinds import Corners

__all__ = [
    "BLACK_WHITE",
    "COLOURS",
    "GREYS",
    "LOSSY",
    "SIZE",
    "WHITE",
    "Array",
    "Colour",
    "encoded",
    "photo",
    "quadrants",
    "shown_grey",
]

Array = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

SIZE = (48, 32)
"""Width and height of the image that most kinds show, in pixels."""
WHITE: Colour = (255, 255, 255)
COLOURS: Corners = ((220, 40, 40), (40, 180, 60), (40, 60, 200), (240, 220, 60))
"""Colours of the four quadrants: top left, top right, bottom left, bottom right."""
GREYS = (34, 102, 187, 238)
"""Grey levels of the four quadrants, representable in 4 bits."""
BLACK_WHITE = (0, 255, 255, 0)
LOSSY = 14
"""Maximum deviation of a colour after lossy compression, in levels of 255."""


def shown_grey(levels: tuple[int, int, int, int]) -> Corners:
    """Four grey levels as colours."""
    first, second, third, fourth = ((level, level, level) for level in levels)
    return first, second, third, fourth


def quadrants(values: npt.ArrayLike, size: tuple[int, int] = SIZE) -> Array:
    """Four values (4,) or colours (4, C), each filling a quadrant: uint8 (height, width) or (height, width, C)."""
    four = np.asarray(values, np.uint8)
    width, height = size
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    return np.ascontiguousarray(four[rows[:, None] * 2 + columns[None, :]])


def photo(width: int, height: int, channels: int = 3) -> Array:
    """A texture that compresses about as badly as a photograph: uint8 (height, width, channels)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:512, 0:512] / 512
    waves = 128 + 90 * np.sin(7 * x + 3 * y)[..., None] * np.cos(np.arange(channels) + 5 * y[..., None])
    tile = np.clip(waves + rng.normal(0, 5, (512, 512, channels)), 0, 255).astype(np.uint8)
    return np.tile(tile, (-(-height // 512), -(-width // 512), 1))[:height, :width]


def encoded(pixels: Array | Image.Image, file_format: str, **options: object) -> bytes:
    """A file as Pillow writes it; of an array (H, W), (H, W, 3) or (H, W, 4)."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()
