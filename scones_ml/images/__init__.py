"""The image policy: bytes in, normalised image out, the same in staging, training and serving.

1. The first bytes decide what a file is; its name and content type do not count.
2. What its structure announces is held to caps before anything is decoded: bytes, pixels, the memory that decoding
   takes, scans, chunks, metadata.
3. JPEGs are reduced while they are decoded, other formats band by band: by whole numbers, to at least 448 pixels, or
   twice ``image_size``, on the shorter side. Of an animation the first frame is taken. A stream that ends early is
   a broken image.
4. The result is 8-bit sRGB: alpha is laid over white, palettes are looked up, 16-bit grey is scaled by 1/257, an ICC
   profile is applied, or dropped where it is broken; signed, floating-point and 32-bit pixels are refused.
5. EXIF orientation is applied, whatever else the metadata holds.
6. Once more it is reduced (bicubic, antialiased): the shorter side to ``image_size`` pixels, the longer one in
   proportion and to at most four times as many. That is what staging keeps.
7. The model's ``fit`` makes a square of it: the middle (``crop``), all of it on white (``pad``), or all of it out of
   proportion (``stretch``). Only here a smaller image is enlarged.
8. The pixels are encoded anew as PNG, so nothing but pixels travels on.

Steps 6 and 7 applied to their own result change nothing, so it does not matter how many of the doors an image passes:
a file, its staged copy and the payload between two states give the model the same pixels, byte for byte.

That is policy 2. Models of version 0.1 were trained by policy 1 (``scones_ml.images.first_policy``) and keep it.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scones_ml.errors import MissingExtraError
from scones_ml.settings import Fit, ImagePolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

__all__ = [
    "Fit",
    "ImagePolicy",
    "NormalisedImage",
    "Preview",
    "ReducedImage",
    "normalise",
    "normalised_pixels",
    "pixels",
    "pixels_in_memory",
    "preview",
    "reduce",
]

_DEFAULT_POLICY: Final = ImagePolicy()
_EXACT_PIXELS: Final = 512 * 512
_COMPRESSION: Final = {1: 6, 2: 1}  # of PNG, by policy: 6 takes four times as long for a tenth less


@dataclass(frozen=True, slots=True)
class NormalisedImage:
    """A normalised image.

    Attributes:
        png: 8-bit RGB as PNG.
        width: pixels: the policy's ``image_size``; at most that by policy 1.
        height: likewise.
        source_format: what the bytes were, ``"JPEG"``.
    """

    png: bytes
    width: int
    height: int
    source_format: str


@dataclass(frozen=True, slots=True)
class ReducedImage:
    """A whole image, reduced in proportion.

    Attributes:
        png: 8-bit RGB as PNG.
        width: pixels.
        height: likewise.
        source_format: what the bytes were, ``"JPEG"``.
        stored: width and height of the file, in pixels, before it is turned.
        decoded: upright pixels before the reduction, 8-bit RGB; the same whatever it is reduced to.
    """

    png: bytes
    width: int
    height: int
    source_format: str
    stored: tuple[int, int]
    decoded: Image

    @property
    def decoded_digest(self) -> str:
        """Hexadecimal sha256 of the decoded pixels, equal for images that show exactly the same, at any size."""
        return hashlib.sha256(repr(self.decoded.size).encode() + self.decoded.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Preview:
    """An image for people's eyes.

    Attributes:
        data: the file's bytes.
        media_type: ``"image/png"`` or ``"image/jpeg"``.
        width: pixels, at most the policy's ``image_size``.
        height: likewise.
    """

    data: bytes
    media_type: str
    width: int
    height: int


def normalise(data: bytes, policy: ImagePolicy = _DEFAULT_POLICY) -> NormalisedImage:
    """Turn an uploaded file into the square that the model will see.

    Args:
        data: the object's bytes, of any of PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, and HEIC with the extra ``heif``.
        policy: caps, size and fit.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    source_format, image = reading.normalised(data, policy)
    return NormalisedImage(_png(image, policy), image.width, image.height, source_format)


def reduce(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> ReducedImage:
    """Reduce an image as staging keeps it: all of it, in its proportions.

    Args:
        data: the file's bytes.
        size: what the shorter side is reduced to, in pixels.
        policy: caps.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    found, image, decoded = reading.reduced(data, size, policy)
    return ReducedImage(_png(image), image.width, image.height, found.source_format, found.stored, decoded)


def preview(data: bytes, policy: ImagePolicy = _DEFAULT_POLICY) -> Preview:
    """An image for people: turned and converted as for the model, but in its own proportions.

    Small ones are exact, as PNG; of larger ones JPEG is a tenth of the work.

    Args:
        data: the object's bytes.
        policy: caps; the longer side is reduced to ``image_size``.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    image = reading.shown(data, policy)
    if image.width * image.height <= _EXACT_PIXELS:
        return Preview(_png(image), "image/png", image.width, image.height)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return Preview(buffer.getvalue(), "image/jpeg", image.width, image.height)


def normalised_pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Exactly ``pixels(normalise(data, policy).png, size, policy)``, without the PNG in between: for bulk work.

    Args:
        data: the object's bytes.
        size: side of the model's square in pixels.
        policy: caps, size and fit.

    Returns:
        uint8 array of shape (size, size, 3), as :func:`pixels`.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    return _array(reading.renormalised(data, size, policy))


def pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Decode an image and make the model's square of it.

    Args:
        data: the file's bytes, under the same policy as :func:`normalise`.
        size: side of the square in pixels.
        policy: caps and fit; its ``image_size`` is not used.

    Returns:
        uint8 array of shape (size, size, 3): rows, columns, RGB in 0..255.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    return _array(reading.model_square(data, size, policy))


def pixels_in_memory(image: Image, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """As :func:`pixels`, of an image that is decoded already.

    Of a file without loss (PNG) the result is the same as of its bytes; of a large JPEG it may differ by a few
    levels, since :func:`pixels` reduces it while it is decoded.

    Args:
        image: a Pillow image of any mode but ``F`` and ``I``; its EXIF orientation and ICC profile are applied.
        size: side of the square in pixels.
        policy: caps and fit; its ``image_size`` is not used.

    Returns:
        uint8 array of shape (size, size, 3), as :func:`pixels`.

    Raises:
        InvalidImageError: its pixels cannot be read, or are signed, floating-point or of 32 bits.
        ImageTooLargeError: beyond the policy's caps.
    """
    from scones_ml.images import reading

    return _array(reading.model_square_of(image, size, policy))


def _png(image: Image, policy: ImagePolicy = _DEFAULT_POLICY) -> bytes:
    image.info = {}  # a profile, a text or a transparent colour of the source would be written along
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION[policy.version])
    return buffer.getvalue()


def _array(image: Image) -> npt.NDArray[np.uint8]:
    try:
        import numpy as np
    except ModuleNotFoundError as exc:
        raise MissingExtraError("numpy", "onnx") from exc
    return np.array(image, dtype=np.uint8)
