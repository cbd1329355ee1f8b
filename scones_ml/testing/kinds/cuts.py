"""Truncated files, cut at every tenth like an interrupted upload; and the smallest files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from PIL import features

from scones_ml.testing.kinds import ImageKind
from scones_ml.testing.kinds.drawing import COLOURS, LOSSY, encoded, photo, quadrants
from scones_ml.testing.kinds.tiff import tiff

__all__ = ["kinds"]

_FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {}),
    "jpeg-progressive": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {}),
    "webp-lossless": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"speed": 10, "max_threads": 1}),
}


def kinds() -> Iterator[ImageKind]:
    """All of them."""
    for name, (file_format, options) in _FORMATS.items():
        if name != "avif" or features.check("avif"):
            for tenth in range(1, 10):
                build = partial(_cut, file_format, options, tenth)
                yield ImageKind(f"cut/{name}-{tenth}0-percent", "refused", "an interrupted upload", build)
    for tenth in range(1, 10):
        build = partial(_cut_tiff, tenth)
        yield ImageKind(f"cut/tiff-{tenth}0-percent", "refused", "an interrupted upload", build)
    yield from _small()


def _cut(file_format: str, options: dict[str, object], tenth: int) -> bytes:
    whole = encoded(photo(160, 120), file_format, **options)
    return whole[: len(whole) * tenth // 10]


def _cut_tiff(tenth: int) -> bytes:
    """TIFF with the directory at the start and truncated pixels."""
    pixels = photo(160, 120).tobytes()
    whole = tiff(
        [b""], (160, 120), {258: (8, 8, 8), 262: (2,), 277: (3,), 278: (120,), 273: (400,), 279: (len(pixels),)}
    )
    whole = whole.ljust(400, b"\0") + pixels
    return whole[: len(whole) * tenth // 10]


def _small() -> Iterator[ImageKind]:
    for file_format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", *(["AVIF"] if features.check("avif") else [])):
        for size in ((1, 1), (1, 500), (500, 1), (2, 2), (7, 5), (225, 223), (1, 5000), (5000, 1)):
            build = partial(encoded, quadrants(COLOURS, size), file_format)
            corners = COLOURS if size == (225, 223) and file_format != "GIF" else None
            name = f"cut/{file_format.lower()}-{size[0]}x{size[1]}"
            yield ImageKind(name, "read", "small or narrow", build, corners, LOSSY)
