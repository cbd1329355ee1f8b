"""From what a user names to a source: a folder, a file, a URL, an object or a prefix in a store.

What a file is, its first bytes decide: an archive, JSON Lines or a ``.lst``, whatever it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from scones_ml.dataset.archives import CIFAR100_BINARY, CIFAR100_MD5, Cifar100, is_archive
from scones_ml.dataset.manifests import JsonLines, ListFile, is_json_lines, is_list
from scones_ml.dataset.sources import POOLED, TEST, Folder, Source, Synthetic
from scones_ml.dataset.transfer import download
from scones_ml.errors import DatasetError, ImageNotFoundError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.ports import ObjectStore, Progress, no_progress

__all__ = ["DOWNLOADS", "fetch", "open_source"]

DOWNLOADS: Final = Path(".scones/downloads")
"""Where downloads are kept unless something else is asked for."""

_START = 4_096  # bytes: enough for the first line of a list, which tells what a file is
_CHUNK = 1 << 20  # bytes between two steps of the progress bar
_MOST_BYTES = 1 << 30  # far above CIFAR-100; objects are read into memory, downloads fill the disk
_SECONDS = 30  # without a byte; the whole download may take longer


def open_source(
    source: str | Path | Source,
    *,
    seed: int,
    image_size: int,
    names: tuple[str, ...] = (),
    store: ObjectStore | None = None,
    downloads: Path = DOWNLOADS,
    progress: Progress = no_progress,
) -> Source:
    """Find out what is meant; a source object is taken as it is.

    Args:
        source: see ``scones_ml.dataset.stage``.
        seed: of synthetic images.
        image_size: of synthetic images.
        names: class names for a source that has numbers only.
        store: where ``s3://`` is.
        downloads: the folder that keeps what was downloaded.
        progress: of downloads.

    Raises:
        DatasetError: no such thing, or a file that is none of those that are known.
        ConfigurationError: an ``s3://`` URI that names no bucket.
    """
    if not isinstance(source, str | Path):
        return source
    text = str(source)
    if text == "synthetic":
        return Synthetic(seed=seed, size=image_size)
    if text == "cifar100":
        return Cifar100(fetch(CIFAR100_BINARY, downloads, progress))
    if text.startswith(("https://", "http://")):
        return _open_file(fetch(text, downloads, progress), names, store)
    if text.startswith("s3://"):
        return _open_stored(text, names, store, downloads, progress)
    path = Path(source)
    return _open_file(path, names, store) if path.is_file() else Folder(path)


def _open_file(path: Path, names: tuple[str, ...], store: ObjectStore | None, uri: str | None = None) -> Source:
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as exc:
        raise DatasetError(f"cannot read {path}: {exc.strerror}") from exc
    if is_archive(start):
        return Cifar100(path)
    if is_json_lines(start):
        return JsonLines(path, store, uri)
    if is_list(start):
        found = ListFile(path)
        numbers = found.classes()
        return found if not names or set(names) <= set(numbers) else ListFile(path, names)
    raise DatasetError(
        f"{uri or path} is neither a CIFAR-100 archive nor a .lst nor a JSON Lines manifest: "
        "name one, or a folder of class folders"
    )


def _open_stored(
    uri: str, names: tuple[str, ...], store: ObjectStore | None, downloads: Path, progress: Progress
) -> Source:
    if store is None:
        raise DatasetError(f"{uri}: no object store was given to read it from")
    bucket, key = parse_uri(uri)
    folder = downloads / "s3" / bucket
    if not key or key.endswith("/") or not any(found.key == key for found in store.list(bucket, key)):
        return Folder(download(uri, store, folder / hashlib.sha256(key.strip("/").encode()).hexdigest()[:16], progress))
    folder = folder / hashlib.sha256(f"{key}:object".encode()).hexdigest()[:16]
    path = _copy(store, bucket, key, folder)
    with path.open("rb") as file:
        listed = is_list(file.read(_START))
    if listed:
        _copy_listed(store, bucket, key, folder, progress)
    return _open_file(path, names, store, uri)


def _copy_listed(store: ObjectStore, bucket: str, key: str, folder: Path, progress: Progress) -> None:
    """The other lists beside one, and the images below the prefixes of their names."""
    parent, _, own = key.rpartition("/")
    prefix = f"{parent}/" if parent else ""
    stems = [PurePosixPath(own).stem]
    if stems[0] == "train":
        for stem in (*POOLED, TEST):
            beside = f"{prefix}{stem}{PurePosixPath(own).suffix}"
            if stem not in stems and any(found.key == beside for found in store.list(bucket, beside)):
                _copy(store, bucket, beside, folder)
                stems.append(stem)
    for stem in stems:
        download(f"s3://{bucket}/{prefix}{stem}", store, folder / stem, progress)


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
    """Download a file once; an archive whose checksum is known is downloaded again when it is broken.

    Args:
        url: http or https.
        folder: is made.
        progress: counts bytes.
        checksums: names of published archives to the MD5 of each.

    Returns:
        The file, named as in the URL.

    Raises:
        DatasetError: the server does not give it, or it cannot be kept.
    """
    from urllib.error import URLError  # its package is slow to import, and few need it

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
            raise OSError(f"it broke off after {done:,} of {total:,} bytes")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
