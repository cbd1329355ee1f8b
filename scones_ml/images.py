"""The image policy: bytes in, normalised image out, the same in training and in serving.

1. The first bytes decide what a file is; its name and content type do not count.
2. Caps on bytes and pixels hold before anything is decoded.
3. EXIF orientation is applied. Of an animation the first frame is taken.
4. The result is 8-bit RGB: alpha is laid over white, palettes are looked up, 16-bit grey is scaled by 1/257,
   CMYK and the rest are converted by Pillow; floating-point pixels have no stated range and are refused.
5. Each side is reduced to at most ``image_size`` pixels (bicubic, antialiased); nothing is enlarged or cut off.
6. The pixels are encoded anew as PNG, so metadata and appended bytes never travel on.

``normalise`` applied to its own result changes nothing.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scones_ml.errors import ImageTooLargeError, InvalidImageError, MissingExtraError
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

__all__ = [
    "ImagePolicy",
    "NormalisedImage",
    "Preview",
    "image_format",
    "normalise",
    "normalised_pixels",
    "pixels",
    "preview",
]

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_DEFAULT_POLICY = ImagePolicy()
_EXACT_PIXELS = 512 * 512
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, slots=True)
class NormalisedImage:
    """A normalised image.

    Attributes:
        png: 8-bit RGB as PNG.
        width: pixels, at most the policy's ``image_size``.
        height: likewise.
        source_format: what the bytes were, ``"JPEG"``.
    """

    png: bytes
    width: int
    height: int
    source_format: str


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


def image_format(data: bytes) -> str | None:
    """Name the format by its first bytes (``"PNG"``, ``"JPEG"``, ``"WEBP"``, ...); None when it is not an image."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def normalise(data: bytes, policy: ImagePolicy = _DEFAULT_POLICY) -> NormalisedImage:
    """Turn an uploaded file into the image that the model will see.

    Args:
        data: the object's bytes, of any of PNG, JPEG, WebP, GIF, BMP, TIFF.
        policy: caps and size.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    source_format, image = _normalised(data, policy)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return NormalisedImage(buffer.getvalue(), image.width, image.height, source_format)


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
    image = _decode(data, policy, policy.image_size)[1]
    scale = min(1.0, policy.image_size / max(image.size))
    image = _resize(image, max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    buffer = io.BytesIO()
    if image.width * image.height <= _EXACT_PIXELS:
        image.save(buffer, "PNG")
        return Preview(buffer.getvalue(), "image/png", image.width, image.height)
    image.save(buffer, "JPEG", quality=92)
    return Preview(buffer.getvalue(), "image/jpeg", image.width, image.height)


def normalised_pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Exactly ``pixels(normalise(data, policy).png, size)``, without the PNG in between: for bulk work.

    Args:
        data: the object's bytes.
        size: side of the model's square in pixels.
        policy: caps and size.

    Returns:
        uint8 array of shape (size, size, 3), as :func:`pixels`.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    return _array(_normalised(data, policy)[1], size)


def pixels(data: bytes, size: int, policy: ImagePolicy = _DEFAULT_POLICY) -> npt.NDArray[np.uint8]:
    """Decode an image and stretch it to the model's square.

    Args:
        data: the file's bytes, under the same policy as :func:`normalise`.
        size: side of the square in pixels.
        policy: caps; its ``image_size`` is not used.

    Returns:
        uint8 array of shape (size, size, 3): rows, columns, RGB in 0..255.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    return _array(_decode(data, policy, size)[1], size)


def _array(image: Image, size: int) -> npt.NDArray[np.uint8]:
    try:
        import numpy as np
    except ModuleNotFoundError as exc:
        raise MissingExtraError("numpy", "onnx") from exc
    return np.array(_resize(image, size, size), dtype=np.uint8)


def _normalised(data: bytes, policy: ImagePolicy) -> tuple[str, Image]:
    source_format, image = _decode(data, policy, policy.image_size)
    return source_format, _resize(image, min(image.width, policy.image_size), min(image.height, policy.image_size))


def _decode(data: bytes, policy: ImagePolicy, size: int) -> tuple[str, Image]:
    """Open within the caps, decode, turn, and convert to RGB; JPEGs are decoded at a scale not below ``size``."""
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as exc:
        raise MissingExtraError("Pillow", "onnx") from exc
    if len(data) > policy.max_bytes:
        raise ImageTooLargeError(f"more than the {policy.max_bytes:,} bytes allowed")
    source_format = image_format(data)
    if source_format is None:
        start = f"it starts with {data[:8]!r}" if data else "it is empty"
        raise InvalidImageError(f"not an image: {start}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; the caps below decide
            with Image.open(io.BytesIO(data), formats=[source_format]) as image:
                _check(image, policy)
                image.draft(None, (2 * size, 2 * size))
                return source_format, _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as exc:
        raise ImageTooLargeError(f"more pixels than the {policy.max_pixels:,} allowed") from exc
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error) as exc:
        raise InvalidImageError(f"broken {source_format}: {str(exc) or type(exc).__name__}") from exc


def _check(image: Image, policy: ImagePolicy) -> None:
    width, height = image.size
    if width * height > policy.max_pixels:
        raise ImageTooLargeError(f"{width} x {height} pixels are more than the {policy.max_pixels:,} allowed")


def _to_rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels have no stated range")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")
    return image.convert("RGB")


def _resize(image: Image, width: int, height: int) -> Image:
    from PIL import Image

    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
