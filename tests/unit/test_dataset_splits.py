"""Splits: stratified, seeded, decided by content."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.dataset.checks import StagedImage
from scones_ml.dataset.records import SPLITS
from scones_ml.dataset.splits import assign_splits, split_images, split_sizes
from scones_ml.errors import DatasetError

if TYPE_CHECKING:
    from random import Random


def make_image(class_name: str, number: int, *, held_out: bool = False) -> StagedImage:
    digest = hashlib.sha256(f"{class_name}{number}{held_out}".encode()).hexdigest()
    name = f"{class_name}/{number}.png"
    return StagedImage(name, class_name, "test" if held_out else None, digest, Path("unused"), digest, digest)


@pytest.mark.parametrize(
    ("n", "with_test", "sizes"),
    [
        (500, True, (400, 50, 50, 0)),
        (100, False, (64, 8, 8, 20)),
        (3, True, (1, 1, 1, 0)),
        (4, False, (1, 1, 1, 1)),
        (2, True, (0, 1, 1, 0)),
    ],
)
def test_sizes(n: int, with_test: bool, sizes: tuple[int, ...]) -> None:
    """Training images are split 80/10/10, after one in five went to test where the source has none."""
    assert tuple(split_sizes(n, with_test=with_test).values()) == sizes


@given(st.integers(0, 5000), st.booleans())
def test_sizes_add_up(n: int, with_test: bool) -> None:
    """The sizes add up to what there is, and no held-out split that is due is empty."""
    sizes = split_sizes(n, with_test=with_test)
    assert sum(sizes.values()) == n
    assert sizes["validation"] >= 1
    assert sizes["calibration"] >= 1
    assert (sizes["test"] == 0) == with_test


@given(st.lists(st.integers(4, 60), min_size=2, max_size=5), st.integers(0, 10))
def test_every_class_is_in_every_split(counts: list[int], seed: int) -> None:
    """Every image gets one split, and every class is in each of them by its own share."""
    classes = [f"class{i}" for i in range(len(counts))]
    images = [make_image(name, i) for name, n in zip(classes, counts, strict=True) for i in range(n)]
    assigned = assign_splits(images, classes, seed)
    assert sorted(p.name for p, _ in assigned) == sorted(p.name for p in images)
    for name, n in zip(classes, counts, strict=True):
        found = Counter(split for p, split in assigned if p.class_name == name)
        assert found == Counter(split_sizes(n, with_test=False))


@given(st.permutations(range(12)), st.text("abcxyz", min_size=1))
def test_order_and_names_do_not_matter(order: list[int], prefix: str) -> None:
    """The split depends on seed and content, neither on file names nor on the order of reading."""
    images = [make_image(name, i) for name in "ab" for i in range(12)]
    renamed = [
        StagedImage(prefix + images[i + 12 * k].name, p.class_name, None, p.digest, p.file, p.canonical, p.source)
        for k in range(2)
        for i in order
        for p in [images[i + 12 * k]]
    ]
    before = {p.digest: split for p, split in assign_splits(images, "ab", 3)}
    after = {p.digest: split for p, split in assign_splits(renamed, "ab", 3)}
    assert before == after


def test_another_seed_is_another_split() -> None:
    """The seed decides who is held out."""
    images = [make_image(name, i) for name in "ab" for i in range(50)]
    first, second = ({p.name for p, s in assign_splits(images, "ab", seed) if s == "test"} for seed in (0, 1))
    assert first != second
    assert len(first) == len(second)


def test_a_given_test_set_stays() -> None:
    """What the source has as its test set is the test set, all of it and nothing else."""
    held = [make_image(name, i, held_out=True) for name in "ab" for i in range(7)]
    pool = [make_image(name, i) for name in "ab" for i in range(10)]
    assigned = assign_splits([*held, *pool], "ab", 0)
    assert {p.name for p, split in assigned if split == "test" and p.split == "test"} == {p.name for p in held}
    assert not [p for p, split in assigned if split == "test" and p.split != "test"]


@pytest.mark.parametrize(("n", "with_test"), [(2, True), (3, False), (0, False)])
def test_too_few_images(n: int, with_test: bool) -> None:
    """A class that cannot be in every split is named, with how many images it needs."""
    images = [make_image("b", i) for i in range(20)] + [make_image("a", i) for i in range(n)]
    if with_test:
        images += [make_image(name, 0, held_out=True) for name in "ab"]
    with pytest.raises(DatasetError, match=f"class 'a' has {n} usable .*at least {3 if with_test else 4}"):
        assign_splits(images, "ab", 0)


def test_a_class_that_is_never_tested() -> None:
    """A class that is absent from the source's test set is named."""
    images = [make_image(name, i) for name in "ab" for i in range(20)] + [make_image("a", 0, held_out=True)]
    with pytest.raises(DatasetError, match="class 'b' has no usable image in test/"):
        assign_splits(images, "ab", 0)


groupings = st.lists(st.tuples(st.sampled_from(["aa", "bb", "ab", "aaa", "bbbb", "aab"])), max_size=8).map(
    lambda rows: ["".join(row) for row in rows]
)


def make_groups(shapes: list[str]) -> list[list[StagedImage]]:
    """A group for each word, an image for each of its letters, which is the image's class."""
    return [
        [make_image(letter, 1000 * (number + 1) + place) for place, letter in enumerate(shape)]
        for number, shape in enumerate(shapes)
    ]


@given(groupings, st.integers(25, 60), st.integers(0, 5))
def test_groups_stay_whole(shapes: list[str], n: int, seed: int) -> None:
    """Every image is in one split, every group in a single one, and splits exceed their sizes by less than a group."""
    groups = make_groups(shapes)
    images = [make_image(name, i) for name in "ab" for i in range(n)] + [image for group in groups for image in group]
    split_of = {image.name: split for image, split in assign_splits(images, "ab", seed, groups)}
    assert len(split_of) == len(images)
    for group in groups:
        assert len({split_of[image.name] for image in group}) == 1
    for name in "ab":
        found = Counter(split_of[image.name] for image in images if image.class_name == name)
        largest = max((shape.count(name) for shape in shapes), default=1)
        for split, size in split_sizes(found.total(), with_test=False).items():
            assert 0 < found[split] < size + max(1, largest)


@given(groupings, st.randoms(use_true_random=False))
def test_groups_are_placed_by_content(shapes: list[str], random: Random) -> None:
    """Neither the order of images and groups nor their names matter for where they are placed."""
    groups = make_groups(shapes)
    images = [make_image(name, i) for name in "ab" for i in range(30)] + [image for group in groups for image in group]
    before = {image.source: split for image, split in assign_splits(images, "ab", 3, groups)}
    renamed = {image: replace(image, name=f"{random.random()}") for image in images}
    other = [
        [renamed[image] for image in random.sample(group, len(group))] for group in random.sample(groups, len(groups))
    ]
    shuffled = random.sample(list(renamed.values()), len(renamed))
    after = {image.source: split for image, split in assign_splits(shuffled, "ab", 3, other)}
    assert before == after


def test_the_image_size_does_not_matter() -> None:
    """What an image was reduced to, and what is dropped because it is the same at this size, moves no other image."""
    images = [make_image(name, i) for name in "ab" for i in range(40)]
    small = [replace(image, digest="same" if image.name in ("a/3.png", "a/4.png") else image.name) for image in images]
    first = {image.name: image.split for image in split_images(images, "ab", 0)[0]}
    kept, problems = split_images(small, "ab", 0)
    assert [problem.kind for problem in problems] in (["duplicate"], ["leak"])
    assert {image.name: image.split for image in kept}.items() < first.items()
    assert len(kept) == 79


def test_images_that_are_the_same_at_this_size() -> None:
    """A class whose images are the same at this size is named with the remedy."""
    images = [make_image(name, i) for name in "ab" for i in range(8)]
    dark = [replace(image, digest="dark") if image.class_name == "a" else image for image in images]
    with pytest.raises(DatasetError, match=r"class 'a' has no image left in calibration.*larger --image-size"):
        split_images(dark, "ab", 0)


def test_groups_of_equal_size_fill_all_splits() -> None:
    """Where a class is four groups and nothing else, each split gets one."""
    groups = [[make_image(name, 10 * number + i) for i in range(10)] for name in "ab" for number in range(4)]
    images = [image for group in groups for image in group]
    assigned = assign_splits(images, "ab", 0, groups)
    assert Counter((image.class_name, split) for image, split in assigned) == dict.fromkeys(
        ((name, split) for name in "ab" for split in SPLITS), 10
    )


def test_too_few_groups() -> None:
    """A class whose images are too few groups is named, with what to do about it."""
    groups = [[make_image("a", 20 * number + i) for i in range(20)] for number in range(3)]
    images = [image for group in groups for image in group] + [make_image("b", i) for i in range(60)]
    with pytest.raises(DatasetError, match=r"class 'a' has too few groups .* add images that differ, group by less"):
        assign_splits(images, "ab", 0, groups)
