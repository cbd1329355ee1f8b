"""Retry and Catch: the rule that matches an error, and the wait before the next attempt."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scones_ml.asl.failures import matches
from scones_ml.asl.parts import Catcher, Retrier

if TYPE_CHECKING:
    import random

__all__ = ["Retries", "catcher_for"]


class Retries:
    """The Retry rules of one visit to a state, each with its own count of attempts.

    Args:
        retriers: in order; the first one that matches an error is used.
        seed: seed of the jitter.
    """

    def __init__(self, retriers: Sequence[Retrier], seed: int | None) -> None:
        self._retriers, self._seed = retriers, seed
        self._attempts = [0] * len(retriers)

    def pause(self, error: str | None) -> float | None:
        """Seconds to wait before the next attempt; None if no rule matches `error` or its attempts are used up."""
        for index, retrier in enumerate(self._retriers):
            if matches(error, retrier.error_equals):
                used = self._attempts[index]
                if used >= (3 if retrier.max_attempts is None else retrier.max_attempts):
                    return None
                self._attempts[index] += 1
                return self._wait(retrier, used)
        return None

    def _wait(self, retrier: Retrier, used: int) -> float:
        interval = 1 if retrier.interval_seconds is None else retrier.interval_seconds
        rate = 2.0 if retrier.backoff_rate is None else retrier.backoff_rate
        longest = float("inf") if retrier.max_delay_seconds is None else retrier.max_delay_seconds
        seconds = min(interval * rate**used, longest)
        return self._random.uniform(0, seconds) if retrier.jitter_strategy == "FULL" else seconds

    @functools.cached_property
    def _random(self) -> random.Random:
        import random

        return random.Random(self._seed)  # noqa: S311


def catcher_for(catchers: Sequence[Catcher], error: str | None) -> Catcher | None:
    """The first Catch rule that matches `error`."""
    return next((catcher for catcher in catchers if matches(error, catcher.error_equals)), None)
