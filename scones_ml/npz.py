"""NumPy's ``.npz`` files, written alike each time and read without trust: nothing is unpickled or inflated.

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
"""What :func:`read_arrays` raises for anything but a whole archive of arrays."""

_LONGEST_DIRECTORY: Final = 100_000  # bytes of a zip's list of members
_DIRECTORY_END: Final = 22
_HEADER: Final = re.compile(  # of NPY, of numbers, truths and texts
    rb"\{'descr': '([<|][biufU]\d{1,9})', 'fortran_order': (False|True), 'shape': \(([0-9, ]{0,200})\), \}\s*"
)


def write_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """The bytes of an ``.npz`` file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_arrays(archive: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of an ``.npz`` file's bytes, by name; nothing is unpickled or inflated.

    Raises:
        BROKEN: it is no whole archive of arrays as :func:`write_arrays` makes it.
    """
    directory = archive[-_DIRECTORY_END:]  # NumPy writes no comment after it
    listed = int.from_bytes(directory[12:16], "little")
    if directory[:4] != b"PK\5\6" or listed > _LONGEST_DIRECTORY or archive[-42:-38] == b"PK\6\7":
        raise ValueError("no archive of arrays")
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        listing = members.infolist()
        if any(member.compress_type for member in listing) or sum(member.file_size for member in listing) > len(
            archive
        ):
            raise ValueError("compressed, as our files never are")
        return {found.filename.removesuffix(".npy"): _array(_content(members, found)) for found in listing}


def _content(members: zipfile.ZipFile, found: zipfile.ZipInfo) -> bytes:
    with members.open(found) as file:
        return file.read(found.file_size)  # without a number it would inflate all that is there, whatever was said


def _array(data: bytes) -> NDArray[np.generic]:
    """An array from NPY; NumPy's own reader makes room for what the header says before it looks at what is there."""
    start = 10 if data[6:7] == b"\x01" else 12
    end = start + int.from_bytes(data[8:start], "little")
    header = _HEADER.fullmatch(data[start:end])
    if header is None:
        raise ValueError("no array")
    dtype, shape = np.dtype(header[1].decode()), tuple(int(side) for side in header[3].split(b",") if side.strip())
    if math.prod(shape) * dtype.itemsize != len(data) - end:
        raise ValueError("an array that is not as large as it says")
    order: Literal["C", "F"] = "F" if header[2] == b"True" else "C"
    return np.frombuffer(data, dtype, offset=end).copy().reshape(shape, order=order)
