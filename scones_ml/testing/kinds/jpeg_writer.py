"""A small JPEG writer for flat blocks of 8x8 pixels, with any sampling, colour space and order of scans."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from scones_ml.testing.kinds.drawing import Array

__all__ = [
    "ADOBE",
    "BASELINE",
    "EOI",
    "JFIF",
    "PROGRESSIVE",
    "SOI",
    "Factors",
    "flat",
    "frame",
    "nothing",
    "scan",
    "segment",
    "tables",
    "with_segments",
]

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
ADOBE = b"Adobe\0d\0\0\0\0"  # and the transform: 0 none, 1 YCbCr, 2 YCCK
BASELINE, PROGRESSIVE = 0xC0, 0xC2
_EOB_RUN = 14  # the longest run of blocks that are done: 2**14 and 14 bits more
Factors = Sequence[tuple[int, int]]


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment: FF, marker, length, body of at most 65,533 bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """A JPEG file with these segments after its first two bytes."""
    return data[:2] + b"".join(segments) + data[2:]


class _Bits:
    """Bits, highest first, as entropy-coded data: padded with ones, with a zero byte after each FF."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def add(self, value: int, length: int) -> None:
        if length:
            self._bits.append(format(value, f"0{length}b"))

    def bytes(self) -> bytes:
        text = "".join(self._bits)
        text += "1" * (-len(text) % 8)
        return int(text or "0", 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def tables(dc_classes: int = 12) -> bytes:
    """Tables: quantisation by 1; DC codes of four bits; AC codes of one bit (end of block) and two (longest run)."""
    dc = segment(0xC4, b"\0" + bytes([0, 0, 0, dc_classes, *[0] * 12]) + bytes(range(dc_classes)))
    ac = segment(0xC4, b"\x10" + bytes([1, 1, *[0] * 14]) + bytes([0, _EOB_RUN << 4]))
    return segment(0xDB, b"\0" + b"\1" * 64) + dc + ac


def frame(
    marker: int, size: tuple[int, int], factors: Factors, ids: Sequence[int] = (1, 2, 3, 4), bits: int = 8
) -> bytes:
    """The frame header: marker, size, and sampling factors of each component."""
    components = b"".join(bytes([ids[n], h << 4 | v, 0]) for n, (h, v) in enumerate(factors))
    return segment(marker, struct.pack(">BHHB", bits, size[1], size[0], len(factors)) + components)


def scan(ids: Sequence[int], first: int = 0, last: int = 63, approximation: int = 0) -> bytes:
    """The header of a scan: components, first and last coefficient."""
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


def flat(
    planes: Array,
    factors: Factors,
    marker: int = BASELINE,
    app: Sequence[bytes] = (segment(0xE0, JFIF),),
    ids: Sequence[int] = (1, 2, 3, 4),
    restart: int = 0,
    apart: bool = False,
) -> bytes:
    """A file of planes (H, W, C) whose 8x8 blocks are flat.

    Args:
        planes: the components, each at full size.
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
    start = SOI + b"".join(app) + tables() + frame(marker, size, factors, ids)
    if restart:
        start += segment(0xDD, struct.pack(">H", restart))
    baseline = marker != PROGRESSIVE
    last = 63 if baseline else 0
    if apart:
        scans = [scan([ids[n]], 0, last) + _entropy([one], [(1, 1)], baseline, 0) for n, one in enumerate(levels)]
    else:
        scans = [scan(ids[: len(factors)], 0, last) + _entropy(levels, factors, baseline, restart)]
    if not baseline:  # without these a decoder smooths the blocks
        scans += [scan([ids[n]], 1, 63) + nothing(one.size) for n, one in enumerate(levels)]
    return start + b"".join(scans) + EOI


def nothing(blocks: int) -> bytes:
    """A scan without content for so many blocks."""
    bits, longest = _Bits(), (1 << _EOB_RUN + 1) - 1  # the code 10, and 14 ones
    for _ in range(blocks // longest):
        bits.add((0b11 << _EOB_RUN) - 1, _EOB_RUN + 2)
    for _ in range(blocks % longest):
        bits.add(0, 1)
    return bits.bytes()
