"""NumPy's ``.npz`` files, written deterministically and read safely: nothing is unpickled or decompressed.

Internal: may change without notice.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["BROKEN", "read_arrays", "write_arrays"]

BROKEN: Final = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    RuntimeError,
    TypeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions of :func:`read_arrays` for invalid archives."""

_LONGEST_DIRECTORY: Final = 100_000  # bytes of a zip's central directory
_DIRECTORY_END: Final = 22
_HEADER: Final = re.compile(  # NPY header of numbers, booleans and text
    rb"\{'descr': '([<|][biufU]\d{1,9})', 'fortran_order': (False|True), 'shape': \(([0-9, ]{0,200})\), \}\s*"
)


def write_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Serialise arrays as an ``.npz`` file, deterministically."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_arrays(archive: bytes) -> dict[str, NDArray[np.generic]]:
    """Parse the arrays of an ``.npz`` file, by name; nothing is unpickled or decompressed.

    Raises:
        BROKEN: the data is not a complete archive as written by :func:`write_arrays`.
    """
    directory = archive[-_DIRECTORY_END:]  # NumPy writes no archive comment
    listed = int.from_bytes(directory[12:16], "little")
    if directory[:4] != b"PK\5\6" or listed > _LONGEST_DIRECTORY or archive[-42:-38] == b"PK\6\7":
        raise ValueError("not an archive of arrays")
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        listing = members.infolist()
        if any(member.compress_type for member in listing) or sum(member.file_size for member in listing) > len(
            archive
        ):
            raise ValueError("compressed, unlike our files")
        return {found.filename.removesuffix(".npy"): _array(_content(members, found)) for found in listing}


def _content(members: zipfile.ZipFile, found: zipfile.ZipInfo) -> bytes:
    with members.open(found) as file:
        return file.read(found.file_size)  # without a size it would decompress without limit


def _array(data: bytes) -> NDArray[np.generic]:
    """Parse an array from NPY; NumPy's reader would allocate the header's size before checking the data."""
    start = 10 if data[6:7] == b"\x01" else 12
    end = start + int.from_bytes(data[8:start], "little")
    header = _HEADER.fullmatch(data[start:end])
    if header is None:
        raise ValueError("not an array")
    dtype, shape = np.dtype(header[1].decode()), tuple(int(side) for side in header[3].split(b",") if side.strip())
    if math.prod(shape) * dtype.itemsize != len(data) - end:
        raise ValueError("an array whose size differs from its header")
    order: Literal["C", "F"] = "F" if header[2] == b"True" else "C"
    return np.frombuffer(data, dtype, offset=end).copy().reshape(shape, order=order)
