"""Staging the real photographs of vehicles, and synthetic ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageOps

from scones_ml.dataset import KeptTogether, Synthetic, stage
from scones_ml.evaluation.near_duplicates import SIMILARITY, similarities
from scones_ml.evaluation.signatures import signature, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_bicycles_and_motorcycles(test_data: Path, tmp_path: Path) -> None:
    """The course's 1,000 + 200 photographs: four show what the test set shows, test untouched, the others split."""
    result = stage(test_data / "cifar100-vehicles", tmp_path / "out", classes=["bicycle", "motorcycle"])
    assert [(problem.name.rsplit("/", 1)[1], problem.kind) for problem in result.problems] == [
        ("safety_bicycle_s_000162.png", "leak"),
        ("velocipede_s_000010.png", "leak"),
        ("velocipede_s_000330.png", "leak"),
        ("motorcycle_s_000417.png", "leak"),
    ]
    assert result.problems[0].reason == (
        "nearly the same image as test/bicycle/safety_bicycle_s_001286.png in the test set"
    )
    assert result.together == KeptTogether(alike=12, alike_groups=6)
    sizes = {"train": (397, 399), "validation": (50, 50), "calibration": (50, 50), "test": (100, 100)}
    assert result.dataset.counts() == {split: {"bicycle": b, "motorcycle": m} for split, (b, m) in sizes.items()}
    assert len({record.sha256 for record in result.dataset.records}) == 1196
    given = {path.name for path in (test_data / "cifar100-vehicles" / "test").glob("*cycle/*.png")}
    assert {record.path.rsplit("/", 1)[1] for record in result.dataset.split("test")} == given
    split_of = {record.path.rsplit("/", 1)[1]: record.split for record in result.dataset.records}
    assert split_of["motorcycle_s_000456.png"] == split_of["motorcycle_s_000154.png"]  # one mirrors the other
    pixels, labels = result.dataset.arrays("test")
    assert pixels.shape == (200, 32, 32, 3)
    assert labels.sum() == 100


def test_phone_photographs(test_data: Path, tmp_path: Path) -> None:
    """Of 819 photographs of clothing, many on the same blanket, no two that differ are called nearly the same."""
    result = stage(test_data / "photographs" / "clothing", tmp_path / "out")
    assert result.problems == ()
    assert result.together == KeptTogether()


def test_copies_of_photographs(test_data: Path) -> None:
    """Of compressed, resized, brightened, mirrored and slightly cut copies of photographs nearly all are recognised."""
    files = sorted((test_data / "photographs" / "clothing" / "test").rglob("*.jpg"))
    originals = [Image.open(file).convert("RGB") for file in files]
    assert len(originals) == 179
    for change, least in CHANGES:
        vectors = [
            unpack(signature(image) or b"" for image in images) for images in (originals, map(change, originals))
        ]
        assert (similarities(*vectors)[0] >= SIMILARITY).mean() >= least


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def cut(image: Image.Image, share: float) -> Image.Image:
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: tuple[tuple[Callable[[Image.Image], Image.Image], float], ...] = (
    (as_jpeg, 0.99),
    (lambda image: image.resize((64, 64), Image.Resampling.BICUBIC), 0.99),
    (lambda image: ImageEnhance.Brightness(image).enhance(1.2), 0.99),
    (lambda image: ImageEnhance.Contrast(image).enhance(0.8), 0.99),
    (ImageOps.mirror, 0.99),
    (lambda image: cut(image, 0.01), 0.99),  # 2 % of its sides
    (lambda image: cut(image, 0.02), 0.94),
)


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
