"""Manifests as sources: ``.lst`` files, and JSON Lines (our own manifest, or SageMaker's augmented one)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from scones_ml.dataset.sources import POOLED, TEST, Candidate, Listing, read_file
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.events import ImageRef, parse_object_uri
from scones_ml.images import ImagePolicy
from scones_ml.ports import CONCURRENT_REQUESTS

if TYPE_CHECKING:
    from scones_ml.ports import ObjectStore

__all__ = ["JsonLines", "ListFile", "is_json_lines", "is_list", "list_rows", "read_stored"]


def is_json_lines(start: bytes) -> bool:
    """Whether a file that begins like this holds JSON objects, line by line."""
    return start.lstrip().startswith(b"{")


def is_list(start: bytes) -> bool:
    """Whether a file that begins like this is a ``.lst``: number, tab, label, tab, path."""
    first, newline, _ = start.partition(b"\n")
    fields = first.rstrip(b"\r").split(b"\t")
    return len(fields) >= 3 and fields[0].isdigit() and (bool(newline) or len(start) == len(first))


@dataclass(frozen=True)
class ListFile:
    """A ``.lst`` file and the images that it names: row, tab, label, tab, path.

    Paths are below the folder of the file's own name beside it (``train/`` for ``train.lst``) where there is one, else
    below the file's folder. ``train.lst`` stands for ``validation.lst``, ``calibration.lst`` and ``test.lst`` beside
    it too; what ``test.lst`` names is the test set.

    Attributes:
        path: the file.
        names: class names in the order of the labels; the labels themselves when empty.
    """

    path: Path
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, as given."""
        return str(self.path)

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of their labels.

        Raises:
            DatasetError: a row that cannot be read, or another number of names than of labels.
        """
        return tuple(self._names.values())

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The images of these classes."""
        found = []
        for file, label, image in self._rows:
            class_name = self._names[label]
            if class_name in classes:
                name = f"{file.stem}/{image}"
                read = partial(read_file, _root(file) / image)
                tested = file.stem == TEST and file != self.path
                found.append(Candidate(name, class_name, TEST if tested else None, True, read))
        return Listing(tuple(sorted(found, key=lambda candidate: candidate.name)), ignored=0)

    @cached_property
    def _names(self) -> dict[int, str]:
        labels = sorted({label for _, label, _ in self._rows})
        if not labels:
            raise DatasetError(f"{self.path} names no images")
        if self.names and len(self.names) != len(labels):
            raise DatasetError(
                f"{self.path} has {len(labels)} labels and {len(self.names)} names were given: "
                "name every class, in the order of the labels, with --classes"
            )
        return dict(zip(labels, self.names or map(str, labels), strict=True))

    @cached_property
    def _rows(self) -> tuple[tuple[Path, int, str], ...]:
        files = [self.path]
        if self.path.stem == "train":
            beside = [self.path.with_name(f"{stem}{self.path.suffix}") for stem in (*POOLED, TEST)]
            files += [file for file in beside if file != self.path and file.is_file()]
        return tuple((file, label, image) for file in files for label, image in list_rows(file))


def list_rows(file: Path) -> Iterator[tuple[int, str]]:
    """Label and path of each row of a ``.lst`` file.

    Raises:
        DatasetError: names the line that is something else.
    """
    for number, line in enumerate(_lines(file), 1):
        fields = line.split("\t")
        if len(fields) > 3:
            raise DatasetError(f"{file} line {number} has several labels: an image has one class here")
        try:
            _, label, image = fields
            value = Decimal(label)
        except (ValueError, InvalidOperation) as exc:
            raise DatasetError(f"{file} line {number} is not a number, a label and a path: {line[:60]!r}") from exc
        if not value.is_finite() or value < 0 or value != int(value):
            raise DatasetError(f"{file} line {number}: label {label} is not 0 or a whole number above")
        yield int(value), _inside(file, number, image)


def _root(file: Path) -> Path:
    own = file.with_suffix("")
    return own if own.is_dir() else file.parent


@dataclass(frozen=True)
class JsonLines:
    """A manifest of JSON objects, one a line.

    The image is ``path`` (relative to the manifest) or ``source-ref`` (that, or an ``s3://`` URI). Its class is the
    ``class-name`` in a ``*-metadata`` object, or else ``class`` or ``label``. ``"split": "test"`` is the test set.

    Attributes:
        path: the file.
        store: where ``s3://`` images are read from.
        uri: where the file itself came from, for relative paths; the file's folder when None.
    """

    path: Path
    store: ObjectStore | None = None
    uri: str | None = None

    @property
    def name(self) -> str:
        """The file, as given."""
        return self.uri or str(self.path)

    def classes(self) -> tuple[str, ...]:
        """Class names, sorted.

        Raises:
            DatasetError: a line that cannot be read.
        """
        names = {class_name for _, class_name, _ in self._rows}
        if not names:
            raise DatasetError(f"{self.name} names no images")
        return tuple(sorted(names))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """The images of these classes; those in a store are read many at a time."""
        found = [
            Candidate(image, class_name, TEST if split == TEST else None, True, self._reader(image))
            for image, class_name, split in self._rows
            if class_name in classes
        ]
        stored = any(candidate.name.startswith("s3://") for candidate in found)
        ordered = tuple(sorted(found, key=lambda candidate: candidate.name))
        return Listing(ordered, ignored=0, at_a_time=CONCURRENT_REQUESTS if stored else 1)

    def _reader(self, image: str) -> partial[bytes]:
        if not image.startswith("s3://"):
            return partial(read_file, self.path.parent / image)
        if self.store is None:
            raise DatasetError(f"{self.name} names {image}, and no object store was given to read it from")
        bucket, key = parse_object_uri(image)
        return partial(read_stored, self.store, ImageRef(s3_bucket=bucket, s3_key=key))

    @cached_property
    def _rows(self) -> tuple[tuple[str, str, str], ...]:
        return tuple(self._row(number, line) for number, line in enumerate(_lines(self.path), 1) if line.strip())

    def _row(self, number: int, line: str) -> tuple[str, str, str]:
        try:
            row = json.loads(line)
            image = row.get("source-ref", row.get("path"))
        except (ValueError, AttributeError) as exc:
            raise DatasetError(f"{self.name} line {number} is no JSON object: {line[:60]!r}") from exc
        class_name = _class_name(row)
        if not isinstance(image, str) or not image or class_name is None:
            raise DatasetError(f"{self.name} line {number} does not say which image and which class: {line[:60]!r}")
        return self._place(number, image), class_name, str(row.get("split", ""))

    def _place(self, number: int, image: str) -> str:
        """The image's URI, or its path below the manifest's folder; below its URI where it came from a store."""
        if image.startswith("s3://"):
            try:
                parse_object_uri(image)
            except ConfigurationError as exc:
                raise DatasetError(f"{self.name} line {number}: {exc}") from exc
            return image
        path = _inside(self.path, number, image)
        return f"{self.uri.rpartition('/')[0]}/{path}" if self.uri else path


def read_stored(store: ObjectStore, ref: ImageRef) -> bytes:
    """An object's bytes, but no more than one byte past the image policy's cap, which is what it is refused by."""
    return store.read(ref, ImagePolicy().max_bytes + 1).data


def _class_name(row: dict[str, object]) -> str | None:
    for name, value in row.items():
        if name.endswith("-metadata") and isinstance(value, dict) and isinstance(value.get("class-name"), str):
            return str(value["class-name"])
    found = row.get("class", row.get("label"))
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) and found != "" else None


def _inside(file: Path, number: int, image: str) -> str:
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise DatasetError(f"{file} line {number} names a file outside of its folder: {image!r}")
    return str(path)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise DatasetError(f"cannot read {file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{file} is no text in UTF-8") from exc
