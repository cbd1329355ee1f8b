"""CIFAR-100 archives as a source: checked before reading, never unpacked to disk.

Both forms of https://www.cs.toronto.edu/~kriz/cifar.html hold 32x32 images, row by row, channel by channel. The
binary one is read without a pickle: a record is the coarse label's byte, the fine label's byte and 3,072 pixels.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from scones_ml.dataset.records import Split
from scones_ml.dataset.sources import TEST, Candidate, Listing
from scones_ml.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CIFAR100_BINARY", "CIFAR100_MD5", "CIFAR100_PYTHON", "Cifar100", "is_archive"]

CIFAR100_PYTHON: Final = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
CIFAR100_BINARY: Final = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
CIFAR100_MD5: Final[Mapping[str, str]] = {
    "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
    "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
}
"""MD5 checksums of the two published archives."""

_SIDE, _CHANNELS = 32, 3
_PIXELS = _SIDE * _SIDE * _CHANNELS
_LABEL_BYTES = 2  # the coarse and the fine label
_MOST_BYTES = 1 << 30  # unpacked; the published archives have 161 and 185 million
_GZIP = b"\x1f\x8b"  # ID1 and ID2 of RFC 1952
_SIDES = ("train", "test")
_FILES = ("train", "test", "meta", "train.bin", "test.bin", "fine_label_names.txt")


def is_archive(data: bytes) -> bool:
    """Whether the first bytes are those of a gzipped archive."""
    return data.startswith(_GZIP)


@dataclass(frozen=True)
class Cifar100:
    """CIFAR-100, from the python or the binary archive; classes are its 100 fine labels.

    Attributes:
        path: the ``.tar.gz``.
        md5: required checksum of the file; None accepts either published one.
    """

    path: Path
    md5: str | None = None

    @property
    def name(self) -> str:
        """Path of the archive, as given."""
        return str(self.path)

    def classes(self) -> tuple[str, ...]:
        """Names of the fine labels, sorted.

        Raises:
            DatasetError: the file does not exist, its checksum differs, or it is not CIFAR-100.
        """
        return tuple(sorted(self._names))

    def listing(self, classes: tuple[str, ...]) -> Listing:
        """Images of these classes; the archive's test set is kept as the test set."""
        wanted = {self._names.index(name) for name in classes}
        candidates = [
            self._candidate(side, row, label, pixels)
            for side in _SIDES
            for row, label, pixels in self._rows(side)
            if label in wanted
        ]
        return Listing(tuple(sorted(candidates, key=lambda candidate: candidate.name)), ignored=0)

    def _candidate(self, side: str, row: int, label: int, pixels: NDArray[np.uint8]) -> Candidate:
        name = self._names[label]
        split: Split | None = TEST if side == TEST else None
        return Candidate(f"{side}/{name}/{row:05d}.png", name, split, True, partial(_png, pixels))

    def _rows(self, side: str) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
        pixels, labels = self._python(side) if self._is_python else self._binary(side)
        if len(labels) and not 0 <= min(labels) <= max(labels) < len(self._names):
            raise DatasetError(f"{self.path}: {side} has a label outside the {len(self._names)} classes")
        for row, label in enumerate(labels):
            yield row, label, pixels[row]

    @cached_property
    def _members(self) -> dict[str, bytes]:
        _check_md5(self.path, self.md5)
        return _read_members(self.path)

    @property
    def _is_python(self) -> bool:
        return "meta" in self._members

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._is_python:
            found = self._unpickle("meta").get(b"fine_label_names")
            names = list(found) if isinstance(found, list) else []
        else:
            names = self._member("fine_label_names.txt").splitlines()
        if not names or not all(isinstance(name, bytes) and name for name in names) or len(set(names)) < len(names):
            raise DatasetError(f"{self.path} has no class names: is it CIFAR-100?")
        return tuple(name.decode("ascii", "replace") for name in names)

    def _python(self, side: str) -> tuple[NDArray[np.uint8], list[int]]:
        import numpy as np

        found = self._unpickle(side)
        pixels, labels = found.get(b"data"), found.get(b"fine_labels")
        if (
            not isinstance(pixels, np.ndarray)
            or not isinstance(labels, list)
            or pixels.dtype != np.uint8
            or pixels.shape != (len(labels), _PIXELS)
            or not all(type(label) is int for label in labels)
        ):
            raise DatasetError(
                f"{self.path}: {side} does not hold {_PIXELS} bytes and a fine label for each image: is it CIFAR-100?"
            )
        return pixels, labels

    def _binary(self, side: str) -> tuple[NDArray[np.uint8], list[int]]:
        import numpy as np

        data = self._member(f"{side}.bin")
        if len(data) % (_LABEL_BYTES + _PIXELS):
            raise DatasetError(f"{self.path}: {side}.bin has {len(data):,} bytes, not a whole number of records")
        records = np.frombuffer(data, np.uint8).reshape(-1, _LABEL_BYTES + _PIXELS)
        return records[:, _LABEL_BYTES:], records[:, 1].tolist()

    def _unpickle(self, member: str) -> dict[object, object]:
        with _extra():
            from scones_ml.dataset.pickles import load_arrays

        found = load_arrays(self._member(member), f"{self.path}: {member}")
        if not isinstance(found, dict):
            raise DatasetError(f"{self.path}: {member} is not a dictionary: is it CIFAR-100?")
        return found

    def _member(self, name: str) -> bytes:
        if name not in self._members:
            raise DatasetError(f"{self.path} holds no {name}: is it CIFAR-100?")
        return self._members[name]


def _check_md5(path: Path, expected: str | None) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as exc:
        raise DatasetError(f"cannot read {path}: {exc.strerror}") from exc
    if found not in ({expected} if expected else set(CIFAR100_MD5.values())):
        wanted = expected or f"that of a CIFAR-100 archive ({', '.join(CIFAR100_MD5.values())})"
        raise DatasetError(f"{path}: its MD5 is {found}, not {wanted}: download it again")


def _read_members(path: Path) -> dict[str, bytes]:
    """Read the known files, by base name; any member that would be unsafe to unpack is rejected."""
    found: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                _check_member(path, member)
                size += member.size
                if size > _MOST_BYTES:
                    raise DatasetError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes: is it CIFAR-100?")
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if name in _FILES and member.isreg() else None
                if file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, ValueError, MemoryError) as exc:  # a broken header may state any size
        raise DatasetError(f"{path} is not a complete .tar.gz archive: download it again") from exc
    return found


def _check_member(path: Path, member: tarfile.TarInfo) -> None:
    # As tarfile's filter "data", but all links are rejected.
    if not (member.isreg() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "a device or a pipe"
        raise DatasetError(f"{path} holds {kind}, {member.name!r}: rejected, nothing was written")
    if member.name.startswith("/") or ".." in PurePosixPath(member.name).parts:
        raise DatasetError(f"{path} holds {member.name!r}, a path outside the archive: rejected, nothing was written")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    with _extra():
        from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels.reshape(_CHANNELS, _SIDE, _SIDE).transpose(1, 2, 0).copy()).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
