"""PNG: every bit depth and colour type, invalid chunks, truncated streams, bombs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from scones_ml.testing.kinds import Corners, ImageKind, icc
from scones_ml.testing.kinds.drawing import (
    BLACK_WHITE,
    COLOURS,
    GREYS,
    SIZE,
    WHITE,
    encoded,
    photo,
    quadrants,
    shown_grey,
)

__all__ = ["SIGNATURE", "chunk", "header", "kinds", "large", "png", "zeros"]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_PLTE = np.asarray(COLOURS, np.uint8).tobytes()
_BY_COLOUR = {_GREY: "grey", _RGB: "rgb", _PALETTE: "palette", _GREY_ALPHA: "grey-alpha", _RGBA: "rgba"}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}

Chunks = Sequence[tuple[bytes, bytes]]


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """One chunk, with a correct CRC unless one is given."""
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def header(width: int, height: int, depth: int = 8, colour: int = _RGB, interlace: int = 0) -> tuple[bytes, bytes]:
    """The IHDR chunk, name and body."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)


def png(*chunks: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A file of these chunks."""
    return SIGNATURE + b"".join(chunk(*one) for one in chunks) + (chunk(b"IEND", b"") if end else b"")


def zeros(size: int, level: int = 9) -> bytes:
    """A zlib stream of so many zeros, built in parts."""
    squeeze, piece = zlib.compressobj(level), bytes(2**20)
    return b"".join(squeeze.compress(piece[: min(2**20, size - at)]) for at in range(0, size, 2**20)) + squeeze.flush()


def _raw(samples: npt.NDArray[np.unsignedinteger], depth: int) -> bytes:
    """Filter bytes and packed rows of samples (H, W, C)."""
    rows = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8)
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(len(rows), -1), axis=1)
    return np.insert(packed.reshape(len(rows), -1), 0, 0, axis=1).tobytes()


def _stream(samples: npt.NDArray[np.unsignedinteger], depth: int, interlaced: bool = False) -> bytes:
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in _ADAM7] if interlaced else [samples]
    return zlib.compress(b"".join(_raw(part, depth) for part in passes if part.size))


def _samples(colour: int, depth: int, alpha: int = 255) -> npt.NDArray[np.unsignedinteger]:
    """The quadrants as samples (H, W, C) of this depth."""
    if colour == _PALETTE:
        return quadrants([0, 1, 2 if depth > 1 else 1, 3 if depth > 1 else 0])[..., None]
    if colour in (_RGB, _RGBA):
        values = quadrants(COLOURS)
    else:
        values = quadrants(BLACK_WHITE if depth == 1 else _two_bits(GREYS) if depth == 2 else GREYS)[..., None]
    if colour in (_GREY_ALPHA, _RGBA):
        values = np.concatenate([values, np.full((*values.shape[:2], 1), alpha, np.uint8)], axis=2)
    return values.astype(np.uint16) * np.uint16(257) if depth == 16 else values >> np.uint8(8 - depth)


def _two_bits(levels: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (round(level / 85) * 85 for level in levels)
    return first, second, third, fourth


def _shown(colour: int, depth: int) -> Corners:
    if colour in (_RGB, _RGBA):
        return COLOURS
    if colour == _PALETTE:
        return COLOURS if depth > 1 else (COLOURS[0], COLOURS[1], COLOURS[1], COLOURS[0])
    return shown_grey(BLACK_WHITE if depth == 1 else _two_bits(GREYS) if depth == 2 else GREYS)


def _file(
    colour: int, depth: int = 8, interlaced: bool = False, before: Chunks = (), after: Chunks = (), alpha: int = 255
) -> bytes:
    plte = [(b"PLTE", _PLTE[: 3 << depth])] if colour == _PALETTE else []
    pixels = _stream(_samples(colour, depth, alpha), depth, interlaced)
    return png(header(*SIZE, depth, colour, interlaced), *plte, *before, (b"IDAT", pixels), *after)


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    yield from _depths()
    yield from _transparency()
    yield from _palettes()
    yield from _streams()
    yield from _lies()
    yield from _profiles()
    yield from _metadata()
    yield from _animations()


def _depths() -> Iterator[ImageKind]:
    for colour, depths in _DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                name = f"png/{_BY_COLOUR[colour]}-{depth}" + ("-interlaced" if interlaced else "")
                build = partial(_file, colour, depth, interlaced)
                yield ImageKind(name, "read", "a colour type and depth of the standard", build, _shown(colour, depth))


def _transparency() -> Iterator[ImageKind]:
    over_white = (WHITE, *COLOURS[1:])
    for depth in (1, 2, 4, 8, 16):
        shown = _shown(_GREY, depth)
        level = int(_samples(_GREY, depth)[0, 0, 0])
        clear = tuple(WHITE if colour == shown[0] else colour for colour in shown)
        build = partial(_file, _GREY, depth, before=[(b"tRNS", struct.pack(">H", level))])
        yield ImageKind(f"png/grey-{depth}-trns", "read", "one grey level is transparent: white", build, clear)  # type: ignore[arg-type] # four
    for depth, factor in ((8, 1), (16, 257)):
        trns = struct.pack(">HHH", *(factor * level for level in COLOURS[0]))
        build = partial(_file, _RGB, depth, before=[(b"tRNS", trns)])
        yield ImageKind(f"png/rgb-{depth}-trns", "read", "one colour is transparent: white", build, over_white)
    for depth in (2, 4, 8):
        build = partial(_file, _PALETTE, depth, before=[(b"tRNS", b"\0")])
        yield ImageKind(f"png/palette-{depth}-trns", "read", "one entry is transparent: white", build, over_white)
    half = tuple(tuple((level + 255) // 2 for level in colour) for colour in COLOURS)
    for colour, depth in ((_RGBA, 8), (_RGBA, 16)):
        build = partial(_file, colour, depth, alpha=0)
        yield ImageKind(f"png/alpha-0-{depth}", "read", "all is transparent over colours", build, (WHITE,) * 4)
        build = partial(_file, colour, depth, alpha=128)
        yield ImageKind(f"png/alpha-half-{depth}", "read", "composited on white", build, half, 4)  # type: ignore[arg-type] # four
    build = partial(_file, _GREY_ALPHA, 8, alpha=0)
    yield ImageKind("png/grey-alpha-0", "read", "all is transparent", build, (WHITE,) * 4)
    for name, trns in {"long": b"\xff" * 300, "empty": b"", "grey-short": b"\0"}.items():
        colour = _GREY if name.startswith("grey") else _PALETTE
        build = partial(_file, colour, before=[(b"tRNS", trns)])
        yield ImageKind(f"png/trns-{name}", "either", "transparency of a wrong length", build)


def _palettes() -> Iterator[ImageKind]:
    pixels = (b"IDAT", _stream(_samples(_PALETTE, 8), 8))
    size = header(*SIZE, 8, _PALETTE)
    yield ImageKind("png/palette-missing", "refused", "palette pixels without a palette", partial(png, size, pixels))
    for name, plte in {
        "empty": b"",
        "short": _PLTE[:6],
        "odd": _PLTE[:7],
        "long": _PLTE * 80,
        "very-long": _PLTE * 10_000,
    }.items():
        build = partial(png, size, (b"PLTE", plte), pixels)
        yield ImageKind(f"png/palette-{name}", "either", "a palette of a wrong length", build)
    build = partial(png, size, pixels, (b"PLTE", _PLTE))
    yield ImageKind("png/palette-after-pixels", "either", "the palette comes too late", build)
    build = partial(_file, _RGB, before=[(b"PLTE", _PLTE)])
    yield ImageKind("png/rgb-with-palette", "read", "a suggested palette", build, COLOURS)


def _cut_stream(share: float, colour: int = _RGB) -> bytes:
    rows = _raw(photo(200, 150)[..., : 3 if colour == _RGB else 1], 8)
    plte = [(b"PLTE", _PLTE * 64)] if colour == _PALETTE else []
    return png(header(200, 150, 8, colour), *plte, (b"IDAT", zlib.compress(rows[: int(len(rows) * share)])))


def _streams() -> Iterator[ImageKind]:
    for colour in (_RGB, _GREY, _PALETTE):
        for share in (0.0, 0.1, 0.5, 0.9, 0.995):
            name = f"png/{_BY_COLOUR[colour]}-stream-of-{round(share * 1000)}-permille"
            build = partial(_cut_stream, share, colour)
            yield ImageKind(name, "refused", "the pixel stream ends early, and whole", build)
    size, stream = header(*SIZE), _stream(_samples(_RGB, 8), 8)
    bomb = partial(_idat_bomb, 300_000_000)
    yield ImageKind("png/stream-bomb", "either", "the pixel stream goes on for 300 MB", bomb)
    for name, data in {
        "no-idat": (),
        "empty-idat": ((b"IDAT", b""),),
        "not-zlib": ((b"IDAT", b"\xff" * 200),),
    }.items():
        yield ImageKind(f"png/{name}", "refused", "no pixel stream", partial(png, size, *data))
    for name, data in {
        "bad-adler": ((b"IDAT", stream[:-4] + b"\0\0\0\0"),),
        "no-adler": ((b"IDAT", stream[:-4]),),
        "gap-in-idat": ((b"IDAT", stream[:20]), (b"tEXt", b"a\0b"), (b"IDAT", stream[20:])),
        "unknown-filter": ((b"IDAT", zlib.compress(b"\7" + bytes(3 * SIZE[0])) * SIZE[1]),),
        "unknown-critical-chunk": ((b"XXXX", b""), (b"IDAT", stream)),
    }.items():
        yield ImageKind(f"png/{name}", "either", "a damaged stream", partial(png, size, *data))
    ones = [(b"IDAT", stream[at : at + 1]) for at in range(len(stream))]
    yield ImageKind("png/idat-bytes", "read", "a chunk for each byte", partial(png, size, *ones), COLOURS)
    empty = [(b"IDAT", b"")] * 3
    build = partial(png, size, *empty, (b"IDAT", stream), *empty)
    yield ImageKind("png/idat-empty-around", "either", "empty chunks around the stream", build, COLOURS)
    build = partial(png, size, (b"IDAT", stream), end=False)
    yield ImageKind("png/no-end", "either", "whole pixels, no IEND", build, COLOURS)
    whole = png(size, (b"IDAT", stream))
    for name, tail in {"zip": b"PK\3\4 payload", "zeros": bytes(5000), "png": whole}.items():
        yield ImageKind(f"png/trailing-{name}", "read", "bytes after the end", partial(bytes, whole + tail), COLOURS)


def _idat_bomb(size: int) -> bytes:
    return png(header(*SIZE), (b"IDAT", zeros(size)))


def _lies() -> Iterator[ImageKind]:
    size, stream = header(*SIZE), (b"IDAT", _stream(_samples(_RGB, 8), 8))
    name, body = stream
    bad = SIGNATURE + chunk(*size) + chunk(name, body, crc=1) + chunk(b"IEND", b"")
    yield ImageKind("png/bad-crc-of-pixels", "either", "the checksum is wrong", partial(bytes, bad))
    bad = SIGNATURE + chunk(*size) + chunk(b"tEXt", b"a\0b", crc=1) + chunk(name, body) + chunk(b"IEND", b"")
    yield ImageKind("png/bad-crc-of-text", "either", "the checksum of a comment is wrong", partial(bytes, bad), COLOURS)
    bad = SIGNATURE + chunk(*size, crc=1) + chunk(name, body) + chunk(b"IEND", b"")
    yield ImageKind("png/bad-crc-of-header", "refused", "the checksum of the header is wrong", partial(bytes, bad))
    long = SIGNATURE + chunk(*size) + struct.pack(">I", 2**31 - 1) + b"IDAT" + body
    yield ImageKind("png/length-beyond-file", "either", "a chunk announces 2 GB", partial(bytes, long), COLOURS)
    for label, wrong in {
        "size-0": header(0, 32),
        "size-0-high": header(48, 0),
        "size-2-31": header(2**31 - 1, 2**31 - 1),
        "size-2-32": header(2**32 - 1, 1),
        "depth-3": header(*SIZE, 3),
        "depth-rgb-1": header(*SIZE, 1, _RGB),
        "colour-5": header(*SIZE, 8, 5),
        "header-short": (b"IHDR", size[1][:9]),
    }.items():
        yield ImageKind(f"png/{label}", "refused", "an impossible header", partial(png, wrong, stream))
    for label, wrong in {"interlace-2": header(*SIZE, interlace=2), "wider-than-stream": header(60, 32)}.items():
        yield ImageKind(f"png/{label}", "either", "a header that does not fit", partial(png, wrong, stream))
    build = partial(png, stream)
    yield ImageKind("png/no-header", "refused", "pixels without a header", build)
    yield ImageKind("png/two-headers", "either", "a second header", partial(png, size, header(9, 9), stream))
    build = partial(png, (b"CgBI", b"\x50\0\x20\2"), size, stream)
    yield ImageKind("png/cgbi", "either", "Apple's private variant", build)


def _profiles() -> Iterator[ImageKind]:
    for profile in icc.profiles():
        iccp = b"profile\0\0" + zlib.compress(profile.data)
        corners = profile.corners
        build = partial(_file, _RGB, before=[(b"iCCP", iccp)])
        yield ImageKind(f"png/icc-{profile.name}", profile.expectation, profile.why, build, corners, 6)
    for name, body in {"no-name": b"", "not-zlib": b"p\0\0nothing", "method-1": b"p\0\1" + zlib.compress(b"x")}.items():
        build = partial(_file, _RGB, before=[(b"iCCP", body)])
        yield ImageKind(f"png/icc-{name}", "either", "a profile chunk that cannot be read", build, COLOURS)
    build = partial(_with_bomb, b"iCCP", b"p\0\0")
    yield ImageKind("png/icc-bomb", "either", "a profile of 200 MB in 200 kB", build, COLOURS)
    for name, body in {"gamma-1": struct.pack(">I", 100_000), "gamma-0": bytes(4), "gamma-short": b"\0"}.items():
        build = partial(_file, _RGB, before=[(b"gAMA", body)])
        yield ImageKind(f"png/{name}", "either", "gamma is not applied, or may be wrong", build)


def _with_bomb(name: bytes, start: bytes) -> bytes:
    return _file(_RGB, before=[(name, start + zeros(200_000_000))])


def _metadata() -> Iterator[ImageKind]:
    for name, body in {
        "text": b"Comment\0hello",
        "text-no-key": b"",
        "text-8-mb": b"Comment\0" + b"x" * 8_000_000,
        "ztxt": b"Comment\0\0" + zlib.compress(b"hello"),
        "ztxt-broken": b"Comment\0\0hello",
        "itxt": "Titre\0\0\0fr\0Titre\0été".encode(),
        "itxt-not-utf-8": b"Titre\0\0\0fr\0Titre\0\xff\xfe",
        "itxt-short": b"Titre",
    }.items():
        tag = {"t": b"tEXt", "z": b"zTXt", "i": b"iTXt"}[name[0]]
        build = partial(_file, _RGB, before=[(tag, body)])
        yield ImageKind(f"png/{name}", "either" if "8" in name else "read", "a comment", build, COLOURS)
    for tag, start in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        build = partial(_with_bomb, tag, start)
        yield ImageKind(f"png/{tag.decode().lower()}-bomb", "either", "a comment of 200 MB in 200 kB", build, COLOURS)
    for name, many in {"text-chunks-1000": 1000, "text-chunks-100000": 100_000}.items():
        build = partial(_many_chunks, chunk(b"tEXt", b"a\0b"), many)
        yield ImageKind(f"png/{name}", "either", "many comments", build, COLOURS)
    for name, one in {"private": chunk(b"prVt", b""), "pixel": chunk(b"IDAT", b"")}.items():
        build = partial(_many_chunks, one, 1_000_000)
        yield ImageKind(f"png/million-{name}-chunks", "either", "a million empty chunks", build, COLOURS)
    for body in (b"", b"\0" * 9, struct.pack(">IIB", 0, 0, 1), struct.pack(">IIB", 2**31, 1, 1)):
        build = partial(_file, _RGB, before=[(b"pHYs", body)])
        yield ImageKind(f"png/resolution-{body.hex() or 'empty'}", "either", "an odd resolution", build, COLOURS)


def _many_chunks(one: bytes, many: int) -> bytes:
    pixels = chunk(b"IDAT", _stream(_samples(_RGB, 8), 8))
    return b"".join([SIGNATURE, chunk(*header(*SIZE)), one * many, pixels, chunk(b"IEND", b"")])


def _animations() -> Iterator[ImageKind]:
    for frames in (1, 3):
        build = partial(_apng, frames)
        yield ImageKind(f"png/animated-{frames}", "read", "the first frame is used", build, COLOURS)
    build = partial(_file, _RGB, before=[(b"acTL", struct.pack(">II", 2**31 - 1, 0))])
    yield ImageKind("png/animated-claims", "either", "announces two billion frames", build)
    build = partial(_many_frames, 50_000)
    yield ImageKind("png/animated-50000", "either", "very many frames", build)


def _apng(frames: int) -> bytes:
    first = Image.fromarray(quadrants(COLOURS))
    more = [Image.new("RGB", SIZE, (number, 0, 0)) for number in range(1, frames)]
    return encoded(first, "PNG", save_all=True, append_images=more)


def _many_frames(frames: int) -> bytes:
    control = struct.pack(">IIIIHHBB", 1, 1, 0, 0, 1, 10, 0, 0)
    one, body = zlib.compress(b"\0\1\2\3"), [chunk(b"acTL", struct.pack(">II", frames, 0))]
    body.append(chunk(b"IDAT", _stream(_samples(_RGB, 8), 8)))
    for number in range(frames):
        body.append(chunk(b"fcTL", struct.pack(">I", 2 * number) + control))
        body.append(chunk(b"fdAT", struct.pack(">I", 2 * number + 1) + one))
    return SIGNATURE + chunk(*header(*SIZE)) + b"".join(body) + chunk(b"IEND", b"")


def _plain(width: int, height: int, depth: int, colour: int, interlace: int = 0) -> bytes:
    """Pixels with all samples zero, which are cheap to build."""
    samples = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}[colour]
    shapes = (
        [(-(-(width - x) // dx), -(-(height - y) // dy)) for y, x, dy, dx in _ADAM7] if interlace else [(width, height)]
    )
    size = sum(rows * (1 + -(-columns * samples * depth // 8)) for columns, rows in shapes if columns > 0 < rows)
    plte = [(b"PLTE", _PLTE)] if colour == _PALETTE else []
    return png(header(width, height, depth, colour, interlace), *plte, (b"IDAT", zeros(size, 1)))


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    for colour, depth in ((_GREY, 8), (_GREY, 16), (_RGB, 8), (_RGBA, 8), (_PALETTE, 8), (_GREY_ALPHA, 8)):
        build = partial(_plain, 4000, 3000, depth, colour)
        yield ImageKind(f"png/12mp-{_BY_COLOUR[colour]}-{depth}", "read", "12 megapixels", build)
    build = partial(_photograph, 4000, 3000)
    yield ImageKind("png/12mp-photograph", "read", "12 megapixels that compress badly", build)
    for colour, depth in ((_RGB, 16), (_RGBA, 16)):
        build = partial(_plain, 4000, 3000, depth, colour)
        yield ImageKind(f"png/12mp-{_BY_COLOUR[colour]}-{depth}", "either", "12 megapixels of 16 bits", build)
    build = partial(_plain, 4000, 3000, 8, _RGB, 1)
    yield ImageKind("png/12mp-interlaced", "read", "12 megapixels in seven passes", build)
    yield ImageKind("png/24mp-rgb", "read", "24 megapixels", partial(_plain, 6000, 4000, 8, _RGB))
    for colour, depth, interlace in ((_RGBA, 8, 0), (_RGB, 8, 1), (_GREY, 16, 0), (_PALETTE, 8, 0), (_RGBA, 16, 0)):
        name = f"png/24mp-{_BY_COLOUR[colour]}-{depth}" + ("-interlaced" if interlace else "")
        build = partial(_plain, 6000, 4000, depth, colour, interlace)
        yield ImageKind(name, "either", "24 megapixels", build)
    for colour, depth in ((_RGBA, 8), (_RGB, 8), (_PALETTE, 8), (_GREY, 16), (_GREY, 1), (_RGBA, 16)):
        build = partial(_plain, 7071, 7071, depth, colour)
        yield ImageKind(f"png/50mp-{_BY_COLOUR[colour]}-{depth}", "either", "50 megapixels in a small file", build)
    for width, height in ((1, 50_000_000), (50_000_000, 1), (1_000_000, 50)):
        build = partial(_plain, width, height, 1, _GREY)
        yield ImageKind(f"png/{width}x{height}", "either", "a side far beyond the limit", build)
    for width, height in ((1, 60_000), (60_000, 1), (20_000, 600)):
        yield ImageKind(f"png/{width}x{height}", "either", "a long side", partial(_plain, width, height, 8, _RGB))
    build = partial(_plain, 30_000, 30_000, 1, _GREY)
    yield ImageKind("png/900mp", "refused", "900 megapixels of one bit", build)


def _photograph(width: int, height: int) -> bytes:
    rows = np.insert(photo(width, height).reshape(height, -1), 0, 0, axis=1)
    return png(header(width, height), (b"IDAT", zlib.compress(rows.tobytes(), 1)))
