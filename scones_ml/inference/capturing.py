"""Data capture of the endpoint's requests.

As in SageMaker, a response does not depend on its capture. Records that could not be written (disk full, read-only
folder) are counted; the count is written to the capture file, shown by ``scones monitor``, and to the log when there is
space.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from scones_ml.captures import Capture, CaptureWriter, NotCaptured, Payload
from scones_ml.inference.error_log import ErrorLog

__all__ = ["CaptureOptions", "Capturing"]


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """Options of data capture.

    Attributes:
        writer: writer of the capture files.
        percentage: percentage of requests captured, 0..100.
    """

    writer: CaptureWriter
    percentage: int = 100


class Capturing:
    """Thread-safe data capture.

    Args:
        options: capture options.
        log: log for failed writes.
        now: clock, UTC.
    """

    def __init__(
        self, options: CaptureOptions, log: ErrorLog, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._options = options
        self._log = log
        self._now = now
        self._random = random.Random(0)  # noqa: S311 - draws which requests are captured
        self._lock = threading.Lock()
        self._lost: NotCaptured | None = None

    def keep(
        self, sent: Payload, answered: Payload, inference_id: str | None, custom_attributes: tuple[str, ...]
    ) -> None:
        """Capture a request, if it is sampled."""
        with self._lock:
            if self._random.random() * 100 >= self._options.percentage:
                return
            now = self._now()
            capture = Capture(str(uuid.uuid4()), now, sent, answered, inference_id, custom_attributes)
            try:
                self._tell(now)
                self._options.writer.write(capture, now)
            except OSError as exc:
                self._lose(now, exc.strerror or type(exc).__name__)

    def close(self) -> None:
        """Write pending counts."""
        with self._lock:
            try:
                self._tell(self._now())
            except OSError as exc:
                self._log.say("lost at the end", f"{self._lost}: {exc.strerror}")

    def _lose(self, now: datetime, reason: str) -> None:
        self._log.say("capture", f"the request was not captured: {reason}")
        lost = self._lost
        self._lost = NotCaptured(lost.requests + 1 if lost else 1, lost.since if lost else now, now, reason)

    def _tell(self, now: datetime) -> None:
        """Write the count of lost records; raises OSError if there is still no space."""
        if self._lost is None:
            return
        self._options.writer.write_not_captured(self._lost, now)
        lost, self._lost = self._lost, None
        self._log.say("captures again", f"{lost}; requests are captured again")
