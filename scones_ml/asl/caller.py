"""Calls with a deadline: the function runs on a thread that is abandoned when the deadline passes."""

from __future__ import annotations

import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar, cast

__all__ = ["Caller", "DeadlineExceeded"]

A = TypeVar("A")
R = TypeVar("R")

_LINGER_SECONDS: Final = 0.05
"""How long an idle thread waits for the next execution; starting a thread takes five times as long as a call."""


class DeadlineExceeded(Exception):  # noqa: N818
    """The function has not returned in time; its result is discarded."""


class Caller:
    """A thread that runs functions one at a time, so that the caller can stop waiting.

    The thread starts with the first call and is released by `close`; after a missed deadline it ends with its function.
    """

    def __init__(self) -> None:
        self._worker: _Worker | None = None

    def call(self, function: Callable[[A], R], argument: A, seconds: float) -> R:
        """Call `function` and return its result.

        Raises:
            DeadlineExceeded: it did not return within `seconds`.
            BaseException: what the function raised.
        """
        worker = self._worker = self._worker or _Worker.idle()
        context = contextvars.copy_context()
        worker.jobs.put(lambda: context.run(function, argument))
        try:
            value, error = worker.outcomes.get(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))
        except queue.Empty:
            self._abandon(worker)
            raise DeadlineExceeded from None
        except BaseException:  # Ctrl-C: the result is no longer needed
            self._abandon(worker)
            raise
        if error is not None:
            raise error
        return cast("R", value)

    def _abandon(self, worker: _Worker) -> None:
        self._worker = None
        worker.jobs.put(None)

    def close(self) -> None:
        """Release the thread for the next execution."""
        if self._worker is not None:
            self._worker.rest()
            self._worker = None


class _Worker:
    """A thread that runs jobs until it gets None, or has been idle for `_LINGER_SECONDS`."""

    _lock: Final = threading.Lock()
    _resting: Final[list[_Worker]] = []

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="asl-task", daemon=True).start()

    @classmethod
    def idle(cls) -> _Worker:
        """An idle worker, or a new one."""
        with cls._lock:
            if cls._resting:
                return cls._resting.pop()
        return cls()

    def rest(self) -> None:
        """Make this worker available again."""
        with self._lock:
            self._resting.append(self)

    def _work(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=_LINGER_SECONDS)
            except queue.Empty:
                if self._retired():
                    return
                continue
            if job is None:
                return
            try:
                self.outcomes.put((job(), None))
            except BaseException as error:  # raised again in `call`
                self.outcomes.put((None, error))
            del job

    def _retired(self) -> bool:
        with self._lock:
            if self in self._resting:
                self._resting.remove(self)
                return True
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Worker._resting.clear)  # threads do not survive a fork
