"""What must not reach training: duplicates, leaks between splits, contradicting labels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scones_ml.dataset.records import Split

__all__ = ["Problem", "StagedPicture", "drop_repeats"]


@dataclass(frozen=True)
class Problem:
    """A picture that was left out, and why.

    Attributes:
        name: the picture, as its source names it.
        kind: what is wrong with it.
        reason: in words, naming the other pictures involved.
    """

    name: str
    kind: Literal["conflict", "duplicate", "leak", "unreadable"]
    reason: str


@dataclass(frozen=True)
class StagedPicture:
    """A picture that was read and normalised, before it has a split.

    Attributes:
        name: as its source names it, ``train/bicycle/a.jpg``.
        class_name: its class.
        split: the split that it stays in; drawn when None.
        digest: sha256 of the normalised file, hex: equal for equal pixels.
        file: where the normalised file lies.
    """

    name: str
    class_name: str
    split: Split | None
    digest: str
    file: Path


def drop_repeats(pictures: Iterable[StagedPicture]) -> tuple[list[StagedPicture], list[Problem]]:
    """Keep one picture of each group that shows exactly the same.

    A picture that is in training and in test is taken out of training. A picture under two labels on one side is left
    out altogether, since nobody knows which label is right. Else the first by name stays, of those that judge before
    those that teach.

    Returns:
        What stays, and a problem for each picture that does not; both in the order of names.
    """
    groups: dict[str, list[StagedPicture]] = defaultdict(list)
    for picture in sorted(pictures, key=lambda picture: picture.name):
        groups[picture.digest].append(picture)
    kept: list[StagedPicture] = []
    problems: list[Problem] = []
    for group in groups.values():
        tested = [picture for picture in group if picture.split == "test"]
        side = tested or sorted(group, key=lambda picture: picture.split in (None, "train"))
        problems += [_leak(picture, tested[0]) for picture in group if tested and picture.split != "test"]
        if len({picture.class_name for picture in side}) > 1:
            problems += [_conflict(picture, side) for picture in side]
            continue
        kept.append(side[0])
        problems += [Problem(other.name, "duplicate", f"the same picture as {side[0].name}") for other in side[1:]]
    return sorted(kept, key=lambda picture: picture.name), sorted(problems, key=lambda problem: problem.name)


def _leak(picture: StagedPicture, tested: StagedPicture) -> Problem:
    label = "" if picture.class_name == tested.class_name else f", there labelled {tested.class_name}"
    return Problem(picture.name, "leak", f"in the test set as {tested.name}{label}")


def _conflict(picture: StagedPicture, group: Iterable[StagedPicture]) -> Problem:
    others = ", ".join(f"{other.name} ({other.class_name})" for other in group if other is not picture)
    return Problem(picture.name, "conflict", f"labelled {picture.class_name}, but the same picture is {others}")
