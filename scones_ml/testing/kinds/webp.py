"""WebP: lossy, lossless, with opacity, animated; invalid chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image

from scones_ml.testing.kinds import Corners, Expectation, ImageKind, icc
from scones_ml.testing.kinds.drawing import COLOURS, LOSSY, WHITE, Array, encoded, photo, quadrants

__all__ = ["kinds", "large", "riff"]

_SIZE = (64, 64)


def riff(*chunks: tuple[bytes, bytes], length: int | None = None) -> bytes:
    """A file of these chunks, with a correct length unless one is given."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def _with_alpha(alpha: int) -> Array:
    rgb = quadrants(COLOURS, _SIZE)
    return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), alpha, np.uint8)], axis=2)


def _pillow(alpha: int | None = None, **options: object) -> bytes:
    pixels = quadrants(COLOURS, _SIZE) if alpha is None else _with_alpha(alpha)
    return encoded(pixels, "WEBP", **({"quality": 95} | options))


def _canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _frame(stream: bytes, at: tuple[int, int] = (0, 0)) -> tuple[bytes, bytes]:
    x, y = ((place // 2).to_bytes(3, "little") for place in at)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in _SIZE)
    return b"ANMF", x + y + sides + b"\x64\0\0\0" + stream


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    half: Corners = tuple(tuple((level + 255) // 2 for level in colour) for colour in COLOURS)  # type: ignore[assignment] # four
    for lossless in (False, True):
        name = "lossless" if lossless else "lossy"
        for label, alpha, shown in (
            ("", None, COLOURS),
            ("-opaque", 254, COLOURS),
            ("-clear", 0, (WHITE,) * 4),
            ("-half", 128, half),
        ):
            build = partial(_pillow, alpha, lossless=lossless, exact=True)
            yield ImageKind(f"webp/{name}{label}", "read", "as programs write it", build, shown, LOSSY)
    for frames in (2, 300):
        build = partial(_animated, frames)
        yield ImageKind(f"webp/animated-{frames}", "read", "the first frame is used", build, COLOURS, LOSSY)
    for profile in icc.profiles():
        build = partial(_pillow, icc_profile=profile.data)
        name = f"webp/icc-{profile.name}"
        if profile.data:
            yield ImageKind(name, profile.expectation, profile.why, build, profile.corners, LOSSY)
    yield from _chunks()
    yield from _lies()


def _animated(frames: int) -> bytes:
    first = Image.fromarray(quadrants(COLOURS, _SIZE))
    more = [Image.new("RGB", _SIZE, (n % 256, n // 256, 0)) for n in range(1, frames)]
    return encoded(first, "WEBP", save_all=True, append_images=more, quality=95, minimize_size=False)


def _chunks() -> Iterator[ImageKind]:
    whole = _pillow()
    stream = (b"VP8 ", whole[20:])
    for name, data in {
        "extended": riff(_canvas(*_SIZE), stream),
        "exif-broken": riff(_canvas(*_SIZE, 8), stream, (b"EXIF", b"nonsense")),
        "exif-empty": riff(_canvas(*_SIZE, 8), stream, (b"EXIF", b"")),
        "xmp-broken": riff(_canvas(*_SIZE, 4), stream, (b"XMP ", b"<x")),
        "unknown-chunk": riff(_canvas(*_SIZE), stream, (b"abcd", b"hello")),
        "trailing-zip": whole + b"PK\3\4 payload",
    }.items():
        yield ImageKind(f"webp/{name}", "read", "chunks beside the pixels", partial(bytes, data), COLOURS, LOSSY)
    for name, data in {
        "exif-8-mb": riff(_canvas(*_SIZE, 8), stream, (b"EXIF", bytes(8_000_000))),
        "chunks-100000": riff(_canvas(*_SIZE), *[(b"abcd", b"")] * 100_000, stream),
        "canvas-other": riff(_canvas(90, 90), stream),
        "exif-claimed": riff(_canvas(*_SIZE, 8), stream),
        "alpha-broken": riff(_canvas(*_SIZE, 16), (b"ALPH", b"\xff" * 20), stream),
        "two-streams": riff(stream, stream),
        "length-short": riff(stream, length=100),
        "length-long": riff(stream, length=2**31),
        "length-odd": riff(stream, length=len(whole) - 9),
    }.items():
        yield ImageKind(f"webp/{name}", "either", "invalid chunks", partial(bytes, data))


def _lies() -> Iterator[ImageKind]:
    whole = _pillow()
    still = whole[12:]
    for width, height in ((7_071, 7_071), (16_383, 16_383), (2**24, 200), (2**24, 2**24 - 1)):
        animated = riff(_canvas(width, height, 2), (b"ANIM", bytes(6)), _frame(still))
        expectation: Expectation = "either" if width == 7_071 else "refused"
        name = f"webp/canvas-{width}x{height}"
        yield ImageKind(name, expectation, "an oversized canvas", partial(bytes, animated))
    animated = riff(_canvas(*_SIZE, 2), (b"ANIM", bytes(6)), _frame(still, (10_000, 10_000)))
    yield ImageKind("webp/frame-beyond", "either", "a frame beyond its canvas", partial(bytes, animated))
    frames = [_frame(still)] * 20_000
    build = partial(riff, _canvas(*_SIZE, 2), (b"ANIM", bytes(6)), *frames)
    yield ImageKind("webp/animated-20000", "either", "very many frames", build)
    claims = whole[:26] + struct.pack("<HH", 0x3FFF, 0x3FFF) + whole[30:]
    yield ImageKind("webp/claims-16383x16383", "refused", "wrong dimensions", partial(bytes, claims))
    claims = whole[:26] + struct.pack("<HH", 7_000, 7_000) + whole[30:]
    yield ImageKind("webp/claims-7000x7000", "refused", "wrong dimensions", partial(bytes, claims))
    for name, data in {"start-alone": whole[:16], "no-chunks": riff(), "wave": b"RIFF\x24\0\0\0WAVEfmt "}.items():
        yield ImageKind(f"webp/{name}", "refused", "no pixels", partial(bytes, data))


def _photograph(width: int, height: int, channels: int, **options: object) -> bytes:
    return encoded(photo(width, height, channels), "WEBP", method=0, quality=80, **options)


def _flat(width: int, height: int, mode: str, lossless: bool) -> bytes:
    return encoded(Image.new(mode, (width, height), (1, 2, 3, 4)[: len(mode)]), "WEBP", method=0, lossless=lossless)


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    for name, width, height in (("12mp", 4000, 3000), ("24mp", 6000, 4000)):
        yield ImageKind(f"webp/{name}-photograph", "read", "as cameras have it", partial(_photograph, width, height, 3))
        for mode, lossless in (("RGB", False), ("RGB", True), ("RGBA", False), ("RGBA", True)):
            must: Expectation = "read" if name == "12mp" or mode == "RGB" else "either"
            label = f"webp/{name}-{mode.lower()}-{'lossless' if lossless else 'lossy'}"
            yield ImageKind(label, must, "many pixels", partial(_flat, width, height, mode, lossless))
    for mode, lossless in (("RGB", False), ("RGBA", True), ("RGBA", False)):
        label = f"webp/49mp-{mode.lower()}-{'lossless' if lossless else 'lossy'}"
        yield ImageKind(label, "either", "49 megapixels in a small file", partial(_flat, 7000, 7000, mode, lossless))
    yield ImageKind("webp/16383x700", "either", "a long side", partial(_flat, 16_383, 700, "RGB", False))
