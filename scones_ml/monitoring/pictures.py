"""Simple figures of a picture as the model sees it: brightness, contrast, sharpness, size."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import images

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["measure", "measure_pixels"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def measure(data: bytes, size: int) -> tuple[float, float, float, float]:
    """Measure an encoded picture.

    Args:
        data: a file's bytes.
        size: side of the model's square in pixels.

    Returns:
        Brightness, contrast and sharpness as :func:`measure_pixels` has them, and the size: the square root of the
        number of pixels, each side counted up to ``size``; what lies beyond, the model never sees.

    Raises:
        InvalidImageError: not a picture, or a broken one.
        ImageTooLargeError: beyond the policy's caps.
    """
    pixels = images.pixels(data, size)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    return (*measure_pixels(pixels), math.sqrt(min(width, size) * min(height, size)))


def measure_pixels(pixels: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Measure a square of (S, S, 3) RGB pixels, S at least 3.

    Returns:
        Brightness (mean luma, 0..255), contrast (its standard deviation, 0..127.5) and sharpness (the variance of its
        Laplacian; small where the picture is blurred).
    """
    luma = pixels.astype(np.float32) @ _LUMA
    middle = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * middle
    return float(luma.mean()), float(luma.std()), float(laplacian.var())
