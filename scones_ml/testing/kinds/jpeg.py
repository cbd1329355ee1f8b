"""JPEG: samplings, colour spaces and coders, invalid segments, very many scans."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image

from scones_ml.testing.kinds import Corners, ImageKind, icc
from scones_ml.testing.kinds.drawing import (
    COLOURS,
    GREYS,
    LOSSY,
    Array,
    encoded,
    photo,
    quadrants,
    shown_grey,
)
from scones_ml.testing.kinds.jpeg_writer import (
    ADOBE,
    BASELINE,
    EOI,
    JFIF,
    PROGRESSIVE,
    SOI,
    Factors,
    flat,
    frame,
    nothing,
    scan,
    segment,
    tables,
    with_segments,
)

__all__ = ["kinds", "large"]

_SIZE = (64, 64)


def _ycc(colours: Corners = COLOURS, size: tuple[int, int] = _SIZE) -> Array:
    return np.asarray(Image.fromarray(quadrants(colours, size)).convert("YCbCr"))


def _inverted(colours: Corners) -> Corners:
    return tuple((255 - red, 255 - green, 255 - blue) for red, green, blue in colours)  # type: ignore[return-value] # four


def _pillow(**options: object) -> bytes:
    return encoded(quadrants(COLOURS, _SIZE), "JPEG", quality=95, **options)


def kinds() -> Iterator[ImageKind]:
    """All but the large ones."""
    yield from _samplings()
    yield from _colour_spaces()
    yield from _coders()
    yield from _segments()
    yield from _profiles()
    yield from _thumbnails()
    yield from _frames_that_lie()
    yield from _many_scans()


def _samplings() -> Iterator[ImageKind]:
    for name, sampling in {"444": 0, "422": 1, "420": 2}.items():
        for progressive in (False, True):
            build = partial(_pillow, subsampling=sampling, progressive=progressive)
            label = f"jpeg/{'progressive' if progressive else 'baseline'}-{name}"
            yield ImageKind(label, "read", "as cameras and programs write it", build, COLOURS, LOSSY)
    factors = {"411": (4, 1), "440": (1, 2), "410": (4, 2), "441": (1, 4), "424": (2, 4)}
    for name, luma in factors.items():
        for marker in (BASELINE, PROGRESSIVE):
            build = partial(_flat_ycc, [luma, (1, 1), (1, 1)], marker)
            label = f"jpeg/flat-{name}" + ("-progressive" if marker == PROGRESSIVE else "")
            yield ImageKind(label, "read", "a rare sampling of colour", build, COLOURS, LOSSY)
    for name, odd in {"chroma-denser": [(1, 1), (2, 2), (2, 2)], "mixed": [(2, 2), (2, 1), (1, 2)]}.items():
        build = partial(_flat_ycc, odd, BASELINE)
        yield ImageKind(f"jpeg/flat-{name}", "either", "a very rare sampling", build, COLOURS, LOSSY)
    for restart in (1, 3):
        build = partial(_flat_ycc, [(2, 2), (1, 1), (1, 1)], BASELINE, restart=restart)
        yield ImageKind(f"jpeg/restart-{restart}", "read", "restart markers", build, COLOURS, LOSSY)
    build = partial(_flat_ycc, [(1, 1)] * 3, BASELINE, apart=True)
    yield ImageKind("jpeg/scan-for-each-component", "read", "baseline, not interleaved", build, COLOURS, LOSSY)


def _flat_ycc(factors: Factors, marker: int, restart: int = 0, apart: bool = False) -> bytes:
    return flat(_ycc(), factors, marker, restart=restart, apart=apart)


def _colour_spaces() -> Iterator[ImageKind]:
    grey = quadrants(GREYS, _SIZE)
    for progressive in (False, True):
        label = "jpeg/grey" + ("-progressive" if progressive else "")
        build = partial(encoded, grey, "JPEG", quality=95, progressive=progressive)
        yield ImageKind(label, "read", "no colour", build, shown_grey(GREYS), LOSSY)
    rgb = quadrants(COLOURS, _SIZE)
    cmyk = np.concatenate([255 - rgb, np.zeros((*rgb.shape[:2], 1), np.uint8)], axis=2)
    for name, planes, app, ids in (
        ("rgb-by-adobe", rgb, (segment(0xEE, ADOBE + b"\0"),), (1, 2, 3)),
        ("rgb-by-names", rgb, (), b"RGB"),
        ("ycc-by-adobe", _ycc(), (segment(0xEE, ADOBE + b"\1"),), (1, 2, 3)),
        ("ycc-without-marker", _ycc(), (), (1, 2, 3)),
        ("cmyk", 255 - cmyk, (segment(0xEE, ADOBE + b"\0"),), (1, 2, 3, 4)),
        ("ycck", _ycck(), (segment(0xEE, ADOBE + b"\2"),), (1, 2, 3, 4)),
    ):
        for marker in (BASELINE, PROGRESSIVE):
            build = partial(flat, planes, [(1, 1)] * planes.shape[2], marker, app, ids)
            label = f"jpeg/{name}" + ("-progressive" if marker == PROGRESSIVE else "")
            yield ImageKind(label, "read", "a colour space of the standard", build, COLOURS, LOSSY)
    build = partial(flat, cmyk, [(1, 1)] * 4, BASELINE, ())
    yield ImageKind("jpeg/cmyk-without-marker", "either", "inversion is unspecified", build)
    build = partial(flat, rgb[..., :2], [(1, 1)] * 2)
    yield ImageKind("jpeg/two-components", "either", "no colour space has two", build)
    build = partial(encoded, Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95)
    yield ImageKind("jpeg/cmyk-by-pillow", "read", "as printers have it", build, COLOURS, LOSSY)


def _ycck() -> Array:
    """Planes with the image's colours, with ink inverted as by Adobe."""
    return np.concatenate([_ycc(_inverted(COLOURS)), np.full((*_SIZE, 1), 255, np.uint8)], axis=2)


def _coders() -> Iterator[ImageKind]:
    markers = {
        "extended": 0xC1,
        "lossless": 0xC3,
        "differential": 0xC5,
        "arithmetic": 0xC9,
        "arithmetic-progressive": 0xCA,
        "arithmetic-lossless": 0xCB,
        "jpeg-ls": 0xF7,
    }
    for name, marker in markers.items():
        build = partial(_flat_ycc, [(1, 1)] * 3, marker)
        corners = COLOURS if name == "extended" else None
        yield ImageKind(f"jpeg/{name}", "read" if corners else "either", "another coder", build, corners, LOSSY)
    whole = _pillow()
    at = whole.index(b"\xff\xc0") + 4
    build = partial(bytes, whole[:at] + b"\x0c" + whole[at + 1 :])
    yield ImageKind("jpeg/12-bit", "either", "12 bits a sample", build)


def _segments() -> Iterator[ImageKind]:
    whole = _pillow()
    entropy = whole.index(b"\xff\xda")
    for name, data, expectation in (
        ("no-end", whole[:-2], "either"),
        ("filled-up", whole.replace(b"\xff\xdb", b"\xff\xff\xff\xff\xdb"), "read"),
        ("trailing-zip", whole + b"PK\3\4 payload", "read"),
        ("trailing-zeros", whole + bytes(100_000), "read"),
        ("trailing-jpeg", whole + whole, "read"),
        ("comment", with_segments(whole, segment(0xFE, b"\xff\xfe hello")), "read"),
        ("comments-1000", with_segments(whole, segment(0xFE, b"x") * 1000), "either"),
        ("comments-100000", with_segments(whole, segment(0xFE, b"x") * 100_000), "either"),
        ("app-segments-13-mb", with_segments(whole, segment(0xEB, bytes(65_533)) * 200), "either"),
        ("app-segment-empty", with_segments(whole, segment(0xE1, b""), segment(0xEE, b"")), "read"),
        ("photoshop", with_segments(whole, segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\0")), "read"),
        (
            "photoshop-lies",
            with_segments(whole, segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff")),
            "read",
        ),
        ("xmp-broken", with_segments(whole, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x")), "read"),
        ("jfif-odd", with_segments(whole, segment(0xE0, b"JFIF\0")), "either"),
    ):
        yield ImageKind(f"jpeg/{name}", expectation, "segments", partial(bytes, data), COLOURS, LOSSY)  # type: ignore[arg-type] # a literal
    for name, data in {
        "garbage-between": whole[:entropy] + b"garbage" + whole[entropy:],
        "no-huffman-tables": _without(whole, 0xC4),
        "no-quantisation": _without(whole, 0xDB),
        "length-0": with_segments(whole, b"\xff\xe1\0\0"),
        "length-beyond": with_segments(whole, b"\xff\xe1\xff\xff"),
        "two-frames": whole[:entropy] + frame(BASELINE, _SIZE, [(1, 1)] * 3) + whole[entropy:],
        "many-tables": whole[:entropy] + tables() * 20_000 + whole[entropy:],
    }.items():
        yield ImageKind(f"jpeg/{name}", "either", "invalid segments", partial(bytes, data))
    for name, data in {
        "start-alone": whole[:3],
        "tables-alone": whole[:entropy],
        "end-at-once": whole[:4] + EOI,
    }.items():
        yield ImageKind(f"jpeg/{name}", "refused", "no pixels", partial(bytes, data))


def _without(data: bytes, marker: int) -> bytes:
    at = 2
    kept = [data[:2]]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept.append(data[at:end])
        at = end
    return b"".join(kept) + data[at:]


def _icc_segments(profile: bytes, size: int = 65_519) -> list[bytes]:
    parts = [profile[at : at + size] for at in range(0, max(len(profile), 1), size)]
    return [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([number % 256, len(parts) % 256]) + part)
        for number, part in enumerate(parts, 1)
    ]


def _profiles() -> Iterator[ImageKind]:
    whole = _pillow()
    for profile in icc.profiles():
        data = with_segments(whole, *_icc_segments(profile.data))
        name = f"jpeg/icc-{profile.name}"
        yield ImageKind(name, profile.expectation, profile.why, partial(bytes, data), profile.corners, LOSSY)
    good = _icc_segments(icc.srgb(), 200)
    for name, parts in {
        "in-parts": good,
        "part-missing": good[:-1],
        "parts-turned": good[::-1],
        "parts-twice": good * 2,
        "part-0": [good[0][:16] + b"\0\0" + good[0][18:]],
    }.items():
        data = with_segments(whole, *parts)
        why = "a profile in several segments"
        yield ImageKind(f"jpeg/icc-{name}", "read", why, partial(bytes, data), COLOURS, LOSSY)
    data = with_segments(encoded(quadrants(GREYS, _SIZE), "JPEG", quality=95), *_icc_segments(icc.srgb()))
    why = "a profile of colours on an image without"
    yield ImageKind("jpeg/icc-rgb-on-grey", "read", why, partial(bytes, data), shown_grey(GREYS), LOSSY)


def _thumbnails() -> Iterator[ImageKind]:
    whole = _pillow()
    exif = Image.Exif()
    exif[0x0112] = 1
    for name, thumbnail in {"same": whole, "larger": encoded(photo(600, 400), "JPEG"), "broken": whole[:200]}.items():
        block = exif.tobytes() + thumbnail[:60_000]
        data = with_segments(whole, segment(0xE1, block))
        yield ImageKind(f"jpeg/thumbnail-{name}", "read", "a preview inside", partial(bytes, data), COLOURS, LOSSY)
    jfif = with_segments(whole, segment(0xE0, JFIF[:-2] + b"\x10\x10" + bytes(768)))
    yield ImageKind("jpeg/thumbnail-jfif", "read", "a preview inside", partial(bytes, jfif), COLOURS, LOSSY)
    for frames in (2, 40):
        build = partial(_mpo, frames)
        why = "several images in one file, as phones write it"
        yield ImageKind(f"jpeg/mpo-{frames}", "read", why, build, COLOURS, LOSSY)
    data = with_segments(whole, segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"))
    yield ImageKind("jpeg/mpo-lies", "read", "an invalid index", partial(bytes, data), COLOURS, LOSSY)


def _mpo(frames: int) -> bytes:
    more = [Image.fromarray(photo(*_SIZE)) for _ in range(1, frames)]
    return encoded(quadrants(COLOURS, _SIZE), "MPO", quality=95, save_all=True, append_images=more)


def _frames_that_lie() -> Iterator[ImageKind]:
    whole = _pillow()
    at = whole.index(b"\xff\xc0") + 5
    for width, height, expectation in (
        (65_535, 65_535, "refused"),
        (30_000, 30_000, "refused"),
        (0, 64, "refused"),
        (64, 0, "refused"),
        (65_500, 64, "either"),
        (8, 8, "either"),
        (64, 72, "either"),
    ):
        data = whole[:at] + struct.pack(">HH", height, width) + whole[at + 4 :]
        name = f"jpeg/claims-{width}x{height}"
        yield ImageKind(name, expectation, "wrong dimensions", partial(bytes, data))  # type: ignore[arg-type] # a literal


def _scans(size: tuple[int, int], scans: int, components: int = 1) -> bytes:
    """Progressive, flat grey: one scan with content, and many that cover every block without content."""
    blocks = -(-size[0] // 8) * -(-size[1] // 8)
    first = scan(range(1, components + 1), 0, 0) + bytes(-(-blocks * components * 4 // 8))
    empty = nothing(blocks)
    start = SOI + tables() + frame(PROGRESSIVE, size, [(1, 1)] * components)
    many = b"".join(scan([1 + n % components], 1 + n % 63, 1 + n % 63) + empty for n in range(scans))
    return start + first + many + EOI


def _many_scans() -> Iterator[ImageKind]:
    for size, scans in (((64, 64), 1_500), ((640, 480), 1_500), ((64, 64), 100_000)):
        build = partial(_scans, size, scans)
        yield ImageKind(f"jpeg/scans-{scans}-of-{size[0]}x{size[1]}", "either", "very many scans", build)
    for size, scans in (((4000, 3000), 1_500), ((8192, 6100), 1_500), ((8192, 6100), 100), ((4000, 3000), 300)):
        build = partial(_scans, size, scans)
        yield ImageKind(f"jpeg/scans-{scans}-of-{size[0]}x{size[1]}", "either", "a small file, minutes", build)
    build = partial(_scans, (4000, 3000), 64, 3)
    yield ImageKind("jpeg/scans-64-of-three-components", "either", "as many as the standard has", build)


def _photograph(width: int, height: int, channels: int, **options: object) -> bytes:
    pixels = photo(width, height, channels)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, None if channels < 4 else "CMYK")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def large() -> Iterator[ImageKind]:
    """Large images: those that must be read, and those that must not cost more."""
    for name, channels, options in (
        ("420", 3, {"subsampling": 2}),
        ("444", 3, {"subsampling": 0}),
        ("grey", 1, {}),
        ("cmyk", 4, {}),
    ):
        for progressive in (False, True):
            label = f"{'progressive' if progressive else 'baseline'}-{name}"
            build = partial(_photograph, 4000, 3000, channels, progressive=progressive, **options)
            yield ImageKind(f"jpeg/12mp-{label}", "read", "12 megapixels", build)
            build = partial(_photograph, 8192, 6100, channels, progressive=progressive, **options)
            must = name == "420" or (name == "444" and not progressive)
            yield ImageKind(f"jpeg/50mp-{label}", "read" if must else "either", "50 megapixels", build)
    for width, height in ((65_500, 1), (1, 65_500), (65_500, 700)):
        build = partial(_photograph, width, height, 3)
        yield ImageKind(f"jpeg/{width}x{height}", "either", "a long side", build)
