"""RecordIO files as sources, packed by MXNet's im2rec or by :mod:`scones_ml.dataset.recordio`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from scones_ml.dataset.lists import class_names, list_rows, siblings
from scones_ml.dataset.recordio import RecordHead, read_at, read_heads, unpack
from scones_ml.dataset.sources import Candidate, Listing, split_named
from scones_ml.errors import DatasetError, ImageTooLargeError
from scones_ml.images import ImagePolicy
from scones_ml.printable import printable

__all__ = ["RecordFile"]

_LARGEST = 999_999_999  # as in a .lst


@dataclass(frozen=True)
class RecordFile:
    """A RecordIO file of images with one label each.

    ``train.rec`` includes ``validation.rec``, ``calibration.rec`` and ``test.rec`` beside it, in any spelling allowed
    for split folders; images of ``test.rec`` are the test set. A ``.lst`` beside it gives the images' names.

    Attributes:
        path: the file.
        names: class names in label order; the labels themselves if empty.
    """

    path: Path
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Path of the file, as given."""
        return printable(str(self.path))

    def classes(self) -> tuple[str, ...]:
        """Class names in label order.

        Raises:
            DatasetError: the file is broken, a record has several labels, or the numbers of names and labels differ.
        """
        return tuple(self._names.values())

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of these classes, read one by one from the file."""
        found, files = [], list(self._heads)
        for file, heads in self._heads.items():
            split = split_named(file.stem) if len(files) > 1 else None
            for head, name in zip(heads, _image_names(file, heads), strict=True):
                class_name = self._names[int(head.label)]
                if class_name in classes:
                    read = partial(_read_image, file, head)
                    found.append(Candidate(name, class_name, split, True, read))
        return Listing(tuple(sorted(found, key=lambda candidate: candidate.name)), ignored=0)

    @cached_property
    def _names(self) -> dict[int, str]:
        return class_names((int(head.label) for heads in self._heads.values() for head in heads), self.names, self.name)

    @cached_property
    def _heads(self) -> dict[Path, tuple[RecordHead, ...]]:
        return {file: tuple(_heads(file)) for file in siblings(self.path)}


def _heads(file: Path) -> Iterator[RecordHead]:
    try:
        with file.open("rb") as opened:
            for head in read_heads(opened):
                _check(head, f"{printable(str(file))}: record {head.id} at byte {head.offset}")
                yield head
    except OSError as exc:
        raise DatasetError(f"cannot read {file}: {exc.strerror}") from exc


def _check(head: RecordHead, where: str) -> None:
    if head.labels > 1:
        raise DatasetError(
            f"{where} has {head.labels:,} labels instead of one: "
            "is it a file of images and classes, as im2rec writes it?"
        )
    if not 0 <= head.label <= _LARGEST or head.label % 1:  # NaN is neither
        raise DatasetError(f"{where}: label {head.label:g} is not a whole number from 0 up")


def _image_names(file: Path, heads: tuple[RecordHead, ...]) -> Iterator[str]:
    """Name of each record: from the ``.lst`` beside the file, else its id or position."""
    listed = file.with_suffix(".lst")
    rows = {row.number: row.image for row in list_rows(listed)} if listed.is_file() else {}
    unique = len({head.id for head in heads}) == len(heads)
    for place, head in enumerate(heads):
        number = head.id if unique else place
        yield printable(f"{file.stem}/{rows.get(str(number)) or f'{number:08d}'}")


def _read_image(file: Path, head: RecordHead) -> bytes:
    limit = ImagePolicy().max_bytes
    if head.size > limit:
        raise ImageTooLargeError(f"{head.size:,} bytes exceed the limit of {limit:,}: make it smaller")
    with file.open("rb") as opened:
        return unpack(read_at(opened, head.offset)).image
