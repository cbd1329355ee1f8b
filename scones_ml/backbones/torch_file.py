"""Tensors from a ``.pth`` file in torch's first format (before 1.6), read without torch.

The file is five pickles (a magic number, the version, facts of the machine, the tensors' names and shapes, the keys of
the storages) and then each storage: its number of elements in eight bytes, and the elements. The pickles may name four
things: two types of storage, OrderedDict, and the function that makes a view of a storage. Each has a stand-in here.
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
    """The tensors of a state dict, by name; the arrays are read-only views of the data.

    Args:
        data: the contents of a ``.pth`` file.

    Raises:
        ValueError: it is no state dict of float32 and int64 tensors in this format; nothing of it has run. The message
            goes on after the file's name.
    """
    if not data.startswith(_START):
        raise ValueError("is no file of torch's first format")
    machine, at = _pickled(data, len(_START))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("was written by a machine of another byte order")
    tensors, at = _pickled(data, at)
    keys, at = _pickled(data, at)
    if not isinstance(tensors, dict) or len(tensors) > _MOST_TENSORS:
        raise ValueError(f"holds no state dict of at most {_MOST_TENSORS:,} tensors")
    if not isinstance(keys, list) or len(keys) > _MOST_TENSORS or not all(isinstance(key, str) for key in keys):
        raise ValueError("holds no list of storages")
    wanted = {name: _checked(name, tensor) for name, tensor in tensors.items()}
    offsets = _offsets(data, at, keys, {tensor.storage.key: tensor.storage for tensor in wanted.values()})
    return {name: _view(data, tensor, offsets) for name, tensor in wanted.items()}


class _StateDict(dict[str, object]):
    """Stands in for OrderedDict; what torch pickles as its attributes (``_metadata``) is left out."""

    __slots__ = ()

    def __setstate__(self, state: object, /) -> None:
        """Leave the attributes out."""


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
    """Stands in for ``torch._utils._rebuild_tensor_v2``; the arguments are checked when the storages are known."""

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
    """The pickle that begins there, and where it ends."""
    file = io.BytesIO(data[start : start + _MOST_PICKLED])
    try:
        for _ in pickletools.genops(file):
            pass
    except Exception as exc:  # the bytes may be anything
        raise ValueError("is cut off or broken") from exc
    return load_restricted(file.getvalue()[: file.tell()], _ALLOWED, resolve=_storage), start + file.tell()


def _storage(pid: object) -> _Storage:
    """The storage that a persistent id describes: ("storage", type, key, device, elements, None)."""
    if not isinstance(pid, tuple) or len(pid) != 6 or pid[0] != "storage" or pid[5] is not None:
        raise ValueError("no id of a storage")
    _, kind, key, _, elements, _ = pid
    if not isinstance(key, str) or type(elements) is not int or elements < 0:
        raise ValueError("no id of a storage")
    return _Storage(key, _TYPES[kind], elements)


def _checked(name: object, found: object) -> _Tensor:
    """A tensor whose parts have the right types, and that is no larger than its storage."""
    match found:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides)) if (
            isinstance(name, str)
            and len(shape) == len(strides) <= _MOST_DIMENSIONS
            and all(type(value) is int and 0 <= value < _LARGEST for value in (offset, *shape, *strides))
            and math.prod(shape) <= storage.elements
        ):
            return _Tensor(storage, offset, shape, strides)
    raise ValueError(f"holds {printable(str(name)[:80])!r}, which is no tensor of a state dict")


def _offsets(data: bytes, at: int, keys: list[str], storages: Mapping[str, _Storage]) -> dict[str, int]:
    """Where the elements of each storage begin; every storage must be there as large as the tensors say."""
    found: dict[str, int] = {}
    for key in keys:
        storage = storages.get(key)
        if storage is None or int.from_bytes(data[at : at + 8], "little") != storage.elements:
            raise ValueError("holds a storage that is not as large as it says")
        found[key] = at + 8
        at += 8 + storage.elements * storage.dtype.itemsize
    if at != len(data) or len(found) < len(storages):
        raise ValueError("is cut off or broken")
    return found


def _view(data: bytes, tensor: _Tensor, offsets: Mapping[str, int]) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    """An array over the tensor's own storage; NumPy refuses strides that lead out of it."""
    storage, width = tensor.storage, tensor.storage.dtype.itemsize
    strides = tuple(stride * width for stride in tensor.strides)
    try:
        whole = np.frombuffer(data, storage.dtype, storage.elements, offsets[storage.key])
        return np.ndarray(tensor.shape, storage.dtype, whole, tensor.offset * width, strides)
    except (TypeError, ValueError) as exc:
        raise ValueError("holds a tensor that is not as large as it says") from exc
