"""A staged data set cut into folds: each fold is asked of a model that was trained on the others."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from scones_ml.dataset.records import Dataset, Record, Split, load, write
from scones_ml.errors import DatasetError

__all__ = ["folds", "write_fold"]


def folds(data: Dataset, count: int, seed: int = 0) -> tuple[frozenset[str], ...]:
    """Share the images of all splits out among folds, each class evenly.

    Args:
        data: the data set.
        count: how many folds, at least 2.
        seed: another seed shares out differently; file names and their order do not matter.

    Returns:
        The digests of each fold's images.

    Raises:
        DatasetError: a class has fewer images than there are folds, so that one would be trained without it.
    """
    dealt: list[set[str]] = [set() for _ in range(count)]
    first = 0
    for name in data.classes:
        digests = sorted(record.sha256 for record in data.records if record.class_name == name)
        if len(digests) < count:
            raise DatasetError(
                f"class {name!r} of {data.root} has {len(digests)} images, and {count} folds need as many: add some"
            )
        random.Random(f"{seed}/{name}").shuffle(digests)  # noqa: S311 - which fold, not a secret
        for number, digest in enumerate(digests, first):
            dealt[number % count].add(digest)
        first += len(digests)
    return tuple(map(frozenset, dealt))


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
        yield Record(
            f"{split}/{record.label}/{record.sha256}.png", record.label, record.class_name, split, record.sha256
        )
