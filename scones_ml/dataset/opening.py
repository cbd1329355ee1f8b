"""Opening of a source: a folder, a file, a URL, an object or a prefix in an object store.

The type of a file (archive, RecordIO, JSON Lines, ``.lst``, table) is detected from its first bytes, not its name.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from scones_ml.dataset.archives import CIFAR100_BINARY, CIFAR100_MD5, Cifar100, is_archive
from scones_ml.dataset.folders import Folder
from scones_ml.dataset.lines import first_line, start_of_text
from scones_ml.dataset.lists import ListFile, is_list
from scones_ml.dataset.manifests import HEADERS, JsonLines, Table, is_json_lines, is_table
from scones_ml.dataset.record_files import RecordFile
from scones_ml.dataset.recordio import is_recordio
from scones_ml.dataset.sources import SPLIT_NAMES, Source, Synthetic, split_named
from scones_ml.dataset.transfer import download
from scones_ml.errors import DatasetError, ImageNotFoundError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.images.signatures import image_format
from scones_ml.ports import ObjectStore, Progress, no_progress

__all__ = ["DOWNLOADS", "fetch", "open_source"]

DOWNLOADS: Final = Path(".scones/downloads")
"""Default folder for downloads."""

_START = 4_096  # bytes: enough for the first line of a list
_CHUNK = 1 << 20  # bytes between progress updates
_MOST_BYTES = 1 << 30  # far above CIFAR-100; objects are read into memory, downloads fill the disk
_ZIP = b"PK\x03\x04"  # of a local file header
_SECONDS = 30  # without a byte; the whole download may take longer


def open_source(
    source: str | Path | Source,
    *,
    seed: int,
    image_size: int = Synthetic.size,
    names: tuple[str, ...] = (),
    store: ObjectStore | None = None,
    downloads: Path = DOWNLOADS,
    progress: Progress = no_progress,
    label_attribute: str | None = None,
) -> Source:
    """Open a source; a Source object is returned unchanged.

    Args:
        source: see ``scones_ml.dataset.stage``.
        seed: random seed of synthetic images.
        image_size: side of synthetic images, in pixels.
        names: class names, for a source with numeric labels or ambiguous folders.
        store: object store of ``s3://`` URIs.
        downloads: folder for downloads.
        progress: called with downloaded and total bytes.
        label_attribute: field of a manifest with the labels.

    Raises:
        DatasetError: the source does not exist, its type is unknown, or it has no label attributes.
        ConfigurationError: an ``s3://`` URI without a bucket.
    """
    if not isinstance(source, str | Path):
        found = source
    elif (text := str(source)) == "synthetic":
        found = Synthetic(seed=seed, size=image_size)
    elif text == "cifar100":
        found = Cifar100(fetch(CIFAR100_BINARY, downloads, progress))
    elif text.startswith(("https://", "http://")):
        found = _open_file(fetch(text, downloads, progress), names, store, label_attribute)
    elif text.startswith("s3://"):
        found = _open_stored(text, names, store, label_attribute, downloads, progress)
    else:
        path = Path(source)
        found = _open_file(path, names, store, label_attribute) if path.is_file() else Folder(path, names)
    if label_attribute is not None and not isinstance(found, JsonLines | Table):
        raise DatasetError(
            f"{found.name} has no label attributes (JSON Lines and tables have): leave out --label-attribute"
        )
    return found


def _open_file(
    path: Path, names: tuple[str, ...], store: ObjectStore | None, attribute: str | None, uri: str | None = None
) -> Source:
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as exc:
        raise DatasetError(f"cannot read {path}: {exc.strerror}") from exc
    if is_archive(start):
        return Cifar100(path)
    if is_recordio(start):
        return _numbered(RecordFile(path), RecordFile(path, names))
    if is_json_lines(start):
        return JsonLines(path, store, uri, attribute)
    if is_list(start):
        return _numbered(ListFile(path), ListFile(path, names))
    if is_table(start):
        return Table(path, store, uri, attribute)
    raise DatasetError(f"{uri or path} {_why_none(start)}")


def _numbered(plain: ListFile | RecordFile, named: ListFile | RecordFile) -> ListFile | RecordFile:
    """Apply given names to a source with numeric labels: as class names, or as a choice of labels."""
    return plain if set(named.names) <= set(plain.classes()) else named


def _why_none(start: bytes) -> str:
    """Error text with a remedy for a file of unknown type."""
    if not start:
        return "is empty: give a folder of class folders, a manifest or an archive"
    if start.startswith(_ZIP):
        return "is a ZIP archive: unpack it and give its folder"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is text in UTF-16: save it as UTF-8"
    if image_format(start):
        return "is an image: give the folder of its class folders"
    if start_of_text(start).startswith(b"["):
        return "is one JSON array: write its objects one a line, as JSON Lines"
    first = first_line(start)
    if first.isprintable() and any(mark in first for mark in ",;\t"):
        return f"has no header with images and classes: give {HEADERS}"
    return (
        "is neither a CIFAR-100 archive nor RecordIO nor a .lst, nor a JSON Lines or CSV manifest: "
        "give one of these, or a folder of class folders"
    )


def _open_stored(
    uri: str,
    names: tuple[str, ...],
    store: ObjectStore | None,
    attribute: str | None,
    downloads: Path,
    progress: Progress,
) -> Source:
    if store is None:
        raise DatasetError(f"{uri}: pass an object store to read it from")
    bucket, key = parse_uri(uri)
    folder = downloads / "s3" / bucket
    if not key or key.endswith("/") or not any(found.key == key for found in store.list(bucket, key)):
        copy = download(uri, store, folder / hashlib.sha256(key.strip("/").encode()).hexdigest()[:16], progress)
        return Folder(copy, names)
    folder = folder / hashlib.sha256(f"{key}:object".encode()).hexdigest()[:16]
    path = _copy(store, bucket, key, folder)
    with path.open("rb") as file:
        start = file.read(_START)
    if is_recordio(start):
        _copy_beside(store, bucket, key, folder, (PurePosixPath(key).suffix, ".lst"))
    elif is_list(start):
        for stem in _copy_beside(store, bucket, key, folder, (PurePosixPath(key).suffix,)):
            download(f"s3://{bucket}/{_parent(key)}{stem}", store, folder / stem, progress)
    return _open_file(path, names, store, attribute, uri)


def _copy_beside(store: ObjectStore, bucket: str, key: str, folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Copy an object's companion files: same stem and, for "train", the other splits, with these suffixes.

    Returns:
        Stems of the copied files, its own first.
    """
    own = PurePosixPath(key).stem
    stems = [own]
    if split_named(own) == "train":
        spelled = str.upper if own.isupper() else str.title if own.istitle() else str.lower
        stems += [stem for stem in map(spelled, SPLIT_NAMES) if stem != own]
    there = []
    for stem in stems:
        beside = [f"{_parent(key)}{stem}{suffix}" for suffix in suffixes]
        keys = {found.key for found in store.list(bucket, f"{_parent(key)}{stem}.")}
        for other in keys.intersection(beside) - {key}:
            _copy(store, bucket, other, folder)
        if keys.intersection(beside):
            there.append(stem)
    return there


def _parent(key: str) -> str:
    """Prefix of an object, with its slash; empty at the top of the bucket."""
    parent, slash, _ = key.rpartition("/")
    return parent + slash


def _copy(store: ObjectStore, bucket: str, key: str, folder: Path) -> Path:
    name = PurePosixPath(key).name
    path = folder / (name if name not in (".", "..") else "object")
    try:
        data = store.read(ImageRef(s3_bucket=bucket, s3_key=key), _MOST_BYTES).data
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except ImageNotFoundError as exc:
        raise DatasetError(str(exc)) from exc
    except OSError as exc:
        raise DatasetError(f"cannot write {path}: {exc.strerror}") from exc
    return path


def fetch(
    url: str, folder: Path, progress: Progress = no_progress, checksums: Mapping[str, str] = CIFAR100_MD5
) -> Path:
    """Download a file once; an archive with a known checksum is downloaded again if it is broken.

    Args:
        url: http or https.
        folder: destination; created if missing.
        progress: called with downloaded and total bytes.
        checksums: names of published archives to the MD5 of each.

    Returns:
        Path of the file, named as in the URL.

    Raises:
        DatasetError: the download failed, or the file cannot be written.
    """
    from urllib.error import URLError  # slow to import and rarely needed

    name = PurePosixPath(urlsplit(url).path).name or "download"
    path = folder / name
    if name in checksums and path.is_file() and _md5(path) == checksums[name]:
        return path
    partial = folder / f".{name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive(url, partial, progress)
        partial.replace(path)
    except URLError as exc:
        reason = getattr(exc, "reason", None) or exc
        raise DatasetError(f"cannot download {url}: {reason}") from exc
    except (OSError, ValueError) as exc:
        raise DatasetError(f"cannot download {url} to {folder}: {exc}") from exc
    finally:
        partial.unlink(missing_ok=True)
    return path


def _receive(url: str, partial: Path, progress: Progress) -> None:
    from urllib.request import urlopen

    with urlopen(url, timeout=_SECONDS) as answer, partial.open("wb") as file:  # noqa: S310 - http(s) only
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while chunk := answer.read(_CHUNK):
            done += file.write(chunk)
            if done > _MOST_BYTES:
                raise DatasetError(f"{url} is larger than {_MOST_BYTES:,} bytes: is it CIFAR-100?")
            progress(done, max(total, done))
        if total and done != total:
            raise OSError(f"connection lost after {done:,} of {total:,} bytes")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
