"""Pickles from outside: only the names that a reader allows are looked up, and nothing else could run.

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
_LONGEST: Final = 300  # characters of a message


class ForbiddenPickleError(ValueError):
    """A pickle asks for something that is not allowed; nothing of it has run. The message goes on after its name."""


def load_restricted(
    data: bytes,
    allowed: Mapping[tuple[str, str], object],
    *,
    encoding: str = "ASCII",
    resolve: Callable[[object], object] | None = None,
) -> object:
    """Read a pickle that may name only what is allowed.

    Args:
        data: the pickle.
        allowed: stand-ins by module and name; each must bear any argument that a pickle can give it.
        encoding: of Python 2's texts, ``"bytes"`` to leave them as they are.
        resolve: returns what a persistent id stands for; None allows no such ids.

    Raises:
        ForbiddenPickleError: it asks for anything else.
        ValueError: it is broken.
    """
    try:
        _check_sizes(data)
        return _Unpickler(io.BytesIO(data), allowed, encoding, resolve).load()
    except ForbiddenPickleError:
        raise
    # A pickle is a program: a broken one can fail in any way that its opcodes can.
    except Exception as exc:
        raise ValueError(f"is a broken pickle ({type(exc).__name__})") from exc


def _check_sizes(data: bytes) -> None:
    """Refuse what announces more than there is: pickle would make room for it first, and fill the memory."""
    for opcode, argument, _ in pickletools.genops(data):  # which checks the length of every text and byte string
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
