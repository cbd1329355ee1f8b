"""Reduction of upright images in proportion, and the model's square."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.images.header import ASPECT
from scones_ml.settings import Fit

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["resized", "resized_to", "square", "whole"]

_WHITE = (255, 255, 255)


def whole(image: Image, size: int) -> Image:
    """Reduce a whole image: the shorter side to ``size`` pixels, the longer one to at most four times as many.

    Idempotent; nothing is enlarged.
    """
    shorter, longer = sorted(image.size)
    scale = min(1.0, size / shorter, ASPECT * size / longer)
    return resized(image, scale)


def resized(image: Image, scale: float) -> Image:
    """Scale both sides of an image by ``scale``."""
    return resized_to(image, max(1, round(image.width * scale)), max(1, round(image.height * scale)))


def square(image: Image, size: int, fit: Fit) -> Image:
    """Make the model's square of ``size`` pixels a side.

    Args:
        image: result of :func:`whole` for this size; a square of this size is returned unchanged.
        size: side in pixels.
        fit: ``"crop"`` takes the middle, ``"pad"`` adds white margins, ``"stretch"`` ignores proportions.
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
    """Resize an image (bicubic, antialiased); one that has these sides is returned unchanged."""
    from PIL import Image

    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
