"""Headers of image files, parsed before decoding: sides and decoding memory.

One function a format walks the segments, chunks or directories once and checks limits far above those of ordinary
files. Sources: ITU-T T.81 (JPEG), W3C PNG, GIF89a, Microsoft's BITMAPINFOHEADER, Google's WebP container.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from scones_ml.errors import ImageError, ImageTooLargeError, InvalidImageError
from scones_ml.images.directories import tiff_header
from scones_ml.images.header import MEMORY, Header, check_metadata, draft_scale
from scones_ml.images.signatures import image_format

__all__ = ["is_small", "read_header", "scan_end", "without_ancillary"]

_MOST_SEGMENTS: Final = 10_000
_MOST_CHUNKS: Final = 50_000  # of a PNG: 25 MB in chunks of 512 bytes
_MOST_SCANS: Final = 100  # encoders write about ten
_SCAN_PIXELS: Final = 1_000_000_000  # scans x pixels: each scan covers the whole image
_RLE_BYTES: Final = 2_000_000  # Pillow decodes run lengths in Python

_SMALL_PIXELS: Final = 256 * 256
_SMALL_BYTES: Final = 4 * _SMALL_PIXELS

_MARKER: Final = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)  # not stuffing, not a restart
_EOI, _SOS = 0xD9, 0xDA
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = {0xC2, 0xC6, 0xCA, 0xCE}


def read_header(data: bytes, source_format: str, size: int) -> Header | None:
    """Parse a file's header; None for formats whose decoder reports the size without decoding.

    Args:
        data: file contents.
        source_format: as returned by :func:`scones_ml.images.signatures.image_format`.
        size: minimum side that a JPEG is decoded to, in pixels.

    Raises:
        InvalidImageError: the file is cut short, or violates its format.
        ImageTooLargeError: scans, chunks or metadata exceed their limits.
    """
    walk = _WALKS.get(source_format)
    if walk is None:
        return None
    try:
        return walk(data, size)
    except (struct.error, LookupError, ValueError, ArithmeticError) as exc:
        raise InvalidImageError(f"broken {source_format}: it is cut short: copy or save it again") from exc


def is_small(data: bytes) -> bool:
    """Whether a file has at most 256 x 256 pixels by its header, and is decoded in a few milliseconds."""
    try:
        header = read_header(data, image_format(data) or "", 0) if len(data) <= _SMALL_BYTES else None
    except ImageError:
        return False
    return header is not None and header.width * header.height <= _SMALL_PIXELS


@dataclass(frozen=True, slots=True)
class _Frame:
    """A JPEG's frame header: sides, sampling factors of each component, whether it is progressive."""

    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    progressive: bool

    def coefficients(self) -> int:
        """Bytes of all components' coefficients, which a decoder keeps until the last scan."""
        across = max(h for h, _ in self.sampling)
        down = max(v for _, v in self.sampling)
        blocks = sum(
            h * v * math.ceil(self.width / (8 * across)) * math.ceil(self.height / (8 * down)) for h, v in self.sampling
        )
        return blocks * 64 * 2


def _jpeg(data: bytes, size: int) -> Header:
    frame: _Frame | None = None
    at, scans, metadata, buffered = 2, 0, 0, False
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            break
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _FRAMES and frame is None:
            frame = _frame(data, at, progressive=marker in _PROGRESSIVE)
        elif marker == _SOS:
            scans += 1
            buffered |= frame is not None and data[at + 2] < len(frame.sampling)
        elif marker >= 0xE0:
            metadata += length
        at += length
    else:
        raise ImageTooLargeError(f"more segments than the limit of {_MOST_SEGMENTS:,}: save it again")
    if frame is None:
        raise InvalidImageError("broken JPEG: its frame header is missing")
    check_metadata(metadata)
    pixels = frame.width * frame.height
    if scans > _MOST_SCANS or scans * pixels > _SCAN_PIXELS:
        most = min(_MOST_SCANS, _SCAN_PIXELS // max(1, pixels))
        raise ImageTooLargeError(f"{scans:,} scans exceed the limit of {most}: save it without progressive scans")
    scale = draft_scale(frame.width, frame.height, size)
    decoded = 4 * math.ceil(frame.width / scale) * math.ceil(frame.height / scale)
    held = frame.coefficients() if frame.progressive or buffered else 0
    return Header(frame.width, frame.height, decoded + held)


def _frame(data: bytes, at: int, *, progressive: bool) -> _Frame:
    _, _, height, width, components = struct.unpack_from(">HBHHB", data, at)
    sampling = tuple((data[at + 9 + 3 * i] >> 4, data[at + 9 + 3 * i] & 15) for i in range(components))
    if not components or any(not (1 <= h <= 4 and 1 <= v <= 4) for h, v in sampling):
        raise InvalidImageError("broken JPEG: its frame header has impossible values")
    return _Frame(width, height, sampling, progressive)


def scan_end(data: bytes) -> int:
    """End of the entropy-coded bytes of a JPEG's first scan: offset of the next marker, or of the file's end."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        start = found.end()
        at = start + (int.from_bytes(data[start : start + 2]) if found[1][0] != _EOI else 0)
        if found[1][0] == _SOS:
            following = _MARKER.search(data, at)
            return following.start() if following else len(data)
        if at <= start:
            break
    return len(data)


_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_KEPT_CHUNKS: Final = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"eXIf"}
_TEXT_CHUNKS: Final = {b"tEXt", b"zTXt", b"iTXt"}
_TURNING_TEXTS: Final = (b"Raw profile type exif\x00", b"XML:com.adobe.xmp\x00")
_KEYWORD_BYTES: Final = 80
_INFLATED: Final = 1 << 20  # bytes: Pillow refuses a PNG with a longer text or profile
_PIXEL_CHUNKS: Final = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"fdAT", b"fcTL"}


def _png(data: bytes, _size: int) -> Header:
    if data[12:16] != b"IHDR":
        raise InvalidImageError("broken PNG: its header is missing")
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    metadata, names = 0, set[bytes]()
    for count, (name, _, length) in enumerate(_chunks(data)):
        if count == _MOST_CHUNKS:
            raise ImageTooLargeError(f"more chunks than the limit of {_MOST_CHUNKS:,}: save it again")
        names.add(name)
        if name == b"IDAT" and kind == 3 and b"PLTE" not in names:
            raise InvalidImageError("broken PNG: it has a palette's indices and no palette")
        if name not in _PIXEL_CHUNKS:
            metadata += length
    check_metadata(metadata)
    channels = _PNG_CHANNELS.get(kind, 4)
    sample = 1 if channels == 1 else 4  # Pillow stores two or three channels in four bytes
    copy = len(data) if names - _KEPT_CHUNKS else 0
    return Header(width, height, width * height * sample * (2 if depth == 16 and channels == 1 else 1) + copy, depth)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and length of each chunk's data, up to IEND."""
    at, name = 8, b""
    while at + 8 <= len(data) and name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, length
        at += 12 + length


def without_ancillary(data: bytes) -> bytes:
    """Remove the chunks of a PNG that do not affect its pixels, since a broken one would stop the decoder.

    ICC profile, EXIF and the two texts that may hold an orientation stay, if their decompressed size is within limits.
    """
    chunks = list(_chunks(data))
    kept = [chunk for chunk in chunks if _counts(data, *chunk)]
    if len(kept) == len(chunks):
        return data
    return data[:8] + b"".join(data[start - 8 : start + length + 4] for _, start, length in kept)


def _counts(data: bytes, name: bytes, start: int, length: int) -> bool:
    if name in _TEXT_CHUNKS:
        if not data.startswith(_TURNING_TEXTS, start, start + length):
            return False
    elif name != b"iCCP":
        return name in _KEPT_CHUNKS
    keyword, _, value = data[start : start + length].partition(b"\x00")
    compressed = value[5:] if name == b"iTXt" and value[:1] == b"\x01" else value[1:] if name != b"tEXt" else b""
    stream = zlib.decompressobj()
    try:
        return len(keyword) < _KEYWORD_BYTES and len(stream.decompress(compressed, _INFLATED)) < _INFLATED
    except zlib.error:
        return name == b"iTXt" and length < _INFLATED


def _gif(data: bytes, _size: int) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, metadata = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0), 0
    while data[at] == 0x21:  # extensions before the first frame
        start, at = at, at + 2
        while data[at]:
            at += 1 + data[at]
            if at - start > _METADATA_OF_GIF:
                check_metadata(at - start)
        at += 1
        metadata += at - start
        check_metadata(metadata)
    if data[at] != 0x2C:
        raise InvalidImageError("broken GIF: it has no frame")
    left, top, wide, high, local = struct.unpack_from("<HHHHB", data, at + 1)
    if not (flags | local) & 0x80:
        raise InvalidImageError("broken GIF: it has a palette's indices and no palette")
    width, height = max(width, left + wide), max(height, top + high)
    return Header(width, height, 2 * width * height)


_METADATA_OF_GIF: Final = 1_000_000


def _bmp(data: bytes, _size: int) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if width <= 0 or height == 0 or length > 256:
        raise InvalidImageError("broken BMP: its header has impossible values")
    if compression in (1, 2) and len(data) > _RLE_BYTES:
        raise ImageTooLargeError(
            f"{len(data):,} bytes of run lengths exceed the limit of {_RLE_BYTES:,}: save it as PNG"
        )
    pixels = width * abs(height)
    copies = 3 if compression in (1, 2) else 1  # run lengths are collected and reversed first
    return Header(width, abs(height), copies * pixels * (1 if bits <= 8 else 4))


_PILLOW_WEBP: Final = 16  # bytes a pixel: stills are decoded as animations, on three canvases, and copied


def _webp(data: bytes, _size: int) -> Header:
    name = data[12:16]
    if name == b"VP8X":
        width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
    elif name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    at, metadata, names = 12, 0, set[bytes]()
    for _ in range(_MOST_SEGMENTS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        names.add(name)
        metadata += length if name in (b"ICCP", b"EXIF", b"XMP ") else 0
        at += 8 + length + length % 2
    else:
        raise ImageTooLargeError(f"more chunks than the limit of {_MOST_SEGMENTS:,}: save its first frame alone")
    check_metadata(metadata)
    pixels = width * height
    memory = _PILLOW_WEBP * pixels
    if memory + len(data) > MEMORY and b"ANIM" not in names and _scales_webp():
        plain = 4 if b"VP8L" in names else 1  # a whole lossless image, or only the transparency of a lossy one
        return Header(width, height, plain * pixels, scaled=True)
    return Header(width, height, memory)


def _scales_webp() -> bool:
    from scones_ml.images.webp import can_scale  # ctypes is slow to import, and large WebP images are rare

    return can_scale()


_WALKS: Final[Mapping[str, Callable[[bytes, int], Header]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": tiff_header,
    "WEBP": _webp,
}
