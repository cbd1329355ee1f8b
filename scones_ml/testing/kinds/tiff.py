"""TIFF: sample formats, photometric interpretations, layouts, compressions, invalid directories."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from scones_ml.testing.kinds import Corners, Expectation, ImageKind, icc
from scones_ml.testing.kinds.drawing import (
    BLACK_WHITE,
    COLOURS,
    GREYS,
    LOSSY,
    SIZE,
    WHITE,
    Array,
    encoded,
    photo,
    quadrants,
    shown_grey,
)
from scones_ml.testing.kinds.png import zeros

__all__ = ["BYTES", "directory", "kinds", "large", "tiff"]

BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Size of one value of each type, in bytes."""
_CODES: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC, _LAB = 0, 1, 2, 3, 5, 6, 8
Tags = Mapping[int, tuple[int, ...]]
Samples = npt.NDArray[np.generic]


def directory(
    entries: list[tuple[int, int, int, bytes]], at: int, order: str = "<", following: int = 0, big: bool = False
) -> bytes:
    """A directory at an offset, followed by the values that do not fit in it.

    Args:
        entries: tag, type, count and the value's bytes.
        at: the directory's offset.
        order: ``"<"`` or ``">"``.
        following: offset of the next directory.
        big: BigTIFF.
    """
    head, item, fits = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    end = at + struct.calcsize(order + head) + len(entries) * (12 if not big else 20) + fits
    table, values = [struct.pack(order + head, len(entries))], b""
    for tag, kind, count, value in sorted(entries, key=lambda one: one[0]):
        place = value.ljust(fits, b"\0")
        if len(value) > fits:
            place = struct.pack(order + ("Q" if big else "I"), end + len(values))
            values += value + bytes(len(value) % 2)
        table.append(struct.pack(order + item, tag, kind, count) + place)
    table.append(struct.pack(order + ("Q" if big else "I"), following))
    return b"".join(table) + values


def tiff(
    pixels: list[bytes],
    size: tuple[int, int],
    tags: Tags,
    order: str = "<",
    big: bool = False,
    following: int = 0,
    extra: list[tuple[int, int, int, bytes]] | None = None,
) -> bytes:
    """A file: its strips or tiles, then one directory.

    Args:
        pixels: the strips, or the tiles where tag 322 is given.
        size: width and height.
        tags: additional or replacing tags: SHORT if all values fit, else LONG.
        order: ``"<"`` or ``">"``.
        big: BigTIFF.
        following: offset of the next directory.
        extra: additional raw entries.
    """
    start = 16 if big else 8
    offsets = (
        [start + sum(map(len, pixels[:n])) for n in range(len(pixels))] if len(pixels) < 2000 else [start] * len(pixels)
    )
    places, counts = (324, 325) if 322 in tags else (273, 279)
    fields: dict[int, tuple[int, ...]] = {256: (size[0],), 257: (size[1],), 258: (8,), 259: (1,), 262: (1,), 277: (1,)}
    fields |= {places: tuple(offsets), counts: tuple(map(len, pixels))}
    if 322 not in tags:
        fields[278] = (-(-size[1] // len(pixels)),)
    entries = list(extra or [])
    for tag, values in (fields | dict(tags)).items():
        kind = 3 if max(values) < 2**16 else 4
        entries.append((tag, kind, len(values), struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)))
    body = b"".join(pixels)
    body += bytes(len(body) % 2)
    at = start + len(body)
    magic = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at)
    return magic + head + body + directory(entries, at, order, following, big)


def _grey(levels: tuple[int, int, int, int] = GREYS) -> Array:
    return quadrants(levels)


def _image(samples: Samples, photometric: int, tags: Tags | None = None, order: str = "<", big: bool = False) -> bytes:
    """One uncompressed strip of samples (H, W) or (H, W, C), in the file's byte order."""
    many = samples.shape[2] if samples.ndim == 3 else 1
    bits = samples.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    fields = {258: (bits,) * many, 262: (photometric,), 277: (many,), 339: (kind,) * many}
    data = samples.astype(samples.dtype.newbyteorder("<" if order == "<" else ">")).tobytes()
    return tiff([data], (samples.shape[1], samples.shape[0]), fields | dict(tags or {}), order, big)


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    yield from _sample_formats()
    yield from _few_bits()
    yield from _colours()
    yield from _layouts()
    yield from _compressions()
    yield from _directories()
    yield from _lies()


def _sample_formats() -> Iterator[ImageKind]:
    for order, endian in (("<", "little"), (">", "big")):
        for zero, photometric in (("black", _BLACK_IS_ZERO), ("white", _WHITE_IS_ZERO)):
            shown = shown_grey(GREYS)
            stored = _grey() if zero == "black" else 255 - _grey()
            name = f"tiff/{{}}-{zero}-is-zero-{endian}"
            for bits, factor in ((8, 1), (16, 257), (32, 16_843_009)):
                samples = stored.astype(f"u{bits // 8}") * np.uint64(factor)
                build = partial(_image, samples.astype(f"u{bits // 8}"), photometric, None, order)
                must: Expectation = "read" if bits < 32 and (bits < 16 or zero == "black") else "either"
                yield ImageKind(name.format(f"uint{bits}"), must, "grey of so many bits", build, shown)
            for dtype in ("u8", "i1", "i2", "i4", "f2", "f4", "f8"):
                levels = stored.astype(np.float64) / (1 if dtype[0] != "f" else 255)
                build = partial(
                    _image,
                    levels.astype(np.int64).astype(dtype) if dtype[0] != "f" else levels.astype(dtype),
                    photometric,
                    None,
                    order,
                )
                yield ImageKind(name.format(np.dtype(dtype).name), "either", "its range is undefined", build)


def _few_bits() -> Iterator[ImageKind]:
    for bits in (1, 2, 4):
        levels = BLACK_WHITE if bits == 1 else tuple(round(level / 85) * 85 for level in GREYS) if bits == 2 else GREYS
        for zero, photometric in (("black", _BLACK_IS_ZERO), ("white", _WHITE_IS_ZERO)):
            samples = quadrants(levels) >> np.uint8(8 - bits)
            stored = samples if zero == "black" else np.uint8((1 << bits) - 1) - samples
            for fill in (1, 2):
                packed = np.packbits(
                    np.unpackbits(stored[..., None], axis=2)[..., 8 - bits :].reshape(SIZE[1], -1), axis=1
                )
                if fill == 2:
                    packed = np.packbits(np.unpackbits(packed, axis=1, bitorder="little"), axis=None).reshape(
                        packed.shape
                    )
                build = partial(tiff, [packed.tobytes()], SIZE, {258: (bits,), 262: (photometric,), 266: (fill,)})
                name = f"tiff/grey-{bits}-{zero}-is-zero" + ("-bits-reversed" if fill == 2 else "")
                must: Expectation = "read" if fill == 1 else "either"
                yield ImageKind(name, must, "grey of few bits", build, shown_grey(levels))  # type: ignore[arg-type] # four
    indices = quadrants([0, 1, 2, 3])
    for bits in (4, 8):
        table = np.zeros((3, 1 << bits), np.uint16)
        table[:, :4] = np.asarray(COLOURS, np.uint16).T * 257
        data = indices if bits == 8 else indices[:, ::2] << 4 | indices[:, 1::2]
        fields = {258: (bits,), 262: (_PALETTE,), 320: tuple(map(int, table.ravel()))}
        yield ImageKind(
            f"tiff/palette-{bits}", "read", "a palette", partial(tiff, [data.tobytes()], SIZE, fields), COLOURS
        )
    build = partial(tiff, [indices.tobytes()], SIZE, {262: (_PALETTE,)})
    yield ImageKind("tiff/palette-missing", "refused", "palette pixels without a palette", build)


def _colours() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    for order, endian in (("<", "little"), (">", "big")):
        for bits, factor in ((8, 1), (16, 257)):
            build = partial(_image, rgb.astype(f"u{bits // 8}") * factor, _RGB, None, order)
            build = partial(_image, (rgb.astype("u2") * factor).astype(f"u{bits // 8}"), _RGB, None, order)
            yield ImageKind(f"tiff/rgb-{bits}-{endian}", "read" if bits == 8 else "either", "colours", build, COLOURS)
    for dtype in ("u4", "f4"):
        build = partial(_image, rgb.astype(dtype), _RGB)
        yield ImageKind(f"tiff/rgb-{dtype}", "either", "its range is undefined", build)
    opaque = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    for name, alpha, over in (("opaque", opaque, COLOURS), ("clear", 0 * opaque, (WHITE,) * 4)):
        build = partial(_image, np.concatenate([rgb, alpha], axis=2), _RGB, {338: (2,)})
        yield ImageKind(f"tiff/alpha-{name}", "read", "composited on white", build, over)
    half = np.concatenate([rgb // 2, opaque // 2], axis=2)
    build = partial(_image, half, _RGB, {338: (1,)})
    shown: Corners = tuple(tuple(level // 2 + 128 for level in colour) for colour in COLOURS)  # type: ignore[assignment] # four
    yield ImageKind("tiff/alpha-premultiplied", "read", "composited on white", build, shown, 4)
    build = partial(_image, np.concatenate([rgb, opaque // 3], axis=2), _RGB, {338: (0,)})
    yield ImageKind("tiff/extra-channel", "either", "a fourth channel other than opacity", build)
    build = partial(_image, np.concatenate([_grey()[..., None], opaque], axis=2), _BLACK_IS_ZERO, {338: (2,)})
    yield ImageKind("tiff/grey-alpha", "either", "composited on white", build, shown_grey(GREYS))
    build = partial(_image, np.concatenate([255 - rgb, 0 * opaque], axis=2), _CMYK)
    yield ImageKind("tiff/cmyk", "read", "ink", build, COLOURS, LOSSY)
    ycc = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    build = partial(_image, ycc, _YCC, {530: (1, 1)})
    yield ImageKind("tiff/ycc", "either", "luma and chroma, uncompressed", build, COLOURS, LOSSY)
    build = partial(_image, rgb, _LAB)
    yield ImageKind("tiff/lab", "either", "CIE Lab", build)
    for profile in icc.profiles():
        entries = [(34675, 7, len(profile.data), profile.data)]
        fields = {258: (8, 8, 8), 262: (_RGB,), 277: (3,)}
        build = partial(tiff, [rgb.tobytes()], SIZE, fields, extra=entries)
        yield ImageKind(f"tiff/icc-{profile.name}", profile.expectation, profile.why, build, profile.corners, 6)


def _layouts() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    three: dict[int, tuple[int, ...]] = {258: (8, 8, 8), 262: (_RGB,), 277: (3,)}
    strips = [rgb[row : row + 1].tobytes() for row in range(SIZE[1])]
    yield ImageKind("tiff/strip-for-each-row", "read", "strips", partial(tiff, strips, SIZE, three), COLOURS)
    planes = [np.ascontiguousarray(rgb[..., n]).tobytes() for n in range(3)]
    build = partial(tiff, planes, SIZE, three | {284: (2,), 278: (SIZE[1],)})
    yield ImageKind("tiff/planes", "read", "a plane for each colour", build, COLOURS)
    tiles = [np.ascontiguousarray(rgb[y : y + 16, x : x + 16]).tobytes() for y in (0, 16) for x in (0, 16, 32)]
    for name, parts, fields in (
        ("tiles", tiles, {}),
        ("tiles-deflate", [zlib.compress(tile) for tile in tiles], {259: (8,)}),
    ):
        build = partial(tiff, parts, SIZE, three | {322: (16,), 323: (16,)} | fields)
        yield ImageKind(f"tiff/{name}", "read", "tiles", build, COLOURS)
    build = partial(_image, rgb, _RGB, None, "<", True)
    yield ImageKind("tiff/big", "either", "BigTIFF", build, COLOURS)
    build = partial(_image, rgb, _RGB, None, ">", True)
    yield ImageKind("tiff/big-big-endian", "either", "BigTIFF", build, COLOURS)


def _compressions() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    for name in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"):
        build = partial(encoded, rgb, "TIFF", compression=name)
        must: Expectation = "either" if name in ("zstd", "lzma") else "read"
        yield ImageKind(f"tiff/{name.removeprefix('tiff_')}", must, "compressed", build, COLOURS, LOSSY)
    build = partial(encoded, rgb, "TIFF", compression="jpeg", quality=95)
    yield ImageKind("tiff/jpeg", "read", "compressed", build, COLOURS, LOSSY)
    build = partial(encoded, rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield ImageKind("tiff/lzw-predictor", "read", "compressed, differences", build, COLOURS)
    two = Image.fromarray(quadrants(BLACK_WHITE)).convert("1")
    for name in ("group3", "group4", "tiff_ccitt", "packbits"):
        build = partial(encoded, two, "TIFF", compression=name)
        yield ImageKind(f"tiff/fax-{name.removeprefix('tiff_')}", "read", "one bit", build, shown_grey(BLACK_WHITE))
    for number in (6, 7, 34_712, 34_887, 50_002, 65_535):
        build = partial(_image, rgb, _RGB, {259: (number,)})
        yield ImageKind(f"tiff/compression-{number}", "refused", "a wrong compression", build)
    half = [zlib.compress(rgb[:3].tobytes())]
    build = partial(tiff, half, SIZE, {258: (8, 8, 8), 259: (8,), 262: (_RGB,), 277: (3,), 278: (SIZE[1],)})
    yield ImageKind("tiff/deflate-ends-early", "refused", "the pixel stream ends early", build)
    build = partial(_deflate_bomb, SIZE, 300_000_000)
    yield ImageKind("tiff/deflate-bomb", "either", "the pixel stream goes on for 300 MB", build)


def _deflate_bomb(size: tuple[int, int], inflated: int) -> bytes:
    return tiff([zeros(inflated, 1)], size, {258: (8, 8, 8), 259: (8,), 262: (_RGB,), 277: (3,)})


def _directories() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    at = struct.unpack_from("<I", _image(rgb, _RGB), 4)[0]
    for name, following in {"itself": at, "beyond": 2**31, "start": 0, "odd": 3}.items():
        data = tiff([rgb.tobytes()], SIZE, {258: (8, 8, 8), 262: (_RGB,), 277: (3,)}, following=following)
        yield ImageKind(f"tiff/next-directory-{name}", "read", "the first page is used", partial(bytes, data), COLOURS)
    for pages in (3, 300):
        build = partial(_pages, pages)
        yield ImageKind(f"tiff/pages-{pages}", "read", "the first page is used", build, COLOURS)
    for tag, name in ((330, "sub-directory"), (34_665, "exif"), (34_853, "gps")):
        for label, place in (("itself", at), ("beyond", 2**31), ("zero", 0)):
            build = partial(_image, rgb, _RGB, {tag: (place,)})
            yield ImageKind(f"tiff/{name}-{label}", "read", "an invalid directory", build, COLOURS)


def _pages(pages: int) -> bytes:
    more = [Image.new("RGB", SIZE, (n % 256, 0, 0)) for n in range(1, pages)]
    return encoded(quadrants(COLOURS), "TIFF", save_all=True, append_images=more)


def _lies() -> Iterator[ImageKind]:
    rgb = quadrants(COLOURS)
    three: dict[int, tuple[int, ...]] = {258: (8, 8, 8), 262: (_RGB,), 277: (3,)}
    for name, fields, expectation in (
        ("0x32", {256: (0,)}, "refused"),
        ("48x0", {257: (0,)}, "refused"),
        ("30000x30000", {256: (30_000,), 257: (30_000,), 278: (30_000,)}, "refused"),
        ("2-32", {256: (2**32 - 1,), 257: (2**32 - 1,)}, "refused"),
        ("offset-beyond", {273: (2**31,)}, "refused"),
        ("offset-0", {273: (0,)}, "either"),
        ("length-0", {279: (0,)}, "either"),
        ("length-4-gb", {279: (2**32 - 1,)}, "either"),
        ("rows-per-strip-0", {278: (0,)}, "either"),
        ("rows-per-strip-4-billion", {278: (2**32 - 1,)}, "either"),
        ("bits-0", {258: (0, 0, 0)}, "either"),
        ("bits-uneven", {258: (5, 6, 5)}, "either"),
        ("bits-one-value", {258: (8,)}, "either"),
        ("samples-0", {277: (0,)}, "either"),
        ("samples-65535", {277: (65_535,)}, "either"),
        ("photometric-99", {262: (99,)}, "either"),
        ("tile-60000", {322: (60_000,), 323: (60_000,)}, "either"),
        ("tile-0", {322: (0,), 323: (16,)}, "either"),
        ("planar-9", {284: (9,)}, "either"),
    ):
        build = partial(tiff, [rgb.tobytes()], SIZE, three | fields)
        yield ImageKind(f"tiff/{name}", expectation, "an invalid directory", build)  # type: ignore[arg-type] # a literal
    for kind in BYTES:
        long = [(270, kind, 2**32 - 1, b"\xff\xff\xff\x7f!")]
        build = partial(tiff, [rgb.tobytes()], SIZE, three, extra=long)
        yield ImageKind(f"tiff/count-4-billion-{kind}", "either", "a value of 4 billion parts", build, COLOURS)
    text = [(270, 2, 8_000_000, b"x" * 8_000_000)]
    build = partial(tiff, [rgb.tobytes()], SIZE, three, extra=text)
    yield ImageKind("tiff/description-8-mb", "either", "a long comment", build, COLOURS)
    yield ImageKind("tiff/tags-60000", "either", "very many tags", _many_tags, COLOURS)
    yield ImageKind("tiff/strips-500000", "either", "very many strips", partial(_many_strips, 500_000))
    for name, data in {"no-directory": b"II*\0\0\0\0\0", "cut-directory": b"II*\0\x08\0\0\0\x09\0\0\1"}.items():
        yield ImageKind(f"tiff/{name}", "refused", "no directory", partial(bytes, data))


def _many_tags() -> bytes:
    extra = [(tag, 3, 1, b"\0\0") for tag in range(1_000, 61_000) if tag not in (32_997, 33_432, 34_665, 34_853)]
    return tiff([quadrants(COLOURS).tobytes()], SIZE, {258: (8, 8, 8), 262: (_RGB,), 277: (3,)}, extra=extra)


def _many_strips(strips: int) -> bytes:
    return tiff([b"\x80"] * strips, (8, strips), {258: (1,), 262: (1,)})


def _deflated(width: int, height: int, channels: int, bits: int, strips: int = 16) -> bytes:
    rows = -(-height // strips)
    sizes = [width * channels * bits // 8 * min(rows, height - rows * n) for n in range(strips)]
    photometric = {1: 1, 3: _RGB, 4: _CMYK}[channels]
    fields = {258: (bits,) * channels, 259: (8,), 262: (photometric,), 277: (channels,), 278: (rows,)}
    return tiff([zeros(size, 1) for size in sizes], (width, height), fields)


def _plain(width: int, height: int, channels: int) -> bytes:
    return tiff(
        [bytes(width * height * channels)],
        (width, height),
        {258: (8,) * channels, 262: ({1: 1, 3: 2}[channels],), 277: (channels,)},
    )


def _tiled(width: int, height: int, side: int) -> bytes:
    tile = zeros(side * side * 3, 1)
    many = -(-width // side) * -(-height // side)
    return tiff(
        [tile] * many, (width, height), {258: (8, 8, 8), 259: (8,), 262: (_RGB,), 277: (3,), 322: (side,), 323: (side,)}
    )


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        build = partial(_photograph, 4000, 3000, compression)
        yield ImageKind(f"tiff/12mp-{compression.removeprefix('tiff_')}", "read", "12 megapixels", build)
    yield ImageKind("tiff/12mp-uncompressed", "read", "12 megapixels", partial(_plain, 4000, 3000, 3))
    for channels, bits in ((1, 8), (1, 16), (4, 8)):
        build = partial(_deflated, 4000, 3000, channels, bits)
        yield ImageKind(f"tiff/12mp-{channels}x{bits}", "read", "12 megapixels", build)
    yield ImageKind("tiff/12mp-3x16", "either", "12 megapixels of 16 bits", partial(_deflated, 4000, 3000, 3, 16))
    yield ImageKind("tiff/12mp-one-strip", "read", "12 megapixels", partial(_deflated, 4000, 3000, 3, 8, 1))
    yield ImageKind("tiff/24mp-deflate", "read", "24 megapixels", partial(_deflated, 6000, 4000, 3, 8))
    yield ImageKind("tiff/24mp-tiles", "read", "24 megapixels", partial(_tiled, 6000, 4000, 256))
    yield ImageKind("tiff/24mp-one-strip", "read", "24 megapixels", partial(_deflated, 6000, 4000, 3, 8, 1))
    yield ImageKind("tiff/24mp-uncompressed", "either", "72 MB", partial(_plain, 6000, 4000, 3))
    for channels, bits in ((3, 8), (1, 8), (4, 8), (1, 16)):
        build = partial(_deflated, 7071, 7071, channels, bits)
        yield ImageKind(f"tiff/50mp-{channels}x{bits}", "either", "50 megapixels in a small file", build)
    yield ImageKind(
        "tiff/1x50000000", "refused", "a side far beyond the limit", partial(_deflated, 1, 50_000_000, 1, 8, 1)
    )


def _photograph(width: int, height: int, compression: str) -> bytes:
    pixels = photo(width, height)
    return encoded(pixels if compression == "jpeg" else pixels & np.uint8(0xE0), "TIFF", compression=compression)
