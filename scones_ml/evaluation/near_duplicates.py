"""Detection of near duplicates: an image re-encoded, resized, brightened, mirrored or slightly cropped.

Pairs are found by signature in two steps. The coarse step compares the lowest frequencies of all pairs: two matrix
products a block, on integers, so that results are equal on every machine. In the fine step, the remaining pairs are
aligned by shift and stretch, within a crop of a few percent, and compared again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.errors import DatasetError, MissingExtraError
from scones_ml.evaluation.signatures import LUMA, frequencies, signature, unpack, weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    _Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

__all__ = [
    "SIMILARITY",
    "NearDuplicate",
    "find_near_duplicates",
    "grid_means",
    "near_duplicate_groups",
    "near_pairs",
    "nearest",
    "similarities",
]

SIMILARITY: Final = 0.94
"""Minimum similarity of near duplicates.

Among 819 photographs of clothing, many on the same blanket, the most similar different pair has 0.92; 96 % of copies
cropped by 2 % at each side are found, and 99 % of copies compressed, resized, brightened or mirrored.
"""

_COARSE = 0.88  # similarity of the lowest frequencies, before alignment
_COARSE_LUMA, _COARSE_COLOR = 8, 4
_COARSE_FALL = 0.5  # the coarse step weights high frequencies less, since shifts change them most
_WHOLE = 2048  # norm of the coarse vectors: products stay below 2**24, where float32 is exact
_ROWS, _COLUMNS, _PAIRS = 1024, 4096, 4096  # sizes of a block: efficient on two cores, far below 500 MB
_FARTHEST = np.array([0.04, 0.08, 0.04, 0.08])  # maximum shift and stretch, vertical and horizontal, in image sides
_PLAIN = 0.78  # similarity before alignment, below which alignment cannot suffice
_STIFFNESS = 2.5e-4  # regularisation of the least squares
_ROUNDING = 1e-4
_EVEN = 0.005  # flattens square roots of coefficients near 0


@dataclass(frozen=True)
class NearDuplicate:
    """A pair of near duplicates.

    Attributes:
        first: row index of the first image.
        second: row index of the second image, larger.
        similarity: similarity of their signatures, at most 1.
        mirrored: whether the second is similar when mirrored.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def find_near_duplicates(pixels: npt.NDArray[np.uint8], *, similarity: float = SIMILARITY) -> tuple[NearDuplicate, ...]:
    """Find pairs of near duplicates.

    Insensitive to brightness, contrast, colour cast, mirroring, compression and crops of 2 or 3 %. All pairs are
    compared: 100,000 images take less than a minute on two cores.

    Args:
        pixels: uint8 (N, S, S, 3).
        similarity: minimum similarity, in (0, 1].

    Returns:
        Pairs by descending similarity. Images without contrast have no duplicates.

    Raises:
        DatasetError: the pixels have the wrong shape.
        MissingExtraError: Pillow is not installed.
    """
    _check(pixels)
    try:
        from PIL.Image import fromarray
    except ModuleNotFoundError as exc:
        raise MissingExtraError("Pillow", "onnx") from exc
    signed = [signature(fromarray(image)) for image in pixels]
    rows = np.array([row for row, found in enumerate(signed) if found is not None], np.int64)
    vectors = unpack(filter(None, signed))
    found: list[NearDuplicate] = []
    for first, second in near_pairs(vectors):
        values, mirrored = similarities(vectors[first], vectors[second])
        found += [
            NearDuplicate(int(rows[i]), int(rows[j]), float(value), bool(turned))
            for i, j, value, turned in zip(first, second, values, mirrored, strict=True)
            if value >= similarity
        ]
    return tuple(sorted(found, key=lambda pair: (-pair.similarity, pair.first, pair.second)))


def near_duplicate_groups(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Group near duplicates, directly or through others.

    Args:
        vectors: unpacked signatures, float32 (N, D).

    Returns:
        (N,) group of each image, as the index of one of its rows; images without duplicates form their own group.
    """
    group = np.arange(len(vectors))
    members = {row: [row] for row in range(len(vectors))}
    for first, second in near_pairs(vectors):
        apart = group[first] != group[second]  # pairs in one group already are skipped
        first, second = first[apart], second[apart]
        alike = similarities(vectors[first], vectors[second])[0] >= SIMILARITY
        for one, other in zip(first[alike], second[alike], strict=True):
            less, more = sorted((int(group[one]), int(group[other])), key=lambda row: len(members[row]))
            if less != more:
                group[members[less]] = more
                members[more] += members.pop(less)
    return group


def nearest(vectors: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Nearest near duplicate of each image among others.

    Args:
        vectors: unpacked signatures, float32 (N, D).
        others: unpacked signatures of the others, float32 (M, D).

    Returns:
        (N,) row of the most similar other image, the first of several; -1 without a near duplicate.
    """
    found = np.full(len(vectors), -1)
    best = np.full(len(vectors), SIMILARITY)
    for first, second in near_pairs(vectors, others):
        for i, j, value in zip(first, second, similarities(vectors[first], others[second])[0], strict=True):
            if value > best[i] or (found[i] < 0 and value == best[i]):
                found[i], best[i] = j, value
    return found


def near_pairs(
    vectors: npt.NDArray[np.float32], others: npt.NDArray[np.float32] | None = None
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Coarse step: candidate pairs in a fixed order, in blocks of at most a few thousand.

    Args:
        vectors: unpacked signatures, float32 (N, D).
        others: signatures to compare with, (M, D); None compares the vectors with each other, each pair once.

    Yields:
        First and second rows, int64 (P,) each; within one array the first is smaller.
    """
    left = _coarse(vectors)
    right = left if others is None else _coarse(others)
    waiting = np.empty((2, 0), np.int64)
    for top in range(0, len(vectors), _ROWS):
        for start in range(top if others is None else 0, len(right[0]), _COLUMNS):
            rows, columns = _similar_at_first(
                [part[top : top + _ROWS] for part in left], [part[start : start + _COLUMNS] for part in right]
            )
            found = np.stack([rows + top, columns + start])
            waiting = np.hstack([waiting, found if others is not None else found[:, found[0] < found[1]]])
            while waiting.shape[1] >= _PAIRS:
                yield waiting[0, :_PAIRS], waiting[1, :_PAIRS]
                waiting = waiting[:, _PAIRS:]
    if waiting.size:
        yield waiting[0], waiting[1]


def _similar_at_first(
    left: Sequence[npt.NDArray[np.float32]], right: Sequence[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and second rows of pairs whose lowest frequencies are similar enough, mirrored or not."""
    turning = left[1] @ right[1].T
    np.abs(turning, out=turning)  # mirroring changes the sign of the odd frequencies
    turning += left[0] @ right[0].T
    places = np.flatnonzero(turning >= np.float32(_COARSE * _WHOLE**2))
    return places // turning.shape[1], places % turning.shape[1]


def similarities(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Fine step: similarity of pairs after optimal alignment.

    Args:
        first: unpacked signatures of the first images, (P, D).
        second: unpacked signatures of the second images, (P, D).

    Returns:
        Similarities (P,), at most 1, symmetric in both; and whether the mirrored image is more similar, (P,).
    """
    mirror = ((-1.0) ** frequencies()[2]).astype(np.float32)
    straight = np.einsum("pd,pd->p", first, second)
    turned = np.einsum("pd,pd,d->p", first, second, mirror)
    mirrored = turned > straight
    found = np.maximum(straight, turned).astype(np.float64)
    second = np.where(mirrored[:, None], second * mirror, second)
    near = np.flatnonzero(found >= _PLAIN)
    found[near] = _aligned(first[near], second[near])
    # Order of summation differs between machines: borderline values are recomputed in float64.
    close = near[np.abs(found[near] - SIMILARITY) < _ROUNDING]
    found[close] = _aligned(first[close].astype(np.float64), second[close].astype(np.float64))
    return found, mirrored


def _aligned(one: _Floats, other: _Floats) -> _Floats:
    """Similarity after shifting and stretching both images halfway towards each other.

    To first order a shift adds the image's derivative, so the alignment is a least-squares problem with 4 unknowns.
    """
    ones, others = ((vectors @ _moves(one.dtype.char)).reshape(-1, 4, one.shape[1]) for vectors in (one, other))
    both = (ones + others) / 2
    square = both @ both.transpose(0, 2, 1)
    square += _STIFFNESS * np.trace(square, axis1=1, axis2=2)[:, None, None] * np.eye(4, dtype=one.dtype)
    way = np.linalg.solve(square, both @ (other - one)[..., None])
    way = np.clip(way[..., 0], -_FARTHEST, _FARTHEST).astype(one.dtype)[:, None] / 2
    near, far = one + (way @ ones)[:, 0], other - (way @ others)[:, 0]
    return np.asarray(np.einsum("pd,pd->p", _evened(near), _evened(far)))


def _evened(vectors: _Floats) -> _Floats:
    """Signed square roots, normalised to length 1, so that many frequencies count more than few."""
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    roots = np.sign(scaled) * (np.sqrt(np.abs(scaled) + _EVEN) - _EVEN**0.5)
    return np.asarray(roots / np.linalg.norm(roots, axis=1, keepdims=True))


@cache
def _moves(dtype: str) -> _Floats:
    """Derivatives of a signature by shift and stretch, vertical and horizontal, per image side: (D, 4 * D)."""
    plane, u, v = frequencies()
    same_plane = plane[:, None] == plane
    scale = weights() / weights()[:, None]
    found = []
    for along, across in ((u, v), (v, u)):
        kept = same_plane & (across[:, None] == across)
        found += [np.where(kept, change[along][:, along] * scale, 0.0) for change in _derivatives()]
    return np.hstack(found).astype(dtype)


def _derivatives() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Derivatives of the cosine transform's coefficients by shift, and by stretch about the middle.

    Returns:
        (LUMA, LUMA) each, from the row's coefficient to the column's, per whole side.
    """
    x = (np.arange(2048) + 0.5) / 2048
    order = np.arange(LUMA)[:, None]
    scale = np.where(order == 0, 1.0, np.sqrt(2.0))
    cosines = scale * np.cos(np.pi * order * x)
    slopes = -scale * np.pi * order * np.sin(np.pi * order * x)
    return slopes @ cosines.T / 2048, (slopes * (x - 0.5)) @ cosines.T / 2048


def _coarse(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Lowest frequencies as integers: those invariant under mirroring, and those that change sign."""
    plane, u, v = frequencies()
    kept = np.maximum(u, v) < np.where(plane == 0, _COARSE_LUMA, _COARSE_COLOR)
    flat = vectors[:, kept] / np.hypot(u, v)[kept] ** _COARSE_FALL
    length = np.sqrt(np.einsum("nd,nd->n", flat, flat, dtype=np.float64))[:, None]
    whole = np.rint(flat / np.maximum(length, 1e-9) * _WHOLE).astype(np.float32)
    odd = v[kept] % 2 == 1
    return np.ascontiguousarray(whole[:, ~odd]), np.ascontiguousarray(whole[:, odd])


def grid_means(pixels: npt.NDArray[np.uint8], cells: int) -> npt.NDArray[np.float32]:
    """Mean colour of each cell of a grid.

    Args:
        pixels: uint8 (N, S, S, 3).
        cells: cells a side, of nearly equal size; at most S.

    Returns:
        float32 (N, C, C, 3) in 0..255.

    Raises:
        DatasetError: the pixels have the wrong shape.
    """
    _check(pixels)
    side = pixels.shape[1]
    count = min(cells, side)
    edges = np.arange(count) * side // count
    widths = np.diff(np.append(edges, side)).astype(np.float32)
    rows = np.add.reduceat(pixels.astype(np.float32), edges, axis=1)
    sums = np.add.reduceat(rows, edges, axis=2)
    return np.asarray(sums / (widths[:, None, None] * widths[None, :, None]), np.float32)


def _check(pixels: npt.NDArray[np.uint8]) -> None:
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] != 3:
        raise DatasetError(f"images of shape {pixels.shape}: pass (N, S, S, 3)")
