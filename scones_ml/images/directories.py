"""Header of a TIFF, from its first directory (TIFF 6.0; BigTIFF; DNG 1.7)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scones_ml.errors import ImageTooLargeError, InvalidImageError
from scones_ml.images.header import Header, check_metadata

__all__ = ["tiff_header"]

_MOST_ENTRIES: Final = 1_000
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_FORMATS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}
_MOST_STRIPS: Final = 100_000  # or tiles: one for each row of the tallest image allowed
_MOST_VALUES: Final = 16  # read of one tag; no tag below needs more

(_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS) = (
    254, 256, 257, 258, 259, 262, 277, 278,
)  # fmt: skip
_COLORMAP, _TILE_WIDTH, _TILE_HEIGHT, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _DNG = 320, 322, 323, 330, 339, 50706
_STRIPS: Final = {273, 279, 324, 325}  # offsets and lengths of strips and tiles
_WHITE_IS_ZERO, _PALETTE = 0, 3


@dataclass(frozen=True, slots=True)
class _Directory:
    """Integer tags of a directory, at most ``_MOST_VALUES`` of each, and the total bytes of its values."""

    tags: Mapping[int, tuple[int, ...]]
    length: int

    def first(self, tag: int, default: int) -> int:
        values = self.tags.get(tag, ())
        return values[0] if values else default


def tiff_header(data: bytes, _size: int) -> Header:
    """Sides, samples and decoding memory of a TIFF.

    Raises:
        InvalidImageError: the file is a camera's raw file, or its directory has impossible values.
        ImageTooLargeError: the metadata exceeds its limit.
    """
    found = _directory(data)
    if _DNG in found.tags or data[8:10] == b"CR" or (found.first(_SUBFILE, 0) & 1 and _SUB_DIRECTORIES in found.tags):
        raise InvalidImageError("a camera's raw file (DNG, NEF, CR2, ARW) is not supported: save it as JPEG or PNG")
    width, height = found.first(_WIDTH, 0), found.first(_HEIGHT, 0)
    if width < 1 or height < 1:
        raise InvalidImageError("broken TIFF: its size is missing")
    check_metadata(found.length)
    bits = found.tags.get(_BITS) or (1,)
    samples = max(1, found.first(_SAMPLES, len(bits)))
    photometric = found.first(_PHOTOMETRIC, 1)
    if photometric == _PALETTE and _COLORMAP not in found.tags:
        raise InvalidImageError("broken TIFF: it has a palette's indices and no palette")
    rows = min(height, found.first(_ROWS, height))
    across, down = found.first(_TILE_WIDTH, width), found.first(_TILE_HEIGHT, rows)
    strip = 0 if found.first(_COMPRESSION, 1) == 1 else across * down * samples * max(bits) // 8
    stored = 4 if samples > 1 or max(bits) > 16 else 2 if max(bits) > 8 else 1
    return Header(
        width,
        height,
        width * height * stored + strip,
        max(bits),
        inverted=photometric == _WHITE_IS_ZERO and max(bits) > 8,  # Pillow inverts the others itself
        ranged=set(found.tags.get(_SAMPLE_FORMAT) or (1,)) == {1} and max(bits) in (1, 2, 4, 8, 16),
    )


def _directory(data: bytes) -> _Directory:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    entry, number, inline = (20, "Q", 8) if big else (12, "I", 4)
    (start,) = struct.unpack_from(f"{order}{number}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
    if count > _MOST_ENTRIES:
        raise InvalidImageError(f"broken TIFF: its directory has {count:,} entries")
    tags: dict[int, tuple[int, ...]] = {}
    length = 0
    first = start + (8 if big else 2)
    for at in range(first, first + entry * count, entry):
        tag, kind, values = struct.unpack_from(f"{order}HH{number}", data, at)
        if tag in _STRIPS and values > _MOST_STRIPS:
            raise ImageTooLargeError(f"{values:,} strips exceed the limit of {_MOST_STRIPS:,}: save it again")
        size = _SIZES.get(kind, 1) * values
        length += size
        value = at + entry - inline
        if size > inline:
            (value,) = struct.unpack_from(f"{order}{number}", data, value)
        wanted = min(values, _MOST_VALUES, max(0, len(data) - value) // _SIZES.get(kind, 1))
        tags[tag] = struct.unpack_from(f"{order}{wanted}{_FORMATS[kind]}", data, value) if kind in _FORMATS else ()
    return _Directory(tags, length)
