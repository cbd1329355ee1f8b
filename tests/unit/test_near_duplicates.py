"""Near duplicates: what a signature bears, and that the search finds all that comparing every pair would find."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from scones_ml.evaluation.near_duplicates import (
    SIMILARITY,
    near_duplicate_groups,
    near_pairs,
    nearest,
    similarities,
)
from scones_ml.evaluation.signatures import SIGNATURE_LENGTH, SIGNATURE_VERSION, signature, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from numpy.typing import NDArray


def blotches(number: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    cells = np.random.default_rng(number).integers(0, 256, (7, 7, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)


def signed(*images: Image.Image) -> NDArray[np.float32]:
    found = [signature(image) for image in images]
    assert None not in found
    return unpack(one or b"" for one in found)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


@pytest.fixture(scope="module")
def many() -> NDArray[np.float32]:
    """Four hundred signatures: a hundred images, each with a cut, a darkened and a mirrored copy."""
    originals = [blotches(number) for number in range(100)]
    copies = [
        copy
        for image in originals
        for copy in (
            image,
            cut(image, 0.02, 0.0, 0.02, 0.02),
            ImageEnhance.Brightness(image).enhance(0.8),
            ImageOps.mirror(image).resize((64, 64)),
        )
    ]
    return signed(*copies)


def brute_force(vectors: NDArray[np.float32]) -> set[tuple[int, int]]:
    """Every pair that is nearly the same, by a close look at all pairs."""
    first, second = np.triu_indices(len(vectors), 1)
    found = similarities(vectors[first], vectors[second])[0] >= SIMILARITY
    return set(zip(first[found].tolist(), second[found].tolist(), strict=True))


def test_the_signature_is_the_same_on_every_machine() -> None:
    """A signature is fixed: other bytes for the same pixels are another version."""
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    pixels = np.stack([x * 5 % 256, y * 7 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8)
    found = signature(Image.fromarray(pixels))
    assert found is not None
    assert len(found) == SIGNATURE_LENGTH <= 256
    assert (SIGNATURE_VERSION, hashlib.sha256(found).hexdigest()[:16]) == (1, "3b485a618f3707fe")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: as_jpeg(image, 30),
        lambda image: image.resize((64, 48), Image.Resampling.LANCZOS),
        lambda image: image.resize((900, 675), Image.Resampling.BICUBIC),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: ImageEnhance.Brightness(image).enhance(1.2),
        lambda image: ImageEnhance.Contrast(image).enhance(0.8),
        lambda image: ImageEnhance.Contrast(image).enhance(1.2),
        ImageOps.mirror,
        lambda image: cut(image, 0.02, 0.02, 0.02, 0.02),
        lambda image: cut(image, 0.03, 0.0, 0.0, 0.03),
        lambda image: as_jpeg(ImageOps.mirror(cut(image, 0.0, 0.02, 0.02, 0.0)).resize((160, 120)), 60),
    ],
)
def test_a_copy_is_nearly_the_same(change: Callable[[Image.Image], Image.Image]) -> None:
    """Compressing, resizing, brightening, mirroring and cutting 2 to 3 % leave an image nearly the same."""
    images = [blotches(number) for number in range(40)]
    found, _ = similarities(signed(*images), signed(*map(change, images)))
    assert (found >= SIMILARITY).mean() > 0.97


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True))
def test_other_images_are_not(numbers: list[int]) -> None:
    """Images that have nothing in common are no near duplicates."""
    vectors = signed(*map(blotches, numbers))
    assert len(set(near_duplicate_groups(vectors).tolist())) == len(numbers)


def test_images_without_contrast_have_no_signature() -> None:
    """A single colour, faint noise on it, and stripes too fine to be kept are like none."""
    noise = np.random.default_rng(0).integers(120, 136, (200, 200, 3), np.uint8)
    stripes = np.repeat(np.tile(np.array([0, 255], np.uint8), 128)[None, :, None], 256, axis=0).repeat(3, axis=2)
    flat = [Image.new("RGB", (50, 50), color) for color in ("white", "black", "red")]
    assert [signature(image) for image in (*flat, Image.fromarray(noise), Image.fromarray(stripes))] == [None] * 5


def test_the_search_finds_what_comparing_all_pairs_finds(many: NDArray[np.float32]) -> None:
    """No pair that is nearly the same is lost by comparing the lowest frequencies first, and none is named twice."""
    found = [(int(i), int(j)) for first, second in near_pairs(many) for i, j in zip(first, second, strict=True)]
    assert len(found) == len(set(found))
    assert brute_force(many) <= set(found)
    assert len(brute_force(many)) > 500


def test_the_search_is_whole_across_blocks(many: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the blocks' borders are makes no difference."""
    whole = {pair for first, second in near_pairs(many) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    for name, size in {"_ROWS": 7, "_COLUMNS": 11, "_PAIRS": 3}.items():
        monkeypatch.setattr(f"scones_ml.evaluation.near_duplicates.{name}", size)
    parts = [pair for first, second in near_pairs(many) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    assert sorted(parts) == sorted(whole)


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order(many: NDArray[np.float32], random: Random) -> None:
    """Groups are the connected images of all pairs that are nearly the same, whatever the order they come in."""
    order = np.random.default_rng(random.randint(0, 10**6)).permutation(120)
    groups = near_duplicate_groups(many[order])
    assert len(groups) == 120
    together = {frozenset(order[groups == group].tolist()) for group in groups}
    assert together == connected(120, brute_force(many[:120]))


def connected(count: int, pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    found = {row: frozenset([row]) for row in range(count)}
    for one, other in pairs:
        union = found[one] | found[other]
        found |= dict.fromkeys(union, union)
    return set(found.values())


def test_nearest_is_the_most_similar(many: NDArray[np.float32]) -> None:
    """Each image is told which of the others it is most similar to, or that it is like none of them."""
    some, others = many[::4], many[1:200:4]
    found = nearest(some, others)
    for row, one in enumerate(some):
        values = similarities(np.repeat(one[None], len(others), axis=0), others)[0]
        expected = int(values.argmax()) if values.max() >= SIMILARITY else -1
        assert found[row] == expected
    assert (found >= 0).any()
    assert (found < 0).any()


@given(st.data())
def test_similarity_has_no_direction(many: NDArray[np.float32], data: st.DataObject) -> None:
    """The first is as similar to the second as the second to the first."""
    i, j = (data.draw(st.integers(0, len(many) - 1)) for _ in range(2))
    there, back = (similarities(many[[a]], many[[b]])[0][0] for a, b in ((i, j), (j, i)))
    assert there == pytest.approx(back, abs=1e-6)
    assert similarities(many[[i]], many[[i]])[0][0] == pytest.approx(1, abs=1e-6)
