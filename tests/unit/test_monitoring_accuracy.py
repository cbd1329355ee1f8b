"""Accuracy without labels: its interval holds, its caveat is said."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from scones_ml.monitoring import estimate_accuracy
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, histogram


def draw(
    generator: np.random.Generator, size: int, honest: float, shift: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Confidences, and whether each prediction is right; ``honest`` below 1 is an overconfident model."""
    confidence = 1 / (1 + np.exp(-np.abs(generator.normal(2.2 + shift, 1.8, size))))
    return confidence, generator.random(size) < 0.5 + (confidence - 0.5) * honest


@pytest.mark.parametrize("honest", [1.0, 0.85])
@pytest.mark.parametrize("shift", [0.0, -1.0])
@pytest.mark.parametrize("labels", [60, 400])
def test_the_interval_holds_the_accuracy(honest: float, shift: float, labels: int) -> None:
    """In at least 92 of 100 streams: calibrated or overconfident, with an easier or a harder mix of images."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        confidence, right = draw(generator, labels, honest, 0.0)
        cells = CONFIDENCE.cells(confidence)
        stream, truth = draw(generator, 1000, honest, shift)
        found = estimate_accuracy(histogram(CONFIDENCE.cells(stream)), histogram(cells), histogram(cells[right]))
        assert found is not None
        held += found.estimate.low <= truth.mean() <= found.estimate.high
    assert held / 300 >= 0.92


def test_without_a_reference_it_is_the_models_own_word() -> None:
    """Without a reference the estimate is the mean confidence, with a caveat that no label was compared."""
    found = estimate_accuracy(histogram(CONFIDENCE.cells([0.9, 0.8])))
    assert found is not None
    assert found.estimate.value == pytest.approx(0.85, abs=0.005)
    assert (found.labels, found.answers) == (0, 2)
    assert "not compared with labels" in found.caveat


def test_with_a_reference_the_caveat_says_what_is_assumed() -> None:
    """An estimate from the calibration split says that it is none of the stream's labels."""
    cells = histogram(CONFIDENCE.cells(np.full(50, 0.9)))
    found = estimate_accuracy(cells, cells, cells)
    assert found is not None
    assert found.estimate.value == 1.0
    assert found.estimate.low < 0.97
    assert "not measured" in found.caveat


def test_of_no_answer_nothing_is_estimated() -> None:
    """An empty stream has no accuracy."""
    assert estimate_accuracy(np.zeros(CELLS, np.int64)) is None
