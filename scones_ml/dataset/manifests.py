"""Manifests as sources: JSON Lines (our own manifest, or SageMaker's augmented one) and tables in CSV."""

from __future__ import annotations

import csv
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml.dataset.checks import Problem
from scones_ml.dataset.lines import first_line, inside, read_lines, start_of_text
from scones_ml.dataset.rows import (
    FIELDS,
    IMAGE_FIELDS,
    LABEL_FIELDS,
    Labelled,
    Row,
    image_of,
    label_attribute,
    read_label,
)
from scones_ml.dataset.sources import Candidate, Listing, read_file
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.events import ImageRef, parse_object_uri
from scones_ml.images import ImagePolicy
from scones_ml.ports import CONCURRENT_REQUESTS
from scones_ml.printable import printable

if TYPE_CHECKING:
    from scones_ml.ports import ObjectStore

__all__ = ["HEADERS", "JsonLines", "Table", "is_json_lines", "is_table", "read_stored"]

HEADERS: Final = f"one of {', '.join(IMAGE_FIELDS)}, and one of {', '.join(LABEL_FIELDS)}, as in path,label"
"""What the header of a table must name, in words."""

_DELIMITERS = (",", ";", "\t")
_QUOTED = 60  # characters of a line in a message


def is_json_lines(start: bytes) -> bool:
    """Whether a file that begins like this holds JSON objects, line by line."""
    return start_of_text(start).startswith(b"{")


def is_table(start: bytes) -> bool:
    """Whether a file that begins like this is a table whose header names images."""
    return _delimiter(first_line(start)) is not None


@dataclass(frozen=True)
class _Manifest:
    """Rows of fields, each about one image.

    Attributes:
        path: the file.
        store: where ``s3://`` images are read from.
        uri: where the file itself came from, for relative paths; the file's folder when None.
        label_attribute: the field that holds the labels; the one that there is when None.
    """

    path: Path
    store: ObjectStore | None = None
    uri: str | None = None
    label_attribute: str | None = None

    @property
    def name(self) -> str:
        """The file, as given."""
        return printable(self.uri or str(self.path))

    def classes(self) -> tuple[str, ...]:
        """Class names, sorted.

        Raises:
            DatasetError: a row that cannot be read, or no label in any.
        """
        names = {label.class_name for _, label in self._labelled}
        if not names:
            first = f": {self._problems[0].name}: {self._problems[0].reason}" if self._problems else ""
            raise DatasetError(f"{self.name} names no images with a label{first}")
        return tuple(sorted(names))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The images of these classes, and those without one; those in a store are read many at a time."""
        found = [
            Candidate(
                printable(image),
                label.class_name,
                label.split,
                True,
                self._reader(image),
                label.columns,
            )
            for image, label in self._labelled
            if label.class_name in classes
        ]
        stored = any(candidate.name.startswith("s3://") for candidate in found)
        ordered = tuple(sorted(found, key=lambda candidate: candidate.name))
        return Listing(ordered, 0, CONCURRENT_REQUESTS if stored else 1, problems=self._problems)

    @abstractmethod
    def _rows(self) -> Iterator[tuple[int, Row]]:
        """Every row with the number of its line."""

    def _reader(self, image: str) -> partial[bytes]:
        if not image.startswith("s3://"):
            return partial(read_file, self.path.parent / image)
        if self.store is None:
            raise DatasetError(f"{self.name} names {image}, and no object store was given to read it from")
        bucket, key = parse_object_uri(image)
        return partial(read_stored, self.store, ImageRef(s3_bucket=bucket, s3_key=key))

    @property
    def _labelled(self) -> tuple[tuple[str, Labelled], ...]:
        return self._read[0]

    @property
    def _problems(self) -> tuple[Problem, ...]:
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[tuple[tuple[str, Labelled], ...], tuple[Problem, ...]]:
        # Twice over the file rather than all of its rows in memory.
        attribute = label_attribute((row for _, _, row in self._entries()), self.label_attribute, self.name)
        labelled, problems = [], []
        for where, image, row in self._entries():
            label = read_label(row, attribute, where)
            if isinstance(label, Labelled):
                labelled.append((image, label))
            else:
                problems.append(Problem(printable(image), "unlabelled", label.reason))
        return tuple(labelled), tuple(problems)

    def _entries(self) -> Iterator[tuple[str, str, Row]]:
        """Every row, with where it stands and the place of its image."""
        for number, row in self._rows():
            where = f"{self.name} line {number}"
            yield where, self._place(where, image_of(row, where)), row

    def _place(self, where: str, image: str) -> str:
        """The image's URI, or its path below the manifest's folder; below its URI where it came from a store."""
        if image.startswith("s3://"):
            try:
                parse_object_uri(image)
            except ConfigurationError as exc:
                raise DatasetError(f"{where}: {exc}") from exc
            return image
        path = inside(None if self.uri else self.path.parent, image, where)
        return f"{self.uri.rpartition('/')[0]}/{path}" if self.uri else path


@dataclass(frozen=True)
class JsonLines(_Manifest):
    """A manifest of JSON objects, one a line.

    The image is ``path`` (relative to the manifest) or ``source-ref`` (that, or an ``s3://`` URI). Its class is what
    the one label attribute says: the ``class-name`` in a ``NAME-metadata`` object, or else ``class`` or ``label``.
    ``"split": "test"`` is the test set. Lines without a label, or whose labelling failed, are left out and named.
    """

    def _rows(self) -> Iterator[tuple[int, Row]]:
        for number, line in read_lines(self.path, self.name):
            if line.strip():
                yield number, self._object(number, line)

    def _object(self, number: int, line: str) -> Row:
        where, start = f"{self.name} line {number}", line.strip()[:_QUOTED]
        try:
            row = json.loads(line, parse_constant=_nothing)
        except RecursionError as exc:
            raise DatasetError(f"{where} is nested too deep: {start!r}") from exc
        except ValueError as exc:
            raise DatasetError(f"{where} is no JSON object, of which each line holds one: {start!r}") from exc
        if not isinstance(row, dict):
            raise DatasetError(f"{where} is no JSON object, of which each line holds one: {start!r}")
        return row


def _nothing(_constant: str) -> None:
    """NaN and Infinity, which Python writes for a label that is not there."""


@dataclass(frozen=True)
class Table(_Manifest):
    """A table in CSV whose header names the columns: ``path,label``, or others for the same.

    The image is ``path``, ``filename``, ``file_name``, ``image``, ``file`` or ``source-ref``; its class ``class`` or
    ``label``, or the only other column; ``split`` says what is the test set. Commas, semicolons or tabs separate.
    """

    def _rows(self) -> Iterator[tuple[int, Row]]:
        lines = read_lines(self.path, self.name)
        first, header = next((found for found in lines if found[1].strip()), (1, ""))
        delimiter = _delimiter(header)
        if delimiter is None:
            raise DatasetError(f"{self.name} has no header that names the images: {HEADERS}")
        columns = _columns(header, delimiter)
        if twice := [name for name, count in Counter(filter(None, columns)).items() if count > 1]:
            raise DatasetError(f"{self.name} names the column {twice[0][:_QUOTED]!r} twice: rename one of them")
        cells = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for fields in cells:
                if any(field.strip() for field in fields):
                    yield first + cells.line_num, self._fields(first + cells.line_num, columns, fields)
        except csv.Error as exc:
            raise DatasetError(f"{self.name} line {first + cells.line_num} is no row of a table: {exc}") from exc

    def _fields(self, number: int, columns: list[str], fields: list[str]) -> Row:
        if any(fields[len(columns) :]):
            raise DatasetError(
                f"{self.name} line {number} has {len(fields)} fields, and the header {len(columns)}: "
                "put quotes round a name that holds the separator"
            )
        return {name: field.strip() for name, field in zip(columns, fields, strict=False) if name}


def _delimiter(header: str) -> str | None:
    """What separates the columns of a header that names images; None when it is no such header."""
    return next((mark for mark in _DELIMITERS if set(IMAGE_FIELDS) & set(_columns(header, mark))), None)


def _columns(header: str, delimiter: str) -> list[str]:
    """The names in a header; those that have a meaning are known in any case."""
    try:
        names = [name.strip() for name in next(csv.reader([header.strip()], delimiter=delimiter), [])]
    except csv.Error:  # a return inside of it, say
        return []
    return [name.casefold() if name.casefold() in FIELDS else name for name in names]


def read_stored(store: ObjectStore, ref: ImageRef) -> bytes:
    """An object's bytes; beyond the image policy's cap it is refused, unread: ImageTooLargeError."""
    return store.read(ref, ImagePolicy().max_bytes).data
