"""``.lst`` files as sources, as for MXNet's im2rec and SageMaker's built-in algorithm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from scones_ml.dataset.lines import first_line, inside, read_lines, whole_number
from scones_ml.dataset.sources import Candidate, Listing, read_file, split_named
from scones_ml.errors import DatasetError
from scones_ml.printable import printable

__all__ = ["ListFile", "ListRow", "class_names", "is_list", "list_rows", "siblings"]


def is_list(start: bytes) -> bool:
    """Whether the first bytes are those of a ``.lst``: number, tab, label, tab, path."""
    fields = first_line(start).split("\t")
    return len(fields) > 1 and fields[0].strip().isdecimal()


@dataclass(frozen=True)
class ListRow:
    """A row of a ``.lst`` file.

    Attributes:
        number: the row's number, also the id of its record in a RecordIO file.
        label: from 0.
        image: path of the image.
    """

    number: str
    label: int
    image: str


@dataclass(frozen=True)
class ListFile:
    """A ``.lst`` file and its images: row, tab, label, tab, path.

    Paths are relative to the folder named like the file (``train/`` for ``train.lst``) if there is one, else to the
    file's folder. ``train.lst`` includes ``validation.lst``, ``calibration.lst`` and ``test.lst`` beside it, in any
    spelling allowed for split folders; images of ``test.lst`` are the test set.

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
            DatasetError: a row cannot be parsed, or the numbers of names and labels differ.
        """
        return tuple(self._names.values())

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of these classes; with several files, in the splits of the file names."""
        found, files = [], siblings(self.path)
        for file, row in self._rows:
            class_name = self._names[row.label]
            if class_name in classes:
                name = printable(f"{file.stem}/{row.image}")
                read = partial(read_file, _root(file) / row.image)
                split = split_named(file.stem) if len(files) > 1 else None
                found.append(Candidate(name, class_name, split, True, read))
        return Listing(tuple(sorted(found, key=lambda candidate: candidate.name)), ignored=0)

    @cached_property
    def _names(self) -> dict[int, str]:
        return class_names((row.label for _, row in self._rows), self.names, self.name)

    @cached_property
    def _rows(self) -> tuple[tuple[Path, ListRow], ...]:
        return tuple((file, row) for file in siblings(self.path) for row in list_rows(file))


def class_names(labels: Iterable[int], names: tuple[str, ...], source: str) -> dict[int, str]:
    """Class names by label: the given names in label order, or the labels themselves.

    Raises:
        DatasetError: there is no label, or the numbers of names and labels differ.
    """
    found = sorted(set(labels))
    if not found:
        raise DatasetError(f"{source} lists no images")
    if names and len(names) != len(found):
        raise DatasetError(
            f"{source} has {len(found)} labels and {len(names)} names were given: "
            "give every class name, in label order, with --classes"
        )
    return dict(zip(found, names or map(str, found), strict=True))


def siblings(path: Path) -> list[Path]:
    """A file and, for a training set, the files of the other splits beside it."""
    if split_named(path.stem) != "train":
        return [path]
    beside = sorted(
        file
        for file in path.parent.iterdir()
        if file.suffix.lower() == path.suffix.lower() and split_named(file.stem) and file != path and file.is_file()
    )
    return [path, *beside]


def list_rows(file: Path) -> Iterator[ListRow]:
    """Rows of a ``.lst`` file; blank lines are skipped.

    Raises:
        DatasetError: a line is not a row; the message gives its number.
    """
    name = printable(str(file))
    for number, line in read_lines(file, name):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.rstrip().split("\t")]
        where = f"{name} line {number}"
        if len(fields) > 3:
            raise DatasetError(f"{where} has several labels: give each image one class")
        try:
            label = whole_number(fields[1]) if len(fields) == 3 else None
        except ValueError as exc:
            raise DatasetError(f"{where}: label {fields[1][:60]} is not a whole number from 0 up") from exc
        if label is None:
            raise DatasetError(f"{where} is not a number, a label and a path: {line.rstrip()[:60]!r}")
        yield ListRow(fields[0], label, inside(_root(file), fields[2], where))


def _root(file: Path) -> Path:
    own = file.with_suffix("")
    return own if own.is_dir() else file.parent
