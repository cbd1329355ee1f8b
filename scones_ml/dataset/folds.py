"""Folds of a staged data set, for predictions by models trained on the other folds."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from scones_ml.dataset.records import SPLITS, Dataset, Record, Split, load, write
from scones_ml.errors import DatasetError

__all__ = ["folds", "write_fold"]


def folds(data: Dataset, count: int, seed: int = 0, splits: Sequence[Split] = SPLITS) -> tuple[frozenset[str], ...]:
    """Distribute images over folds, evenly by class; groups stay whole.

    Args:
        data: the data set.
        count: number of folds, at least 2.
        seed: random seed; the result does not depend on file names and their order.
        splits: splits to take images from.

    Returns:
        The digests of each fold's images.

    Raises:
        DatasetError: a class has fewer images than folds, or forms a single group, so that one fold's model would be
            trained without it.
    """
    dealt: list[set[str]] = [set() for _ in range(count)]
    for name, groups in _groups(data, splits).items():
        images = sum(map(len, groups))
        if images < count:
            raise DatasetError(
                f"class {name!r} of {data.root} has {images} images, fewer than the {count} folds: add some"
            )
        random.Random(f"{seed}/{name}").shuffle(groups)  # noqa: S311 - which fold, not a secret
        held = [0] * count
        for group in sorted(groups, key=len, reverse=True):
            fold = min(range(count), key=lambda number: (held[number], len(dealt[number]), number))
            dealt[fold] |= group
            held[fold] += len(group)
        if max(held) == images:
            raise DatasetError(f"all images of class {name!r} of {data.root} are near duplicates: add some that differ")
    return tuple(map(frozenset, dealt))


def _groups(data: Dataset, splits: Sequence[Split]) -> dict[str, list[set[str]]]:
    """Digests of each group's images, by class; a group of several classes counts for the first."""
    found: dict[str, dict[str, set[str]]] = {name: {} for name in data.classes}
    home: dict[str, str] = {}
    for record in sorted(data.records, key=lambda record: record.sha256):
        if record.split in splits:
            group = record.group or record.sha256
            found[home.setdefault(group, record.class_name)].setdefault(group, set()).add(record.sha256)
    return {name: list(groups.values()) for name, groups in found.items()}


def write_fold(data: Dataset, held: frozenset[str], destination: Path) -> Dataset:
    """Write a data set with one fold as test split and all other images as train split.

    Images are hard-linked if the file system allows it, else copied.

    Args:
        data: the whole data set.
        held: digests of the fold.
        destination: folder to create.
    """
    records = sorted(_placed(data, held), key=lambda record: (record.split, record.label, record.path))
    origins = {record.sha256: data.root / record.path for record in data.records}
    for record in records:
        target = destination / record.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(origins[record.sha256], target)
        except OSError:
            shutil.copyfile(origins[record.sha256], target)
    write(destination, data.classes, records, {"seed": data.seed, "image_size": data.image_size, "policy": data.policy})
    return load(destination)


def _placed(data: Dataset, held: frozenset[str]) -> Iterator[Record]:
    for record in data.records:
        split: Split = "test" if record.sha256 in held else "train"
        # Names are unique only within a split and class; digests are unique.
        yield replace(record, path=f"{split}/{record.label}/{record.sha256}.png", split=split)
