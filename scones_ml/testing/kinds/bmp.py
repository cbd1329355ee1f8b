"""BMP: every depth and header, run lengths, invalid offsets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np

from scones_ml.testing.kinds import Corners, ImageKind
from scones_ml.testing.kinds.drawing import BLACK_WHITE, COLOURS, GREYS, SIZE, Array, quadrants, shown_grey

__all__ = ["kinds", "large"]

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG = range(6)
_HEADERS = {40: "windows-3", 52: "v2", 56: "v3", 64: "os-2-2", 108: "v4", 124: "v5"}


def _file(
    depth: int,
    pixels: bytes,
    palette: bytes = b"",
    size: tuple[int, int] = SIZE,
    compression: int = _RGB,
    masks: bytes = b"",
    header: int = 40,
    used: int = 0,
    offset: int | None = None,
) -> bytes:
    info = struct.pack("<IiiHHIIiiII", header, *size, 1, depth, compression, len(pixels), 2835, 2835, used, 0)
    if header > 40:
        info, masks = (info + masks.ljust(16, b"\0") + bytes(200))[:header], b""
    rest = masks + palette
    start = 14 + len(info) + len(rest) if offset is None else offset
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + rest + pixels


def _core(depth: int, pixels: bytes, palette: bytes = b"") -> bytes:
    """With the header of OS/2 1.x: 16-bit dimensions, palettes of three bytes."""
    info = struct.pack("<IHHHH", 12, *SIZE, 1, depth) + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(pixels), 0, 0, 14 + len(info)) + info + pixels


def _rows(samples: Array) -> bytes:
    """Rows from the bottom up, each padded to a multiple of four bytes; samples are bytes (H, W, B)."""
    rows = samples.reshape(len(samples), -1)[::-1]
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()


def _packed(indices: Array, depth: int) -> bytes:
    bits = np.unpackbits(indices[..., None], axis=2)[..., 8 - depth :]
    return _rows(np.packbits(bits.reshape(len(indices), -1), axis=1))


def _palette(colours: Corners, entries: int, width: int = 4) -> bytes:
    table = np.zeros((entries, width), np.uint8)
    table[: min(4, entries), :3] = np.asarray(colours, np.uint8)[:entries, ::-1]
    return table.tobytes()


def _words(bits: tuple[int, int, int]) -> Array:
    """16-bit pixels with so many bits of red, green and blue: bytes (H, W, 2)."""
    red, green, blue = (quadrants(COLOURS)[..., n].astype(np.uint16) >> (8 - bits[n]) for n in range(3))
    return (red << bits[1] + bits[2] | green << bits[2] | blue).astype("<u2")[..., None].view(np.uint8)


def _bgr(*alpha: int) -> Array:
    bgr = quadrants(COLOURS)[..., ::-1]
    extra = [np.full((*bgr.shape[:2], 1), level, np.uint8) for level in alpha]
    return np.concatenate([bgr, *extra], axis=2)


def _runs(indices: Array, depth: int) -> bytes:
    """Run lengths of half a row each, from the bottom up."""
    half = indices.shape[1] // 2
    rows = []
    for row in indices[::-1]:
        for index in (int(row[0]), int(row[-1])):
            rows.append(bytes([half, index if depth == 8 else index * 17]))
        rows.append(b"\0\0")
    return b"".join(rows) + b"\0\1"


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    yield from _depths()
    yield from _headers()
    yield from _run_lengths()
    yield from _lies()


def _depths() -> Iterator[ImageKind]:
    indices, two = quadrants([0, 1, 2, 3]), quadrants([0, 1, 1, 0])
    four = (COLOURS[0], COLOURS[1], COLOURS[1], COLOURS[0])
    grey = shown_grey(GREYS)
    masks565, masks555 = struct.pack("<III", 0xF800, 0x7E0, 0x1F), struct.pack("<III", 0x7C00, 0x3E0, 0x1F)
    masks888 = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    for name, data, corners in (
        ("1", _file(1, _packed(two, 1), _palette(COLOURS, 2)), four),
        ("1-black-white", _file(1, _packed(two, 1), b"\0\0\0\0\xff\xff\xff\0"), shown_grey(BLACK_WHITE)),
        ("4", _file(4, _packed(indices, 4), _palette(COLOURS, 16)), COLOURS),
        ("8", _file(8, _rows(indices), _palette(COLOURS, 256)), COLOURS),
        ("8-four-used", _file(8, _rows(indices), _palette(COLOURS, 4), used=4), COLOURS),
        ("8-grey", _file(8, _rows(indices), _palette(grey, 256)), grey),
        ("16", _file(16, _rows(_words((5, 5, 5)))), COLOURS),
        ("16-555", _file(16, _rows(_words((5, 5, 5))), compression=_BITFIELDS, masks=masks555), COLOURS),
        ("16-565", _file(16, _rows(_words((5, 6, 5))), compression=_BITFIELDS, masks=masks565), COLOURS),
        ("24", _file(24, _rows(_bgr())), COLOURS),
        ("32", _file(32, _rows(_bgr(0))), COLOURS),
        ("32-bitfields", _file(32, _rows(_bgr(0)), compression=_BITFIELDS, masks=masks888), COLOURS),
        ("24-top-down", _file(24, _rows(_bgr()[::-1]), size=(SIZE[0], -SIZE[1])), COLOURS),
        ("8-top-down", _file(8, _rows(indices[::-1]), _palette(COLOURS, 256), (SIZE[0], -SIZE[1])), COLOURS),
    ):
        yield ImageKind(f"bmp/{name}", "read", "a depth of the format", partial(bytes, data), corners, 8)
    for name, data in {
        "2": _file(2, _packed(indices, 2), _palette(COLOURS, 4)),
        "64": _file(64, _rows(_bgr(*range(5)))),
        "16-odd-masks": _file(16, _rows(_words((5, 6, 5))), compression=_BITFIELDS, masks=bytes(12)),
    }.items():
        yield ImageKind(f"bmp/{name}", "either", "a rare depth", partial(bytes, data))


def _headers() -> Iterator[ImageKind]:
    pixels = _rows(_bgr())
    for header, name in _HEADERS.items():
        build = partial(_file, 24, pixels, header=header)
        yield ImageKind(f"bmp/header-{name}", "read", "a header of the format", build, COLOURS)
    for header in (108, 124):
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        build = partial(_file, 32, _rows(_bgr(255)), compression=_BITFIELDS, masks=masks, header=header)
        yield ImageKind(f"bmp/alpha-{_HEADERS[header]}", "read", "with opacity", build, COLOURS)
    yield ImageKind("bmp/header-os-2-1", "read", "a header of the format", partial(_core, 24, pixels), COLOURS)
    indices = quadrants([0, 1, 2, 3])
    build = partial(_core, 8, _rows(indices), _palette(COLOURS, 256, 3))
    yield ImageKind("bmp/header-os-2-1-palette", "read", "a header of the format", build, COLOURS)


def _run_lengths() -> Iterator[ImageKind]:
    indices = quadrants([0, 1, 2, 3])
    for depth, compression in ((8, _RLE8), (4, _RLE4)):
        palette = _palette(COLOURS, 1 << depth)
        build = partial(_file, depth, _runs(indices, depth), palette, compression=compression)
        yield ImageKind(f"bmp/rle-{depth}", "read", "run lengths", build, COLOURS)
        for name, pixels in {
            "empty": b"\0\1",
            "half": _runs(indices[16:], depth),
            "beyond": b"\xff\1" * 1000 + b"\0\1",
            "jumps": b"\0\2\5\5" * 1000 + b"\0\1",
            "no-end": _runs(indices, depth)[:-2],
        }.items():
            build = partial(_file, depth, pixels, palette, compression=compression)
            yield ImageKind(f"bmp/rle-{depth}-{name}", "either", "skipped pixels are black, or missing", build)
    for name, pixels in {"single-runs": b"\1\1" * 12_000_000, "skips": b"\0\2\xff\0" * 300_000}.items():
        build = partial(_file, 8, pixels, _palette(COLOURS, 256), (4000, 3000), _RLE8)
        yield ImageKind(f"bmp/rle-8-12mp-{name}", "either", "12 megapixels in many short runs", build)


def _lies() -> Iterator[ImageKind]:
    pixels = _rows(_bgr())
    for name, size, expectation in (
        ("0x32", (0, 32), "refused"),
        ("48x0", (48, 0), "refused"),
        ("-48x32", (-48, 32), "refused"),
        ("30000x30000", (30_000, 30_000), "refused"),
        ("2147483647", (2**31 - 1, 2**31 - 1), "refused"),
        ("48x-2147483648", (48, -(2**31)), "refused"),
        ("48x64", (48, 64), "refused"),
        ("48x16", (48, 16), "either"),
    ):
        build = partial(_file, 24, pixels, size=size)
        yield ImageKind(f"bmp/claims-{name}", expectation, "wrong dimensions", build)  # type: ignore[arg-type] # a literal
    for name, data in {
        "offset-0": _file(24, pixels, offset=0),
        "offset-beyond": _file(24, pixels, offset=2**31),
        "header-4-gb": _file(24, pixels, header=40).replace(b"\x28\0\0\0", b"\xff\xff\xff\xff", 1),
        "header-13": _file(24, pixels).replace(b"\x28\0\0\0", b"\x0d\0\0\0", 1),
        "used-4-billion": _file(8, _rows(quadrants([0, 1, 2, 3])), _palette(COLOURS, 256), used=2**32 - 1),
        "used-300": _file(8, _rows(quadrants([0, 1, 2, 3])), _palette(COLOURS, 300), used=300),
        "palette-missing": _file(8, _rows(quadrants([0, 1, 2, 3]))),
        "index-beyond-palette": _file(8, _rows(quadrants([0, 1, 2, 200])), _palette(COLOURS, 4), used=4),
        "jpeg-inside": _file(0, b"\xff\xd8\xff", compression=_JPEG),
        "png-inside": _file(0, b"\x89PNG\r\n\x1a\n", compression=_PNG),
        "compression-99": _file(24, pixels, compression=99),
    }.items():
        yield ImageKind(f"bmp/{name}", "either", "an invalid header", partial(bytes, data))


def _zeros(width: int, height: int, depth: int) -> bytes:
    palette = _palette(COLOURS, 1 << depth) if depth <= 8 else b""
    return _file(depth, bytes(-(-width * depth // 32) * 4 * height), palette, (width, height))


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    for depth in (1, 8, 24, 32):
        build = partial(_zeros, 4000, 3000, depth)
        must = depth <= 24
        yield ImageKind(f"bmp/12mp-{depth}", "read" if must else "either", "12 megapixels", build)
    yield ImageKind("bmp/24mp-24", "either", "72 MB", partial(_zeros, 6000, 4000, 24))
    yield ImageKind("bmp/50mp-1", "either", "50 megapixels of one bit", partial(_zeros, 7071, 7071, 1))
    yield ImageKind("bmp/50mp-8", "either", "50 megapixels", partial(_zeros, 7071, 7071, 8))
