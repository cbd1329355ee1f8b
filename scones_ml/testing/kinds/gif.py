"""GIF: palettes, frames inside and beyond the canvas, truncated streams."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image

from scones_ml.testing.kinds import Corners, ImageKind
from scones_ml.testing.kinds.drawing import COLOURS, SIZE, WHITE, encoded, quadrants

__all__ = ["kinds", "large"]

_INDICES = quadrants([0, 1, 2, 3])
_END = b";"
_FRAME = struct.Struct("<BHHHHB")


def _palette(colours: Corners = COLOURS, entries: int = 4) -> bytes:
    return (np.asarray(colours, np.uint8).tobytes() + bytes(3 * entries))[: 3 * entries]


def _start(size: tuple[int, int] = SIZE, palette: bytes = b"", version: bytes = b"89a") -> bytes:
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    return b"GIF" + version + struct.pack("<HHBBB", *size, flags, 0, 0) + palette


def _blocks(data: bytes) -> bytes:
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _lzw(indices: bytes, bits: int = 2) -> bytes:
    """Codes without compression: the table is cleared before codes get longer."""
    clear, text = 1 << bits, []
    for at in range(0, len(indices), clear - 2):
        text.append(clear)
        text.extend(indices[at : at + clear - 2])
    text.append(clear + 1)
    number = 0
    for place, code in enumerate(text):
        number |= code << place * (bits + 1)
    return number.to_bytes(-(-len(text) * (bits + 1) // 8), "little")


def _image(
    stream: bytes, size: tuple[int, int] = SIZE, at: tuple[int, int] = (0, 0), palette: bytes = b"", flags: int = 0
) -> bytes:
    local = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    return _FRAME.pack(0x2C, *at, *size, local | flags) + palette + b"\2" + _blocks(stream)


def _control(transparent: int | None = None, disposal: int = 0) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\4" + struct.pack("<BHBB", flags, 1, transparent or 0, 0)


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    pixels, start = _image(_lzw(_INDICES.tobytes())), _start(palette=_palette())
    rows = [*range(0, SIZE[1], 8), *range(4, SIZE[1], 8), *range(2, SIZE[1], 4), *range(1, SIZE[1], 2)]
    local = _image(_lzw(_INDICES.tobytes()), palette=_palette())
    for name, data in {
        "89a": start + pixels + _END,
        "87a": _start(palette=_palette(), version=b"87a") + pixels + _END,
        "interlaced": start + _image(_lzw(_INDICES[rows].tobytes()), flags=0x40) + _END,
        "local-palette": _start() + local + _END,
        "local-over-global": _start(palette=_palette(((1, 1, 1),) * 4)) + local + _END,
        "comment": start + b"!\xfe" + _blocks(b"hello" * 100) + pixels + _END,
        "unknown-extension": start + b"!\x77" + _blocks(b"hello") + pixels + _END,
        "loops": start + b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0" + pixels + _END,
        "frames-2": start + pixels + _image(_lzw(bytes(48 * 32))) + _END,
        "frames-1000": start + pixels + _image(b"\x44\1", (1, 1)) * 1000 + _END,
        "trailing-zip": start + pixels + _END + b"PK\3\4 payload",
        "jar": start + pixels + _END + b"PK\5\6" + bytes(18),
    }.items():
        yield ImageKind(f"gif/{name}", "read", "as programs write it", partial(bytes, data), COLOURS)
    over = (WHITE, *COLOURS[1:])
    data = start + _control(0) + pixels + _END
    yield ImageKind("gif/transparent", "read", "a transparent entry is white", partial(bytes, data), over)
    data = start + _control(200) + pixels + _END
    yield ImageKind("gif/transparent-beyond-palette", "either", "no such entry", partial(bytes, data), COLOURS)
    for colours in (2, 16, 256):
        build = partial(_by_pillow, colours)
        yield ImageKind(f"gif/pillow-{colours}", "read", "compressed", build, COLOURS if colours > 4 else None)
    yield from _canvases(start, pixels)
    yield from _damaged(start, pixels)


def _by_pillow(colours: int) -> bytes:
    return encoded(Image.fromarray(quadrants(COLOURS)).quantize(colours), "GIF")


def _canvases(start: bytes, pixels: bytes) -> Iterator[ImageKind]:
    palette = _palette()
    for name, data, expectation in (
        ("frame-smaller", _start((96, 64), palette) + pixels + _END, "read"),
        ("frame-aside", _start((96, 64), palette) + _image(_lzw(_INDICES.tobytes()), at=(40, 30)) + _END, "read"),
        ("frame-beyond", _start((20, 20), palette) + pixels + _END, "either"),
        ("frame-far-beyond", start + _image(_lzw(_INDICES.tobytes()), at=(60_000, 60_000)) + _END, "either"),
        ("canvas-0", _start((0, 0), palette) + pixels + _END, "either"),
        ("canvas-12mp", _start((4000, 3000), palette) + pixels + _END, "either"),
        ("canvas-50mp", _start((7071, 7071), palette) + pixels + _END, "either"),
        ("canvas-65535", _start((65_535, 65_535), palette) + pixels + _END, "refused"),
        ("canvas-and-frame-65535", _start((65_535, 65_535), palette) + _image(b"\x44\1", (65_535, 65_535)), "refused"),
        ("frame-65535", start + _image(b"\x44\1", (65_535, 65_535)) + _END, "refused"),
        ("frame-0", start + _image(b"\x44\1", (0, 0)) + _END, "either"),
        ("frames-100000", start + pixels + _image(b"\x44\1", (1, 1)) * 100_000 + _END, "either"),
        ("extensions-million", start + b"!\xfe\0" * 1_000_000 + pixels + _END, "either"),
        ("comment-16-mb", start + b"!\xfe" + (b"\xff" + bytes(255)) * 65_000 + b"\0" + pixels + _END, "either"),
    ):
        yield ImageKind(f"gif/{name}", expectation, "canvas and frames that do not fit", partial(bytes, data))  # type: ignore[arg-type] # a literal


def _damaged(start: bytes, pixels: bytes) -> Iterator[ImageKind]:
    half = _lzw(_INDICES[:16].tobytes())
    yield ImageKind("gif/no-end", "either", "whole pixels", partial(bytes, start + pixels), COLOURS)
    for name, data in {
        "stream-ends-early": start + _image(half) + _END,
        "stream-cut": start + _image(half[: len(half) // 2]) + _END,
        "stream-empty": start + _image(b"") + _END,
        "no-frame": start + _END,
        "extensions-alone": start + b"!\xfe" + _blocks(b"hello") + _END,
    }.items():
        yield ImageKind(f"gif/{name}", "refused", "pixels are missing", partial(bytes, data))
    for name, data in {
        "no-palette": _start() + pixels + _END,
        "index-beyond-palette": _start(palette=_palette(entries=2)) + pixels + _END,
        "code-size-0": start + pixels[:10] + b"\0" + pixels[11:] + _END,
        "code-size-12": start + pixels[:10] + b"\x0c" + pixels[11:] + _END,
        "code-beyond-table": start + _image(b"\xff" * 100) + _END,
        "only-clear-codes": start + _image(b"\x24\x49\x92" * 100_000) + _END,
    }.items():
        yield ImageKind(f"gif/{name}", "either", "a damaged file", partial(bytes, data))


def _flat(width: int, height: int) -> bytes:
    return encoded(Image.new("P", (width, height)), "GIF", palette=_palette())


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    yield ImageKind("gif/12mp", "read", "12 megapixels", partial(_flat, 4000, 3000))
    yield ImageKind("gif/24mp", "either", "24 megapixels", partial(_flat, 6000, 4000))
    yield ImageKind("gif/50mp", "either", "50 megapixels", partial(_flat, 7071, 7071))
    yield ImageKind("gif/12mp-transparent", "read", "12 megapixels", partial(_transparent, 4000, 3000))


def _transparent(width: int, height: int) -> bytes:
    return encoded(Image.new("P", (width, height)), "GIF", palette=_palette(), transparency=0)
