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
_BAND: Final = 1_000_000  # pixels; what is not four times as large is converted at once
# Bytes a pixel, measured: planes, RGB, Pillow's copy and its image.
_AVIF: Final = 14.0
_HEIF: Final = 12.0
_HEIF_OF_PHONES: Final = 7.5  # 8 bits, halved colour, no transparency: iPhones take 24 megapixels so
_decoding: Final = threading.BoundedSemaphore(os.cpu_count() or 1)
_loading: Final = threading.Lock()  # several threads may hold one Pillow image, which reads its file once


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image's pixels.

    Attributes:
        source_format: what the bytes were, ``"JPEG"``.
        image: 8-bit sRGB, upright. Its sides are the file's, divided by a whole number where that leaves enough.
        stored: width and height of the file, in pixels, before it is turned.
    """

    source_format: str
    image: Image
    stored: tuple[int, int]


def decode(data: bytes, policy: ImagePolicy, size: int) -> Decoded:
    """Decode an image to at least twice ``size`` a side, where it has as many pixels.

    For every ``size`` up to 224 the result is the same.

    Args:
        data: the file's bytes.
        policy: caps.
        size: of what it will be reduced to, in pixels.

    Raises:
        InvalidImageError: not an image, a broken one, or one whose pixels have no stated meaning.
        ImageTooLargeError: beyond the caps.
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
    """An image within the caps, opened but not decoded; what its decoder raises comes out as ours.

    Args:
        data: the file's bytes.
        policy: caps.
        size: least side in pixels that a JPEG will be decoded to.

    Raises:
        InvalidImageError: not an image, or a broken one.
        ImageTooLargeError: beyond the caps.
    """
    try:
        import PIL.Image  # noqa: F401 - what follows needs it
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
            raise InvalidImageError(f"broken {source_format}: it states its size twice")
        yield source_format, header, image


@contextmanager
def held(image: Image, policy: ImagePolicy) -> Iterator[Header]:
    """A Pillow image within the caps, with its pixels loaded; what goes wrong comes out as ours.

    Args:
        image: of any mode; one that was opened and not read yet is read now.
        policy: caps.

    Raises:
        InvalidImageError: its pixels cannot be read, or have no stated meaning.
        ImageTooLargeError: beyond the caps.
    """
    if not all(image.size):
        raise InvalidImageError(f"an image of {image.width} x {image.height} pixels: there is nothing to classify")
    header = Header(*image.size, memory=0)  # the caller holds its pixels already
    _check(header, 0, policy)
    with _translated(f"a Pillow image of mode {image.mode}", policy):
        with _loading:
            image.load()
        yield header


def decoded_in_memory(image: Image, header: Header, size: int) -> Image:
    """8-bit sRGB, upright, of an image that :func:`held` let in; reduced as :func:`decode` does."""
    reduced = _reduced(image, header, size)
    return upright(to_srgb(reduced, image.info.get("icc_profile")), image)


@contextmanager
def _translated(what: str, policy: ImagePolicy) -> Iterator[None]:
    """Let as many images be decoded at a time as there are processors, and turn whatever is raised into our errors."""
    from PIL import Image

    try:
        with _decoding, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; the caps decide
            yield
    except ImageError:
        raise
    except (MemoryError, Image.DecompressionBombError) as exc:
        most = f"{policy.max_pixels:,} allowed"
        raise ImageTooLargeError(f"more memory than there is, or more pixels than the {most}") from exc
    except Exception as exc:  # whatever a damaged field leads a decoder to
        raise InvalidImageError(f"{what}: {_reason(exc)}") from exc


def stored_size(data: bytes, policy: ImagePolicy) -> tuple[int, int]:
    """Width and height of an image as its header says them, in pixels; nothing is decoded.

    Args:
        data: the file's bytes.
        policy: caps.

    Raises:
        InvalidImageError: not an image, or its header is broken.
        ImageTooLargeError: beyond the policy's caps.
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
        raise InvalidImageError(f"a HEIC image, which is not read without the extra heif: {hint}") from exc
    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image


def _bytes_a_pixel(image: Image) -> float:
    """What decoding an AVIF or HEIF image will take; its size is known when it is opened."""
    if image.format == "AVIF":
        return _AVIF
    plain = image.mode == "RGB" and image.info.get("chroma") == 420 and image.info.get("bit_depth") == 8
    return _HEIF_OF_PHONES if plain else _HEIF


def _check(header: Header, length: int, policy: ImagePolicy) -> None:
    sides = f"{header.width} x {header.height} pixels"
    if header.width * header.height > policy.max_pixels:
        raise ImageTooLargeError(f"{sides} are more than the {policy.max_pixels:,} allowed: make it smaller")
    if max(header.width, header.height) > _SIDE:
        raise ImageTooLargeError(f"{sides}: a side is longer than the {_SIDE:,} allowed: cut it into pieces")
    if header.memory + 8 * header.height + length > MEMORY:  # Pillow keeps a pointer to each row
        raise ImageTooLargeError(
            f"{sides} of this kind take more than {MEMORY // 1_000_000} MB to decode: make it smaller, "
            "or save it as JPEG without progressive scans"
        )


def _reason(error: Exception) -> str:
    """A foreign error in a few words that a person understands, without addresses of objects."""
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "it is cut short: copy or save it again"
    if not text or " at 0x" in text or "decoder error" in text or "data stream" in text:
        return "it is damaged, or of a kind that is not read: save it again as JPEG or PNG"
    return text.encode("ascii", "backslashreplace").decode()[:200]


def _loaded(data: bytes, image: Image, header: Header, size: int) -> Image:
    image.load()
    check_complete(data, image)
    return _reduced(image, header, size)


def scaled(data: bytes, image: Image, header: Header, size: int) -> Image:
    """A large WebP, reduced while it is decoded."""
    from scones_ml.images import webp

    factor = reduction(*image.size, size)
    sides = (-(-side // factor) for side in image.size)
    return to_eight_bits(webp.scaled(data, *sides), header)


def _reduced(image: Image, header: Header, size: int) -> Image:
    """8-bit grey, RGB or CMYK, both sides divided by a whole number."""
    factor = reduction(*image.size, size)
    return in_bands(image, (factor, factor), lambda band: to_eight_bits(band, header))


def in_bands(image: Image, factors: tuple[int, int], convert: Callable[[Image], Image]) -> Image:
    """Convert an image and divide its sides by whole numbers; a large one a band at a time, with the same result.

    Args:
        image: decoded.
        factors: what width and height are divided by.
        convert: of each pixel by itself.
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
