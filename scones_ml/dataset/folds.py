"""A staged data set cut into folds: each fold is asked of a model that was trained on the others."""

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
    """Share images out among folds, each class evenly; groups stay whole.

    Args:
        data: the data set.
        count: how many folds, at least 2.
        seed: another seed shares out differently; file names and their order do not matter.
        splits: whose images.

    Returns:
        The digests of each fold's images.

    Raises:
        DatasetError: a class has fewer images than there are folds, or is one group only, so that one fold would be
            trained without it.
    """
    dealt: list[set[str]] = [set() for _ in range(count)]
    for name, groups in _groups(data, splits).items():
        images = sum(map(len, groups))
        if images < count:
            raise DatasetError(
                f"class {name!r} of {data.root} has {images} images, and {count} folds need as many: add some"
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
    """The digests of each group's images, by class; a group of several classes counts as the first one's."""
    found: dict[str, dict[str, set[str]]] = {name: {} for name in data.classes}
    home: dict[str, str] = {}
    for record in sorted(data.records, key=lambda record: record.sha256):
        if record.split in splits:
            group = record.group or record.sha256
            found[home.setdefault(group, record.class_name)].setdefault(group, set()).add(record.sha256)
    return {name: list(groups.values()) for name, groups in found.items()}


def write_fold(data: Dataset, held: frozenset[str], destination: Path) -> Dataset:
    """A data set whose test split is one fold and whose train split is everything else.

    The images are linked where the file system can, and copied where it cannot.

    Args:
        data: the whole data set.
        held: the digests of the fold.
        destination: the folder to make.
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
        # Names are unique within a split and class only: digests are everywhere.
        yield replace(record, path=f"{split}/{record.label}/{record.sha256}.png", split=split)
