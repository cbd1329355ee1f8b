"""Cache of backbones in a folder, as ``NAME-SIZE-VERSION-DIGEST.onnx``.

The name identifies and checks the contents, so files of other versions are ignored, and damaged ones are written again.
The cache is optional: if the folder cannot be written, the backbone is built each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scones_ml.bounded import read_at_most

__all__ = ["cached"]

_MOST_BYTES: Final = 110_000_000
_DIGITS: Final = 16  # of the sha256 in the name


def cached(folder: Path | None, stem: str, make: Callable[[], bytes]) -> bytes:
    """Read a file's contents from the cache, or create and store them.

    Processes may do this concurrently: each writes the same bytes under a temporary name, then renames.

    Args:
        folder: cache folder, created if missing; None for no cache.
        stem: first part of the file name, including the version.
        make: deterministic function that returns the contents.

    Raises:
        OSError, ValueError: raised by ``make`` only, never by the cache.
    """
    if folder is None:
        return make()
    found = _read(folder, stem)
    if found is None:
        found = make()
        with contextlib.suppress(OSError):
            _write(folder, stem, found)
    return found


def _read(folder: Path, stem: str) -> bytes | None:
    """Contents of the first file with this stem whose bytes match the digest in its name."""
    for path in sorted(folder.glob(f"{stem}-{'[0-9a-f]' * _DIGITS}.onnx")):
        with contextlib.suppress(OSError, ValueError):
            data = read_at_most(path, _MOST_BYTES)
            if _name(stem, data) == path.name:
                return data
    return None


def _write(folder: Path, stem: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{stem}-", suffix=".new", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(folder / _name(stem, data))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _name(stem: str, data: bytes) -> str:
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}.onnx"
