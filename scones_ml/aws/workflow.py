"""WorkflowRunner on Step Functions: executions side by side, followed at a bounded rate of calls."""

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
"""No more than what every region grants for DescribeExecution: 250 at once, 10 a second."""
_FIRST_POLL_SECONDS = 0.5  # half of what an execution takes when its functions are warm
_PATIENCE = 1.5
"""How much longer each wait is than the one before; an execution takes a second when its functions are warm."""
_MOST_RUNNING = 1_000
"""Executions at a time: Lambda runs as many functions in an account at first, and more would only wait there."""
_SLOWEST_POLL_SECONDS = 10.0  # no result is seen later than this; slow executions leave the calls to others


def refuse_model(model: WorkflowModel | None) -> None:
    """Refuse a model where the state machine was deployed with one.

    Raises:
        ConfigurationError: there is a model.
    """
    if model is not None:
        raise ConfigurationError(
            "on AWS the stack's functions hold model and threshold: give none, or deploy others (docs/deploy.md)"
        )


class StepFunctionsRunner:
    """Starts one execution for each image and follows them all.

    Args:
        executions: of the state machine, which was deployed with model and threshold.
        pause: waits so many seconds.
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
        """See :meth:`scones_ml.ports.WorkflowRunner.run`; Ctrl-C lets go of what runs, which goes on."""
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
                while running and running[0].due <= self._clock() and pace.allows():  # arrivals are not held up
                    yield from self._poll(running, pace)
                while len(running) >= _MOST_RUNNING:
                    yield from self._next(running, pace)
            while running:
                yield from self._next(running, pace)
        except KeyboardInterrupt:
            raise WorkflowError(
                f"{len(running)} executions go on without us: "
                f"their outcomes will be under s3://{request.output_bucket}/outcomes/"
            ) from None

    def _next(self, running: list[_Running], pace: _Pace) -> Iterator[ImageResult]:
        """Wait for the execution that is due next, and poll it."""
        if (wait := running[0].due - self._clock()) > 0:
            self._pause(wait)
        yield from self._poll(running, pace)

    def _poll(self, running: list[_Running], pace: _Pace) -> Iterator[ImageResult]:
        """Poll the execution that is due; one that still runs is polled again later, at growing intervals."""
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
    """An execution that has not ended; ordered by when to poll it."""

    due: float
    arn: str
    image: ImageRef = field(compare=False)
    started: float = field(compare=False)
    interval: float = field(default=_FIRST_POLL_SECONDS, compare=False)


class _Pace:
    """Lets a number of calls through at once, and then so many a second."""

    def __init__(self, pause: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._pause, self._clock = pause, clock
        self._allowed, self._at = float(_CALLS_AT_ONCE), clock()

    def allows(self) -> bool:
        """Whether one more call is allowed by now."""
        self._gain()
        return self._allowed >= 1

    def wait(self) -> None:
        """Wait until one more call is allowed, and count it."""
        if not self.allows():
            self._pause((1 - self._allowed) / _CALLS_A_SECOND)
            self._gain()
        self._allowed -= 1

    def _gain(self) -> None:
        now = self._clock()
        self._allowed = min(float(_CALLS_AT_ONCE), self._allowed + (now - self._at) * _CALLS_A_SECOND)
        self._at = now
