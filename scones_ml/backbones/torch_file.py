"""Reader of ``.pth`` files in torch's first format (before 1.6), without torch.

The file is five pickles (magic number, version, facts of the machine, names and shapes of the tensors, keys of the
storages), then each storage: its number of elements in eight bytes, and the elements. The pickles may refer to four
names: two types of storage, OrderedDict, and the function that makes a view of a storage; each has a stand-in here.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scones_ml.printable import printable
from scones_ml.restricted_pickle import load_restricted

__all__ = ["read_tensors"]

_START: Final = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e80024de9032e")  # magic number and version 1001
_MOST_TENSORS, _MOST_DIMENSIONS, _LARGEST = 10_000, 8, 2**40
_MOST_PICKLED: Final = 16_000_000  # bytes of names and shapes; a network of a thousand tensors has 200,000


def read_tensors(data: bytes) -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]:
    """Read the tensors of a state dict, by name, as read-only views of the data.

    Args:
        data: contents of a ``.pth`` file.

    Raises:
        ValueError: the data is not a state dict of float32 and int64 tensors in this format; none of its code has run.
            The message continues after the file's name.
    """
    if not data.startswith(_START):
        raise ValueError("is not a file of torch's first format")
    machine, at = _pickled(data, len(_START))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("was written on a machine of another byte order")
    tensors, at = _pickled(data, at)
    keys, at = _pickled(data, at)
    if not isinstance(tensors, dict) or len(tensors) > _MOST_TENSORS:
        raise ValueError(f"holds no state dict of at most {_MOST_TENSORS:,} tensors")
    if not isinstance(keys, list) or len(keys) > _MOST_TENSORS or not all(isinstance(key, str) for key in keys):
        raise ValueError("has no list of storages")
    wanted = {name: _checked(name, tensor) for name, tensor in tensors.items()}
    offsets = _offsets(data, at, keys, {tensor.storage.key: tensor.storage for tensor in wanted.values()})
    return {name: _view(data, tensor, offsets) for name, tensor in wanted.items()}


class _StateDict(dict[str, object]):
    """Stand-in for OrderedDict, without the attributes pickled by torch (``_metadata``)."""

    __slots__ = ()

    def __setstate__(self, state: object, /) -> None:
        """Ignore the attributes."""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[np.float32] | np.dtype[np.int64]
    elements: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Rebuild:
    """Stand-in for ``torch._utils._rebuild_tensor_v2``; its arguments are checked once the storages are read."""

    __slots__ = ()

    def __call__(
        self, storage: object, offset: object, shape: object, strides: object, *_: object
    ) -> tuple[object, ...]:
        return storage, offset, shape, strides


_TYPES: Final[Mapping[object, np.dtype[np.float32] | np.dtype[np.int64]]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
_ALLOWED: Final[Mapping[tuple[str, str], object]] = {
    ("torch", "FloatStorage"): "FloatStorage",
    ("torch", "LongStorage"): "LongStorage",
    ("collections", "OrderedDict"): _StateDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
}


def _pickled(data: bytes, start: int) -> tuple[object, int]:
    """Read the pickle at an offset; returns its end, too."""
    file = io.BytesIO(data[start : start + _MOST_PICKLED])
    try:
        for _ in pickletools.genops(file):
            pass
    except Exception as exc:  # the bytes are not trusted
        raise ValueError("is cut short or broken") from exc
    return load_restricted(file.getvalue()[: file.tell()], _ALLOWED, resolve=_storage), start + file.tell()


def _storage(pid: object) -> _Storage:
    """Storage described by a persistent id: ("storage", type, key, device, elements, None)."""
    if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise ValueError("not the id of a storage")
    _, kind, key, _, elements, _ = pid
    if not isinstance(key, str) or type(elements) is not int or elements < 0:
        raise ValueError("not the id of a storage")
    return _Storage(key, _TYPES[kind], elements)


def _checked(name: object, found: object) -> _Tensor:
    """Check the types of a tensor's parts, and that it fits its storage."""
    match found:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides)) if (
            isinstance(name, str)
            and len(shape) == len(strides) <= _MOST_DIMENSIONS
            and all(type(value) is int and 0 <= value < _LARGEST for value in (offset, *shape, *strides))
            and math.prod(shape) <= storage.elements
        ):
            return _Tensor(storage, offset, shape, strides)
    raise ValueError(f"holds {printable(str(name)[:80])!r}, which is not a tensor of a state dict")


def _offsets(data: bytes, at: int, keys: list[str], storages: Mapping[str, _Storage]) -> dict[str, int]:
    """Offset of each storage's elements; checks that every storage has the size stated by its tensors."""
    found: dict[str, int] = {}
    for key in keys:
        storage = storages.get(key)
        if storage is None or int.from_bytes(data[at : at + 8], "little") != storage.elements:
            raise ValueError("holds a storage whose size differs from its header")
        found[key] = at + 8
        at += 8 + storage.elements * storage.dtype.itemsize
    if at != len(data) or len(found) < len(storages):
        raise ValueError("is cut short or broken")
    return found


def _view(data: bytes, tensor: _Tensor, offsets: Mapping[str, int]) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    """Array over the tensor's storage; NumPy rejects strides that lead outside."""
    storage, width = tensor.storage, tensor.storage.dtype.itemsize
    strides = tuple(stride * width for stride in tensor.strides)
    try:
        whole = np.frombuffer(data, storage.dtype, storage.elements, offsets[storage.key])
        return np.ndarray(tensor.shape, storage.dtype, whole, tensor.offset * width, strides)
    except (TypeError, ValueError) as exc:
        raise ValueError("holds a tensor whose size differs from its header") from exc
