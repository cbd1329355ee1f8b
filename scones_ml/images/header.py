"""What is known of an image before it is decoded, and the limits that it is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scones_ml.errors import ImageTooLargeError

__all__ = ["ASPECT", "DECODED_SIDE", "MEMORY", "Header", "check_metadata", "draft_scale", "reduction"]

MEMORY: Final = 190_000_000
"""Bytes that a file and its decoding take at most; bands and what comes after have the rest of the 200 MB."""

DECODED_SIDE: Final = 448
"""Pixels: images are decoded to a shorter side of at least this, so that one decoding serves every size up to 224."""

ASPECT: Final = 4
"""Of an image that is longer than so many times its width, the longer side is held to as many times the size."""

_METADATA: Final = 8_000_000  # bytes: profile, EXIF with its thumbnails, XMP; a print shop's profile has 3 million
_DRAFT_SCALES: Final = (8, 4, 2, 1)  # of libjpeg


@dataclass(frozen=True, slots=True)
class Header:
    """What a file announces.

    Attributes:
        width: pixels, as stored.
        height: likewise.
        memory: bytes that decoding takes at most, beside the file's own.
        depth: bits a sample, where that is needed to read them; 0 elsewhere.
        inverted: whether 0 is white.
        scaled: whether the decoder has to reduce it, since it takes too much memory at full size.
        ranged: whether the range of the samples is known: unsigned whole numbers of at most 16 bits.
    """

    width: int
    height: int
    memory: int
    depth: int = 0
    inverted: bool = False
    scaled: bool = False
    ranged: bool = True


def check_metadata(length: int) -> None:
    """Hold what is no pixel to a limit.

    Raises:
        ImageTooLargeError: more bytes than any camera or editor writes.
    """
    if length > _METADATA:
        raise ImageTooLargeError(
            f"{length:,} bytes of metadata are more than the {_METADATA:,} allowed: save it without metadata"
        )


def reduction(width: int, height: int, size: int) -> int:
    """By what whole number both sides may be divided, so that at least twice ``size`` is left; 1 for none."""
    side = max(DECODED_SIDE, 2 * size)
    return max(1, min(width, height) // side, max(width, height) // (ASPECT * side))


def draft_scale(width: int, height: int, size: int) -> int:
    """The scale 1, 2, 4 or 8 that a JPEG is divided by while it is decoded."""
    most = reduction(width, height, size)
    return next(scale for scale in _DRAFT_SCALES if scale <= most)
