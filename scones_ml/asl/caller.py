"""Calls with a deadline: the function runs on a thread that is left behind when its time is over."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

__all__ = ["Caller", "DeadlineExceeded"]

A = TypeVar("A")
R = TypeVar("R")


class DeadlineExceeded(Exception):  # noqa: N818
    """The function has not answered in time; its answer, when it comes, is discarded."""


class Caller:
    """Runs functions one after the other on one thread, so that the caller can stop waiting.

    The thread is started by the first call and ends with `close`, or once the function that overran has returned.
    """

    def __init__(self) -> None:
        self._worker: _Worker | None = None

    def call(self, function: Callable[[A], R], argument: A, seconds: float) -> R:
        """The function's answer.

        Raises:
            DeadlineExceeded: none came within `seconds`.
            BaseException: whatever the function raised.
        """
        if self._worker is None:
            self._worker = _Worker()
        worker = self._worker
        context = contextvars.copy_context()
        worker.jobs.put(lambda: context.run(function, argument))
        try:
            value, error = worker.outcomes.get(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))
        except queue.Empty:
            self.close()
            raise DeadlineExceeded from None
        except BaseException:  # Ctrl-C: the answer belongs to nobody any more
            self.close()
            raise
        if error is not None:
            raise error
        return cast("R", value)

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        if self._worker is not None:
            self._worker.jobs.put(None)
            self._worker = None


class _Worker:
    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="asl-task", daemon=True).start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                self.outcomes.put((job(), None))
            except BaseException as error:  # handed to the caller
                self.outcomes.put((None, error))
