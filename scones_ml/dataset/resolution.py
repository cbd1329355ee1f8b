"""Photographs or thumbnails: how large a source's images are, and what they are reduced to.

Only headers are read. Photographs are recognised by what a pretrained network knows of them, and such networks were
trained at 224 pixels; a thumbnail of 32 has nothing that more pixels would show.
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
"""Pixels on the shorter side from which an image counts as a photograph; a smaller one is a thumbnail."""

PHOTOGRAPH_SIZE: Final = 224
"""What the shorter side of photographs is reduced to unless a size is given, in pixels."""

THUMBNAIL_SIZE: Final = 32
"""The same of thumbnails."""

_SAMPLE: Final = 32  # images of a source; the middle one of their sides hardly moves with more
_STAGED_SAMPLE: Final = 500
_PNG_SIZE: Final = struct.Struct(">16x2I")  # width and height stand in the first chunk

Item = TypeVar("Item")


def choose_size(candidates: Sequence[Candidate]) -> int:
    """The image size for a source when none is given: 224 for photographs, 32 for thumbnails.

    Args:
        candidates: the source's images; those that cannot be read say nothing.
    """
    sides = [side for candidate in _sample(candidates, _SAMPLE) if (side := _side(candidate))]
    return PHOTOGRAPH_SIZE if sides and median_low(sides) >= PHOTOGRAPH_SIDE else THUMBNAIL_SIZE


def typical_side(data: Dataset) -> int:
    """The median of the shorter sides of a staged data set's images, in pixels.

    Raises:
        DatasetError: a file is gone, or no staged image.
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
    """At most ``count`` of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // count))]
