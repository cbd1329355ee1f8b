"""Feature vectors of a data set's images, computed once and cached.

A cache is one folder per extractor and image policy, with two files of equal row counts::

    images      32 bytes for each image: the sha256 of its staged file
    features    its vector as float16

A row is valid if both files hold it. So an interrupted extraction keeps its results, and concurrent extractions are
safe, since writes are locked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from scones_ml import images
from scones_ml.errors import DatasetError, ImageError, TrainingError
from scones_ml.ports import Progress, no_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.dataset import Dataset, Record
    from scones_ml.settings import ImagePolicy

__all__ = ["Extractor", "Features", "extract"]

_VERSION: Final = 1  # of the files
_DIGEST: Final = 32  # bytes
_AT_A_TIME: Final = 32  # images between two writes


class Extractor(Protocol):
    """Extractor of feature vectors from images."""

    @property
    def sha256(self) -> str:
        """Identity of the extractor: 64 hex digits over all that determines the features."""
        ...

    @property
    def size(self) -> int:
        """D, the length of a vector."""
        ...

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute feature vectors float32 (N, D) of images uint8 (N, S, S, 3)."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors of N images, memory-mapped.

    Attributes:
        matrix: float16 (M, D), vectors of all cached images.
        rows: int64 (N,), rows of the N images.
    """

    matrix: NDArray[np.float16]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """D, the length of a vector."""
        return int(self.matrix.shape[1])

    def take(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of selected images, float32 (n, D)."""
        return np.asarray(self.matrix[self.rows[which]], np.float32)


def extract(
    extractor: Extractor,
    data: Dataset,
    records: Sequence[Record],
    policy: ImagePolicy,
    cache: Path | None = None,
    *,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Features:
    """Compute the features of staged images, except those in the cache.

    Args:
        extractor: a backbone for one size of images.
        data: the data set.
        records: records of the images.
        policy: image policy of the model.
        cache: folder for the features; a temporary one if None, or if it cannot be written.
        threads: number of concurrent images.
        progress: called with (images computed, images to compute).

    Raises:
        DatasetError: a file is missing or not an image.
        TrainingError: the features of an image are not finite.
    """
    reading = {name: asdict(policy)[name] for name in ("image_size", "fit", "version")}
    identity = json.dumps([_VERSION, extractor.sha256, extractor.size, reading], sort_keys=True).encode()
    with _folder(cache, hashlib.sha256(identity).hexdigest()[:32]) as folder:
        store = _Store(folder, extractor.size)
        known = store.known()
        missing = [record for record in _distinct(records) if bytes.fromhex(record.sha256) not in known]
        compute = _Compute(extractor, data, policy)
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(missing), _AT_A_TIME):
                part = missing[start : start + _AT_A_TIME]
                store.add([record.sha256 for record in part], list(pool.map(compute, part)))
                progress(start + len(part), len(missing))
        known = store.known()
        rows = np.array([known[bytes.fromhex(record.sha256)] for record in records], np.int64)
        return Features(store.matrix(), rows)


@dataclass(frozen=True)
class _Compute:
    extractor: Extractor
    data: Dataset
    policy: ImagePolicy

    def __call__(self, record: Record) -> NDArray[np.float16]:
        path = self.data.root / record.path
        try:
            pixels = images.pixels(path.read_bytes(), self.policy.image_size, self.policy)
        except (OSError, ImageError) as exc:
            raise DatasetError(f"{path}: {exc}: stage the data set again") from exc
        with np.errstate(over="ignore"):
            vector: NDArray[np.float16] = self.extractor.features(pixels[None])[0].astype(np.float16)
        if not np.isfinite(vector).all():
            raise TrainingError(f"the backbone's features of {path} are not finite: choose another backbone")
        return vector


class _Store:
    """Both files of a cache."""

    def __init__(self, folder: Path, size: int) -> None:
        self._images, self._features, self._size = folder / "images", folder / "features", size

    def known(self) -> dict[bytes, int]:
        """Rows by image digest."""
        digests = self._images.read_bytes()[: self._count() * _DIGEST] if self._images.exists() else b""
        return {digests[at : at + _DIGEST]: at // _DIGEST for at in range(0, len(digests), _DIGEST)}

    def matrix(self) -> NDArray[np.float16]:
        count = self._count()
        if not count:
            return np.empty((0, self._size), np.float16)
        matrix: NDArray[np.float16] = np.memmap(self._features, np.float16, "r", shape=(count, self._size))
        return matrix

    def add(self, digests: Sequence[str], vectors: Sequence[NDArray[np.float16]]) -> None:
        with self._images.open("ab") as images_file, self._features.open("ab") as features_file:
            fcntl.flock(images_file, fcntl.LOCK_EX)  # until it is closed
            count = self._count()
            # Partial rows of an interrupted writer are overwritten.
            os.truncate(self._features, count * self._size * 2)
            os.truncate(self._images, count * _DIGEST)
            features_file.write(np.stack(vectors).tobytes())
            features_file.flush()
            images_file.write(b"".join(map(bytes.fromhex, digests)))

    def _count(self) -> int:
        """Number of complete rows in both files."""
        sizes = (path.stat().st_size if path.exists() else 0 for path in (self._images, self._features))
        digests, features = sizes
        return min(digests // _DIGEST, features // (self._size * 2))


@contextmanager
def _folder(cache: Path | None, name: str) -> Iterator[Path]:
    """Cache folder of these features; a temporary one without a cache, or if it cannot be written.

    A memory map of a temporary file stays readable after the file is deleted.
    """
    with ExitStack() as stack:
        folder = None if cache is None else _writable(cache / name)
        yield folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scones-features-")))


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _distinct(records: Sequence[Record]) -> list[Record]:
    return list({record.sha256: record for record in records}.values())
