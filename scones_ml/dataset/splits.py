"""Who goes into which split: stratified by class, decided by a seed and the images' content."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scones_ml.dataset.checks import StagedImage
    from scones_ml.dataset.records import Split

__all__ = ["assign_splits", "split_sizes"]

# A source that brings no test set gives one image in five to it first; a test set that it brings is never touched.
_TEST_SHARE = 5
# Validation fits the temperature, calibration chooses the threshold: one in ten of the training images each.
_HELD_SHARE = 10


def split_sizes(n: int, *, with_test: bool) -> dict[Split, int]:
    """How many of ``n`` images of one class go where.

    Args:
        n: training images of the class, or all of its images when the source has no test set.
        with_test: whether the source has its own test set, so that none is taken from ``n``.

    Returns:
        Sizes that add up to ``n``; train is what the others leave, maybe nothing.
    """
    test = 0 if with_test else max(1, round(n / _TEST_SHARE))
    held = max(1, round((n - test) / _HELD_SHARE))
    return {"train": n - test - 2 * held, "validation": held, "calibration": held, "test": test}


def assign_splits(images: Sequence[StagedImage], classes: Iterable[str], seed: int) -> list[tuple[StagedImage, Split]]:
    """Give every image a split: the one that it must stay in, or one by lot.

    An image's place is drawn from seed and content alone, so neither file names nor the order of reading matter.

    Args:
        images: what the checks left, each digest once.
        classes: the classes that must be in every split.
        seed: another seed gives another split.

    Returns:
        Every image with its split, in no particular order.

    Raises:
        DatasetError: a class has too few images to be in every split.
    """
    with_test = any(image.split == "test" for image in images)
    by_class: dict[str, list[StagedImage]] = defaultdict(list)
    assigned: list[tuple[StagedImage, Split]] = []
    for image in images:
        if image.split:
            assigned.append((image, image.split))
        else:
            by_class[image.class_name].append(image)
    for name in classes:
        pool = sorted(by_class[name], key=lambda image: _lot(seed, image.digest))
        placed = Counter(split for image, split in assigned if image.class_name == name)
        if placed["train"] and not pool:
            continue
        sizes = split_sizes(len(pool), with_test=with_test)
        tested = sizes["test"] + placed["test"]
        _check_class(name, len(pool), sizes["train"], tested, with_test)
        start = 0
        for split, size in sizes.items():
            assigned += [(image, split) for image in pool[start : start + size]]
            start += size
    return assigned


def _lot(seed: int, digest: str) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _check_class(name: str, pool: int, train: int, tested: int, with_test: bool) -> None:
    needed, where = (3, "training ") if with_test else (4, "")
    if train < 1:
        raise DatasetError(
            f"class {name!r} has {pool} usable {where}images and needs at least {needed} to be in every split: "
            "add some, or leave it out with --classes"
        )
    if not tested:
        raise DatasetError(f"class {name!r} has no usable image in test/: add some, or leave it out with --classes")
