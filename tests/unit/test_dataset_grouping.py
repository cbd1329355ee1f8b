"""What belongs together: near duplicates, groups that are named, and what they leak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from scones_ml.dataset import Candidate
from scones_ml.dataset.checks import Problem, StagedImage
from scones_ml.dataset.grouping import KeptTogether, drop_leaks, group_names, keep_together, sign
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from scones_ml.dataset import Split


def blotches(number: int) -> Image.Image:
    cells = np.random.default_rng(number).integers(0, 256, (7, 7, 3), np.uint8)
    return Image.fromarray(cells).resize((96, 96), Image.Resampling.BICUBIC)


def make_image(
    name: str,
    look: Image.Image | None = None,
    *,
    split: Split | None = None,
    group: str | None = None,
    class_name: str = "a",
) -> StagedImage:
    signature = sign(look) if look else None
    return StagedImage(name, class_name, split, name, Path("unused"), name, name, signature, group)


def candidate(name: str, **columns: str) -> Candidate:
    return Candidate(name, "a", None, True, lambda: b"", columns)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("^(veh[0-9]+)_", ["veh1", "veh1", "veh2", None]),
        ("^veh[0-9]+", ["veh1", "veh1", "veh2", None]),
        ("veh([0-9]+)|(x)", ["1", "1", "2", None]),
        ("([^/]+)/[^/]+$", ["a", "a", "b", "b"]),
    ],
)
def test_a_pattern_names_groups(pattern: str, names: list[str | None]) -> None:
    """A pattern's first group names an image's, or all that it matches; folders count where no file name matches."""
    candidates = [candidate(name) for name in ("a/veh1_front.jpg", "a/veh1_back.jpg", "b/veh2_1.jpg", "b/other.jpg")]
    assert group_names(candidates, pattern) == names


def test_a_column_names_groups() -> None:
    """A manifest's column goes before a pattern, and an empty cell is no group."""
    candidates = [candidate("1.jpg", vehicle="x"), candidate("2.jpg", vehicle=""), candidate("3.jpg")]
    assert group_names(candidates, "vehicle") == ["x", None, None]


def test_no_groups() -> None:
    """Without a wish there are no groups."""
    assert group_names([candidate("1.jpg")], None) == [None]


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 500 + ")" * 500 + "(", "\n("])
def test_a_pattern_that_is_none(pattern: str) -> None:
    """What is neither a column nor a regular expression is told in one line."""
    with pytest.raises(DatasetError, match="--group-by") as caught:
        group_names([candidate("1.jpg")], pattern)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_any_pattern_is_one_line_or_a_name_for_each(pattern: str, name: str) -> None:
    """Whatever the pattern, there is a name or None for each image, or one line that says why not."""
    try:
        found = group_names([candidate(name), candidate("b")], pattern)
    except DatasetError as exc:
        assert "--group-by" in str(exc)
        assert "\n" not in str(exc)
    else:
        assert len(found) == 2
        assert any(found)


def test_a_pattern_that_is_never_found() -> None:
    """A pattern that matches nothing is refused, with a name that it was searched in."""
    with pytest.raises(DatasetError, match=r"'veh' is not a column and matches none of the 1 names, such as '1.jpg'"):
        group_names([candidate("1.jpg")], "veh")
    with pytest.raises(DatasetError, match="column 'vehicle' is empty in every line"):
        group_names([candidate("1.jpg", vehicle="")], "vehicle")


def test_near_duplicates_are_kept_together() -> None:
    """Images that are nearly the same are one group, whatever their labels; images without contrast are in none."""
    one = blotches(1)
    images = [
        make_image("1", one),
        make_image("2", ImageOps.mirror(one), class_name="b"),
        make_image("3", blotches(2)),
        make_image("4", Image.new("RGB", (9, 9))),
        make_image("5", Image.new("RGB", (9, 9))),
    ]
    groups, counts = keep_together(images)
    assert [[image.name for image in group] for group in groups] == [["1", "2"]]
    assert counts == KeptTogether(alike=2, alike_groups=1)


def test_groups_that_share_an_image_are_one() -> None:
    """A near duplicate of one image of a named group is of the group, and so are two groups that share a look."""
    one, other = blotches(1), blotches(2)
    images = [
        make_image("1", one, group="x"),
        make_image("2", one.resize((70, 70))),
        make_image("3", other, group="x"),
        make_image("4", ImageOps.mirror(other), group="y"),
        make_image("5", group="y"),
        make_image("6", group="z"),
        make_image("7", other, split="test", group="x"),
    ]
    groups, counts = keep_together(images)
    assert [sorted(image.name for image in group) for group in groups] == [["1", "2", "3", "4", "5"]]
    assert counts == KeptTogether(alike=4, alike_groups=2, named=5, named_groups=3)


def test_leaks_of_near_duplicates() -> None:
    """What is nearly the same as a test image is not trained on; the test set is untouched, and labels are told."""
    images = [
        make_image("test/1", blotches(1), split="test"),
        make_image("test/2", blotches(1), split="test"),
        make_image("train/1", ImageOps.mirror(blotches(1)), class_name="b"),
        make_image("train/2", blotches(2)),
    ]
    kept, problems = drop_leaks(images)
    assert [image.name for image in kept] == ["test/1", "test/2", "train/2"]
    reason = "nearly the same image as test/1 in the test set, there labelled a"
    assert problems == [Problem("train/1", "leak", reason)]


def test_leaks_of_groups() -> None:
    """What is of one group with a test image is not trained on."""
    images = [
        make_image("test/1", split="test", group="veh1"),
        make_image("train/1", group="veh1"),
        make_image("train/2", group="veh2"),
        make_image("train/3"),
    ]
    kept, problems = drop_leaks(images)
    assert [image.name for image in kept] == ["test/1", "train/2", "train/3"]
    assert problems == [Problem("train/1", "leak", "of the group 'veh1' with test/1 in the test set")]


def test_what_is_there_stays() -> None:
    """Images that have their split stay in it; what is added to them must not be what others are judged by."""
    looks = [blotches(1), blotches(2)]
    images = [
        make_image("old/1", looks[0], split="train"),
        make_image("old/2", looks[0], split="test"),
        make_image("old/3", looks[1], split="calibration"),
        make_image("new/1", looks[0], split="train"),
        make_image("new/2", looks[1], split="train"),
        make_image("new/3", blotches(3), split="train"),
    ]
    kept, problems = drop_leaks(images, {"old/1", "old/2", "old/3"})
    assert [image.name for image in kept] == ["old/1", "old/2", "old/3", "new/3"]
    assert [problem.reason.rpartition("in the ")[2] for problem in problems] == ["test set", "calibration set"]
