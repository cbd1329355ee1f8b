"""Choice of the image size: 224 pixels for photographs, 32 for thumbnails.

Only headers are read. Pretrained networks, used for photographs, were trained at 224 pixels; thumbnails of 32 gain
nothing from more pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import TYPE_CHECKING, Final, TypeVar

from scones_ml.errors import DatasetError, ImageError
from scones_ml.images.decoding import stored_size
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from scones_ml.dataset.records import Dataset
    from scones_ml.dataset.sources import Candidate

__all__ = ["PHOTOGRAPH_SIDE", "PHOTOGRAPH_SIZE", "THUMBNAIL_SIZE", "choose_size", "typical_side"]

PHOTOGRAPH_SIDE: Final = 64
"""Minimum shorter side of a photograph, in pixels; smaller images are thumbnails."""

PHOTOGRAPH_SIZE: Final = 224
"""Default image size for photographs, in pixels."""

THUMBNAIL_SIZE: Final = 32
"""Default image size for thumbnails, in pixels."""

_SAMPLE: Final = 32  # images of a source; enough for a stable median
_STAGED_SAMPLE: Final = 500
_PNG_SIZE: Final = struct.Struct(">16x2I")  # width and height in the first chunk

Item = TypeVar("Item")


def choose_size(candidates: Sequence[Candidate]) -> int:
    """Choose a source's image size: 224 for photographs, 32 for thumbnails.

    Args:
        candidates: the source's images; unreadable ones are ignored.
    """
    sides = [side for candidate in _sample(candidates, _SAMPLE) if (side := _side(candidate))]
    return PHOTOGRAPH_SIZE if sides and median_low(sides) >= PHOTOGRAPH_SIDE else THUMBNAIL_SIZE


def typical_side(data: Dataset) -> int:
    """Median shorter side of a staged data set's images, in pixels.

    Raises:
        DatasetError: a file is missing, or not a staged image.
    """
    sides: list[int] = []
    for record in _sample(data.records, _STAGED_SAMPLE):
        path = data.root / record.path
        try:
            with path.open("rb") as file:
                width, height = _PNG_SIZE.unpack(file.read(_PNG_SIZE.size))
        except (OSError, struct.error) as exc:
            raise DatasetError(f"{path} cannot be read as a staged image: stage the data set again") from exc
        sides.append(min(width, height))
    return median_low(sides)


def _side(candidate: Candidate) -> int | None:
    try:
        return min(stored_size(candidate.read(), ImagePolicy()))
    except (ImageError, OSError):
        return None


def _sample(items: Sequence[Item], count: int) -> Iterable[Item]:
    """At most ``count`` evenly spaced items."""
    return items[:: max(1, -(-len(items) // count))]
