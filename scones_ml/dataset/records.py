"""A staged data set: its records, its files, its hash."""

from __future__ import annotations

import hashlib
import json
import reprlib
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from scones_ml import strict_json
from scones_ml.bounded import open_regular, read_at_most
from scones_ml.errors import DatasetError, MissingExtraError
from scones_ml.formats import FORMAT, MADE_BY, newer_format
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SPLITS", "Dataset", "Record", "Split", "count", "dataset_hash", "is_staged", "load", "provenance", "write"]

Split = Literal["train", "validation", "calibration", "test"]
"""The name of a split."""
SPLITS: tuple[Split, ...] = get_args(Split)
"""All splits: three for training and choices, and ``test`` for evaluation only."""

_CARD, _MANIFEST = "dataset.json", "manifest.jsonl"
_LONGEST_CARD: Final = 128_000_000  # bytes; it lists every file left out


@dataclass(frozen=True)
class Record:
    """One image of a staged data set.

    Attributes:
        path: file path relative to the data set's root, with forward slashes: ``train/bicycle/a.png``.
        label: index of its class, from 0.
        class_name: name of its class.
        split: its split.
        sha256: hex digest of the file's bytes; equal digests mean equal pixels.
        group: equal for near duplicates and images grouped by ``--group-by``; "" for an image without a group. Splits
            and folds keep groups whole.
    """

    path: str
    label: int
    class_name: str
    split: Split
    sha256: str
    group: str = ""


@dataclass(frozen=True, repr=False)
class Dataset:
    """A staged data set.

    Attributes:
        root: its folder.
        classes: class names, indexed by label.
        records: sorted by split, label and path.
        hash: hash of its contents, see ``dataset_hash``.
        seed: random seed of its splits.
        image_size: side of the model's square, in pixels.
        policy: image policy of its images, see :mod:`scones_ml.images`; 1 if missing from dataset.json.
        extended_from: hashes of the data sets that it was extended from, oldest first; their images kept their splits.
            ``grown_from`` in format 1.
        larger: number of images reduced in staging; 0 if missing from dataset.json.
    """

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    hash: str
    seed: int
    image_size: int
    extended_from: tuple[str, ...] = ()
    policy: Literal[1, 2] = 1
    larger: int = 0

    def __repr__(self) -> str:
        size = f"images={len(self.records)}, image_size={self.image_size}"
        return f"Dataset({str(self.root)!r}, classes={reprlib.repr(self.classes)}, {size})"

    def __str__(self) -> str:
        from scones_ml.dataset.gallery import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from scones_ml.dataset.gallery import as_html

        return as_html(self)

    def split(self, name: Split) -> tuple[Record, ...]:
        """Records of one split, in manifest order."""
        return tuple(record for record in self.records if record.split == name)

    def counts(self) -> dict[Split, dict[str, int]]:
        """Number of images by split and class."""
        return count(self.records, self.classes)

    def arrays(self, name: Split, policy: ImagePolicy | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images of one split as the model's input.

        Args:
            name: name of the split.
            policy: the model's image policy; None crops to the data set's size, or stretches with policy 1.

        Returns:
            Pixels uint8 (N, S, S, 3) RGB with S = ``image_size``, and labels int64 (N,), in the order of ``split``.

        Raises:
            DatasetError: a file is missing or not an image.
            MissingExtraError: numpy or Pillow is not installed.
        """
        try:
            import numpy as np

            from scones_ml import images
        except ModuleNotFoundError as exc:
            raise MissingExtraError(str(exc.name), "onnx") from exc
        from scones_ml.errors import ImageError

        policy = policy or ImagePolicy().of_model(self.image_size, None if self.policy == 1 else "crop")
        records = self.split(name)
        pixels = np.empty((len(records), self.image_size, self.image_size, 3), np.uint8)
        for row, record in zip(pixels, records, strict=True):
            try:
                row[:] = images.pixels((self.root / record.path).read_bytes(), self.image_size, policy)
            except (OSError, ImageError) as exc:
                raise DatasetError(f"{self.root / record.path}: {exc}: stage the data set again") from exc
        return pixels, np.array([record.label for record in records], np.int64)


def count(records: Iterable[Record], classes: Sequence[str]) -> dict[Split, dict[str, int]]:
    """Number of records by split and class."""
    counts: dict[Split, dict[str, int]] = {split: dict.fromkeys(classes, 0) for split in SPLITS}
    for record in records:
        counts[record.split][record.class_name] += 1
    return counts


def dataset_hash(classes: Sequence[str], records: Iterable[Record]) -> str:
    """Hash of a data set: 64 hex digits over class names, labels, splits and image digests.

    It does not depend on file names and folders: the same images in the same splits give the same hash.
    """
    rows = sorted((record.split, record.label, record.sha256) for record in records)
    return hashlib.sha256(json.dumps([list(classes), rows]).encode()).hexdigest()


def is_staged(root: Path) -> bool:
    """Whether a folder is a staged data set."""
    return (root / _CARD).is_file()


def provenance(root: Path) -> tuple[str, int] | None:
    """Source of a data set, and its number of images; None if there is no data set."""
    if not is_staged(root):
        return None
    try:
        card = strict_json.parse(read_at_most(root / _CARD, _LONGEST_CARD))
    except (OSError, ValueError):
        return "", 0
    if not isinstance(card, dict):
        return "", 0
    counts = card.get("counts")
    splits = [split for split in counts.values() if isinstance(split, dict)] if isinstance(counts, dict) else []
    images = sum(count for split in splits for count in split.values() if isinstance(count, int))
    return str(card.get("source", "")), images


def write(root: Path, classes: Sequence[str], records: Sequence[Record], facts: Mapping[str, object]) -> None:
    """Write manifest, ``.lst`` files and ``dataset.json`` for images already in place.

    Args:
        root: folder of the images.
        classes: class names by label.
        records: sorted by split, label and path.
        facts: other fields of ``dataset.json``: seed, image_size, policy, source, larger, problems, ignored,
            extended_from.
    """
    # Names of class folders may not be UTF-8; backslashreplace writes them as JSON escapes.
    with (root / _MANIFEST).open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(json.dumps(_as_line(record), ensure_ascii=False) + "\n" for record in records)
    for split in SPLITS:
        # The built-in algorithm reads paths relative to the channel's prefix, the split's folder.
        rows = (
            f"{row}\t{record.label}\t{PurePosixPath(record.path).relative_to(split)}\n"
            for row, record in enumerate(records)
            if record.split == split
        )
        with (root / f"{split}.lst").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(rows)
    card = {
        "format": FORMAT,
        "made_by": MADE_BY,
        "classes": list(classes),
        "counts": count(records, classes),
        "hash": dataset_hash(classes, records),
        **facts,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    # Last: a folder with a card is a complete data set.
    (root / _CARD).write_text(text, encoding="utf-8", errors="backslashreplace")


def _as_line(record: Record) -> dict[str, object]:
    line: dict[str, object] = {
        "path": record.path,
        "label": record.label,
        "class": record.class_name,
        "split": record.split,
        "sha256": record.sha256,
    }
    return line | {"group": record.group} if record.group else line


def load(path: str | Path) -> Dataset:
    """Load a staged data set and check that it is complete.

    Args:
        path: folder of the data set.

    Raises:
        DatasetError: the folder does not exist, is not a staged data set, has a newer format, or its files were
            altered.
    """
    root = Path(path)
    if not root.is_dir():
        raise DatasetError(f"there is no data set {root}: make one with `scones stage SOURCE {root}`")
    if not is_staged(root):
        raise DatasetError(
            f"{root} is not a staged data set (no {_CARD}): run `scones stage {shlex.quote(str(root))} DATA` first"
        )
    card = _read_card(root / _CARD)
    try:
        dataset = Dataset(
            root=root,
            classes=tuple(card["classes"]),
            records=tuple(_read_manifest(root / _MANIFEST)),
            hash=card["hash"],
            seed=int(card["seed"]),
            image_size=int(card["image_size"]),
            extended_from=tuple(card.get("extended_from", card.get("grown_from", ()))),
            policy=_policy(card.get("policy", 1)),
            larger=int(card.get("larger", 0)),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as exc:
        reason = f"has no field {exc}" if isinstance(exc, KeyError) else f"has a field of the wrong type: {exc}"
        raise DatasetError(f"{root / _CARD} {reason}: stage it again") from exc
    _check(dataset)
    return dataset


def _policy(value: object) -> Literal[1, 2]:
    if value == 1:
        return 1
    if value == 2:
        return 2
    raise ValueError(f"unknown image policy {value!r}")


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = strict_json.parse_names(read_at_most(path, _LONGEST_CARD))
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise DatasetError(f"{path} {exc}: stage it again") from exc
    if not isinstance(card, dict):
        raise DatasetError(f"{path} is not a JSON object: stage it again")
    if refusal := newer_format(str(path), card):
        raise DatasetError(refusal)
    return card


def _read_manifest(path: Path) -> Iterator[Record]:
    try:
        file = open_regular(path)
    except (OSError, ValueError) as exc:
        reason = f"cannot be read: {exc.strerror}" if isinstance(exc, OSError) else str(exc)
        raise DatasetError(f"{path} {reason}: stage it again") from exc
    with file:
        for number, line in strict_json.lines(file):
            yield _record(path, number, line)


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        row: Any = strict_json.parse_names(line)
        group = str(row.get("group", ""))
        return Record(row["path"], int(row["label"]), row["class"], row["split"], row["sha256"], group)
    except (AttributeError, ValueError, KeyError, TypeError, OverflowError) as exc:
        raise DatasetError(f"{path} line {number} is not an image record ({exc}): stage it again") from exc


def _check(dataset: Dataset) -> None:
    root = dataset.root
    if dataset_hash(dataset.classes, dataset.records) != dataset.hash:
        raise DatasetError(
            f"{root / _MANIFEST} was altered (its hash is not that of {_CARD}): stage the data set again"
        )
    for record in dataset.records:
        path = PurePosixPath(record.path)
        if path.is_absolute() or ".." in path.parts:  # a foreign manifest must not lead outside
            raise DatasetError(f"{root / _MANIFEST} lists a file outside the data set: {record.path}")
    missing = [record.path for record in dataset.records if not (root / record.path).is_file()]
    if missing:
        raise DatasetError(f"{root}: {len(missing)} files are missing, such as {missing[0]}: stage it again")
