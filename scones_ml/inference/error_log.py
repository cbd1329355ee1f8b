"""Error log of the endpoint on standard error, fail-safe and rate-limited."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final

from scones_ml.printable import printable

__all__ = ["ErrorLog"]

_PAUSE: Final = 60.0  # minimum seconds between lines of one kind
_STANDARD_ERROR: Final = 2


class ErrorLog:
    """Log with at most one line of each kind a minute, and counts of omitted lines.

    Args:
        clock: clock in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}

    def say(self, kind: str, line: str) -> None:
        """Write a line, unless one of its kind was written within the last minute.

        Args:
            kind: kind of the line, from a fixed set.
            line: text without a newline.
        """
        now = self._clock()
        written, left_out = self._kinds.get(kind, (now - _PAUSE, 0))
        if now - written < _PAUSE:
            self._kinds[kind] = written, left_out + 1
            return
        more = f" ({left_out:,} more since the last such line)" if left_out else ""
        self._kinds[kind] = now, 0
        # Bypasses sys.stderr, whose buffer would fail again at each later line after a full disk.
        with contextlib.suppress(OSError):
            os.write(_STANDARD_ERROR, f"scones: {printable(line)}{more}\n".encode(errors="replace"))
