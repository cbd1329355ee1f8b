"""The kinds of images for users' own tests, and what this package's reader makes of them."""

from __future__ import annotations

import io
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from scones_ml import images
from scones_ml.errors import ImageError
from scones_ml.testing import ImageKind, image_kinds

SMALL = [kind for kind in image_kinds() if "million" not in kind.name and "12mp" not in kind.name]
FORMATS = sorted({kind.format for kind in SMALL})


def test_there_are_many_kinds() -> None:
    """More than a thousand, of every format, each with a name of its own and a reason; those beside EXIF are 364."""
    kinds = list(image_kinds(large=True))
    names = Counter(kind.name for kind in kinds)
    assert len(names) == len(kinds) > 1_000
    assert all(kind.why for kind in kinds)
    assert set(FORMATS) == {"avif", "bmp", "cut", "exif", "gif", "jpeg", "other", "png", "tiff", "webp"}
    assert sum("-as-type-" in name for name in names if name.startswith("exif/tag-")) == 364


def test_a_kind_is_the_same_at_every_run() -> None:
    """The bytes depend on nothing but the kind."""
    for first, second in zip(islice(image_kinds(), 0, None, 29), islice(image_kinds(), 0, None, 29), strict=True):
        assert (first.name, first.data) == (second.name, second.data)


def test_colours_are_compared_in_the_middle_of_the_quadrants() -> None:
    """Other colours are noticed at any size, within the tolerance they are not; nothing known agrees with anything."""
    corners = ((1, 2, 3), (10, 20, 30), (100, 100, 100), (255, 255, 255))
    kind = ImageKind("png/x", "read", "for this test", bytes, corners, tolerance=2)
    small = np.array([corners[:2], corners[2:]])
    assert kind.agrees(small)
    assert kind.agrees(small.repeat(9, axis=0).repeat(7, axis=1) + 2 * (np.arange(3) == 0))
    assert not kind.agrees(small + 3 * (np.arange(3) == 0))
    assert not kind.agrees(small[::-1])
    assert ImageKind("png/x", "read", "for this test", bytes).agrees(small)


def judged(kind: ImageKind) -> str:
    """What is wrong with the reader's answer; empty when nothing is."""
    try:
        found = images.reduce(kind.data, 32)
    except ImageError as exc:
        right = kind.expectation != "read" and str(exc).isprintable() and " at 0x" not in str(exc)
        return "" if right else f"{kind.name}: {exc}"
    if kind.expectation == "refused":
        return f"{kind.name} is read: {kind.why}"
    with Image.open(io.BytesIO(found.png)) as image:
        pixels = np.asarray(image)
    return "" if kind.agrees(pixels) else f"{kind.name}: {pixels[8, 8]} and so on, not {kind.corners}"


@pytest.mark.parametrize("name", FORMATS)
def test_images_are_right_or_refused(name: str) -> None:
    """Each kind of a format has the right colours, or is refused in one line that can be printed."""
    assert [line for kind in SMALL[::4] if kind.format == name and (line := judged(kind))] == []


@pytest.mark.reliability
def test_every_kind_is_the_same_at_every_run() -> None:
    """The bytes of all kinds depend on nothing but the kind."""
    for first, second in zip(image_kinds(), image_kinds(), strict=True):
        assert (first.name, first.data) == (second.name, second.data)
