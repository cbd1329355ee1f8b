"""The image policy: bytes in, normalised image out, the same in staging, training and serving.

1. The format is detected from the first bytes; file name and content type are ignored.
2. The sizes in the headers are checked against limits before decoding: bytes, pixels, decoding memory, scans, chunks,
   metadata.
3. JPEGs are reduced during decoding, other formats in bands: by whole factors, to at least 448 pixels, or twice
   ``image_size``, on the shorter side. The first frame of an animation is used. A stream that ends early is a broken
   image.
4. The result is 8-bit sRGB: alpha is composited on white, palettes are resolved, 16-bit grey is scaled by 1/257, and
   an ICC profile is applied, or ignored if broken; signed, floating-point and 32-bit pixels are rejected.
5. EXIF orientation is applied; other metadata is ignored.
6. The image is reduced again (bicubic, antialiased): the shorter side to ``image_size`` pixels, the longer side in
   proportion, up to four times as many. Staging stores this image.
7. The model's ``fit`` makes it square: the middle (``crop``), the whole on white (``pad``), or the whole out of
   proportion (``stretch``). Smaller images are enlarged in this step only.
8. The pixels are re-encoded as PNG, so no metadata is passed on.

Steps 6 and 7 are idempotent: a file, its staged copy and the payload between two states give the model the same
pixels, byte for byte.

This is policy 2. Models of version 0.1 were trained with policy 1 (``scones_ml.images.first_policy``) and keep it.

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
_COMPRESSION: Final = {1: 6, 2: 1}  # PNG level by policy: 6 is four times slower and 10 % smaller


@dataclass(frozen=True, slots=True)
class NormalisedImage:
    """A normalised image, ready for the model.

    Attributes:
        png: 8-bit RGB as PNG.
        width: in pixels: the policy's ``image_size``; at most that with policy 1.
        height: likewise.
        source_format: format of the source file, such as ``"JPEG"``.
    """

    png: bytes
    width: int
    height: int
    source_format: str


@dataclass(frozen=True, slots=True)
class ReducedImage:
    """An uncropped image, reduced in proportion.

    Attributes:
        png: 8-bit RGB as PNG.
        width: pixels.
        height: likewise.
        source_format: format of the source file, such as ``"JPEG"``.
        stored: width and height in the file, in pixels, before EXIF orientation.
        decoded: upright 8-bit RGB pixels before the reduction; independent of the target size.
    """

    png: bytes
    width: int
    height: int
    source_format: str
    stored: tuple[int, int]
    decoded: Image

    @property
    def decoded_digest(self) -> str:
        """Hexadecimal sha256 of the decoded pixels: equal for identical images, whatever the target size."""
        return hashlib.sha256(repr(self.decoded.size).encode() + self.decoded.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Preview:
    """An image to show to people.

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
    """Convert an image file to the model's square input.

    Args:
        data: file contents: PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, or HEIC with the extra ``heif``.
        policy: limits, size and fit.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    source_format, image = reading.normalised(data, policy)
    return NormalisedImage(_png(image, policy), image.width, image.height, source_format)


def reduce(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> ReducedImage:
    """Reduce a whole image in proportion, as staging stores it.

    Args:
        data: file contents.
        size: target of the shorter side, in pixels.
        policy: limits.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    found, image, decoded = reading.reduced(data, size, policy)
    return ReducedImage(_png(image), image.width, image.height, found.source_format, found.stored, decoded)


def preview(data: bytes, policy: ImagePolicy = _DEFAULT_POLICY) -> Preview:
    """Convert an image for display: upright and in sRGB as for the model, in its own proportions.

    Small images are lossless PNG; larger ones are JPEG, which takes a tenth of the time.

    Args:
        data: file contents.
        policy: limits; the longer side is reduced to ``image_size``.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    image = reading.shown(data, policy)
    if image.width * image.height <= _EXACT_PIXELS:
        return Preview(_png(image), "image/png", image.width, image.height)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return Preview(buffer.getvalue(), "image/jpeg", image.width, image.height)


def normalised_pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Compute ``pixels(normalise(data, policy).png, size, policy)`` without the intermediate PNG, for bulk runs.

    Args:
        data: file contents.
        size: side of the model's square, in pixels.
        policy: limits, size and fit.

    Returns:
        uint8 array of shape (size, size, 3), as :func:`pixels`.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    return _array(reading.renormalised(data, size, policy))


def pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Decode an image to the model's square pixel array.

    Args:
        data: file contents, read with the same policy as :func:`normalise`.
        size: side of the square, in pixels.
        policy: limits and fit; ``image_size`` is ignored.

    Returns:
        uint8 array of shape (size, size, 3): rows, columns, RGB in 0..255.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    return _array(reading.model_square(data, size, policy))


def pixels_in_memory(image: Image, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Convert a Pillow image to the model's square pixel array, as :func:`pixels`.

    For a lossless file (PNG) the result equals that of its bytes; for a large JPEG it may differ by a few levels, since
    :func:`pixels` reduces it during decoding.

    Args:
        image: Pillow image of any mode except ``F`` and ``I``; its EXIF orientation and ICC profile are applied.
        size: side of the square, in pixels.
        policy: limits and fit; ``image_size`` is ignored.

    Returns:
        uint8 array of shape (size, size, 3), as :func:`pixels`.

    Raises:
        InvalidImageError: the pixels cannot be read, or are signed, floating-point or 32-bit.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    from scones_ml.images import reading

    return _array(reading.model_square_of(image, size, policy))


def _png(image: Image, policy: ImagePolicy = _DEFAULT_POLICY) -> bytes:
    image.info = {}  # else the source's profile, texts and transparent colour would be written, too
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION[policy.version])
    return buffer.getvalue()


def _array(image: Image) -> npt.NDArray[np.uint8]:
    try:
        import numpy as np
    except ModuleNotFoundError as exc:
        raise MissingExtraError("numpy", "onnx") from exc
    return np.array(image, dtype=np.uint8)
