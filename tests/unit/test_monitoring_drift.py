"""Drift tests that may be looked at for ever: their false alarms, their findings, their exactness."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml.monitoring.drift import Drift, DriftWatch
from scones_ml.monitoring.grids import CONFIDENCE, IMAGE_GRIDS, histogram, quantiles
from scones_ml.monitoring.martingale import BLOCK, ConformalMartingale
from scones_ml.monitoring.reference import Reference

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]


def wealth(reference: Cells, stream: Cells, seed: int = 0) -> Floats:
    """The logarithm of the wealth after each record of a stream."""
    martingale = ConformalMartingale(histogram(reference), seed)
    return np.concatenate([martingale.update(stream[at : at + BLOCK]) for at in range(0, len(stream), BLOCK)])


def confident(generator: np.random.Generator, size: int, shift: float = 0.0) -> Floats:
    """Confidences as a calibrated model of two classes gives them."""
    return np.asarray(1 / (1 + np.exp(-np.abs(generator.normal(2.0 - shift, 1.5, size)))))


@pytest.mark.parametrize("kind", ["spread out", "two values", "one value"])
def test_false_alarms_stay_below_the_level_however_often_one_looks(kind: str) -> None:
    """Of 300 streams that never change, looked at after each of 4,000 records, at most the stated share alarm."""
    generator = np.random.default_rng(11)
    streams, level = 300, 0.1
    alarms = 0
    for number in range(streams):
        values = confident(generator, 60 + 4000)
        cells = CONFIDENCE.cells(values) if kind == "spread out" else (values > (0.9 if kind == "two values" else 2.0))
        path = wealth(cells[:60].astype(np.int64), cells[60:].astype(np.int64), number)
        alarms += bool(path.max() >= -math.log(level))
    assert alarms / streams <= level + 2 * math.sqrt(level * (1 - level) / streams)


def test_a_usual_test_would_not_keep_that_promise() -> None:
    """In the same simulation, a two-sample z-test repeated after every record exceeds its level."""
    generator = np.random.default_rng(11)
    streams, level, z = 300, 0.1, 1.645
    alarms = 0
    for _ in range(streams):
        values = confident(generator, 60 + 4000)
        count = np.arange(1, 4001)
        gap = np.cumsum(values[60:]) / count - values[:60].mean()
        alarms += bool((np.abs(gap) >= z * values.std() * np.sqrt(1 / 60 + 1 / count)).any())
    assert alarms / streams > 3 * level


def test_the_stake_is_fair() -> None:
    """While nothing changes, the mean wealth after ten records is 1."""
    generator = np.random.default_rng(3)
    ends = [math.exp(wealth(generator.integers(0, 9, 5), generator.integers(0, 9, 10), n)[-1]) for n in range(4000)]
    assert np.mean(ends) == pytest.approx(1.0, abs=4 * np.std(ends) / math.sqrt(len(ends)))


@pytest.mark.parametrize(("shift", "before", "within"), [(1.5, 0, 150), (1.5, 20_000, 250), (0.75, 20_000, 700)])
def test_a_real_shift_is_found(shift: float, before: int, within: int) -> None:
    """Confidence that drops is found in time, at once or after 20,000 quiet records, in each of ten streams."""
    generator = np.random.default_rng(5)
    for number in range(10):
        quiet = generator.normal(2.0, 1.5, 100 + before)
        values = np.concatenate((quiet, generator.normal(2.0 - shift, 1.5, within)))
        cells = CONFIDENCE.cells(1 / (1 + np.exp(-values)))
        path = wealth(cells[:100], cells[100:], number)
        assert path[:before].max(initial=0.0) < -math.log(0.01 / 6)
        assert path.max() >= -math.log(0.01 / 6)


def test_values_that_only_spread_out_are_found() -> None:
    """A figure whose median stays but whose spread doubles raises the alarm."""
    generator = np.random.default_rng(5)
    cells = IMAGE_GRIDS["brightness"].cells(
        np.concatenate((generator.normal(128, 20, 500), generator.normal(128, 45, 500))).clip(0, 255)
    )
    assert wealth(cells[:200], cells[200:]).max() >= -math.log(0.01 / 6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(0, 10))
def test_looking_again_later_continues_the_same_test(length: int, seed: int) -> None:
    """Results for the beginning of a stream do not change when more records are read."""
    generator = np.random.default_rng(seed)
    cells = generator.integers(0, 50, 800)
    whole = wealth(cells[:40], cells[40:], seed)
    assert np.array_equal(wealth(cells[:40], cells[40 : 40 + length], seed), whole[:length])


def test_no_wealth_is_ever_negative_or_undefined() -> None:
    """Streams of a single value far from the reference, and empty references, give finite logarithms."""
    for reference in (np.zeros(0, np.int64), np.full(100, 3)):
        path = wealth(reference, np.full(3000, 500))
        assert np.isfinite(path).all()


def reference(generator: np.random.Generator, images: int = 100, classes: int = 2) -> Reference:
    """A reference as a calibration split gives it."""
    labels = tuple(f"class {n}" for n in range(classes))
    cells = CONFIDENCE.cells(confident(generator, images))
    sparse = {int(cell): int(n) for cell, n in enumerate(histogram(cells)) if n}
    figures = make_images(generator, images)
    return Reference(
        labels=labels,
        image_size=32,
        images=images,
        predicted=tuple(np.bincount(generator.integers(0, classes, images), minlength=classes).tolist()),
        confidence=sparse,
        right=sparse,
        pictures={
            name: {int(cell): int(n) for cell, n in enumerate(histogram(grid.cells(column))) if n}
            for (name, grid), column in zip(IMAGE_GRIDS.items(), figures.T, strict=True)
        },
    )


def make_images(generator: np.random.Generator, count: int) -> Floats:
    """Image figures with a realistic correlation."""
    brightness = generator.normal(120, 30, count).clip(0, 255)
    contrast = (brightness / 3 + generator.normal(10, 8, count)).clip(0, 127)
    return np.stack((brightness, contrast, np.exp(generator.normal(7, 1, count)), np.full(count, 32.0)), axis=1)


def watched(seed: int, records: int, level: float, classes: int = 2, darker: float = 0.0) -> Drift:
    """Watch a stream whose images may be darker than the reference's."""
    generator = np.random.default_rng(seed)
    watch = DriftWatch(reference(generator, classes=classes), level, seed)
    for start in range(0, records, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, records))
        seconds = numbers * 60.0
        watch.add_answers(
            confident(generator, len(numbers)), generator.integers(0, classes, len(numbers)), numbers, seconds
        )
        figures = make_images(generator, len(numbers))
        figures[:, 0] = (figures[:, 0] - darker).clip(0, 255)
        watch.add_images(figures, numbers, seconds)
    return watch.result()


@pytest.mark.parametrize("classes", [2, 5])
def test_all_figures_together_keep_the_level(classes: int) -> None:
    """Watching six figures, correlated as they are, the chance of any false alarm stays below the stated one."""
    streams, level = 120, 0.1
    alarms = sum(watched(seed, 1500, level, classes).alarm for seed in range(streams))
    assert alarms / streams <= level + 2 * math.sqrt(level * (1 - level) / streams)


def test_the_figure_that_changed_is_named() -> None:
    """Darker images raise the alarm of brightness and of nothing else; record, time and medians are reported."""
    drift = watched(1, 800, 0.01, darker=40.0)
    (figure,) = (figure for figure in drift.figures if figure.first_alarm)
    assert (figure.name, drift.alarm) == ("brightness", True)
    assert figure.first_alarm is not None
    assert figure.first_alarm.record < 200
    assert figure.first_alarm.time.timestamp() == (figure.first_alarm.record - 1) * 60
    assert figure.evidence >= figure.needed == 600
    assert figure.reference is not None
    assert figure.recent is not None
    assert figure.reference - figure.recent == pytest.approx(40, abs=8)


def test_images_that_cannot_be_read_are_counted_and_left_out() -> None:
    """A row of NaN is a broken image: it is counted, and no figure sees it."""
    generator = np.random.default_rng(0)
    watch = DriftWatch(reference(generator), 0.01)
    figures = make_images(generator, 10)
    figures[:4] = math.nan
    watch.add_images(figures, np.arange(10), np.arange(10.0))
    drift = watch.result()
    assert (drift.measured, drift.unreadable) == (10, 4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=300))
def test_quantiles_of_a_histogram_are_those_of_the_values(values: list[float]) -> None:
    """To the width of a cell, the median out of 512 counts is the median of the values."""
    (median,) = quantiles(histogram(CONFIDENCE.cells(values)), CONFIDENCE, (0.5,))
    exact = sorted(values)[math.ceil(len(values) / 2) - 1]
    assert abs(CONFIDENCE.cells([median])[0] - CONFIDENCE.cells([exact])[0]) <= 1
