"""The clock of an execution: real time, plus the seconds that an injected `sleep` skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

__all__ = [
    "Clock",
    "Waitable",
]


class Waitable(Protocol):
    """An event that can end a wait early."""

    def wait(self, seconds: float, /) -> object:
        """Wait at most so many seconds."""


class Clock:
    """The clock of one branch of an execution.

    With ``sleep=lambda seconds: None`` a Wait of an hour takes no time, yet timestamps and deadlines move by an hour.

    Args:
        sleep: waits the given seconds.
        epoch: start of the execution, in seconds since 1970.
        started: start of the execution, by `time.monotonic()`.
        ahead: seconds by which this clock is ahead of the real one.
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
        """Wait `seconds`; a real wait ends early when `cancelled` is set."""
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
        """Set the clock to that of the slowest of `branches`."""
        self._ahead = max([self._ahead, *(branch._ahead for branch in branches)])
