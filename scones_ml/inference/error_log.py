"""The endpoint's log: lines on standard error that cannot fail, and that cannot fill a disk."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from scones_ml.printable import printable

__all__ = ["ErrorLog"]

_PAUSE: Final = 60.0  # seconds between two lines of one kind
_STANDARD_ERROR: Final = 2


class ErrorLog:
    """Writes one line of each kind a minute at most, with the number of those that it left out.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}

    def say(self, kind: str, line: str) -> None:
        """Write a line, unless one of its kind has just been written.

        Args:
            kind: of a fixed set.
            line: without its end.
        """
        now = self._clock()
        written, left_out = self._kinds.get(kind, (now - _PAUSE, 0))
        if now - written < _PAUSE:
            self._kinds[kind] = written, left_out + 1
            return
        more = f" ({left_out:,} more since the last such line)" if left_out else ""
        self._kinds[kind] = now, 0
        # Past sys.stderr: what its buffer cannot write on a full disk would fail again at each later line.
        with contextlib.suppress(OSError):
            os.write(_STANDARD_ERROR, f"scones: {printable(line)}{more}\n".encode(errors="replace"))
