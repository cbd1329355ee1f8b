"""Policy 1, by which version 0.1 read images: models that were trained so keep it, in every door.

It differs from policy 2 in three things: each side is reduced by itself, so that proportions are lost; an image is
reduced first to the policy's size and then to the model's; ICC profiles are not applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.images.colour import over_white
from scones_ml.images.completeness import check_complete
from scones_ml.images.decoding import opened
from scones_ml.images.fitting import resized_to
from scones_ml.images.orientation import upright
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from PIL.Image import Image

    from scones_ml.images.header import Header

__all__ = ["decoded", "normalised", "stretched"]


def normalised(data: bytes, policy: ImagePolicy) -> tuple[str, Image]:
    """The format, and the image with each side at most the policy's ``image_size``; errors as ``images.normalise``."""
    source_format, image = decoded(data, policy, policy.image_size)
    sides = min(image.width, policy.image_size), min(image.height, policy.image_size)
    return source_format, resized_to(image, *sides)


def stretched(image: Image, size: int) -> Image:
    """The model's square."""
    return resized_to(image, size, size)


def decoded(data: bytes, policy: ImagePolicy, size: int) -> tuple[str, Image]:
    """The format, and upright RGB pixels; JPEGs are decoded at a scale not below ``size``."""
    with opened(data, policy, size) as (source_format, header, image):
        image.draft(None, (2 * size, 2 * size))
        image.load()
        check_complete(data, image)
        return source_format, _rgb(upright(image, image), header)


def _rgb(image: Image, header: Header) -> Image:
    if not header.ranged or image.mode == "F":
        raise ValueError("signed, floating-point or 32-bit pixels have no stated range: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    return over_white(image, header) if image.has_transparency_data else image.convert("RGB")
