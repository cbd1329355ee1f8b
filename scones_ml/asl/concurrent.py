"""Concurrent branches, as Parallel and Map states run them.

Branches that call tasks or wait run on at most `max_workers` threads; branches that only transform data run one after
the other, which is faster. The first failure cancels the other branches: a cancelled branch records no more events and
ends at its next state; the result of a task function that is still running is discarded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from scones_ml.asl.caller import Caller
from scones_ml.asl.execution import Cancellation, Frame
from scones_ml.asl.interpreter import run_branch
from scones_ml.asl.step import BranchCancelled, Step
from scones_ml.asl.values import Json

__all__ = ["Branch", "run_branches", "run_parallel"]

Branch: TypeAlias = Callable[[int, Frame], Json]
"""Run the branch with this number in the given frame, and return its output."""

_NONE: Final[Mapping[int, Json]] = {}


def run_parallel(step: Step) -> Json:
    """The outputs of a Parallel state's branches, in their order.

    Raises:
        StateFailed: a branch failed; the others are cancelled.
    """
    programs, arguments, done = step.node.branches, step.arguments, step.done
    step.record("ParallelStateStarted", {})
    results = run_branches(
        step.frame,
        len(programs),
        lambda number, frame: run_branch(frame, programs[number], arguments, done.unfinished.get(number)),
        workers=len(programs) if any(program.waits for program in programs) else 1,
        finished=done.finished,
    )
    step.record("ParallelStateSucceeded", {})
    return results


def run_branches(
    parent: Frame, count: int, branch: Branch, *, workers: int, finished: Mapping[int, Json] = _NONE
) -> list[Json]:
    """Run `count` branches, at most `workers` at a time, and return their outputs in order.

    Branches in `finished` had ended before a redrive and are not run again: their outputs are taken from there.

    Raises:
        Exception: what the first branch to fail raised; the others are cancelled.
    """
    numbers = [number for number in range(count) if number not in finished]
    workers = min(workers, len(numbers), parent.shared.max_workers)
    group = parent.cancelled.child()
    results: list[Json] = [finished.get(number) for number in range(count)]
    try:
        if workers <= 1:
            _in_turn(parent, group, numbers, branch, results)
        else:
            _Pool(parent, group, iter(numbers), branch, results).run(workers)
    except BaseException:
        group.set()
        raise
    finally:
        parent.cancelled.forget(group)
    return results


def _in_turn(parent: Frame, group: Cancellation, numbers: Sequence[int], branch: Branch, results: list[Json]) -> None:
    for number in numbers:
        frame = parent.fork(group, parent.caller)
        results[number] = branch(number, frame)
        parent.previous = frame.previous
        parent.clock.join([frame.clock])


class _Pool:
    """Threads that run branches, one after the other each."""

    def __init__(
        self, parent: Frame, group: Cancellation, numbers: Iterator[int], branch: Branch, results: list[Json]
    ) -> None:
        self._parent, self._group, self._numbers = parent, group, numbers
        self._branch, self._results = branch, results
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._busy = 0

    def run(self, workers: int) -> None:
        """Start the threads and wait until all branches have ended or one has failed."""
        ended = threading.Event()
        self._group.on_set(ended)
        self._busy = workers
        for _ in range(workers):
            threading.Thread(target=self._work, args=(ended,), name="asl-branch", daemon=True).start()
        ended.wait()
        if self._failure is not None:
            raise self._failure
        if self._group.is_set():
            raise BranchCancelled

    def _work(self, ended: threading.Event) -> None:
        caller = Caller()
        try:
            while not self._group.is_set():
                with self._lock:
                    number = next(self._numbers, None)
                if number is None:
                    break
                frame = self._parent.fork(self._group, caller)
                self._results[number] = self._branch(number, frame)
                with self._lock:
                    self._parent.clock.join([frame.clock])
        except BranchCancelled:
            pass
        except BaseException as failure:  # raised again in the waiting thread
            self._failure = self._failure or failure
            ended.set()
        finally:
            caller.close()
            with self._lock:
                self._busy -= 1
                if self._busy == 0:
                    ended.set()
