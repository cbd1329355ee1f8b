"""Staging the real photographs of vehicles, and synthetic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.dataset import Synthetic, stage

if TYPE_CHECKING:
    from pathlib import Path


def test_bicycles_and_motorcycles(test_data: Path, tmp_path: Path) -> None:
    """The course's 1,000 + 200 photographs: no problem in them, test untouched, train split 800/100/100."""
    result = stage(test_data / "cifar100-vehicles", tmp_path / "out", classes=["bicycle", "motorcycle"])
    assert result.problems == ()
    sizes = {"train": 400, "validation": 50, "calibration": 50, "test": 100}
    assert result.dataset.counts() == {split: {"bicycle": n, "motorcycle": n} for split, n in sizes.items()}
    assert len({record.sha256 for record in result.dataset.records}) == 1200
    given = {path.name for path in (test_data / "cifar100-vehicles" / "test").glob("*cycle/*.png")}
    assert {record.path.rsplit("/", 1)[1] for record in result.dataset.split("test")} == given
    pixels, labels = result.dataset.arrays("test")
    assert pixels.shape == (200, 32, 32, 3)
    assert labels.sum() == 100


def test_a_class_called_train(test_data: Path, tmp_path: Path) -> None:
    """Trains are a class like any other, though their folder is train/train."""
    data = stage(test_data / "cifar100-vehicles", tmp_path / "out", classes=["tank", "train"]).dataset
    assert data.counts()["test"] == {"tank": 100, "train": 100}
    assert {record.path.split("/")[1] for record in data.records} == {"tank", "train"}


def test_synthetic_images(tmp_path: Path) -> None:
    """Drawn images are staged like any others, and the same twice."""
    first = stage(Synthetic(per_class=20, seed=5), tmp_path / "one").dataset
    second = stage(Synthetic(per_class=20, seed=5), tmp_path / "two").dataset
    assert first.hash == second.hash
    assert [sum(counts.values()) for counts in first.counts().values()] == [24, 4, 4, 8]
    assert stage(Synthetic(per_class=9, size=16), tmp_path / "three", image_size=16).dataset.arrays("test")[0].shape[
        1:
    ] == (
        16,
        16,
        3,
    )
