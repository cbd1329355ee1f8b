"""Kinds of image files for testing readers: common ones, rare ones and hostile ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scones_ml.errors import MissingExtraError

__all__ = ["Corners", "Expectation", "ImageKind", "image_kinds"]

Corners = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
Expectation = Literal["read", "refused", "either"]


@dataclass(frozen=True, slots=True)
class ImageKind:
    """A kind of image file.

    Attributes:
        name: ``"png/grey-16"``: the format, a slash, and the special property.
        expectation: ``"read"``, ``"refused"``, or ``"either"`` if both are correct.
        why: the reason in a few words.
        build: returns the file's bytes; the same for every call.
        corners: RGB at the centre of each quadrant as shown (top left, top right, bottom left, bottom right), at a
            quarter and three quarters of width and height; None if unknown.
        tolerance: maximum deviation of each of their levels.
    """

    name: str
    expectation: Expectation
    why: str
    build: Callable[[], bytes]
    corners: Corners | None = None
    tolerance: int = 2

    @property
    def data(self) -> bytes:
        """The file's bytes, built at each use."""
        return self.build()

    @property
    def format(self) -> str:
        """The first part of the name, ``"png"``."""
        return self.name.partition("/")[0]

    def agrees(self, pixels: Sequence[Sequence[Sequence[int]]]) -> bool:
        """Whether the decoded image shows the known colours; True if they are unknown.

        Args:
            pixels: RGB (H, W, 3), upright and uncropped, as lists or an array.
        """
        rows, columns = ((len(side) // 4, len(side) * 3 // 4) for side in (pixels, pixels[0]))
        found = [pixels[row][column] for row in rows for column in columns]
        return all(
            abs(int(level) - int(right)) <= self.tolerance
            for colour, known in zip(found, self.corners or (), strict=False)
            for level, right in zip(colour, known, strict=True)
        )


def image_kinds(*, large: bool = False) -> Iterator[ImageKind]:
    """All kinds, in a fixed order; the bytes are reproducible with the same version of Pillow.

    Files are built when ``data`` is used; nothing is read from disk.

    Args:
        large: whether to include those of 12 to 50 megapixels; building one takes up to 5 seconds and 500 MB.

    Raises:
        MissingExtraError: Pillow or numpy is not installed.
    """
    try:
        from scones_ml.testing.kinds import avif, bmp, cuts, foreign, gif, jpeg, orientation, png, tiff, webp
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    formats = (png, jpeg, gif, bmp, tiff, webp, avif)
    for module in (*formats, orientation, cuts, foreign):
        yield from module.kinds()
    if large:
        for module in formats:
            yield from module.large()
