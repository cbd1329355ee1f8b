"""``.lst`` files as sources: what MXNet's im2rec and SageMaker's built-in algorithm read."""

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
    """Whether a file that begins like this is a ``.lst``: number, tab, label, tab, path."""
    fields = first_line(start).split("\t")
    return len(fields) > 1 and fields[0].strip().isdecimal()


@dataclass(frozen=True)
class ListRow:
    """A row of a ``.lst`` file.

    Attributes:
        number: the row's own number, which a record of a RecordIO file made from it carries.
        label: from 0.
        image: path of the image.
    """

    number: str
    label: int
    image: str


@dataclass(frozen=True)
class ListFile:
    """A ``.lst`` file and the images that it names: row, tab, label, tab, path.

    Paths are below the folder of the file's own name beside it (``train/`` for ``train.lst``) where there is one, else
    below the file's folder. ``train.lst`` stands for ``validation.lst``, ``calibration.lst`` and ``test.lst`` beside
    it too, in any spelling that folders may have; what ``test.lst`` names is the test set.

    Attributes:
        path: the file.
        names: class names in the order of the labels; the labels themselves when empty.
    """

    path: Path
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, as given."""
        return printable(str(self.path))

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of their labels.

        Raises:
            DatasetError: a row that cannot be read, or another number of names than of labels.
        """
        return tuple(self._names.values())

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The images of these classes, in the splits that the files' names say, where there are several."""
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
    """Class names by label: those that were given, in the labels' order, or the labels themselves.

    Raises:
        DatasetError: no label, or another number of names than of labels.
    """
    found = sorted(set(labels))
    if not found:
        raise DatasetError(f"{source} names no images")
    if names and len(names) != len(found):
        raise DatasetError(
            f"{source} has {len(found)} labels and {len(names)} names were given: "
            "name every class, in the order of the labels, with --classes"
        )
    return dict(zip(found, names or map(str, found), strict=True))


def siblings(path: Path) -> list[Path]:
    """A file, and where it is the training set those of the same kind beside it that are other splits."""
    if split_named(path.stem) != "train":
        return [path]
    beside = sorted(
        file
        for file in path.parent.iterdir()
        if file.suffix.lower() == path.suffix.lower() and split_named(file.stem) and file != path and file.is_file()
    )
    return [path, *beside]


def list_rows(file: Path) -> Iterator[ListRow]:
    """The rows of a ``.lst`` file; blank lines are passed over.

    Raises:
        DatasetError: names the line that is something else.
    """
    name = printable(str(file))
    for number, line in read_lines(file, name):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.rstrip().split("\t")]
        where = f"{name} line {number}"
        if len(fields) > 3:
            raise DatasetError(f"{where} has several labels: an image has one class here")
        try:
            label = whole_number(fields[1]) if len(fields) == 3 else None
        except ValueError as exc:
            raise DatasetError(f"{where}: label {fields[1][:60]} is not 0 or a whole number above") from exc
        if label is None:
            raise DatasetError(f"{where} is not a number, a label and a path: {line.rstrip()[:60]!r}")
        yield ListRow(fields[0], label, inside(_root(file), fields[2], where))


def _root(file: Path) -> Path:
    own = file.with_suffix("")
    return own if own.is_dir() else file.parent
