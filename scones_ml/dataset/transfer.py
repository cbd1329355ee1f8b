"""Concurrent upload and download of data sets; objects with an unchanged hash are skipped."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TypeVar

from scones_ml import strict_json
from scones_ml.dataset.manifests import read_stored
from scones_ml.dataset.records import SPLITS, Dataset
from scones_ml.errors import DatasetError, ImageNotFoundError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.ports import CONCURRENT_REQUESTS, ObjectStore, ObjectSummary, Progress, no_progress
from scones_ml.wording import counted

__all__ = ["Upload", "check_upload", "download", "upload"]

Item = TypeVar("Item")

_CARD, _MANIFEST = "dataset.json", "manifest.jsonl"
_TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".lst": "text/plain",
    ".rec": "application/x-recordio",
}
_BESIDE = (".lst", ".rec", ".idx")  # optional files of each split
_LONGEST_NAME = 200  # bytes; with dot and .partial below file systems' limit of 255


@dataclass(frozen=True, slots=True)
class Upload:
    """Result of an upload.

    Attributes:
        uri: URI of the uploaded data set.
        written: number of objects written.
        skipped: number of objects already present with the same hash.
        removed: number of removed objects of an earlier data set.
    """

    uri: str
    written: int
    skipped: int
    removed: int


def upload(data: Dataset, uri: str, store: ObjectStore, progress: Progress = no_progress) -> Upload:
    """Upload a staged data set to an object store; a repeated call resumes after an interruption.

    ``dataset.json`` is written last, so a prefix with it is complete. An object is skipped if its etag is the MD5 of
    the file, as on S3 unless the bucket encrypts with KMS keys: then all objects are written again.

    Args:
        data: staged data set.
        uri: ``s3://bucket/prefix``.
        store: destination store.
        progress: called with (files done, files in all).

    Raises:
        DatasetError: the prefix holds objects that belong neither to this data set nor to an earlier one.
        ConfigurationError: the URI has no bucket.
    """
    bucket, prefix = _prefix(uri)
    images, cards = _names(data)
    there, stale = _there(data, uri, store)
    todo = [name for name in images if not _same(data.root / name, there.get(name))]
    changed = bool(todo or stale) or not all(_same(data.root / name, there.get(name)) for name in cards)
    if changed and _CARD in there:
        store.delete(bucket, prefix + _CARD)  # readers must not take a partial upload as complete

    def send(name: str) -> None:
        content_type = _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        store.write(bucket, prefix + name, (data.root / name).read_bytes(), content_type)

    total = len(images) + len(cards)
    before = len(images) - len(todo)
    _each(send, todo, lambda done, _: progress(before + done, total))
    _each(lambda name: store.delete(bucket, prefix + name), sorted(stale), no_progress)
    for done, name in enumerate(cards if changed else (), len(images) + 1):
        send(name)
        progress(done, total)
    written = len(todo) + (len(cards) if changed else 0)
    return Upload(f"s3://{bucket}/{prefix}", written, total - written, len(stale))


def check_upload(data: Dataset, uri: str, store: ObjectStore) -> None:
    """Check that :func:`upload` accepts a prefix; to be called before the prefix is recorded as ours.

    Raises:
        DatasetError: the prefix holds objects that belong neither to this data set nor to an earlier one.
        ConfigurationError: the URI has no bucket.
    """
    _there(data, uri, store)


def _there(data: Dataset, uri: str, store: ObjectStore) -> tuple[dict[str, ObjectSummary], set[str]]:
    """Objects below a prefix by relative name, and the names of those from an earlier data set."""
    bucket, prefix = _prefix(uri)
    # Our marker, or the empty object of a folder made in S3's console, does not count.
    there = {found.key.removeprefix(prefix): found for found in store.list(bucket, prefix) if found.key != prefix}
    images, cards = _names(data)
    stale = there.keys() - {*images, *cards}
    if foreign := sorted(stale - _earlier(store, bucket, prefix, there)):
        raise DatasetError(
            f"s3://{bucket}/{prefix} holds {counted(len(foreign), 'other object')}, such as {foreign[0]}: "
            "choose another prefix"
        )
    return there, stale


def _names(data: Dataset) -> tuple[list[str], list[str]]:
    """Files of a data set: images first, metadata last."""
    beside = [f"{split}{suffix}" for split in SPLITS for suffix in _BESIDE]
    cards = [*sorted(name for name in beside if (data.root / name).is_file()), _MANIFEST, _CARD]
    return [record.path for record in data.records], cards


def download(uri: str, store: ObjectStore, folder: Path, progress: Progress = no_progress) -> Path:
    """Mirror a prefix to a folder; a repeated call downloads only changes.

    Args:
        uri: ``s3://bucket/prefix``.
        store: source store.
        folder: destination, created if missing; files of deleted objects are removed.
        progress: called with (objects done, objects in all).

    Returns:
        The folder.

    Raises:
        DatasetError: the prefix is empty, or the folder cannot be written.
        ConfigurationError: the URI has no bucket.
    """
    bucket, prefix = _prefix(uri)
    found = {item.key: item for item in store.list(bucket, prefix) if not item.key.endswith("/")}
    if not found:
        raise DatasetError(f"s3://{bucket}/{prefix} is empty: give a prefix that holds images")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the folder, whose contents count as the source's own.
        notes = _Notes(folder.with_name(f".{folder.name}.downloaded.jsonl"))
        for key in notes.etags.keys() - found.keys():
            (folder / _local(key.removeprefix(prefix))).unlink(missing_ok=True)
        todo = [
            item
            for key, item in found.items()
            if notes.etags.get(key) != item.etag or not (folder / _local(key.removeprefix(prefix))).is_file()
        ]

        def receive(item: ObjectSummary) -> None:
            path = folder / _local(item.key.removeprefix(prefix))
            data = read_stored(store, ImageRef(s3_bucket=bucket, s3_key=item.key, etag=item.etag))
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(data)
            partial.replace(path)
            notes.add(item)  # after the rename: a note means a complete file

        before = len(found) - len(todo)
        _each(receive, todo, lambda done, _: progress(before + done, len(found)))
        notes.rewrite(found.values())
    except OSError as exc:
        raise DatasetError(f"cannot write {exc.filename or folder}: {exc.strerror or exc}") from exc
    return folder


class _Notes:
    """Record of downloaded object versions, appended after each download, so that interruptions lose nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.etags: dict[str, str] = {}
        data = path.read_bytes() if path.is_file() else b""
        for _, line in strict_json.lines(io.BytesIO(data)):
            with contextlib.suppress(ValueError):  # cut last line of a killed run
                match strict_json.parse_names(line):
                    case {"key": str(key), "etag": str(etag)}:
                        self.etags[key] = etag

    def add(self, item: ObjectSummary) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": item.key, "etag": item.etag}) + "\n")

    def rewrite(self, items: Iterable[ObjectSummary]) -> None:
        lines = (json.dumps({"key": item.key, "etag": item.etag}) + "\n" for item in items)
        self._path.write_text("".join(lines), encoding="utf-8")


def _each(work: Callable[[Item], None], items: Sequence[Item], progress: Progress) -> None:
    """Process all items concurrently; the first error, or Ctrl-C, cancels those not started."""
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                progress(done, len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prefix(uri: str) -> tuple[str, str]:
    """Bucket and prefix; a prefix ends in a slash, so that ``test`` does not match ``test.lst``."""
    bucket, key = parse_uri(uri)
    return bucket, key.rstrip("/") + "/" if key.strip("/") else ""


def _earlier(store: ObjectStore, bucket: str, prefix: str, there: dict[str, ObjectSummary]) -> set[str]:
    """Objects listed in an earlier data set's manifest, with its lists and RecordIO files."""
    if _MANIFEST not in there:
        return set()
    try:
        data = store.read(ImageRef(s3_bucket=bucket, s3_key=prefix + _MANIFEST)).data
        rows = [strict_json.parse_names(line) for _, line in strict_json.lines(io.BytesIO(data))]
    except (ImageNotFoundError, ValueError):
        return set()
    named = {str(row["path"]) for row in rows if isinstance(row, dict) and "path" in row}
    return named | {f"{split}{suffix}" for split in SPLITS for suffix in _BESIDE}


def _same(path: Path, found: ObjectSummary | None) -> bool:
    if found is None or found.size != path.stat().st_size:
        return False
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == found.etag


def _local(key: str) -> PurePosixPath:
    """Relative path for a key; parts that are invalid or unsafe as file names are replaced by their hash."""
    return PurePosixPath(*(_safe(part) for part in key.split("/")))


def _safe(part: str) -> str:
    fits = part.isprintable() and "\\" not in part and len(part.encode()) <= _LONGEST_NAME
    if fits and part not in ("", ".", ".."):
        return part
    suffix = PurePosixPath(part).suffix
    return hashlib.sha256(part.encode()).hexdigest()[:32] + (suffix if suffix[1:].isalnum() and len(suffix) < 8 else "")
