"""Manifests as sources: JSON Lines (our manifest, or SageMaker's augmented manifest) and CSV tables."""

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
"""Columns that the header of a table must have, as text."""

_DELIMITERS = (",", ";", "\t")
_QUOTED = 60  # characters of a line in a message


def is_json_lines(start: bytes) -> bool:
    """Whether the first bytes are those of JSON objects, one a line."""
    return start_of_text(start).startswith(b"{")


def is_table(start: bytes) -> bool:
    """Whether the first bytes are those of a table with a column of images."""
    return _delimiter(first_line(start)) is not None


@dataclass(frozen=True)
class _Manifest:
    """A manifest with one row of fields per image.

    Attributes:
        path: the file.
        store: object store of ``s3://`` images.
        uri: URI that the file came from, for relative paths; None for the file's folder.
        label_attribute: field with the labels; None if there is only one.
    """

    path: Path
    store: ObjectStore | None = None
    uri: str | None = None
    label_attribute: str | None = None

    @property
    def name(self) -> str:
        """Path of the file, as given."""
        return printable(self.uri or str(self.path))

    def classes(self) -> tuple[str, ...]:
        """Class names, sorted.

        Raises:
            DatasetError: a row cannot be parsed, or no row has a label.
        """
        names = {label.class_name for _, label in self._labelled}
        if not names:
            first = f": {self._problems[0].name}: {self._problems[0].reason}" if self._problems else ""
            raise DatasetError(f"{self.name} lists no images with a label{first}")
        return tuple(sorted(names))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of these classes, and those without a label; objects in a store are read concurrently."""
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
        """All rows with their line numbers."""

    def _reader(self, image: str) -> partial[bytes]:
        if not image.startswith("s3://"):
            return partial(read_file, self.path.parent / image)
        if self.store is None:
            raise DatasetError(f"{self.name} lists {image}: pass an object store to read it from")
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
        # The file is read twice, to save memory.
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
        """All rows, with their position and the location of their image."""
        for number, row in self._rows():
            where = f"{self.name} line {number}"
            yield where, self._place(where, image_of(row, where)), row

    def _place(self, where: str, image: str) -> str:
        """URI of an image, or its path relative to the manifest's folder or URI."""
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

    The image is ``path`` (relative to the manifest) or ``source-ref`` (that, or an ``s3://`` URI). Its class is in the
    only label attribute: the ``class-name`` in a ``NAME-metadata`` object, or else ``class`` or ``label``.
    ``"split": "test"`` marks the test set. Lines without a label or with a failed labelling are left out and reported.
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
            raise DatasetError(f"{where} is nested too deeply: {start!r}") from exc
        except ValueError as exc:
            raise DatasetError(f"{where} is not a JSON object: write one object a line: {start!r}") from exc
        if not isinstance(row, dict):
            raise DatasetError(f"{where} is not a JSON object: write one object a line: {start!r}")
        return row


def _nothing(_constant: str) -> None:
    """None for NaN and Infinity, which Python writes for a missing label."""


@dataclass(frozen=True)
class Table(_Manifest):
    """A CSV table with a header: ``path,label`` or equivalent columns.

    The image is ``path``, ``filename``, ``file_name``, ``image``, ``file`` or ``source-ref``; its class ``class`` or
    ``label``, or the only other column; ``split`` marks the test set. The separator is comma, semicolon or tab.
    """

    def _rows(self) -> Iterator[tuple[int, Row]]:
        lines = read_lines(self.path, self.name)
        first, header = next((found for found in lines if found[1].strip()), (1, ""))
        delimiter = _delimiter(header)
        if delimiter is None:
            raise DatasetError(f"{self.name} has no header with a column of images: give {HEADERS}")
        columns = _columns(header, delimiter)
        if twice := [name for name, count in Counter(filter(None, columns)).items() if count > 1]:
            raise DatasetError(f"{self.name} has the column {twice[0][:_QUOTED]!r} twice: rename one of them")
        cells = csv.reader((line for _, line in lines), delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for fields in cells:
                if any(field.strip() for field in fields):
                    yield first + cells.line_num, self._fields(first + cells.line_num, columns, fields)
        except csv.Error as exc:
            raise DatasetError(f"{self.name} line {first + cells.line_num} is not a row of a table: {exc}") from exc

    def _fields(self, number: int, columns: list[str], fields: list[str]) -> Row:
        if any(fields[len(columns) :]):
            raise DatasetError(
                f"{self.name} line {number} has {len(fields)} fields, the header {len(columns)}: "
                "quote names that contain the separator"
            )
        return {name: field.strip() for name, field in zip(columns, fields, strict=False) if name}


def _delimiter(header: str) -> str | None:
    """Separator of a header with a column of images; None if there is no such column."""
    return next((mark for mark in _DELIMITERS if set(IMAGE_FIELDS) & set(_columns(header, mark))), None)


def _columns(header: str, delimiter: str) -> list[str]:
    """Column names of a header; known names are matched in any case."""
    try:
        names = [name.strip() for name in next(csv.reader([header.strip()], delimiter=delimiter), [])]
    except csv.Error:  # such as a carriage return inside
        return []
    return [name.casefold() if name.casefold() in FIELDS else name for name in names]


def read_stored(store: ObjectStore, ref: ImageRef) -> bytes:
    """Read an object's bytes; one above the image policy's limit raises ImageTooLargeError unread."""
    return store.read(ref, ImagePolicy().max_bytes).data
