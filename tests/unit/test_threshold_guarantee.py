"""The simulation of the approximate promise: what it draws, and that it tells violations from chance."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "threshold_guarantee.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("threshold_guarantee", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # its dataclasses look their module up
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("middle", "spread"), [(3.6, 0.4), (3.3, 0.3), (3.6, 0.05)])
def test_violations_are_told_from_chance(simulation: ModuleType, middle: float, spread: float) -> None:
    """Of precisions judged by 60 answers each, the share that is truly below 95 % is estimated within 0.05."""
    random = np.random.default_rng(1)
    precisions = 1 / (1 + np.exp(-random.normal(middle, spread, 2_000)))
    accepted = random.integers(45, 75, 2_000)
    right = random.binomial(accepted, precisions)
    raw, true = (right < 0.95 * accepted).mean(), (precisions < 0.95).mean()
    assert abs(simulation.below(right, accepted, 0.95) - true) < 0.05 < raw


@pytest.mark.parametrize("name", ["5", "12"])
def test_copies_of_an_image_are_in_one_fold(simulation: ModuleType, name: str) -> None:
    """Each class has its number of labels; drawn with replacement, an image is in one fold only."""
    labels = np.repeat(np.arange(3), 12)
    rows, folds = simulation.draw(labels, name, 0)
    assert np.bincount(labels[rows]).tolist() == [int(name)] * 3
    assert (len(np.unique(rows)) < len(rows)) == (name == "12")
    for row in np.unique(rows):
        assert len(np.unique(folds[rows == row])) == 1


def test_copies_are_dropped_from_what_was_drawn(simulation: ModuleType) -> None:
    """Without copies a data set holds the same images in the same folds, each once."""
    labels = np.repeat(np.arange(3), 12)
    rows, folds = simulation.draw(labels, "12", 0)
    kept, alone = simulation.draw(labels, "12 without copies", 0)
    assert sorted(kept) == sorted(set(rows))
    assert dict(zip(kept, alone, strict=True)) == dict(zip(rows, folds, strict=True))
