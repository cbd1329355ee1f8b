"""A steady load on the per-image workflow, under a clock of our own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import backends, lifecycle
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.lifecycle.load_test import LoadRequest, run_load
from scones_ml.ports import Backend, ImageResult, WorkflowRequest


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


class Clock:
    """Time that passes only when somebody waits or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return backends.backend("local", tmp_path)


@pytest.fixture
def refs(backend: Backend) -> tuple[ImageRef, ...]:
    return lifecycle.upload(
        backend, [("red.png", make_image(255)), ("half.png", make_image(128)), ("page.png", b"<html>")]
    )


class SlowRunner:
    """A WorkflowRunner that takes a fixed time for each image."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def run(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        begin = self._clock.now
        for image in request.images:
            started = self._clock.now - begin
            self._clock.now += self._seconds
            yield ImageResult(image, "accepted", "bicycle", 0.99, None, started, self._seconds)


def test_a_load_within_reach_keeps_its_rate(backend: Backend, tiny_model: Path, refs: tuple[ImageRef, ...]) -> None:
    """When each image is done before the next arrives, latency is the work alone and the rate is what was asked for."""
    clock = Clock()
    backend.runner = SlowRunner(clock, 0.05)  # type: ignore[misc]
    report = run_load(backend, LoadRequest(refs, tiny_model, 10, 2), clock=clock, sleep=clock.sleep)
    assert report.images == 20
    assert report.latency_ms == pytest.approx(dict.fromkeys(("p50", "p90", "p99", "max"), 50))
    assert report.seconds == pytest.approx(1.95)


def test_waiting_counts_when_the_system_is_too_slow(
    backend: Backend, tiny_model: Path, refs: tuple[ImageRef, ...]
) -> None:
    """Images that arrive while another is worked on wait, and their wait is latency: it grows to the end."""
    clock = Clock()
    backend.runner = SlowRunner(clock, 0.2)  # type: ignore[misc]
    report = run_load(backend, LoadRequest(refs, tiny_model, 10, 2), clock=clock, sleep=clock.sleep)
    assert report.per_second == pytest.approx(5)
    assert report.latency_ms["max"] == pytest.approx(20 * 200 - 1900)
    assert report.latency_ms["p50"] == pytest.approx(10 * 200 - 900)


def test_the_real_workflow_under_load(backend: Backend, tiny_model: Path, refs: tuple[ImageRef, ...]) -> None:
    """Random images go through the handlers, each with its outcome; the same seed draws the same ones."""
    request = LoadRequest(refs, tiny_model, rate=1000, duration=0.03)
    seen: list[int] = []
    report = run_load(backend, request, lambda done, total: seen.append(total - done))
    assert (report.images, sum(report.outcomes.values()), seen[-1]) == (30, 30, 0)
    assert set(report.outcomes) == {"accepted", "review", "quarantined"}
    assert run_load(backend, request).outcomes == report.outcomes


@pytest.mark.parametrize(("rate", "duration"), [(0, 10), (10, 0), (-1, -1), (0.1, 1)])
def test_loads_that_are_none_are_refused(
    backend: Backend, tiny_model: Path, refs: tuple[ImageRef, ...], rate: float, duration: float
) -> None:
    """A load without a single image is one clear line."""
    with pytest.raises(ConfigurationError, match="a rate and a duration above 0"):
        run_load(backend, LoadRequest(refs, tiny_model, rate, duration))
