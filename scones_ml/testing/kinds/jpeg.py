"""JPEG: a small writer of flat blocks for what Pillow cannot write, segments that lie, scans without end."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
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

__all__ = ["kinds", "large", "segment", "with_segments"]

_SIZE = (64, 64)
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE = b"Adobe\0d\0\0\0\0"  # and the transform: 0 none, 1 YCbCr, 2 YCCK
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_EOB_RUN = 14  # the longest run of blocks that are done: 2**14 and 14 bits more
Factors = Sequence[tuple[int, int]]


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment: FF, marker, length, body of at most 65,533 bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """A JPEG file with these segments behind its first two bytes."""
    return data[:2] + b"".join(segments) + data[2:]


class _Bits:
    """Bits, the highest first, as entropy-coded data: filled up with ones, zeros stuffed behind FF."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def add(self, value: int, length: int) -> None:
        if length:
            self._bits.append(format(value, f"0{length}b"))

    def bytes(self) -> bytes:
        text = "".join(self._bits)
        text += "1" * (-len(text) % 8)
        return int(text or "0", 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _tables(dc_classes: int = 12) -> bytes:
    """Quantisation by 1; DC codes of four bits; AC codes of one bit: end of block, and of two: the longest run."""
    dc = segment(0xC4, b"\0" + bytes([0, 0, 0, dc_classes, *[0] * 12]) + bytes(range(dc_classes)))
    ac = segment(0xC4, b"\x10" + bytes([1, 1, *[0] * 14]) + bytes([0, _EOB_RUN << 4]))
    return segment(0xDB, b"\0" + b"\1" * 64) + dc + ac


def _frame(
    marker: int, size: tuple[int, int], factors: Factors, ids: Sequence[int] = (1, 2, 3, 4), bits: int = 8
) -> bytes:
    components = b"".join(bytes([ids[n], h << 4 | v, 0]) for n, (h, v) in enumerate(factors))
    return segment(marker, struct.pack(">BHHB", bits, size[1], size[0], len(factors)) + components)


def _scan(ids: Sequence[int], first: int = 0, last: int = 63, approximation: int = 0) -> bytes:
    body = bytes([len(ids)]) + b"".join(bytes([one, 0]) for one in ids) + bytes([first, last, approximation])
    return segment(0xDA, body)


def _add_block(bits: _Bits, difference: int, baseline: bool) -> None:
    category = abs(difference).bit_length()
    bits.add(category, 4)
    bits.add(difference if difference > 0 else difference + (1 << category) - 1, category)
    if baseline:
        bits.add(0, 1)  # end of block


def _levels(plane: Array, factor: tuple[int, int], most: tuple[int, int]) -> Array:
    """One level for each block of a component (rows, columns), of the full plane."""
    step_x, step_y = 8 * most[0] // factor[0], 8 * most[1] // factor[1]
    return plane[step_y // 2 :: step_y, step_x // 2 :: step_x]


def _entropy(levels: Sequence[Array], factors: Factors, baseline: bool, restart: int) -> bytes:
    """Interleaved blocks of all components, MCU by MCU."""
    bits, last, parts = _Bits(), [128] * len(levels), []
    rows, columns = (levels[0].shape[axis] // factors[0][1 - axis] for axis in (0, 1))
    for mcu in range(rows * columns):
        if restart and mcu and mcu % restart == 0:
            parts.append(bits.bytes() + bytes([0xFF, 0xD0 + (mcu // restart - 1) % 8]))
            bits, last = _Bits(), [128] * len(levels)
        row, column = divmod(mcu, columns)
        for n, (h, v) in enumerate(factors):
            for block in range(h * v):
                level = int(levels[n][row * v + block // h, column * h + block % h])
                _add_block(bits, 8 * (level - last[n]), baseline)
                last[n] = level
    return b"".join(parts) + bits.bytes()


def _flat(
    planes: Array,
    factors: Factors,
    marker: int = _BASELINE,
    app: Sequence[bytes] = (segment(0xE0, _JFIF),),
    ids: Sequence[int] = (1, 2, 3, 4),
    restart: int = 0,
    apart: bool = False,
) -> bytes:
    """A file of planes (H, W, C) whose 8x8 blocks are flat.

    Args:
        factors: sampling factors of each component, horizontal and vertical.
        marker: of the frame: baseline, progressive, ...
        app: segments at the start.
        ids: of the components.
        restart: MCUs between two restart markers.
        apart: a scan for each component.
    """
    size = (planes.shape[1], planes.shape[0])
    most = (max(h for h, _ in factors), max(v for _, v in factors))
    levels = [_levels(planes[..., n], factor, most) for n, factor in enumerate(factors)]
    start = _SOI + b"".join(app) + _tables() + _frame(marker, size, factors, ids)
    if restart:
        start += segment(0xDD, struct.pack(">H", restart))
    baseline = marker != _PROGRESSIVE
    last = 63 if baseline else 0
    if apart:
        scans = [_scan([ids[n]], 0, last) + _entropy([one], [(1, 1)], baseline, 0) for n, one in enumerate(levels)]
    else:
        scans = [_scan(ids[: len(factors)], 0, last) + _entropy(levels, factors, baseline, restart)]
    if not baseline:  # without these a decoder smooths the blocks
        scans += [_scan([ids[n]], 1, 63) + _nothing(one.size) for n, one in enumerate(levels)]
    return start + b"".join(scans) + _EOI


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
        for marker in (_BASELINE, _PROGRESSIVE):
            build = partial(_flat_ycc, [luma, (1, 1), (1, 1)], marker)
            label = f"jpeg/flat-{name}" + ("-progressive" if marker == _PROGRESSIVE else "")
            yield ImageKind(label, "read", "a rare sampling of colour", build, COLOURS, LOSSY)
    for name, odd in {"chroma-denser": [(1, 1), (2, 2), (2, 2)], "mixed": [(2, 2), (2, 1), (1, 2)]}.items():
        build = partial(_flat_ycc, odd, _BASELINE)
        yield ImageKind(f"jpeg/flat-{name}", "either", "a sampling that hardly anyone writes", build, COLOURS, LOSSY)
    for restart in (1, 3):
        build = partial(_flat_ycc, [(2, 2), (1, 1), (1, 1)], _BASELINE, restart=restart)
        yield ImageKind(f"jpeg/restart-{restart}", "read", "restart markers", build, COLOURS, LOSSY)
    build = partial(_flat_ycc, [(1, 1)] * 3, _BASELINE, apart=True)
    yield ImageKind("jpeg/scan-for-each-component", "read", "baseline, not interleaved", build, COLOURS, LOSSY)


def _flat_ycc(factors: Factors, marker: int, restart: int = 0, apart: bool = False) -> bytes:
    return _flat(_ycc(), factors, marker, restart=restart, apart=apart)


def _colour_spaces() -> Iterator[ImageKind]:
    grey = quadrants(GREYS, _SIZE)
    for progressive in (False, True):
        label = "jpeg/grey" + ("-progressive" if progressive else "")
        build = partial(encoded, grey, "JPEG", quality=95, progressive=progressive)
        yield ImageKind(label, "read", "no colour", build, shown_grey(GREYS), LOSSY)
    rgb = quadrants(COLOURS, _SIZE)
    cmyk = np.concatenate([255 - rgb, np.zeros((*rgb.shape[:2], 1), np.uint8)], axis=2)
    for name, planes, app, ids in (
        ("rgb-by-adobe", rgb, (segment(0xEE, _ADOBE + b"\0"),), (1, 2, 3)),
        ("rgb-by-names", rgb, (), b"RGB"),
        ("ycc-by-adobe", _ycc(), (segment(0xEE, _ADOBE + b"\1"),), (1, 2, 3)),
        ("ycc-without-marker", _ycc(), (), (1, 2, 3)),
        ("cmyk", 255 - cmyk, (segment(0xEE, _ADOBE + b"\0"),), (1, 2, 3, 4)),
        ("ycck", _ycck(), (segment(0xEE, _ADOBE + b"\2"),), (1, 2, 3, 4)),
    ):
        for marker in (_BASELINE, _PROGRESSIVE):
            build = partial(_flat, planes, [(1, 1)] * planes.shape[2], marker, app, ids)
            label = f"jpeg/{name}" + ("-progressive" if marker == _PROGRESSIVE else "")
            yield ImageKind(label, "read", "a colour space of the standard", build, COLOURS, LOSSY)
    build = partial(_flat, cmyk, [(1, 1)] * 4, _BASELINE, ())
    yield ImageKind("jpeg/cmyk-without-marker", "either", "who knows whether it is inverted", build)
    build = partial(_flat, rgb[..., :2], [(1, 1)] * 2)
    yield ImageKind("jpeg/two-components", "either", "no colour space has two", build)
    build = partial(encoded, Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95)
    yield ImageKind("jpeg/cmyk-by-pillow", "read", "as printers have it", build, COLOURS, LOSSY)


def _ycck() -> Array:
    """Planes whose colours are those of the image, the ink inverted as Adobe has it."""
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
        "two-frames": whole[:entropy] + _frame(_BASELINE, _SIZE, [(1, 1)] * 3) + whole[entropy:],
        "many-tables": whole[:entropy] + _tables() * 20_000 + whole[entropy:],
    }.items():
        yield ImageKind(f"jpeg/{name}", "either", "segments that lie", partial(bytes, data))
    for name, data in {
        "start-alone": whole[:3],
        "tables-alone": whole[:entropy],
        "end-at-once": whole[:4] + _EOI,
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
    jfif = with_segments(whole, segment(0xE0, _JFIF[:-2] + b"\x10\x10" + bytes(768)))
    yield ImageKind("jpeg/thumbnail-jfif", "read", "a preview inside", partial(bytes, jfif), COLOURS, LOSSY)
    for frames in (2, 40):
        build = partial(_mpo, frames)
        why = "several images in one file, as phones write it"
        yield ImageKind(f"jpeg/mpo-{frames}", "read", why, build, COLOURS, LOSSY)
    data = with_segments(whole, segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"))
    yield ImageKind("jpeg/mpo-lies", "read", "an index that is none", partial(bytes, data), COLOURS, LOSSY)


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
        yield ImageKind(name, expectation, "dimensions that lie", partial(bytes, data))  # type: ignore[arg-type] # a literal


def _nothing(blocks: int) -> bytes:
    """A scan that has nothing to say of so many blocks."""
    bits, longest = _Bits(), (1 << _EOB_RUN + 1) - 1  # the code 10, and 14 ones
    for _ in range(blocks // longest):
        bits.add((0b11 << _EOB_RUN) - 1, _EOB_RUN + 2)
    for _ in range(blocks % longest):
        bits.add(0, 1)
    return bits.bytes()


def _scans(size: tuple[int, int], scans: int, components: int = 1) -> bytes:
    """Progressive, flat grey: one scan that matters, and many that pass over every block with nothing in it."""
    blocks = -(-size[0] // 8) * -(-size[1] // 8)
    first = _scan(range(1, components + 1), 0, 0) + bytes(-(-blocks * components * 4 // 8))
    empty = _nothing(blocks)
    start = _SOI + _tables() + _frame(_PROGRESSIVE, size, [(1, 1)] * components)
    many = b"".join(_scan([1 + n % components], 1 + n % 63, 1 + n % 63) + empty for n in range(scans))
    return start + first + many + _EOI


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
    """Many pixels: what must be let in, and what must not cost more for that."""
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
