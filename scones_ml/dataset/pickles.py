"""Pickles from elsewhere: numpy arrays and plain containers, and nothing that could run."""

from __future__ import annotations

import io
import pickle
import pickletools

import numpy as np

from scones_ml.errors import DatasetError

__all__ = ["load_arrays"]

_NUMBERED = ("BINPUT", "LONG_BINPUT", "PUT")
_KINDS = "biuf"  # truth values and numbers: an array of objects could hold anything


def load_arrays(data: bytes, name: str) -> object:
    """Read a pickle of numpy arrays in dicts, lists, tuples, text and numbers; text of Python 2 comes as bytes.

    Args:
        data: the pickle.
        name: what to call it in messages.

    Raises:
        DatasetError: it asks for anything else, or is broken; nothing of it has run.
    """
    try:
        _check_sizes(data)
        return _ArrayUnpickler(io.BytesIO(data), name).load()
    except DatasetError:
        raise
    # A pickle is a program: a broken one can fail in any way that its opcodes can.
    except Exception as exc:
        raise DatasetError(f"{name} is no pickle of arrays ({type(exc).__name__}): download it again") from exc


def _check_sizes(data: bytes) -> None:
    """Refuse what announces more than there is: pickle would make room for it first, and fill the memory."""
    for opcode, argument, _ in pickletools.genops(data):  # which checks the length of every text and byte string
        if opcode.name in _NUMBERED and isinstance(argument, int) and argument > len(data):
            raise ValueError(f"{opcode.name} {argument} in {len(data)} bytes")


class _ArrayUnpickler(pickle.Unpickler):
    """Gives out stand-ins for the three names that an array's pickle needs, and refuses every other name."""

    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="bytes")
        self._name = name

    def find_class(self, module: str, name: str, /) -> object:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise DatasetError(
                f"{self._name} asks for {module}.{name}: only numpy arrays and plain containers are read, "
                "nothing of it was run"
            )
        return found

    def persistent_load(self, pid: object, /) -> object:
        raise DatasetError(f"{self._name} refers to something outside of it ({pid!r}): nothing of it was run")


class _EmptyArray:
    """What numpy's own pickles begin with; their state then fills it. Slots: a pickle may set no attribute on it."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, typecode: object) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        if kind is not _ARRAY or shape != (0,) or typecode not in (b"b", "b"):
            raise ValueError("no plain array")
        return np.empty(0, np.uint8)


class _NumberType:
    """A dtype of numbers."""

    __slots__ = ()

    def __call__(self, code: object, _align: object = False, _copy: object = True) -> np.dtype[np.generic]:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        # "<f8" has three characters; longer texts describe structures and shapes.
        if not isinstance(text, str) or len(text) > 3 or np.dtype(text).kind not in _KINDS:
            raise ValueError("no type of numbers")
        return np.dtype(text, False, True)  # a copy, since state may be set on it


_ARRAY = object()  # numpy.ndarray itself could be called with a size that fills the memory
_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _NumberType(),
    ("numpy.core.multiarray", "_reconstruct"): _EmptyArray(),
    ("numpy._core.multiarray", "_reconstruct"): _EmptyArray(),
}
