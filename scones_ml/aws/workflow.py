"""WorkflowRunner on Step Functions: concurrent executions, polled at a bounded rate."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scones_ml.errors import ConfigurationError, WorkflowError
from scones_ml.ports import ImageResult

if TYPE_CHECKING:
    from scones_ml.aws.executions import StateMachineExecutions
    from scones_ml.events import ImageRef
    from scones_ml.ports import WorkflowModel, WorkflowRequest

__all__ = ["StepFunctionsRunner", "refuse_model"]

_CALLS_AT_ONCE = 100
_CALLS_A_SECOND = 10.0
"""DescribeExecution's quota in every region: a burst of 250, 10 a second."""
_FIRST_POLL_SECONDS = 0.5  # half the duration of an execution with warm functions
_PATIENCE = 1.5
"""Growth factor of the waits; an execution with warm functions takes a second."""
_MOST_RUNNING = 1_000
"""Concurrent executions: a new account's Lambda concurrency, beyond which executions would only wait."""
_SLOWEST_POLL_SECONDS = 10.0  # maximum delay of a result; slow executions leave calls to others


def refuse_model(model: WorkflowModel | None) -> None:
    """Refuse a model, since the state machine was deployed with one.

    Raises:
        ConfigurationError: a model was given.
    """
    if model is not None:
        raise ConfigurationError(
            "on AWS the stack sets model and threshold: leave them out, or deploy others (docs/deploy.md)"
        )


class StepFunctionsRunner:
    """Starts one execution for each image and polls them all.

    Args:
        executions: executions of the state machine, which was deployed with model and threshold.
        pause: sleeps for so many seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        executions: StateMachineExecutions,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executions = executions
        self._pause, self._clock = pause, clock

    def run(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        """See :meth:`scones_ml.ports.WorkflowRunner.run`; after Ctrl-C running executions continue."""
        refuse_model(request.model)
        self._executions.check()
        return self._results(request)

    def _results(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        pace = _Pace(self._pause, self._clock)
        running: list[_Running] = []
        sent: Counter[str] = Counter()
        begin = self._clock()
        try:
            for image in request.images:
                sent[image.image_id] += 1
                copy = sent[image.image_id]
                name = image.image_id if copy == 1 else f"{image.image_id}-{copy}"
                started = self._clock()
                arn = self._executions.start(image, name)
                one = _Running(self._clock() + _FIRST_POLL_SECONDS, arn, image, started - begin)
                heapq.heappush(running, one)
                while running and running[0].due <= self._clock() and pace.allows():  # new images are not held up
                    yield from self._poll(running, pace)
                while len(running) >= _MOST_RUNNING:
                    yield from self._next(running, pace)
            while running:
                yield from self._next(running, pace)
        except KeyboardInterrupt:
            raise WorkflowError(
                f"{len(running)} executions continue: "
                f"their outcomes will be under s3://{request.output_bucket}/outcomes/"
            ) from None

    def _next(self, running: list[_Running], pace: _Pace) -> Iterator[ImageResult]:
        """Wait for the next execution to poll, and poll it."""
        if (wait := running[0].due - self._clock()) > 0:
            self._pause(wait)
        yield from self._poll(running, pace)

    def _poll(self, running: list[_Running], pace: _Pace) -> Iterator[ImageResult]:
        """Poll the next execution; one that still runs is polled again, at growing intervals."""
        pace.wait()
        one = running[0]
        ended = self._executions.ended(one.arn)
        heapq.heappop(running)  # only after the call: Ctrl-C during it must still count this execution
        if ended is None:
            later = min(_PATIENCE * one.interval, _SLOWEST_POLL_SECONDS)
            heapq.heappush(running, replace(one, due=self._clock() + later, interval=later))
            return
        yield ImageResult.of_execution(
            one.image, ended.output, ended.error, ended.cause, one.started, ended.seconds, one.arn
        )


@dataclass(frozen=True, order=True)
class _Running:
    """A running execution, ordered by its next poll."""

    due: float
    arn: str
    image: ImageRef = field(compare=False)
    started: float = field(compare=False)
    interval: float = field(default=_FIRST_POLL_SECONDS, compare=False)


class _Pace:
    """Rate limit: a burst of calls, then a number of calls a second."""

    def __init__(self, pause: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._pause, self._clock = pause, clock
        self._allowed, self._at = float(_CALLS_AT_ONCE), clock()

    def allows(self) -> bool:
        """Whether another call is allowed now."""
        self._gain()
        return self._allowed >= 1

    def wait(self) -> None:
        """Wait until another call is allowed, and count it."""
        if not self.allows():
            self._pause((1 - self._allowed) / _CALLS_A_SECOND)
            self._gain()
        self._allowed -= 1

    def _gain(self) -> None:
        now = self._clock()
        self._allowed = min(float(_CALLS_AT_ONCE), self._allowed + (now - self._at) * _CALLS_A_SECOND)
        self._at = now
