"""Orientation of an image, from EXIF or XMP.

Only this one EXIF tag is read, since phones and editors write other tags with wrong types
(python-pillow/Pillow#6799).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["upright"]

_ORIENTATION: Final = 0x0112
_MOST_ENTRIES: Final = 1_000
# TIFF 6.0, section 2, and the signed types beside them: BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG.
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_XMP: Final = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\b")
_RAW_PROFILE: Final = "Raw profile type exif"  # how ImageMagick keeps EXIF in a PNG's text


def upright(image: Image, source: Image) -> Image:
    """Rotate and mirror a decoded image by its EXIF orientation; values outside 1 to 8 count as 1.

    Args:
        image: decoded pixels.
        source: the opened file, for its metadata; Pillow rotates a TIFF itself.
    """
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(_orientation(source))
    return image if turn is None else image.transpose(turn)


def _orientation(source: Image) -> int:
    if source.format == "TIFF":
        return 1
    return _from_exif(_exif(source.info)) or _from_xmp(source.info) or 1


def _exif(info: dict[str | tuple[int, int], object]) -> bytes:
    found = info.get("exif")
    if isinstance(found, bytes):
        return found.removeprefix(b"Exif\x00\x00")
    profile = info.get(_RAW_PROFILE)
    if not isinstance(profile, str):
        return b""
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:])).removeprefix(b"Exif\x00\x00")
    except ValueError:
        return b""


def _from_exif(block: bytes) -> int | None:
    """Orientation in the first directory of a TIFF structure; None if missing or not an integer."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return None
    try:
        if struct.unpack_from(f"{order}H", block, 2)[0] == 43:  # BigTIFF: longer counts and offsets
            return _entry(block, order, struct.unpack_from(f"{order}Q", block, 8)[0], "Q", 20)
        return _entry(block, order, struct.unpack_from(f"{order}I", block, 4)[0], "H", 12)
    except struct.error:  # cut short
        return None


def _entry(block: bytes, order: str, start: int, count: str, length: int) -> int | None:
    (entries,) = struct.unpack_from(f"{order}{count}", block, start)
    first = start + struct.calcsize(f"{order}{count}")
    values = 12 if length == 20 else 8  # offset within an entry
    for at in range(first, first + length * min(entries, _MOST_ENTRIES), length):
        tag, kind = struct.unpack_from(f"{order}HH", block, at)
        if tag == _ORIENTATION and kind in _INTEGERS:
            value: int = struct.unpack_from(f"{order}{_INTEGERS[kind]}", block, at + values)[0]
            return value
    return None


def _from_xmp(info: dict[str | tuple[int, int], object]) -> int | None:
    for name in ("xmp", "XML:com.adobe.xmp"):
        found = info.get(name)
        text = found.encode("utf-8", "replace") if isinstance(found, str) else found
        if isinstance(text, bytes) and (match := _XMP.search(text)):
            return int(match[1])
    return None
