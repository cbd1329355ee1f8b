"""What must not reach training: duplicates, leaks between splits, contradicting labels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from scones_ml.dataset.records import Split

__all__ = ["Problem", "StagedImage", "drop_repeats"]

_NAMED = 3  # of the copies of an image; thousands of one would each name all the others


@dataclass(frozen=True)
class Problem:
    """An image that was left out, and why.

    Attributes:
        name: the image, as its source names it.
        kind: what is wrong with it.
        reason: in words, naming the other images involved.
    """

    name: str
    kind: Literal["conflict", "duplicate", "leak", "unlabelled", "unreadable"]
    reason: str


@dataclass(frozen=True)
class StagedImage:
    """An image that was read and normalised, before it has a split.

    Attributes:
        name: as its source names it, ``train/bicycle/a.jpg``.
        class_name: its class.
        split: the split that it stays in; drawn when None.
        digest: sha256 of the normalised file, hex: equal for equal pixels.
        file: where the normalised file lies.
        canonical: sha256 of its pixels as they are at every image size, hex.
        source: sha256 of the file that it was read from, hex; of its name where it was drawn.
        signature: what it is recognised by, see :mod:`scones_ml.evaluation.signatures`; None where it is like none.
        group: what the caller's groups call the one that it is of.
    """

    name: str
    class_name: str
    split: Split | None
    digest: str
    file: Path
    canonical: str
    source: str
    signature: bytes | None = None
    group: str | None = None


def drop_repeats(
    images: Iterable[StagedImage], by: Literal["canonical", "digest"] = "canonical"
) -> tuple[list[StagedImage], list[Problem]]:
    """Keep one image of each group that shows exactly the same.

    An image that is in training and in test is taken out of training. An image under two labels on one side is left
    out altogether, since nobody knows which label is right. Else the first by name stays, of those that judge before
    those that teach.

    Args:
        images: as they were read, or with the splits that they were given.
        by: whether what is the same is so at every image size, so that no size decides who stays, or in this data set.

    Returns:
        What stays, and a problem for each image that does not; both in the order of names.
    """
    groups: dict[str, list[StagedImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.name):
        groups[getattr(image, by)].append(image)
    kept: list[StagedImage] = []
    problems: list[Problem] = []
    for group in groups.values():
        tested = [image for image in group if image.split == "test"]
        side = tested or sorted(group, key=lambda image: image.split in (None, "train"))
        problems += [_leak(image, tested[0]) for image in group if tested and image.split != "test"]
        if len({image.class_name for image in side}) > 1:
            problems += [_conflict(image, side) for image in side]
            continue
        kept.append(side[0])
        problems += [Problem(other.name, "duplicate", f"the same image as {side[0].name}") for other in side[1:]]
    return sorted(kept, key=lambda image: image.name), sorted(problems, key=lambda problem: problem.name)


def _leak(image: StagedImage, tested: StagedImage) -> Problem:
    label = "" if image.class_name == tested.class_name else f", there labelled {tested.class_name}"
    return Problem(image.name, "leak", f"in the test set as {tested.name}{label}")


def _conflict(image: StagedImage, group: Sequence[StagedImage]) -> Problem:
    contrary = (other for other in group if other.class_name != image.class_name)
    agreeing = (other for other in group if other.class_name == image.class_name and other is not image)
    named = [f"{other.name} ({other.class_name})" for other in islice(chain(contrary, agreeing), _NAMED)]
    rest = len(group) - 1 - len(named)
    others = ", ".join(named) + (f" and {rest:,} more" if rest else "")
    return Problem(image.name, "conflict", f"labelled {image.class_name}, but the same image is {others}")
