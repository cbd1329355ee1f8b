"""Policy 1: what version 0.1 read of an image, its models read for ever."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from scones_ml import images
from scones_ml.images import ImagePolicy


def image(width: int, height: int) -> Image.Image:
    """Fixed noise, smooth enough that JPEG keeps it."""
    rng = np.random.default_rng(7)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FILES = {
    "large jpeg": lambda: encoded(image(1234, 777), "JPEG"),
    "turned jpeg": lambda: encoded(image(640, 300), "JPEG", exif=turned()),
    "large png": lambda: encoded(image(1000, 400), "PNG"),
    "small png": lambda: encoded(image(20, 31), "PNG"),
    "alpha": lambda: encoded(image(300, 200).convert("RGBA").rotate(30), "PNG"),
    "palette": lambda: encoded(image(300, 200).quantize(16), "PNG"),
    "cmyk": lambda: encoded(image(300, 200).convert("CMYK"), "JPEG"),
}
ANSWERS = {
    ("large jpeg", 32): "9f37f5e7571af6e3",
    ("large jpeg", 224): "be6cb99297df0a70",
    ("turned jpeg", 32): "e70b015d6aec631c",
    ("turned jpeg", 224): "16d716c7ae418ec2",
    ("large png", 32): "f7e9a2ac04ccd8b1",
    ("large png", 224): "2a8db245715b2cbb",
    ("small png", 32): "05b98f35128eedd0",
    ("small png", 224): "386ddfac29382bbc",
    ("alpha", 32): "294ca475a3bff8e6",
    ("alpha", 224): "8317c899b24f10d8",
    ("palette", 32): "b76cba384d61d5d5",
    ("palette", 224): "ef326a86ba20ceb9",
    ("cmyk", 32): "4ae8c7f330acdb6b",
    ("cmyk", 224): "054a9f2ada165b2a",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [32, 224])
def test_pixels_are_those_of_version_0_1(name: str, size: int) -> None:
    """Every door of policy 1 gives the pixels that version 0.1.0 gave (digests made by its own code)."""
    policy = ImagePolicy().of_model(224, None)
    data = FILES[name]()
    doors = (
        images.pixels(data, size, policy),
        images.pixels(images.normalise(data, policy).png, size, policy),
        images.normalised_pixels(data, size, policy),
    )
    found = hashlib.sha256(b"".join(door.tobytes() for door in doors)).hexdigest()[:16]
    assert found == ANSWERS[name, size]


def test_each_side_is_reduced_by_itself() -> None:
    """Policy 1 gives up the proportions, reduces each side to the policy's size and enlarges nothing."""
    policy = ImagePolicy().of_model(64, None)
    for size in ((300, 20), (64, 64), (10, 900)):
        found = images.normalise(encoded(image(*size), "PNG"), policy)
        assert (found.width, found.height) == (min(size[0], 64), min(size[1], 64))
        assert images.normalise(found.png, policy).png == found.png
