"""Backbones that were written once, kept in a folder: ``NAME-SIZE-VERSION-DIGEST.onnx``.

The name says what the file holds and how it is to be checked, so a file of another version is not found, and a damaged
one is written again. A cache is never needed: where the folder cannot be written, the backbone is made each time.
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
    """A file's contents from the cache, or made and left there.

    Processes may do this at once: each writes the same bytes under a name of its own, then renames.

    Args:
        folder: of the cache, made where it is missing; None for none.
        stem: first part of the file's name, which tells versions apart.
        make: returns the contents, the same each time.

    Raises:
        OSError, ValueError: never because of the cache.
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
    """The contents of the first file whose name begins so and whose bytes are what its name says."""
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
