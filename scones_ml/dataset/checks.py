"""Detection of duplicates, leaks between splits and contradicting labels."""

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

_NAMED = 3  # copies named in a reason; there may be thousands


@dataclass(frozen=True)
class Problem:
    """An image that was left out, with the reason.

    Attributes:
        name: the image's name in its source.
        kind: kind of the problem.
        reason: description, with the names of the other images involved.
    """

    name: str
    kind: Literal["conflict", "duplicate", "leak", "unlabelled", "unreadable"]
    reason: str


@dataclass(frozen=True)
class StagedImage:
    """A normalised image, not yet assigned to a split.

    Attributes:
        name: its name in the source, such as ``train/bicycle/a.jpg``.
        class_name: its class.
        split: fixed split; None to draw one.
        digest: sha256 of the normalised file, hex: equal for equal pixels.
        file: path of the normalised file.
        canonical: sha256 of its pixels before resizing, hex: the same for every image size.
        source: sha256 of the source file, hex; of its name for a synthetic image.
        signature: for near-duplicate search, see :mod:`scones_ml.evaluation.signatures`; None without contrast.
        group: name of its user-defined group.
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
    """Keep one image of each set of identical images.

    An image in both training and test is removed from training. An image with two labels on one side is removed
    altogether, since the right label is unknown. Otherwise the first by name stays; images in evaluation splits take
    precedence over training images.

    Args:
        images: images as read, or with assigned splits.
        by: ``"canonical"`` compares source pixels, independent of the image size; ``"digest"`` the resized pixels.

    Returns:
        The kept images, and a problem for each removed one, both in the order of names.
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
