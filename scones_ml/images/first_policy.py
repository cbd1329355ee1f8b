"""Image policy 1, of version 0.1, kept for models trained with it.

It differs from policy 2 in three ways: each side is reduced separately, so proportions are lost; an image is reduced
to the policy's size first and then to the model's; ICC profiles are not applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scones_ml.images.colour import over_white
from scones_ml.images.completeness import check_complete
from scones_ml.images.decoding import in_bands, opened, scaled
from scones_ml.images.fitting import resized_to
from scones_ml.images.orientation import upright
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from PIL.Image import Image

    from scones_ml.images.header import Header

__all__ = ["model_square", "model_square_of", "normalised", "stretched"]

_GAP = 3.0  # Pillow's reducing_gap: first by whole factors, then smoothly
Sides = Callable[[int, int], tuple[int, int]]


def normalised(data: bytes, policy: ImagePolicy) -> tuple[str, Image]:
    """Format, and the image with each side at most the policy's ``image_size``; errors as ``images.normalise``."""
    size = policy.image_size
    return _read(data, policy, size, lambda width, height: (min(width, size), min(height, size)))


def model_square(data: bytes, size: int, policy: ImagePolicy) -> Image:
    """The model's square from a file."""
    return _read(data, policy, size, lambda _width, _height: (size, size))[1]


def model_square_of(image: Image, header: Header, size: int) -> Image:
    """The model's square from a Pillow image."""
    return _resized(upright(image, image), header, size, size)


def stretched(image: Image, size: int) -> Image:
    """The model's square from a normalised image."""
    return resized_to(image, size, size)


def _read(data: bytes, policy: ImagePolicy, size: int, sides: Sides) -> tuple[str, Image]:
    with opened(data, policy, size) as (source_format, header, image):
        if header.scaled:
            whole = upright(scaled(data, image, header, size), image)
        else:
            image.draft(None, (2 * size, 2 * size))
            image.load()
            check_complete(data, image)
            whole = upright(image, image)
        return source_format, _resized(whole, header, *sides(*whole.size))


def _resized(image: Image, header: Header, width: int, height: int) -> Image:
    """Equivalent of Pillow's resize of the whole RGB image, in bands to save memory."""
    across = max(1, int(image.width / width / _GAP))
    down = max(1, int(image.height / height / _GAP))
    if (across, down) == (1, 1):
        return resized_to(in_bands(image, (1, 1), lambda band: _rgb(band, header)), width, height)
    from PIL import Image

    reduced = in_bands(image, (across, down), lambda band: _rgb(band, header))
    box = (0.0, 0.0, image.width / across, image.height / down)
    return reduced.resize((width, height), Image.Resampling.BICUBIC, box)


def _rgb(image: Image, header: Header) -> Image:
    if not header.ranged or image.mode == "F":
        raise ValueError("signed, floating-point and 32-bit pixels have no defined range: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    return over_white(image, header) if image.has_transparency_data else image.convert("RGB")
