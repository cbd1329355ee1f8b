"""From a file's bytes to upright pixels within bounds of memory and time; the only place that opens an image.

Every file that is let in takes at most 200 MB and 2 seconds of one processor beyond the interpreter
(``benchmarks/image_bounds.py``): its structure is read first, JPEGs are reduced while they are decoded, and of other
formats a band at a time is converted and reduced. As many images are decoded at a time as there are processors.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scones_ml.errors import ImageError, ImageTooLargeError, InvalidImageError, MissingExtraError
from scones_ml.images.colour import to_eight_bits, to_srgb
from scones_ml.images.completeness import check_complete
from scones_ml.images.header import MEMORY, Header, draft_scale, reduction
from scones_ml.images.headers import read_header, without_ancillary
from scones_ml.images.orientation import upright
from scones_ml.images.signatures import require_format
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Decoded", "decode", "decoded_in_memory", "held", "in_bands", "opened", "scaled", "stored_size"]

_SIDE: Final = 65_535  # pixels, as in JPEG
_BAND: Final = 1_000_000  # pixels; images up to four times as large are converted at once
# Measured bytes a pixel: planes, RGB, Pillow's copy and its image.
_AVIF: Final = 14.0
_HEIF: Final = 12.0
_HEIF_OF_PHONES: Final = 7.5  # 8 bits, 4:2:0, no transparency: a 24-megapixel iPhone photo
_decoding: Final = threading.BoundedSemaphore(os.cpu_count() or 1)
_loading: Final = threading.Lock()  # several threads may hold one Pillow image, which reads its file once


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image.

    Attributes:
        source_format: format of the source file, such as ``"JPEG"``.
        image: upright, 8-bit sRGB; its sides are the file's divided by a whole number.
        stored: width and height in the file, in pixels, before EXIF orientation.
    """

    source_format: str
    image: Image
    stored: tuple[int, int]


def decode(data: bytes, policy: ImagePolicy, size: int) -> Decoded:
    """Decode an image to at least twice ``size`` a side, if it has as many pixels.

    The result is the same for every ``size`` up to 224.

    Args:
        data: file contents.
        policy: limits.
        size: side that it will be reduced to, in pixels.

    Raises:
        InvalidImageError: not an image, a broken one, or one whose samples have no defined range.
        ImageTooLargeError: the image exceeds the limits.
    """
    with opened(data, policy, size) as (source_format, header, image):
        if source_format == "JPEG":
            scale = draft_scale(*image.size, size)
            image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
        reduced = scaled(data, image, header, size) if header.scaled else _loaded(data, image, header, size)
        shown = upright(to_srgb(reduced, image.info.get("icc_profile")), image)
        return Decoded(source_format, shown, (header.width, header.height))


@contextmanager
def opened(data: bytes, policy: ImagePolicy, size: int) -> Iterator[tuple[str, Header, Image]]:
    """Open an image within the limits without decoding it, and translate the decoder's errors.

    Args:
        data: file contents.
        policy: limits.
        size: minimum side that a JPEG will be decoded to, in pixels.

    Raises:
        InvalidImageError: the data is not an image, or the image is broken.
        ImageTooLargeError: the image exceeds the limits.
    """
    try:
        import PIL.Image  # noqa: F401 - required below
    except ModuleNotFoundError as exc:
        raise MissingExtraError("Pillow", "onnx") from exc
    if len(data) > policy.max_bytes:
        raise ImageTooLargeError(f"more than the {policy.max_bytes:,} bytes allowed")
    source_format = require_format(data)
    header = read_header(data, source_format, size)
    if header is not None:
        _check(header, len(data), policy)
    with _translated(f"broken {source_format}", policy), _open(data, source_format) as image:
        if header is None:
            header = Header(*image.size, round(_bytes_a_pixel(image) * image.width * image.height))
            _check(header, len(data), policy)
        if image.width * image.height > header.width * header.height:
            raise InvalidImageError(f"broken {source_format}: its headers state two sizes")
        yield source_format, header, image


@contextmanager
def held(image: Image, policy: ImagePolicy) -> Iterator[Header]:
    """Load the pixels of a Pillow image within the limits, and translate its errors.

    Args:
        image: image of any mode; a lazily opened file is read now.
        policy: limits.

    Raises:
        InvalidImageError: the pixels cannot be read, or have no defined range.
        ImageTooLargeError: the image exceeds the limits.
    """
    if not all(image.size):
        raise InvalidImageError(f"an image of {image.width} x {image.height} pixels: there is nothing to classify")
    header = Header(*image.size, memory=0)  # the caller already holds its pixels
    _check(header, 0, policy)
    with _translated(f"a Pillow image of mode {image.mode}", policy):
        with _loading:
            image.load()
        yield header


def decoded_in_memory(image: Image, header: Header, size: int) -> Image:
    """Convert an image from :func:`held` to upright 8-bit sRGB, reduced as :func:`decode` does."""
    reduced = _reduced(image, header, size)
    return upright(to_srgb(reduced, image.info.get("icc_profile")), image)


@contextmanager
def _translated(what: str, policy: ImagePolicy) -> Iterator[None]:
    """Limit concurrent decoding to the number of processors, and translate errors."""
    from PIL import Image

    try:
        with _decoding, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's size warnings: our limits apply instead
            yield
    except ImageError:
        raise
    except (MemoryError, Image.DecompressionBombError) as exc:
        most = f"{policy.max_pixels:,} allowed"
        raise ImageTooLargeError(f"too large for this machine's memory, or more pixels than the {most}") from exc
    except Exception as exc:  # a damaged field can raise anything
        raise InvalidImageError(f"{what}: {_reason(exc)}") from exc


def stored_size(data: bytes, policy: ImagePolicy) -> tuple[int, int]:
    """Width and height in an image's header, in pixels, read without decoding.

    Args:
        data: file contents.
        policy: limits.

    Raises:
        InvalidImageError: the data is not an image, or its header is broken.
        ImageTooLargeError: the image exceeds the policy's limits.
    """
    with opened(data, policy, policy.image_size) as (_, header, _image):
        return header.width, header.height


def _open(data: bytes, source_format: str) -> Image:
    from PIL import Image

    if source_format == "PNG":
        data = without_ancillary(data)
    if source_format != "HEIF":
        return Image.open(io.BytesIO(data), formats=[source_format])
    try:
        from pi_heif.as_plugin import HeifImageFile
    except ModuleNotFoundError as exc:
        hint = 'pip install "scones_ml[heif]", or save it as JPEG (on an iPhone: Settings, Camera, Most Compatible)'
        raise InvalidImageError(f"HEIC images need the extra heif: {hint}") from exc
    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image


def _bytes_a_pixel(image: Image) -> float:
    """Memory to decode an AVIF or HEIF image, in bytes a pixel."""
    if image.format == "AVIF":
        return _AVIF
    plain = image.mode == "RGB" and image.info.get("chroma") == 420 and image.info.get("bit_depth") == 8
    return _HEIF_OF_PHONES if plain else _HEIF


def _check(header: Header, length: int, policy: ImagePolicy) -> None:
    sides = f"{header.width} x {header.height} pixels"
    if header.width * header.height > policy.max_pixels:
        raise ImageTooLargeError(f"{sides} exceed the limit of {policy.max_pixels:,}: make it smaller")
    if max(header.width, header.height) > _SIDE:
        raise ImageTooLargeError(f"{sides}: a side exceeds the limit of {_SIDE:,}: cut it into pieces")
    if header.memory + 8 * header.height + length > MEMORY:  # Pillow stores a pointer for each row
        raise ImageTooLargeError(
            f"{sides} in this format take more than {MEMORY // 1_000_000} MB to decode: make it smaller, "
            "or save it as JPEG without progressive scans"
        )


def _reason(error: Exception) -> str:
    """Short reason of a decoder's error, without addresses of objects."""
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "it is cut short: copy or save it again"
    if not text or " at 0x" in text or "decoder error" in text or "data stream" in text:
        return "it is damaged or uses an unsupported feature: save it again as JPEG or PNG"
    return text.encode("ascii", "backslashreplace").decode()[:200]


def _loaded(data: bytes, image: Image, header: Header, size: int) -> Image:
    image.load()
    check_complete(data, image)
    return _reduced(image, header, size)


def scaled(data: bytes, image: Image, header: Header, size: int) -> Image:
    """Reduce a large WebP during decoding."""
    from scones_ml.images import webp

    factor = reduction(*image.size, size)
    sides = (-(-side // factor) for side in image.size)
    return to_eight_bits(webp.scaled(data, *sides), header)


def _reduced(image: Image, header: Header, size: int) -> Image:
    """Reduce both sides by a whole factor, to 8-bit grey, RGB or CMYK."""
    factor = reduction(*image.size, size)
    return in_bands(image, (factor, factor), lambda band: to_eight_bits(band, header))


def in_bands(image: Image, factors: tuple[int, int], convert: Callable[[Image], Image]) -> Image:
    """Convert an image and divide its sides by whole factors; a large one in bands, with the same result.

    Args:
        image: decoded image.
        factors: divisors of width and height.
        convert: pixelwise conversion.
    """
    from PIL import Image

    width, height = image.size
    if width * height <= 4 * _BAND:
        converted = convert(image)
        return converted if factors == (1, 1) else converted.reduce(factors)
    across, down = factors
    rows = max(1, _BAND // (width * down)) * down
    reduced = Image.new(convert(image.crop((0, 0, 1, 1))).mode, (-(-width // across), -(-height // down)))
    for top in range(0, height, rows):
        band = convert(image.crop((0, top, width, min(height, top + rows))))
        reduced.paste(band if factors == (1, 1) else band.reduce(factors), (0, top // down))
    return reduced
