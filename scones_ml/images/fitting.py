"""From upright pixels to what is kept and what a model takes: reduced in proportion, then made square."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.images.header import ASPECT
from scones_ml.settings import Fit

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resized", "resized_to", "square", "whole"]

_WHITE = (255, 255, 255)


def whole(image: Image, size: int) -> Image:
    """All of an image, its shorter side reduced to ``size`` pixels and its longer one to four times as many at most.

    Nothing is enlarged, and applied to its own result it changes nothing.
    """
    shorter, longer = sorted(image.size)
    scale = min(1.0, size / shorter, ASPECT * size / longer)
    return resized(image, scale)


def resized(image: Image, scale: float) -> Image:
    """An image in its own proportions, its sides multiplied by ``scale``."""
    return resized_to(image, max(1, round(image.width * scale)), max(1, round(image.height * scale)))


def square(image: Image, size: int, fit: Fit) -> Image:
    """The square of ``size`` pixels a side that a model takes.

    Args:
        image: what :func:`whole` left for this size; a square of this size stays as it is.
        size: pixels.
        fit: ``"crop"`` takes the middle, ``"pad"`` adds white beside it, ``"stretch"`` gives up the proportions.
    """
    from PIL import Image

    if image.size == (size, size):
        return image
    if fit == "stretch":
        return resized_to(image, size, size)
    if fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return resized_to(image.crop((left, top, left + side, top + side)), size, size)
    inside = resized(image, size / max(image.size))
    padded = Image.new("RGB", (size, size), _WHITE)
    padded.paste(inside, ((size - inside.width) // 2, (size - inside.height) // 2))
    return padded


def resized_to(image: Image, width: int, height: int) -> Image:
    """An image of these sides (bicubic, antialiased); the image itself where it has them."""
    from PIL import Image

    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
