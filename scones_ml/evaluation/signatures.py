"""Image signatures: 191 bytes, nearly invariant under re-encoding, resizing, brightness and contrast.

The image is averaged to 32 x 32 cells. The lowest frequencies of a cosine transform of brightness (12 x 12) and of two
colour differences (5 x 5 each) are kept, without the mean; high frequencies, which have less energy, get larger
weights. The result is scaled to length 1, to remove contrast, and its square roots are rounded to a byte each.

All arithmetic after the averaging is exact on integers, so every machine computes the same bytes. They determine which
images a split keeps together, so any change here needs a new :data:`SIGNATURE_VERSION`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    from PIL.Image import Image

__all__ = ["COLOR", "LUMA", "SIGNATURE_LENGTH", "SIGNATURE_VERSION", "frequencies", "signature", "unpack", "weights"]

SIGNATURE_VERSION: Final = 1
LUMA: Final = 12  # frequencies a side
COLOR: Final = 5
SIGNATURE_LENGTH: Final = LUMA**2 - 1 + 2 * (COLOR**2 - 1)

_CELLS = 32  # a side
_LEAST_CONTRAST = 4  # minimum standard deviation of the kept brightness, in 0..255; less is noise
_COLOR_WEIGHT = 0.75  # JPEG subsamples colour to a quarter
_RISE = 0.75  # exponent of the frequency in the weights
_BITS = 8  # bits of the transform's integer factors


def signature(image: Image) -> bytes | None:
    """Compute the signature of an image.

    Args:
        image: RGB image of any size and proportions.

    Returns:
        ``SIGNATURE_LENGTH`` bytes, or None for an image without contrast.
    """
    cells = np.asarray(image.resize((_CELLS, _CELLS), _box(), reducing_gap=2.0), np.float64)
    red, green, blue = cells[..., 0], cells[..., 1], cells[..., 2]
    luma = red + 2 * green + blue
    planes = ((luma, LUMA), (4 * (blue - green), COLOR), (4 * (red - green), COLOR))
    found = np.concatenate([_transformed(plane, count) for plane, count in planes])
    brightness = found[: LUMA**2 - 1]
    if brightness @ brightness < (_LEAST_CONTRAST * _CELLS * 2**6) ** 2:
        return None
    weighted = found.astype(np.int64) * weights()
    length = math.isqrt(int(weighted @ weighted))
    roots = np.sign(weighted) * np.rint(np.sqrt(127**2 * np.abs(weighted) // length))
    return np.asarray(roots, np.int8).tobytes()


def unpack(signatures: Iterable[bytes]) -> npt.NDArray[np.float32]:
    """Unpack signatures to vectors for comparison: weighted frequencies, scaled to length 1.

    Args:
        signatures: N results of :func:`signature`.

    Returns:
        (N, SIGNATURE_LENGTH), rounded to be equal on every machine.
    """
    roots = np.frombuffer(b"".join(signatures), np.int8).reshape(-1, SIGNATURE_LENGTH)
    found = np.empty(roots.shape, np.float32)
    for row, root in zip(found, roots.astype(np.int64), strict=True):
        squares = root * abs(root)
        row[:] = squares / math.sqrt(squares @ squares)
    return found


@cache
def frequencies() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Plane (0 is brightness), vertical and horizontal frequency of each byte of a signature."""
    rows = [
        (plane, u, v)
        for plane, count in enumerate((LUMA, COLOR, COLOR))
        for u in range(count)
        for v in range(count)
        if u or v
    ]
    plane, u, v = np.array(rows, np.int64).T
    return plane, u, v


@cache
def weights() -> npt.NDArray[np.int64]:
    """Weights of the transform's coefficients, (SIGNATURE_LENGTH,)."""
    plane, u, v = frequencies()
    found = np.rint(16 * np.hypot(u, v) ** _RISE * np.where(plane == 0, 1.0, _COLOR_WEIGHT))
    return np.asarray(found, np.int64)


def _transformed(plane: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Lowest frequencies times 16, row by row, without the mean; integers below 2**53, exact in floats."""
    basis = _basis(count)
    return np.asarray(np.rint((basis @ plane @ basis.T).ravel()[1:] / 2 ** (2 * _BITS - 4)))


@cache
def _basis(count: int) -> npt.NDArray[np.float64]:
    cosines = np.cos(np.pi * np.outer(np.arange(count), 2 * np.arange(_CELLS) + 1) / (2 * _CELLS))
    cosines[0] /= math.sqrt(2)
    return np.asarray(np.rint(cosines * math.sqrt(2 / _CELLS) * 2**_BITS))


def _box() -> int:
    try:
        from PIL.Image import Resampling
    except ModuleNotFoundError as exc:
        raise MissingExtraError("Pillow", "onnx") from exc
    return Resampling.BOX
