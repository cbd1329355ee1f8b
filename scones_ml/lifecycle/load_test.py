"""Load test of the per-image workflow: throughput, latency, outcomes.

Images arrive at a steady rate, whether or not earlier ones are finished, and latency is measured from the arrival, so
that it includes queueing in a system that is too slow.
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

_QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}  # max shows what p99 hides: a single image that hung


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Request for a load test.

    Attributes:
        images: images to draw from, at random with replacement.
        classifier: an endpoint, or a model's folder; None for the one that the workflow was deployed with.
        rate: images a second, above 0.
        duration: seconds, above 0.
        threshold: least confidence that is accepted; None for the model's.
        seed: random seed of the draw.
    """

    images: Sequence[ImageRef]
    classifier: Endpoint | Path | None
    rate: float
    duration: float
    threshold: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Result of a load test.

    Attributes:
        images: number of images sent.
        seconds: time from the first arrival to the last result.
        per_second: images finished a second; below the requested rate when the system is too slow.
        latency_ms: milliseconds from arrival to result: ``p50``, ``p90``, ``p99``, ``max``.
        outcomes: number of images by outcome; ``failed`` for executions without one.
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
        backend: the backend.
        request: images, rate and duration.
        progress: called for each image.
        clock: monotonic clock, in seconds.
        sleep: sleeps for seconds, until the next arrival.

    Raises:
        ConfigurationError: rate or duration is not above 0, or there are no images.
    """
    # 1e-9: a product just below a whole number, due to rounding, counts as that number.
    count = int(request.rate * request.duration + 1e-9) if min(request.rate, request.duration) > 0 else 0
    if count < 1 or not request.images:
        raise ConfigurationError(
            "a load test needs images, a rate and a duration above 0, and time for at least one image"
        )
    due = [number / request.rate for number in range(count)]
    stream = _arrivals(request, due, clock, sleep)
    results: list[ImageResult] = []
    for result in lifecycle.run(backend, stream, request.classifier, request.threshold):
        results.append(result)
        progress(len(results), count)
    # An execution reports its own duration, whenever it is polled; executions start in the order of arrival.
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
    draw = random.Random(request.seed)  # noqa: S311 - reproducible, not secret
    begin = clock()  # at the first image, which results count from
    for arrival in due:
        if (wait := begin + arrival - clock()) > 0:
            sleep(wait)
        yield draw.choice(request.images)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Quantiles by the nearest rank."""
    ordered = sorted(values)
    return {name: ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for name, share in _QUANTILES.items()}
