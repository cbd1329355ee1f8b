"""Both image policies, from bytes to the images that :mod:`scones_ml.images` returns; imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.images import first_policy
from scones_ml.images.decoding import Decoded, decode, decoded_in_memory, held
from scones_ml.images.fitting import resized, square, whole
from scones_ml.images.header import DECODED_SIDE
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["model_square", "model_square_of", "normalised", "reduced", "renormalised", "shown"]


def normalised(data: bytes, policy: ImagePolicy) -> tuple[str, Image]:
    """Format of a file, and its normalised image."""
    if policy.version == 1:
        return first_policy.normalised(data, policy)
    found = decode(data, policy, policy.image_size)
    return found.source_format, square(whole(found.image, policy.image_size), policy.image_size, policy.fit)


def model_square(data: bytes, size: int, policy: ImagePolicy) -> Image:
    """The model's square from a file."""
    if policy.version == 1:
        return first_policy.model_square(data, size, policy)
    return square(whole(decode(data, policy, size).image, size), size, policy.fit)


def model_square_of(image: Image, size: int, policy: ImagePolicy) -> Image:
    """The model's square from a Pillow image."""
    with held(image, policy) as header:
        if policy.version == 1:
            return first_policy.model_square_of(image, header, size)
        return square(whole(decoded_in_memory(image, header, size), size), size, policy.fit)


def renormalised(data: bytes, size: int, policy: ImagePolicy) -> Image:
    """The model's square from the result of :func:`normalised`."""
    image = normalised(data, policy)[1]
    if policy.version == 1:
        return first_policy.stretched(image, size)
    return square(whole(image, size), size, policy.fit)


def reduced(data: bytes, size: int, policy: ImagePolicy) -> tuple[Decoded, Image, Image]:
    """Decoded file, the reduced image that staging stores, and decoded pixels independent of the size."""
    found = decode(data, policy, size)
    decoded = found.image if 2 * size <= DECODED_SIDE else decode(data, policy, 1).image
    return found, whole(found.image, size), decoded


def shown(data: bytes, policy: ImagePolicy) -> Image:
    """Image in its own proportions, the longer side reduced to the policy's ``image_size``."""
    image = decode(data, policy, 3 * policy.image_size // 8).image  # enough for the longer side of a photograph
    return resized(image, min(1.0, policy.image_size / max(image.size)))
