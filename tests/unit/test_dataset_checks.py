"""Duplicates, leaks and contradicting labels."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scones_ml.dataset.checks import Problem, StagedImage, drop_repeats


def make_image(name: str, digest: str, class_name: str = "a", *, held_out: bool = False) -> StagedImage:
    return StagedImage(name, class_name, "test" if held_out else None, digest, Path("unused"), digest, name)


def test_the_second_of_two_equal_images_is_dropped() -> None:
    """Of two equal images the first by name stays, and the other is listed with it."""
    kept, problems = drop_repeats([make_image("z", "1"), make_image("b", "1"), make_image("c", "2")])
    assert [p.name for p in kept] == ["b", "c"]
    assert problems == [Problem("z", "duplicate", "the same image as b")]


def test_a_leak_is_taken_out_of_training() -> None:
    """An image that is in training and in test stays in test alone."""
    kept, problems = drop_repeats([make_image("test/a", "1", held_out=True), make_image("train/a", "1")])
    assert [p.name for p in kept] == ["test/a"]
    assert problems == [Problem("train/a", "leak", "in the test set as test/a")]


def test_a_leak_under_another_label_is_named() -> None:
    """When the test set calls the image something else, the problem says so."""
    _, problems = drop_repeats([make_image("test/b", "1", "b", held_out=True), make_image("train/a", "1")])
    assert problems == [Problem("train/a", "leak", "in the test set as test/b, there labelled b")]


def test_contradicting_labels_leave_none() -> None:
    """An image under two labels is left out altogether, and each copy names the others."""
    kept, problems = drop_repeats([make_image("a/1", "1"), make_image("b/1", "1", "b"), make_image("a/2", "2")])
    assert [p.name for p in kept] == ["a/2"]
    assert [(p.name, p.kind) for p in problems] == [("a/1", "conflict"), ("b/1", "conflict")]
    assert problems[0].reason == "labelled a, but the same image is b/1 (b)"


def test_many_copies_are_named_by_the_first_three() -> None:
    """Of many copies under two labels three are named, those of the other label first, and the rest is counted."""
    copies = [make_image(f"a/{number}", "1") for number in range(6)] + [make_image("b/1", "1", "b")]
    _, problems = drop_repeats(copies)
    assert problems[0].reason == "labelled a, but the same image is b/1 (b), a/1 (a), a/2 (a) and 3 more"
    assert problems[-1].reason == "labelled b, but the same image is a/0 (a), a/1 (a), a/2 (a) and 3 more"


pictures = st.lists(
    st.builds(
        lambda number, digest, class_name, held_out: make_image(f"{number}", digest, class_name, held_out=held_out),
        st.integers(0, 1000),
        st.sampled_from("12345"),
        st.sampled_from("ab"),
        st.booleans(),
    ),
    unique_by=lambda p: p.name,
)


@given(pictures)
def test_nothing_is_lost_silently(given_images: list[StagedImage]) -> None:
    """Every image is kept or listed, no digest is kept twice, and no training copy of a test image stays."""
    kept, problems = drop_repeats(given_images)
    assert sorted([p.name for p in kept] + [p.name for p in problems]) == sorted(p.name for p in given_images)
    assert len({p.digest for p in kept}) == len(kept)
    tested = {p.digest for p in given_images if p.split == "test"}
    assert not [p for p in kept if p.digest in tested and p.split != "test"]
