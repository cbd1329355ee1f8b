"""Facts from an image's header, and limits checked before decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scones_ml.errors import ImageTooLargeError

__all__ = ["ASPECT", "DECODED_SIDE", "MEMORY", "Header", "check_metadata", "draft_scale", "reduction"]

MEMORY: Final = 190_000_000
"""Maximum bytes of a file and its decoding; bands and later steps use the rest of the 200 MB."""

DECODED_SIDE: Final = 448
"""Minimum shorter side of a decoded image, in pixels, so that one decoding serves every size up to 224."""

ASPECT: Final = 4
"""Maximum ratio of the longer side to the target size."""

_METADATA: Final = 8_000_000  # bytes: profile, EXIF with its thumbnails, XMP; a print shop's profile has 3 million
_DRAFT_SCALES: Final = (8, 4, 2, 1)  # of libjpeg


@dataclass(frozen=True, slots=True)
class Header:
    """Facts from a file's header.

    Attributes:
        width: pixels, as stored.
        height: likewise.
        memory: maximum bytes for decoding, besides the file itself.
        depth: bits a sample, if needed for decoding; else 0.
        inverted: whether 0 is white.
        scaled: whether the decoder must reduce it, since full size takes too much memory.
        ranged: whether the samples have a defined range: unsigned integers of at most 16 bits.
    """

    width: int
    height: int
    memory: int
    depth: int = 0
    inverted: bool = False
    scaled: bool = False
    ranged: bool = True


def check_metadata(length: int) -> None:
    """Check the size of metadata against its limit.

    Raises:
        ImageTooLargeError: more than any camera or editor writes.
    """
    if length > _METADATA:
        raise ImageTooLargeError(
            f"{length:,} bytes of metadata exceed the limit of {_METADATA:,}: save it without metadata"
        )


def reduction(width: int, height: int, size: int) -> int:
    """Largest whole factor that leaves at least twice ``size`` on both sides; 1 for no reduction."""
    side = max(DECODED_SIDE, 2 * size)
    return max(1, min(width, height) // side, max(width, height) // (ASPECT * side))


def draft_scale(width: int, height: int, size: int) -> int:
    """Factor 1, 2, 4 or 8 by which a JPEG is reduced during decoding."""
    most = reduction(width, height, size)
    return next(scale for scale in _DRAFT_SCALES if scale <= most)
