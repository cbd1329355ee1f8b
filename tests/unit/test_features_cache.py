"""Feature vectors of images: computed once, kept, and never mixed up."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scones_ml import dataset
from scones_ml.backbones.features import extract
from scones_ml.dataset import Dataset
from scones_ml.errors import DatasetError, TrainingError
from scones_ml.settings import ImagePolicy

POLICY = ImagePolicy().of_model(16, "crop")


class MeanColour:
    """An extractor whose features are an image's mean colour; counts what it is asked."""

    def __init__(self, sha256: str = "a" * 64, factor: float = 1.0) -> None:
        self.sha256, self.size, self.asked, self._factor = sha256, 3, 0, factor

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.asked += len(pixels)
        return (pixels.mean(axis=(1, 2)) * self._factor).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twenty images of two classes, each of another colour."""
    source = tmp_path_factory.mktemp("source")
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (source / name).mkdir()
        for number in range(10):
            pixels = random.integers(0, 255, (1, 1, 3)) + random.integers(0, 5, (16, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(source / name / f"{number}.png")
    return dataset.stage(source, tmp_path_factory.mktemp("staged") / "data", image_size=16).dataset


def everything(data: Dataset) -> NDArray[np.int64]:
    return np.arange(len(data.records))


def test_images_are_asked_for_once(data: Dataset, tmp_path: Path) -> None:
    """A second extraction computes nothing, and gives the same vectors, in whatever order they are wanted."""
    extractor = MeanColour()
    first = extract(extractor, data, data.records, POLICY, tmp_path).take(everything(data))
    assert extractor.asked == len(data.records)
    second = extract(extractor, data, data.records[::-1], POLICY, tmp_path).take(everything(data))
    assert extractor.asked == len(data.records)
    assert (first == second[::-1]).all()
    assert len({tuple(row) for row in first}) > 15  # rows are told apart


def test_another_backbone_or_another_reading_has_features_of_its_own(data: Dataset, tmp_path: Path) -> None:
    """What is kept belongs to one backbone, one size and one fit."""
    extract(MeanColour(), data, data.records, POLICY, tmp_path)
    for extractor, policy in (
        (MeanColour("b" * 64), POLICY),
        (MeanColour(), ImagePolicy().of_model(8, "crop")),
        (MeanColour(), ImagePolicy().of_model(16, "pad")),
    ):
        extract(extractor, data, data.records, policy, tmp_path)
        assert extractor.asked == len(data.records)


def test_an_interrupted_extraction_goes_on_where_it_was(data: Dataset, tmp_path: Path) -> None:
    """Features that were computed before Ctrl-C are kept, and so is the meaning of a row that was cut in two."""

    class Interrupted(MeanColour):
        def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            if self.asked == 5:
                raise KeyboardInterrupt
            return super().features(pixels)

    whole = extract(MeanColour(), data, data.records, POLICY).take(everything(data))
    extract(MeanColour(), data, data.records[:12], POLICY, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        extract(Interrupted(), data, data.records, POLICY, tmp_path)
    (folder,) = tmp_path.iterdir()
    with (folder / "features").open("ab") as file:
        file.write(b"\1")  # half a number of a row that was never finished
    extractor = MeanColour()
    found = extract(extractor, data, data.records, POLICY, tmp_path).take(everything(data))
    assert extractor.asked == len(data.records) - 12
    assert (found == whole).all()


def test_two_at_once_harm_nothing(data: Dataset, tmp_path: Path) -> None:
    """Two extractions into one cache at the same time both give every image its own features."""
    whole = extract(MeanColour(), data, data.records, POLICY).take(everything(data))
    found: list[NDArray[np.float32]] = []

    def run() -> None:
        found.append(extract(MeanColour(), data, data.records, POLICY, tmp_path).take(everything(data)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all((each == whole).all() for each in found)


def test_a_cache_that_cannot_be_written_is_done_without(data: Dataset, tmp_path: Path) -> None:
    """Where the cache's folder cannot be made, features are computed and given all the same."""
    (tmp_path / "file").write_text("in the way")
    found = extract(MeanColour(), data, data.records, POLICY, tmp_path / "file")
    assert len(found.take(everything(data))) == len(data.records)


def test_features_that_are_not_finite_are_refused(data: Dataset, tmp_path: Path) -> None:
    """Infinite features, or ones too large for float16, end in one line that names the image."""
    for factor in (np.inf, np.nan, 1e6):
        with pytest.raises(TrainingError, match=r"features of .*png are not finite: choose another backbone"):
            extract(MeanColour(factor=factor), data, data.records, POLICY, tmp_path)


def test_an_image_that_is_gone_is_named(data: Dataset, tmp_path: Path) -> None:
    """A staged file that is missing ends in one line that names it and the remedy."""
    copy = Dataset(tmp_path, data.classes, data.records, data.hash, 0, 16, policy=2)
    with pytest.raises(DatasetError, match=r"No such file.*stage the data set again"):
        extract(MeanColour(), copy, data.records, POLICY)
