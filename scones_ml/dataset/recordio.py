"""RecordIO, the file format for streaming images in MXNet and SageMaker's built-in algorithms.

All numbers are little-endian. A file is a row of records::

    part     u32 magic 0xCED7230A, u32 (flag << 29 | length), data, zeros up to a multiple of 4 bytes
    record   one part of flag 0; or, if the data holds the magic at a multiple of 4 bytes, split there into parts of
             flags 1, 2 ..., 3, without the magic between them, which readers restore
    payload  u32 flag, f32 label, u64 id, u64 id2; flag times f32 labels when flag is not 0; the image's bytes

The index beside it has a line for each record: its key, a tab, its offset in bytes.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scones_ml.dataset.records import SPLITS, Dataset, Split
from scones_ml.errors import DatasetError

__all__ = [
    "LabelledImage",
    "RecordHead",
    "is_recordio",
    "pack",
    "read_at",
    "read_heads",
    "read_index",
    "read_records",
    "unpack",
    "write_record",
    "write_recordio",
    "write_split",
]

_MAGIC = struct.pack("<I", 0xCED7230A)  # kMagic of dmlc-core's recordio.h
_PART = struct.Struct("<4sI")
_HEADER = struct.Struct("<IfQQ")
_LABEL = struct.Struct("<f")
_FIRST_LABEL_END = _HEADER.size + _LABEL.size  # bytes of a payload
_LENGTH_BITS = 29  # the upper three bits hold the flag
_LONGEST = (1 << _LENGTH_BITS) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """Parsed payload of a record.

    Attributes:
        labels: one label, or several; float32 each.
        id: record id, 0 to 2**64 - 1.
        image: contents of the image file.
        id2: a second id, mostly 0.
    """

    labels: tuple[float, ...]
    id: int
    image: bytes
    id2: int = 0


@dataclass(frozen=True, slots=True)
class RecordHead:
    """Header of a record, without the image.

    Attributes:
        offset: offset of the record in its file, in bytes.
        labels: number of labels.
        label: the label if there is one; 0.0 for several.
        id: record id.
        size: size of the image file, in bytes.
    """

    offset: int
    labels: int
    label: float
    id: int
    size: int


def is_recordio(start: bytes) -> bool:
    """Whether the first bytes are those of RecordIO."""
    return start.startswith(_MAGIC)


def pack(image: LabelledImage) -> bytes:
    """Serialise a record's payload.

    Raises:
        DatasetError: an id is not a u64, or a label not a float32.
    """
    single = len(image.labels) == 1
    try:
        header = _HEADER.pack(
            0 if single else len(image.labels), image.labels[0] if single else 0.0, image.id, image.id2
        )
        extra = b"" if single else struct.pack(f"<{len(image.labels)}f", *image.labels)
    except (struct.error, OverflowError) as exc:
        raise DatasetError(f"record {image.id} cannot be written: {exc}") from exc
    return header + extra + image.image


def unpack(payload: bytes) -> LabelledImage:
    """Parse a record's payload.

    Raises:
        DatasetError: the payload is shorter than its header states.
    """
    if len(payload) < _HEADER.size:
        raise DatasetError(f"a record of {len(payload)} bytes is shorter than its header of {_HEADER.size}")
    flag, label, key, key2 = _HEADER.unpack_from(payload)
    start = _HEADER.size + 4 * flag
    if len(payload) < start:
        raise DatasetError(f"a record of {len(payload)} bytes cannot hold the {flag} labels of its header")
    labels = struct.unpack_from(f"<{flag}f", payload, _HEADER.size) if flag else (label,)
    return LabelledImage(labels, key, payload[start:], key2)


def write_record(file: BinaryIO, payload: bytes) -> int:
    """Append one record.

    Args:
        file: open for writing.
        payload: any bytes, shorter than 2**29 between two magic words.

    Returns:
        Number of bytes written.

    Raises:
        DatasetError: the payload is too long.
    """
    parts = list(_parts(payload))
    written = 0
    for number, part in enumerate(parts):
        if len(part) > _LONGEST:
            raise DatasetError(f"a record of {len(payload):,} bytes is longer than RecordIO allows ({_LONGEST:,})")
        last = number == len(parts) - 1
        flag = (_WHOLE if last else _FIRST) if number == 0 else (_LAST if last else _MIDDLE)
        written += file.write(_PART.pack(_MAGIC, flag << _LENGTH_BITS | len(part)) + part + bytes(-len(part) % 4))
    return written


def _parts(payload: bytes) -> Iterator[bytes]:
    """Payload split at every aligned magic word."""
    start = 0
    found = payload.find(_MAGIC)
    while found >= 0:
        if found % 4 == 0:
            yield payload[start:found]
            start = found + 4
        found = payload.find(_MAGIC, found + (4 if found % 4 == 0 else 1))
    yield payload[start:]


def read_records(file: BinaryIO) -> Iterator[bytes]:
    """Read payloads from the file's position to its end.

    Raises:
        DatasetError: the file is not RecordIO, or cut short; the message gives the offset.
    """
    while True:
        payload = _read_record(file)
        if payload is None:
            return
        yield payload


def read_at(file: BinaryIO, offset: int) -> bytes:
    """Read the payload at an offset from the index.

    Raises:
        DatasetError: no record begins there.
    """
    end, payload = file.seek(0, os.SEEK_END), None
    if 0 <= offset < end:  # the index is not trusted
        file.seek(offset)
        payload = _read_record(file)
    if payload is None:
        raise DatasetError(f"{_name(file)}: no record at byte {offset}, the file ends at byte {end}")
    return payload


def read_heads(file: BinaryIO) -> Iterator[RecordHead]:
    """Read record headers from the file's position to its end, without the images.

    Raises:
        DatasetError: the file is not RecordIO or cut short, or a record is shorter than its header states.
    """
    offset = file.tell()
    end = file.seek(0, os.SEEK_END)
    while offset < end:
        file.seek(offset)
        start, size = _record_start(file, end)
        yield _head(f"{_name(file)}: the record at byte {offset}", offset, start, size)
        offset = file.tell()


def _record_start(file: BinaryIO, end: int) -> tuple[bytes, int]:
    """Read the start of a payload up to its first label, and its length; leaves the file at the next record."""
    start, size, flag = b"", 0, None
    while flag not in (_WHOLE, _LAST):
        offset = file.tell()
        flag, length = _part_head(file, inside=flag is not None)
        joined = _MAGIC if flag in (_MIDDLE, _LAST) else b""
        start += joined + file.read(min(length, max(0, _FIRST_LABEL_END - len(start))))
        size += len(joined) + length
        if offset + _PART.size + length > end:
            raise DatasetError(f"{_name(file)} is cut short at byte {offset}: copy or write it again")
        file.seek(min(end, offset + _PART.size + length + -length % 4))
    return start, size


def _head(where: str, offset: int, start: bytes, size: int) -> RecordHead:
    if size < _HEADER.size:
        raise DatasetError(f"{where} has {size} bytes, less than its header of {_HEADER.size}")
    flag, label, key, _ = _HEADER.unpack_from(start)
    if size < _HEADER.size + _LABEL.size * flag:
        raise DatasetError(f"{where} has {size} bytes and cannot hold the {flag:,} labels of its header")
    if flag == 1:
        (label,) = _LABEL.unpack_from(start, _HEADER.size)
    return RecordHead(offset, flag or 1, label, key, size - _HEADER.size - _LABEL.size * flag)


def _read_record(file: BinaryIO) -> bytes | None:
    parts: list[bytes] = []
    while True:
        offset = file.tell()
        if not parts and not file.read(1):
            return None
        file.seek(offset)
        flag, length = _part_head(file, inside=bool(parts))
        data = file.read(length + -length % 4)
        if len(data) < length:
            raise DatasetError(f"{_name(file)} is cut short at byte {offset}: copy or write it again")
        parts.append(data[:length])
        if flag in (_WHOLE, _LAST):
            return _MAGIC.join(parts)


def _part_head(file: BinaryIO, *, inside: bool) -> tuple[int, int]:
    """Read flag and length of the next part.

    Args:
        file: positioned at a part.
        inside: whether the part continues a record.
    """
    offset = file.tell()
    head = file.read(_PART.size)
    if len(head) < _PART.size:
        raise DatasetError(f"{_name(file)} is cut short at byte {offset}: copy or write it again")
    magic, word = _PART.unpack(head)
    flag, length = word >> _LENGTH_BITS, word & _LONGEST
    if magic != _MAGIC or flag not in ((_MIDDLE, _LAST) if inside else (_WHOLE, _FIRST)):
        raise DatasetError(f"{_name(file)} is not RecordIO at byte {offset}: copy or write it again")
    return flag, length


def _name(file: BinaryIO) -> str:
    return str(getattr(file, "name", "the RecordIO file"))


def read_index(path: Path) -> dict[int, int]:
    """Read the keys and offsets of an ``.idx`` file, in its order.

    Raises:
        DatasetError: a line is not a key, a tab and an offset.
    """
    found: dict[int, int] = {}
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        try:
            key, offset = line.split("\t")
            found[int(key)] = int(offset)
        except ValueError as exc:
            raise DatasetError(f"{path} line {number} is not a key, a tab and an offset: {line[:60]!r}") from exc
    return found


def write_split(data: Dataset, split: Split, path: Path) -> int:
    """Write one split of a staged data set as ``PATH`` and its index, ``.idx`` instead of ``.rec``.

    The file is renamed into place when complete, then its index is written.

    Args:
        data: a staged data set.
        split: the split to write.
        path: path of the ``.rec`` file.

    Returns:
        Number of records written.

    Raises:
        DatasetError: the split is empty, or an image is missing.
    """
    records = data.split(split)
    if not records:
        raise DatasetError(f"{data.root} has no {split} images to write to {path}")
    index = path.with_suffix(".idx")
    partial, lines = path.with_name(f".{path.name}.partial"), io.StringIO()
    offset = 0
    try:
        with partial.open("wb") as file:
            for key, record in enumerate(records):
                image = (data.root / record.path).read_bytes()
                lines.write(f"{key}\t{offset}\n")
                offset += write_record(file, pack(LabelledImage((float(record.label),), key, image)))
        partial.replace(path)
        index.write_text(lines.getvalue(), encoding="ascii")
    except OSError as exc:
        raise DatasetError(f"cannot write {path}: {exc.filename or ''} {exc.strerror or exc}") from exc
    finally:
        partial.unlink(missing_ok=True)
    return len(records)


def write_recordio(data: Dataset) -> tuple[Path, ...]:
    """Add RecordIO files to a staged data set: ``train.rec`` and so on beside its folders, each with an index.

    SageMaker's built-in Image Classification reads this form fastest: one object for each channel.

    Args:
        data: a staged data set; its files are not changed.

    Returns:
        Paths of the ``.rec`` files, in the order of the splits; empty splits have none.

    Raises:
        DatasetError: a file cannot be written, or an image is missing.
    """
    splits = [split for split in SPLITS if data.split(split)]
    files = tuple(data.root / f"{split}.rec" for split in splits)
    for split, file in zip(splits, files, strict=True):
        write_split(data, split, file)
    return files
