"""A steady stream of images through the per-image workflow: throughput, latency, outcomes.

Images arrive by the clock whether or not the one before is done, and latency counts from the arrival: waiting in the
queue of a system that is too slow is part of it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scones_ml import lifecycle
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.ports import Backend, Endpoint, ImageResult, Progress, no_progress

__all__ = ["LoadReport", "LoadRequest", "run_load"]

_QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}  # max shows what p99 leaves out: the one that hung


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A load.

    Attributes:
        images: what is drawn from, at random and with repetition.
        classifier: an endpoint, or a model's folder; None for what the workflow was deployed with.
        rate: images a second, above 0.
        duration: seconds, above 0.
        threshold: least confidence that is accepted; None takes the model's own.
        seed: of the draw.
    """

    images: Sequence[ImageRef]
    classifier: Endpoint | Path | None
    rate: float
    duration: float
    threshold: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came of a load.

    Attributes:
        images: how many were sent.
        seconds: from the first arrival to the last result.
        per_second: images finished a second; below the rate asked for when the system is too slow.
        latency_ms: milliseconds from arrival to result: ``p50``, ``p90``, ``p99``, ``max``.
        outcomes: how many images went where; ``failed`` for executions without an outcome.
    """

    images: int
    seconds: float
    per_second: float
    latency_ms: Mapping[str, float]
    outcomes: Mapping[str, int]


def run_load(
    backend: Backend,
    request: LoadRequest,
    progress: Progress = no_progress,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadReport:
    """Send images at a steady rate and measure.

    Args:
        backend: where they run.
        request: which images, how many a second, for how long.
        progress: counts images.
        clock: seconds, monotonic.
        sleep: waits for the next arrival.

    Raises:
        ConfigurationError: a rate or a duration that is not above 0, or no images to draw from.
    """
    # 1e-9: a product that rounding left a hair below a whole number counts as that number.
    count = int(request.rate * request.duration + 1e-9) if min(request.rate, request.duration) > 0 else 0
    if count < 1 or not request.images:
        raise ConfigurationError("a load needs images, a rate and a duration above 0, and room for one image at least")
    due = [number / request.rate for number in range(count)]
    stream = _arrivals(request, due, clock, sleep)
    results: list[ImageResult] = []
    for result in lifecycle.run(backend, stream, request.classifier, request.threshold):
        results.append(result)
        progress(len(results), count)
    # Executions tell how long they took, whenever they are looked at; they started in the order of their arrival.
    results.sort(key=lambda result: result.started)
    latencies = [
        (result.started + result.seconds - arrival) * 1000 for arrival, result in zip(due, results, strict=True)
    ]
    seconds = max(result.started + result.seconds for result in results)
    outcomes = Counter[str](result.outcome or "failed" for result in results)
    return LoadReport(count, seconds, count / seconds, _quantiles(latencies), dict(outcomes))


def _arrivals(
    request: LoadRequest, due: Sequence[float], clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[ImageRef]:
    draw = random.Random(request.seed)  # noqa: S311 - to be repeated, not to be secret
    begin = clock()  # when the first image is asked for, as results count from there
    for arrival in due:
        if (wait := begin + arrival - clock()) > 0:
            sleep(wait)
        yield draw.choice(request.images)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Each by the nearest rank."""
    ordered = sorted(values)
    return {name: ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for name, share in _QUANTILES.items()}
