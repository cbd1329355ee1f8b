"""Safe reading of pickles: numpy arrays and plain containers only, no code."""

from __future__ import annotations

import math

import numpy as np

from scones_ml.errors import DatasetError
from scones_ml.restricted_pickle import ForbiddenPickleError, load_restricted

__all__ = ["load_arrays"]

_KINDS = "biuf"  # booleans and numbers, no objects


def load_arrays(data: bytes, name: str) -> object:
    """Read a pickle of numpy arrays, dicts, lists, tuples, text and numbers; text of Python 2 is read as bytes.

    Args:
        data: the pickle.
        name: name of the pickle for messages.

    Raises:
        DatasetError: the pickle holds anything else, or is broken; none of its code has run.
    """
    try:
        return load_restricted(data, _ALLOWED, encoding="bytes")
    except ForbiddenPickleError as exc:
        raise DatasetError(f"{name} {exc}: only numpy arrays and plain containers are read, no code was run") from exc
    except ValueError as exc:
        cause = type(exc.__cause__).__name__
        raise DatasetError(f"{name} is not a pickle of arrays ({cause}): download it again") from exc


class _Array(np.ndarray[tuple[int, ...], np.dtype[np.generic]]):
    """Array with a checked state, since numpy crashes on an invalid memory layout in a pickle."""

    __slots__ = ()

    def __setstate__(self, state: object, /) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("not the state of an array")
        _, shape, number, fortran, data = state
        if not isinstance(shape, tuple) or not isinstance(number, _Number) or not isinstance(data, bytes):
            raise ValueError("not the state of a numeric array")
        whole = all(type(side) is int and 0 <= side <= len(data) for side in shape)
        if not whole or math.prod(shape) * number.dtype.itemsize != len(data):
            raise ValueError("an array whose size differs from its bytes")
        super().__setstate__((1, shape, number.dtype, bool(fortran), data))  # type: ignore[arg-type] # not of numpy


class _EmptyArray:
    """Empty array of numpy's pickles, filled by their state; slots keep a pickle from setting attributes."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, typecode: object) -> _Array:
        if kind is not _ARRAY or shape != (0,) or typecode not in (b"b", "b"):
            raise ValueError("not a plain array")
        return np.empty(0, np.uint8).view(_Array)


class _Number:
    """Dtype with a checked byte order, since numpy's own crashes on an invalid state."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype[np.generic]) -> None:
        self.dtype = dtype

    def __setstate__(self, state: object, /) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("<", ">", "=", "|"):
            raise ValueError("not a byte order")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


class _NumberType:
    """Factory of numeric dtypes."""

    __slots__ = ()

    def __call__(self, code: object, _align: object = False, _copy: object = True) -> _Number:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        # "<f8" has three characters; longer texts describe structures and shapes.
        if not isinstance(text, str) or len(text) > 3 or np.dtype(text).kind not in _KINDS:
            raise ValueError("not a numeric type")
        return _Number(np.dtype(text))


_ARRAY = object()  # stand-in: numpy.ndarray itself could be called with a huge size
_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _NumberType(),
    ("numpy.core.multiarray", "_reconstruct"): _EmptyArray(),
    ("numpy._core.multiarray", "_reconstruct"): _EmptyArray(),
}
