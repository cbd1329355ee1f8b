"""EXIF and XMP: orientation in every encoding, and together with every other tag as every type."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import features

from scones_ml.testing.kinds import Expectation, ImageKind
from scones_ml.testing.kinds.drawing import COLOURS, LOSSY, Array, encoded, quadrants
from scones_ml.testing.kinds.jpeg_writer import segment, with_segments
from scones_ml.testing.kinds.png import chunk
from scones_ml.testing.kinds.tiff import BYTES, directory, tiff

__all__ = ["exif", "kinds"]

_SIZE = (96, 64)
_ORIENTATION, _XP_TITLE = 0x0112, 0x9C9B
_TYPES = range(1, 14)
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}
_TAGS = (
    *(269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 333, 337, 531, 532, 700, 18246),
    *(33_432, 33_550, 33_723, 34_675, 37_510, _XP_TITLE, 42_016, 50_341, 50_708, 59_932),
)
"""Other tags that cameras and programs write, mostly strings."""

Entry = tuple[int, int, int, bytes]


def exif(entries: list[Entry], order: str = "<") -> bytes:
    """An EXIF block: a TIFF file with one directory and without pixels."""
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + directory(entries, 8, order)


def _turned(orientation: int) -> Array:
    """The pixels as stored, so that the rotated image shows the quadrants upright."""
    shown = quadrants(COLOURS, _SIZE)
    stored = {
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.transpose(1, 0, 2),
        6: np.rot90(shown, 1),
        7: shown.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(shown, -1),
    }.get(orientation, shown)
    return np.ascontiguousarray(stored)


def _entry(value: int, kind: int = 3, order: str = "<") -> Entry:
    if kind in _INTEGERS:
        code = order + _INTEGERS[kind]
        room = 8 * struct.calcsize(code)
        body = struct.pack(code.upper() if kind in (6, 8, 9) else code, value % (1 << room))
    elif kind in (5, 10):
        body = struct.pack(order + "II", value % 2**32, 1)
    elif kind in (11, 12):
        body = struct.pack(order + ("f" if kind == 11 else "d"), value)
    else:
        body = str(value).encode() + b"\0"
    return _ORIENTATION, kind, len(body) // BYTES[kind], body


def _jpeg(orientation: int, block: bytes) -> bytes:
    file = encoded(_turned(orientation), "JPEG", quality=95, subsampling=0)
    return with_segments(file, segment(0xE1, b"Exif\0\0" + block))


def kinds() -> Iterator[ImageKind]:
    """All of them."""
    yield from _formats()
    yield from _types()
    yield from _beside()
    yield from _broken()
    yield from _xmp()


def _formats() -> Iterator[ImageKind]:
    for orientation in range(1, 9):
        for order, endian in (("<", "little"), (">", "big")):
            block = exif([_entry(orientation, order=order)], order)
            name = f"exif/jpeg-{orientation}-{endian}"
            yield ImageKind(name, "read", "turned upright", partial(_jpeg, orientation, block), COLOURS, LOSSY)
        block = exif([_entry(orientation)])
        for file_format in ("PNG", "WEBP", *(["AVIF"] if features.check("avif") else [])):
            build = partial(_by_pillow, file_format, orientation, block)
            name = f"exif/{file_format.lower()}-{orientation}"
            yield ImageKind(name, "read", "turned upright", build, COLOURS, LOSSY)
        stored = _turned(orientation)
        fields = {258: (8, 8, 8), 262: (2,), 277: (3,), 274: (orientation,)}
        build = partial(tiff, [stored.tobytes()], (stored.shape[1], stored.shape[0]), fields)
        yield ImageKind(f"exif/tiff-{orientation}", "read", "turned upright", build, COLOURS)


def _by_pillow(file_format: str, orientation: int, block: bytes) -> bytes:
    options: dict[str, dict[str, object]] = {
        "PNG": {},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "speed": 10, "max_threads": 1},
    }
    return encoded(_turned(orientation), file_format, exif=block, **options[file_format])


def _types() -> Iterator[ImageKind]:
    for orientation in (6, 3):
        for kind in (*_TYPES, 14, 255):
            if kind in BYTES:
                entry = _entry(orientation, kind)
            else:
                entry = (_ORIENTATION, kind, 1, struct.pack("<I", orientation))
            known = COLOURS if kind in (3, 4) else None
            build = partial(_jpeg, orientation, exif([entry]))
            name = f"exif/orientation-{orientation}-as-type-{kind}"
            yield ImageKind(name, "read", "orientation as another type", build, known, LOSSY)
    for value in (0, 9, 255, 65_535, 65_536, 2**31, -1):
        for kind in (3, 4, 9):
            build = partial(_jpeg, 1, exif([_entry(value, kind)]))
            name = f"exif/orientation-of-{value}-as-type-{kind}"
            yield ImageKind(name, "read", "invalid orientation: not rotated", build, COLOURS, LOSSY)
    for count in (0, 2, 3, 70_000, 2**32 - 1):
        entry = (_ORIENTATION, 3, count, struct.pack("<HH", 6, 6) + (b"\6\0" if count == 3 else b""))
        build = partial(_jpeg, 6, exif([entry]))
        yield ImageKind(f"exif/orientation-of-{count}-values", "read", "an odd number of values", build)
    twice = exif([_entry(6), _entry(6)])
    yield ImageKind("exif/orientation-twice", "read", "told twice", partial(_jpeg, 6, twice), COLOURS, LOSSY)


def _value(kind: int, order: str) -> bytes:
    """A value of each type that does not fit in the entry."""
    text = b"Canon EOS 5D\0\0\0\0"
    if kind in (5, 10):
        return struct.pack(order + "IIII", 72, 1, 1, 0)  # the last divides by zero
    return text[: 16 // BYTES[kind] * BYTES[kind]]


def _beside() -> Iterator[ImageKind]:
    """Orientation together with one other tag, as each type: 364 kinds."""
    for row, tag in enumerate(_TAGS):
        for kind in _TYPES:
            orientation = 1 + (row + kind) % 8
            order = "<" if row % 2 else ">"
            value = _value(kind, order)
            block = exif([_entry(orientation, order=order), (tag, kind, len(value) // BYTES[kind], value)], order)
            build = partial(_jpeg, orientation, block)
            name = f"exif/tag-{tag}-as-type-{kind}"
            yield ImageKind(name, "read", f"rotated upright, whatever tag {tag} is", build, COLOURS, LOSSY)


def _broken() -> Iterator[ImageKind]:
    turn = _entry(6)
    good = exif([turn])
    expectation: Expectation = "read"
    for name, block in {
        "empty": b"",
        "no-header": b"nonsense, not TIFF",
        "header-alone": good[:8],
        "cut": good[:14],
        "directory-beyond": good[:4] + b"\xff\xff\xff\xff" + good[8:],
        "directory-in-header": good[:4] + bytes(4) + good[8:],
        "wrong-magic": good[:2] + b"\0\0" + good[4:],
        "count-65535": good[:8] + b"\xff\xff" + good[10:],
    }.items():
        build = partial(_jpeg, 1, block)
        yield ImageKind(f"exif/{name}", expectation, "EXIF that cannot be read", build)
    for name, more in {
        "value-beyond": (270, 2, 60_000, b""),
        "count-4-billion": (271, 5, 2**32 - 1, b"12345"),
        "text-not-closed": (270, 2, 4, b"abcd"),
        "text-latin-1": (270, 2, 8, b"Fahrr\xe4d\0"),
        "text-utf-8": (270, 2, 9, "Fahrräd".encode() + b"\0"),
        "title-utf-16": (_XP_TITLE, 1, 16, "Fahrräd\0".encode("utf-16-le")),
        "resolution-by-zero": (282, 5, 1, bytes(8)),
        "resolution-nan": (282, 12, 1, struct.pack("<d", float("nan"))),
        "exif-directory-loop": (34_665, 4, 1, struct.pack("<I", 8)),
        "exif-directory-beyond": (34_665, 4, 1, struct.pack("<I", 2**31)),
        "exif-directory-text": (34_665, 2, 4, b"abc\0"),
        "gps-loop": (34_853, 4, 1, struct.pack("<I", 8)),
        "gps-rational": (34_853, 5, 1, struct.pack("<II", 8, 1)),
        "maker-note": (37_500, 7, 40_000, bytes(40_000)),
        "strip-offsets": (273, 4, 1, struct.pack("<I", 2**31)),
        "strip-text": (273, 2, 4, b"abc\0"),
        "type-0": (270, 0, 1, b"abcd"),
        "type-99": (270, 99, 1, b"abcd"),
        "tag-0": (0, 3, 1, b"\1\0"),
        "tag-65535": (65_535, 3, 1, b"\1\0"),
    }.items():
        build = partial(_jpeg, 6, exif([turn, more]))
        yield ImageKind(f"exif/{name}", expectation, "rotated upright, whatever the other tags", build, COLOURS, LOSSY)
    chain = good[: 8 + 2 + 12] + struct.pack("<I", 8)
    yield ImageKind("exif/thumbnail-loop", "read", "directories in a ring", partial(_jpeg, 6, chain), COLOURS, LOSSY)
    many = exif([turn, *((tag, 3, 1, b"\1\0") for tag in range(40_000, 45_000))])
    yield ImageKind("exif/tags-5000", "read", "very many tags", partial(_jpeg, 6, many), COLOURS, LOSSY)
    second = with_segments(_jpeg(6, good), segment(0xE1, b"Exif\0\0" + exif([_entry(6)])))
    yield ImageKind("exif/two-segments", "read", "orientation in two segments", partial(bytes, second), COLOURS, LOSSY)


def _xmp() -> Iterator[ImageKind]:
    for orientation in (1, 6):
        packet = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
            "</rdf:RDF></x:xmpmeta>"
        ).encode()
        pixels = _turned(orientation)
        known = COLOURS if orientation == 1 else None
        whole = encoded(pixels, "JPEG", quality=95, subsampling=0)
        data = with_segments(whole, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
        name = f"exif/xmp-jpeg-{orientation}"
        yield ImageKind(name, "read", "orientation only in XMP", partial(bytes, data), known, LOSSY)
        whole = encoded(pixels, "PNG")
        data = whole[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) + whole[33:]
        name = f"exif/xmp-png-{orientation}"
        yield ImageKind(name, "read", "orientation only in XMP", partial(bytes, data), known, LOSSY)
        build = partial(encoded, pixels, "WEBP", lossless=True, xmp=packet)
        name = f"exif/xmp-webp-{orientation}"
        yield ImageKind(name, "read", "orientation only in XMP", build, known, LOSSY)
