"""Detection of truncated pixel data, which decoders fill in without an error."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Final

from scones_ml.errors import InvalidImageError
from scones_ml.images.headers import scan_end

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_complete"]

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by colour type
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BUFFER: Final = 1 << 18
_GREY: Final = {128, (128,) * 3, (128,) * 4, (127,) * 4}  # the last for inverted CMYK, as Adobe writes it
_MORE: Final = bytes(range(1, 65))  # entropy-coded bytes that decode to something with any table


def check_complete(data: bytes, image: Image) -> None:
    """Check that a file's stream holds all pixels of the size in its header.

    Args:
        data: file contents.
        image: the decoded image. Only PNG and JPEG are checked; other decoders report it themselves.

    Raises:
        InvalidImageError: the stream ends early.
    """
    png, jpeg = image.format == "PNG", image.format in ("JPEG", "MPO")  # MPO: several JPEGs in one file
    if (png and not _png_is_complete(data)) or (jpeg and not _jpeg_is_complete(data, image)):
        raise InvalidImageError(f"broken {image.format}: its pixels end early: copy or save it again")


def _png_is_complete(data: bytes) -> bool:
    width, height, depth, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[kind]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    missing: int = sum(
        -(-(height - y) // down) * (1 + (-(-(width - x) // across) * bits + 7) // 8)
        for x, y, across, down in passes
        if width > x and height > y
    )
    stream = zlib.decompressobj()
    at = 8
    while missing > 0 and at + 8 <= len(data) and not stream.eof:
        length, name = struct.unpack_from(">I4s", data, at)
        part: bytes = data[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        while part and missing > 0:
            missing -= len(stream.decompress(part, _BUFFER))
            part = stream.unconsumed_tail
        at += 12 + length
    return missing <= 0


def _jpeg_is_complete(data: bytes, image: Image) -> bool:
    """Check a last row that is plain grey, as a missing end is decoded: if complete, more bytes change nothing."""
    last = image.crop((0, image.height - 1, image.width, image.height)).getcolors(1)
    if last is None or last[0][1] not in _GREY:
        return True
    from PIL import Image

    end, scale = scan_end(data), (getattr(image, "decoderconfig", None) or (1,))[0]
    with Image.open(io.BytesIO(data[:end] + _MORE + data[end:]), formats=["JPEG"]) as longer:
        longer.draft(None, (max(1, longer.width // scale), max(1, longer.height // scale)))
        same: bool = longer.tobytes() == image.tobytes()
    return same
