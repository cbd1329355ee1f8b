"""Image figures: brightness, contrast, sharpness and size of the model's input."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import images
from scones_ml.errors import ImageError
from scones_ml.evaluation.arrays import FloatArray

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["measure", "measure_pixels", "source_size_is_known"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def measure(files: Iterable[bytes], policy: images.ImagePolicy) -> FloatArray:
    """Measure encoded images.

    Args:
        files: N files' bytes; one is in memory at a time.
        policy: image policy of the model; ``image_size`` is at least 3.

    Returns:
        (N, 4): brightness, contrast and sharpness as by :func:`measure_pixels`, and the size: the square root of the
        number of pixels, with each side limited to ``image_size``, beyond which the model uses none. A row of NaN is an
        unreadable image.
    """
    return np.array([_measured(data, policy) for data in files], np.float64).reshape(-1, 4)


def measure_pixels(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Measure (N, S, S, 3) RGB pixels, S at least 3.

    Returns:
        (N, 3): brightness (mean luma, 0..255), contrast (standard deviation of the luma, 0..127.5) and sharpness
        (variance of the luma's Laplacian; small for blurred images).
    """
    luma = pixels.astype(np.float32) @ _LUMA
    middle = luma[:, 1:-1, 1:-1]
    sides = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    over = (1, 2)
    figures = (luma.mean(over), luma.std(over), (sides - 4 * middle).var(over))
    return np.stack(figures, axis=1).astype(np.float64)


def _measured(data: bytes, policy: images.ImagePolicy) -> tuple[float, ...]:
    """Measure images one at a time: a block at 224 pixels would take 400 MB."""
    size = policy.image_size
    try:
        square = images.pixels(data, size, policy)
    except ImageError:
        return (math.nan,) * 4
    return (*measure_pixels(square[None])[0].tolist(), _size(data, size))


def source_size_is_known(data: bytes, image_size: int) -> bool:
    """Whether an image has its source's size: the workflow sends squares of ``image_size`` pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size != (image_size, image_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # unreadable: a row of NaN
        return True


def _size(data: bytes, size: int) -> float:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return math.sqrt(min(image.width, size) * min(image.height, size))
