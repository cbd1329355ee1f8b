"""Assignment of images to splits: stratified by class, determined by a seed and the images' digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from scones_ml.dataset.checks import drop_repeats
from scones_ml.dataset.records import SPLITS
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scones_ml.dataset.checks import Problem, StagedImage
    from scones_ml.dataset.records import Split

__all__ = ["assign_splits", "split_images", "split_sizes"]

# Without a test set in the source, one image in five becomes test; a source's own test set is never changed.
_TEST_SHARE = 5
# Validation fits the temperature, calibration chooses the threshold: one in ten of the training images each.
_HELD_SHARE = 10


def split_sizes(n: int, *, with_test: bool) -> dict[Split, int]:
    """Sizes of the splits for ``n`` images of one class.

    Args:
        n: training images of the class, or all of its images if the source has no test set.
        with_test: whether the source has its own test set, so that none is taken from ``n``.

    Returns:
        Sizes that add up to ``n``; train gets the remainder, possibly 0.
    """
    test = 0 if with_test else max(1, round(n / _TEST_SHARE))
    held = max(1, round((n - test) / _HELD_SHARE))
    return {"train": n - test - 2 * held, "validation": held, "calibration": held, "test": test}


def split_images(
    images: Sequence[StagedImage],
    classes: Iterable[str],
    seed: int,
    groups: Iterable[Sequence[StagedImage]] = (),
) -> tuple[list[StagedImage], list[Problem]]:
    """Assign splits, see :func:`assign_splits`, and keep each digest once.

    Images identical only at this image size are dropped after the assignment, so that splits do not depend on the size.

    Returns:
        The kept images, and a problem for each dropped one, both in the order of names.

    Raises:
        DatasetError: a class is missing from a split.
    """
    assigned = assign_splits(images, classes, seed, groups)
    kept, problems = drop_repeats((replace(image, split=split) for image, split in assigned), by="digest")
    there = {(image.class_name, image.split) for image in kept}
    for name, split in sorted({(image.class_name, split) for image, split in assigned} - there):
        raise DatasetError(
            f"class {name!r} has no image left in {split}, since at this size they equal other images: choose a larger "
            "--image-size, or leave the class out with --classes"
        )
    return kept, problems


def assign_splits(
    images: Sequence[StagedImage],
    classes: Iterable[str],
    seed: int,
    groups: Iterable[Sequence[StagedImage]] = (),
) -> list[tuple[StagedImage, Split]]:
    """Assign every image its fixed split, or one drawn at random.

    The draw depends on the seed and the bytes of the image's source only, not on file names, reading order or image
    size. Groups stay whole: the largest are placed first, in a split with room for them, drawn at random if there are
    several; then the other images fill each class's splits to their sizes. A split exceeds its size only if no split
    has room for a group, and by less than that group.

    Args:
        images: images after the checks, each source once.
        classes: classes that must be in every split.
        seed: random seed.
        groups: disjoint groups of images without a fixed split, each kept in one split.

    Returns:
        All images with their splits, in no particular order.

    Raises:
        DatasetError: a class has too few images, or groups, for every split.
    """
    assigned = [(image, image.split) for image in images if image.split]
    pool = [image for image in images if not image.split]
    room = _sizes(assigned, pool, classes)
    whole = [sorted(group, key=lambda image: image.source) for group in groups]
    grouped = {image for group in whole for image in group}
    singles: dict[str, list[StagedImage]] = {name: [] for name in room}
    for image in pool:
        if image not in grouped:
            singles[image.class_name].append(image)
    assigned += _placed_groups(whole, {name: len(found) for name, found in singles.items()}, room, seed)
    for name, found in singles.items():
        found.sort(key=lambda image: _lot(seed, image.source))
        start = 0
        for split, size in _filled(room[name], len(found)).items():
            assigned += [(image, split) for image in found[start : start + size]]
            start += size
    _check_splits(assigned, room)
    return assigned


def _sizes(
    assigned: Iterable[tuple[StagedImage, Split]], pool: Iterable[StagedImage], classes: Iterable[str]
) -> dict[str, dict[Split, int]]:
    """Number of images to assign by class and split, without zeros."""
    placed = Counter((image.class_name, split) for image, split in assigned)
    with_test = any(split == "test" for _, split in placed)
    counts = Counter(image.class_name for image in pool)
    found: dict[str, dict[Split, int]] = {}
    for name in classes:
        if placed[name, "train"] and not counts[name]:
            continue
        sizes = split_sizes(counts[name], with_test=with_test)
        _check_class(name, counts[name], sizes["train"], sizes["test"] + placed[name, "test"], with_test)
        found[name] = {split: size for split, size in sizes.items() if size}
    return found


def _placed_groups(
    groups: Iterable[Sequence[StagedImage]],
    singles: Mapping[str, int],
    room: dict[str, dict[Split, int]],
    seed: int,
) -> list[tuple[StagedImage, Split]]:
    """Assign each group a split, and reduce ``room``, which becomes negative where a group did not fit."""
    counted = [(group, Counter(image.class_name for image in group)) for group in groups]
    counted.sort(key=lambda pair: (-len(pair[0]), _lot(seed, pair[0][0].source)))
    left = Counter(singles)
    for _, counts in counted:
        left.update(counts.keys())
    empty = {name: set(free) for name, free in room.items()}
    assigned: list[tuple[StagedImage, Split]] = []
    for group, counts in counted:
        split = _drawn(counts, left, empty, room, _lot(seed, group[0].source))
        left.subtract(counts.keys())
        for name, count in counts.items():
            room[name][split] -= count
            empty[name].discard(split)
        assigned += [(image, split) for image in group]
    return assigned


def _drawn(
    counts: Mapping[str, int],
    left: Mapping[str, int],
    empty: Mapping[str, set[Split]],
    room: Mapping[str, Mapping[Split, int]],
    lot: str,
) -> Split:
    """Draw a group's split: at random among those with room for it, else the one that it exceeds least.

    If a class has as many empty splits as groups and images left, an empty split is drawn.
    """
    allowed = [split for split in SPLITS if all(split in room[name] for name in counts)]
    for name in counts:
        if left[name] <= len(empty[name]):
            allowed = [split for split in allowed if split in empty[name]] or allowed
    excess = {split: sum(max(0, n - room[name][split]) for name, n in counts.items()) for split in allowed}
    least = min(excess.values())
    if least:
        return min(allowed, key=lambda split: excess[split])
    fitting = [split for split in allowed if not excess[split]]
    draw = int(lot, 16) % sum(room[name][split] for split in fitting for name in counts)
    for split in fitting:
        draw -= sum(room[name][split] for name in counts)
        if draw < 0:
            return split
    raise AssertionError("a draw is below the sum of its weights")


def _filled(room: Mapping[Split, int], count: int) -> dict[Split, int]:
    """Distribute ``count`` images by room; what groups took in excess is subtracted from the largest split."""
    sizes = {split: max(0, size) for split, size in room.items()}
    for _ in range(sum(sizes.values()) - count):
        sizes[max(sizes, key=lambda split: sizes[split])] -= 1
    return sizes


def _lot(seed: int, source: str) -> str:
    return hashlib.sha256(f"{seed}:{source}".encode()).hexdigest()


def _check_class(name: str, pool: int, train: int, tested: int, with_test: bool) -> None:
    needed, where = (3, "training ") if with_test else (4, "")
    if train < 1:
        images = "image" if pool == 1 else "images"
        raise DatasetError(
            f"class {name!r} has {pool} usable {where}{images}, too few for every split (at least {needed}): "
            "add some, or leave it out with --classes"
        )
    if not tested:
        raise DatasetError(f"class {name!r} has no usable image in test/: add some, or leave it out with --classes")


def _check_splits(assigned: Iterable[tuple[StagedImage, Split]], room: Mapping[str, Mapping[Split, int]]) -> None:
    there = {(image.class_name, split) for image, split in assigned}
    for name, sizes in room.items():
        missing = [split for split in sizes if (name, split) not in there]
        if missing:
            raise DatasetError(
                f"class {name!r} has too few groups of images for every split, {missing[0]} has none: near "
                "duplicates and groups of --group-by stay together; add images that differ, group by less, or leave "
                "the class out with --classes"
            )
