"""The two policies, from bytes to the images that :mod:`scones_ml.images` hands out; imported when an image is read."""

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
    """The format of a file, and the image that travels between two states."""
    if policy.version == 1:
        return first_policy.normalised(data, policy)
    found = decode(data, policy, policy.image_size)
    return found.source_format, square(whole(found.image, policy.image_size), policy.image_size, policy.fit)


def model_square(data: bytes, size: int, policy: ImagePolicy) -> Image:
    """The model's square of a file."""
    if policy.version == 1:
        return first_policy.model_square(data, size, policy)
    return square(whole(decode(data, policy, size).image, size), size, policy.fit)


def model_square_of(image: Image, size: int, policy: ImagePolicy) -> Image:
    """The model's square of an image that Pillow holds."""
    with held(image, policy) as header:
        if policy.version == 1:
            return first_policy.model_square_of(image, header, size)
        return square(whole(decoded_in_memory(image, header, size), size), size, policy.fit)


def renormalised(data: bytes, size: int, policy: ImagePolicy) -> Image:
    """The model's square of what :func:`normalised` makes of a file."""
    image = normalised(data, policy)[1]
    if policy.version == 1:
        return first_policy.stretched(image, size)
    return square(whole(image, size), size, policy.fit)


def reduced(data: bytes, size: int, policy: ImagePolicy) -> tuple[Decoded, Image, Image]:
    """A file, what staging keeps of it, and its decoded pixels, which do not depend on the size."""
    found = decode(data, policy, size)
    decoded = found.image if 2 * size <= DECODED_SIDE else decode(data, policy, 1).image
    return found, whole(found.image, size), decoded


def shown(data: bytes, policy: ImagePolicy) -> Image:
    """A file in its own proportions, the longer side reduced to the policy's ``image_size``."""
    image = decode(data, policy, 3 * policy.image_size // 8).image  # the longer side of a photograph stays large enough
    return resized(image, min(1.0, policy.image_size / max(image.size)))
