"""Images that show nearly the same: the same photograph re-encoded, resized, brightened, mirrored or slightly cut.

Pairs are found by signature in two steps. The coarse one compares the lowest frequencies of all pairs: two products of
matrices a block, on whole numbers, so that every machine finds the same. What passes is looked at closely: the two are
shifted and stretched onto each other, at most as far as a cut of a few percent goes, and compared again.
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
"""From here on two images are nearly the same.

Of 819 photographs of clothing, many of them on the same blanket, the most similar two that differ have 0.92; of their
copies that lost 2 % at each side 96 % pass, of those that were compressed, resized, brightened or mirrored 99 %.
"""

_COARSE = 0.88  # of the lowest frequencies alone, before anything is shifted
_COARSE_LUMA, _COARSE_COLOR = 8, 4
_COARSE_FALL = 0.5  # the coarse step weighs high frequencies less, which a shift changes most
_WHOLE = 2048  # length of the coarse vectors: products stay below 2**24, where float32 is exact
_ROWS, _COLUMNS, _PAIRS = 1024, 4096, 4096  # of a block: large enough for two cores, and far below 500 MB
_FARTHEST = np.array([0.04, 0.08, 0.04, 0.08])  # shift and stretch, down and across, in sides of the image
_PLAIN = 0.78  # of all frequencies, before anything is shifted: below it no shift of a few percent helps
_STIFFNESS = 2.5e-4  # keeps the least squares from what hardly matters
_ROUNDING = 1e-4
_EVEN = 0.005  # makes square roots of coefficients near 0 less steep


@dataclass(frozen=True)
class NearDuplicate:
    """Two images that show nearly the same.

    Attributes:
        first: row of the one.
        second: row of the other, larger.
        similarity: of their signatures, at most 1.
        mirrored: whether it is the mirror image of the second that is like the first.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def find_near_duplicates(pixels: npt.NDArray[np.uint8], *, similarity: float = SIMILARITY) -> tuple[NearDuplicate, ...]:
    """Name pairs of images that show nearly the same.

    Brightness, contrast, a cast of colour, mirroring, compression and a cut of 2 or 3 % do not count.
    All pairs are compared: 100,000 images take less than a minute on two cores.

    Args:
        pixels: uint8 (N, S, S, 3).
        similarity: least similarity, in (0, 1].

    Returns:
        The most similar first. An image without contrast is like none.

    Raises:
        DatasetError: the pixels have another shape.
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
    """Group images so that those that are nearly the same, directly or through others, are of one group.

    Args:
        vectors: unpacked signatures, float32 (N, D).

    Returns:
        (N,): each image's group, named by one of its rows. What is like none is a group by itself.
    """
    group = np.arange(len(vectors))
    members = {row: [row] for row in range(len(vectors))}
    for first, second in near_pairs(vectors):
        apart = group[first] != group[second]  # no close look at what is together already
        first, second = first[apart], second[apart]
        alike = similarities(vectors[first], vectors[second])[0] >= SIMILARITY
        for one, other in zip(first[alike], second[alike], strict=True):
            less, more = sorted((int(group[one]), int(group[other])), key=lambda row: len(members[row]))
            if less != more:
                group[members[less]] = more
                members[more] += members.pop(less)
    return group


def nearest(vectors: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Which of other images each image is nearly the same as.

    Args:
        vectors: unpacked signatures, float32 (N, D).
        others: those of the others, (M, D).

    Returns:
        (N,): row of the most similar of the others, the first of several; -1 where none is nearly the same.
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
    """The coarse step: pairs that may be near duplicates, in a fixed order, at most some thousand at a time.

    Args:
        vectors: unpacked signatures, float32 (N, D).
        others: those to compare with, (M, D); with each other, each pair once, when None.

    Yields:
        Rows of the one and rows of the other, int64 (P,) each; the first is smaller where they are of one array.
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
    """Rows of the one and of the other whose lowest frequencies, even and odd ones, are similar enough."""
    turning = left[1] @ right[1].T
    np.abs(turning, out=turning)  # mirroring changes the sign of the odd frequencies
    turning += left[0] @ right[0].T
    places = np.flatnonzero(turning >= np.float32(_COARSE * _WHOLE**2))
    return places // turning.shape[1], places % turning.shape[1]


def similarities(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The close look: how similar images are when they are laid upon each other as well as possible.

    Args:
        first: unpacked signatures, (P, D).
        second: those of the images to compare each of them with, (P, D).

    Returns:
        Similarities (P,), at most 1, the same whichever of the two is first; and whether it is the mirror image that
        is more similar, (P,).
    """
    mirror = ((-1.0) ** frequencies()[2]).astype(np.float32)
    straight = np.einsum("pd,pd->p", first, second)
    turned = np.einsum("pd,pd,d->p", first, second, mirror)
    mirrored = turned > straight
    found = np.maximum(straight, turned).astype(np.float64)
    second = np.where(mirrored[:, None], second * mirror, second)
    near = np.flatnonzero(found >= _PLAIN)
    found[near] = _aligned(first[near], second[near])
    # Machines add in different orders: what rounding could decide is computed again, to more places.
    close = near[np.abs(found[near] - SIMILARITY) < _ROUNDING]
    found[close] = _aligned(first[close].astype(np.float64), second[close].astype(np.float64))
    return found, mirrored


def _aligned(one: _Floats, other: _Floats) -> _Floats:
    """Shift and stretch each of two half the way towards the other, as far as that makes them more alike; compare.

    To first order a shifted image is the image and its derivative, so the way is a least-squares problem of 4 unknowns.
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
    """Square roots, sign kept, at length 1: what is in many frequencies counts more than what is in few."""
    scaled = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    roots = np.sign(scaled) * (np.sqrt(np.abs(scaled) + _EVEN) - _EVEN**0.5)
    return np.asarray(roots / np.linalg.norm(roots, axis=1, keepdims=True))


@cache
def _moves(dtype: str) -> _Floats:
    """What a signature changes by when its image is shifted or stretched by a side, down and across: (D, 4 * D)."""
    plane, u, v = frequencies()
    same_plane = plane[:, None] == plane
    scale = weights() / weights()[:, None]
    found = []
    for along, across in ((u, v), (v, u)):
        kept = same_plane & (across[:, None] == across)
        found += [np.where(kept, change[along][:, along] * scale, 0.0) for change in _derivatives()]
    return np.hstack(found).astype(dtype)


def _derivatives() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How the cosine transform's coefficients change when what they describe is shifted, or stretched from its middle.

    Returns:
        (LUMA, LUMA) each, from the row's coefficient to the column's, for a shift by a whole side.
    """
    x = (np.arange(2048) + 0.5) / 2048
    order = np.arange(LUMA)[:, None]
    scale = np.where(order == 0, 1.0, np.sqrt(2.0))
    cosines = scale * np.cos(np.pi * order * x)
    slopes = -scale * np.pi * order * np.sin(np.pi * order * x)
    return slopes @ cosines.T / 2048, (slopes * (x - 0.5)) @ cosines.T / 2048


def _coarse(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The lowest frequencies as whole numbers: what mirroring leaves alone, and what changes its sign."""
    plane, u, v = frequencies()
    kept = np.maximum(u, v) < np.where(plane == 0, _COARSE_LUMA, _COARSE_COLOR)
    flat = vectors[:, kept] / np.hypot(u, v)[kept] ** _COARSE_FALL
    length = np.sqrt(np.einsum("nd,nd->n", flat, flat, dtype=np.float64))[:, None]
    whole = np.rint(flat / np.maximum(length, 1e-9) * _WHOLE).astype(np.float32)
    odd = v[kept] % 2 == 1
    return np.ascontiguousarray(whole[:, ~odd]), np.ascontiguousarray(whole[:, odd])


def grid_means(pixels: npt.NDArray[np.uint8], cells: int) -> npt.NDArray[np.float32]:
    """The mean colour of each cell of a grid.

    Args:
        pixels: uint8 (N, S, S, 3).
        cells: cells a side, nearly equal in size; S where that is smaller.

    Returns:
        float32 (N, C, C, 3) in 0..255.

    Raises:
        DatasetError: the pixels have another shape.
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
        raise DatasetError(f"images of shape {pixels.shape}: expected (N, S, S, 3)")
