"""AVIF: samplings, opacity, sequences, invalid boxes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image, features

from scones_ml.testing.kinds import Corners, Expectation, ImageKind, icc
from scones_ml.testing.kinds.drawing import COLOURS, GREYS, LOSSY, WHITE, encoded, photo, quadrants, shown_grey

__all__ = ["box", "kinds", "large"]

_SIZE = (64, 64)


def box(name: bytes, *parts: bytes) -> bytes:
    """A box of ISO media files: length, name and content."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + name + body


def _pillow(alpha: int | None = None, **options: object) -> bytes:
    pixels = quadrants(COLOURS, _SIZE)
    if alpha is not None:
        pixels = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), alpha, np.uint8)], axis=2)
    return encoded(pixels, "AVIF", **({"quality": 90, "speed": 10, "max_threads": 1} | options))


def kinds() -> Iterator[ImageKind]:
    """All but the large ones; none if this Pillow cannot write AVIF."""
    if not features.check("avif"):
        return
    half: Corners = tuple(tuple((level + 255) // 2 for level in colour) for colour in COLOURS)  # type: ignore[assignment] # four
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        build = partial(_pillow, subsampling=sampling)
        shown = None if sampling == "4:0:0" else COLOURS
        name = f"avif/still-{sampling.replace(':', '')}"
        yield ImageKind(name, "read", "as programs write it", build, shown, LOSSY)
    build = partial(encoded, quadrants(GREYS, _SIZE), "AVIF", quality=90, speed=10, max_threads=1)
    yield ImageKind("avif/grey", "read", "no colour", build, shown_grey(GREYS), LOSSY)
    build = partial(_pillow, quality=100, subsampling="4:4:4")
    yield ImageKind("avif/lossless", "read", "as programs write it", build, COLOURS, LOSSY)
    build = partial(_pillow, range="limited")
    yield ImageKind("avif/limited-range", "read", "levels of television", build, COLOURS, LOSSY)
    for name, alpha, corners in (("opaque", 254, COLOURS), ("clear", 0, (WHITE,) * 4), ("half", 128, half)):
        build = partial(_pillow, alpha, subsampling="4:4:4")
        yield ImageKind(f"avif/alpha-{name}", "read", "composited on white", build, corners, LOSSY)
    for frames in (2, 60):
        build = partial(_sequence, frames)
        yield ImageKind(f"avif/sequence-{frames}", "read", "the first frame is used", build, COLOURS, LOSSY)
    for profile in icc.profiles():
        if profile.data:
            build = partial(_pillow, icc_profile=profile.data, subsampling="4:4:4")
            must: Expectation = "read" if profile.name in ("srgb", "red-is-blue") else "either"
            yield ImageKind(f"avif/icc-{profile.name}", must, profile.why, build, profile.corners, LOSSY)
    yield from _lies()


def _sequence(frames: int) -> bytes:
    first = Image.fromarray(quadrants(COLOURS, _SIZE))
    more = [Image.new("RGB", _SIZE, (4 * n % 256, 0, 0)) for n in range(1, frames)]
    return encoded(first, "AVIF", save_all=True, append_images=more, quality=90, speed=10, max_threads=1)


def _lies() -> Iterator[ImageKind]:
    whole = _pillow()
    dimensions = struct.pack(">II", *_SIZE)
    for width, height in ((7_000, 7_000), (30_000, 30_000), (2**31, 2**31), (0, 64)):
        data = whole.replace(dimensions, struct.pack(">II", width, height))
        expectation: Expectation = "either" if width == 7_000 else "refused"
        name = f"avif/claims-{width}x{height}"
        yield ImageKind(name, expectation, "wrong dimensions", partial(bytes, data))
    for name, data in {
        "type-alone": whole[:32],
        "box-of-4-gb": whole[:32] + b"\xff\xff\xff\xff" + whole[36:],
        "no-pixels": whole[: whole.index(b"mdat") + 4],
        "nested-boxes": whole[:32] + _nested(3_000),
    }.items():
        yield ImageKind(f"avif/{name}", "refused", "invalid boxes", partial(bytes, data))
    for name, data in {
        "trailing-zip": whole + b"PK\3\4 payload",
        "free-boxes": whole + box(b"free") * 200_000,
        "free-box-8-mb": whole + box(b"free", bytes(8_000_000)),
    }.items():
        yield ImageKind(f"avif/{name}", "either", "more than the image", partial(bytes, data))


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"meta", bytes(4), inner)
    return inner


def _large(width: int, height: int, textured: bool, alpha: bool = False) -> bytes:
    channels = 4 if alpha else 3
    pixels = photo(width, height, channels) if textured else np.zeros((height, width, channels), np.uint8)
    return encoded(pixels, "AVIF", quality=50, speed=10)


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    if not features.check("avif"):
        return
    yield ImageKind("avif/12mp-photograph", "read", "12 megapixels", partial(_large, 4000, 3000, True))
    yield ImageKind("avif/12mp-flat", "read", "12 megapixels", partial(_large, 4000, 3000, False))
    yield ImageKind("avif/12mp-alpha", "either", "12 megapixels and opacity", partial(_large, 4000, 3000, False, True))
    yield ImageKind("avif/24mp-flat", "either", "24 megapixels", partial(_large, 6000, 4000, False))
    yield ImageKind("avif/50mp-flat", "either", "50 megapixels in a small file", partial(_large, 8192, 6100, False))
