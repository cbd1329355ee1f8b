"""Safe reading of untrusted pickles: only allowed names are resolved, and no other code can run.

Internal: may change without notice.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Final

from scones_ml.printable import printable

__all__ = ["ForbiddenPickleError", "load_restricted"]

_NUMBERED: Final = ("BINPUT", "LONG_BINPUT", "PUT")
_LONGEST: Final = 300  # maximum characters of a message


class ForbiddenPickleError(ValueError):
    """A pickle refers to a forbidden name; none of its code has run. The message continues after its name."""


def load_restricted(
    data: bytes,
    allowed: Mapping[tuple[str, str], object],
    *,
    encoding: str = "ASCII",
    resolve: Callable[[object], object] | None = None,
) -> object:
    """Read a pickle that refers to allowed names only.

    Args:
        data: the pickle.
        allowed: stand-ins by module and name; each must be safe for any arguments.
        encoding: encoding of Python 2's text; ``"bytes"`` for no decoding.
        resolve: function from a persistent id to an object; None forbids such ids.

    Raises:
        ForbiddenPickleError: the pickle refers to any other name.
        ValueError: the pickle is broken.
    """
    try:
        _check_sizes(data)
        return _Unpickler(io.BytesIO(data), allowed, encoding, resolve).load()
    except ForbiddenPickleError:
        raise
    # A pickle is a program: a broken one can raise anything.
    except Exception as exc:
        raise ValueError(f"is a broken pickle ({type(exc).__name__})") from exc


def _check_sizes(data: bytes) -> None:
    """Reject sizes larger than the data, which pickle would allocate."""
    for opcode, argument, _ in pickletools.genops(data):  # also checks the length of every string
        if opcode.name in _NUMBERED and isinstance(argument, int) and argument > len(data):
            raise ValueError(f"{opcode.name} {argument} in {len(data)} bytes")


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        file: io.BytesIO,
        allowed: Mapping[tuple[str, str], object],
        encoding: str,
        resolve: Callable[[object], object] | None,
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allowed, self._resolve = allowed, resolve

    def find_class(self, module: str, name: str, /) -> object:
        found = self._allowed.get((module, name))
        if found is None:
            raise ForbiddenPickleError(printable(f"asks for {module}.{name}"[:_LONGEST]))
        return found

    def persistent_load(self, pid: object, /) -> object:
        if self._resolve is None:
            raise ForbiddenPickleError(printable(f"refers to something outside of it ({pid!r})"[:_LONGEST]))
        return self._resolve(pid)
