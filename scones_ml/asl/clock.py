"""Time as an execution sees it: the real clock, plus whatever an injected `sleep` did not really wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

__all__ = [
    "Clock",
    "Waitable",
]


class Waitable(Protocol):
    """What can end a wait early."""

    def wait(self, seconds: float, /) -> object:
        """Wait so many seconds, or less."""


class Clock:
    """The clock of one branch of an execution.

    With ``sleep=lambda seconds: None`` a Wait of an hour takes no time, yet timestamps and deadlines move by an hour.

    Args:
        sleep: waits the seconds that it is given.
        epoch: seconds since 1970 when the execution started.
        started: `time.monotonic()` then.
        ahead: seconds by which sleeping has run ahead of the real clock.
    """

    def __init__(self, sleep: Callable[[float], None], epoch: float, started: float, ahead: float = 0.0) -> None:
        self._sleep, self._epoch, self._started, self._ahead = sleep, epoch, started, ahead

    def now(self) -> float:
        """Seconds since the execution started."""
        return time.monotonic() - self._started + self._ahead

    def timestamp(self) -> float:
        """Seconds since 1970."""
        return self._epoch + self.now()

    def since(self, timestamp: float) -> float:
        """Seconds from now until `timestamp`, negative when it has passed."""
        return timestamp - self.timestamp()

    def sleep(self, seconds: float, cancelled: Waitable) -> None:
        """Wait; a real wait ends early once `cancelled` is set."""
        if seconds <= 0:
            return
        begun = time.monotonic()
        if self._sleep is time.sleep:
            cancelled.wait(seconds)
            return
        self._sleep(seconds)
        self._ahead += max(0.0, seconds - (time.monotonic() - begun))

    def fork(self) -> Clock:
        """A clock for a branch that starts now."""
        return Clock(self._sleep, self._epoch, self._started, self._ahead)

    def join(self, branches: Iterable[Clock]) -> None:
        """Go on when the slowest of `branches` has ended."""
        self._ahead = max([self._ahead, *(branch._ahead for branch in branches)])
