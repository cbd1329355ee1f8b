"""Images that must stay in one split: near duplicates and user-defined groups."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scones_ml.dataset.checks import Problem, StagedImage
from scones_ml.errors import DatasetError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from types import ModuleType

    from PIL.Image import Image

    from scones_ml.dataset.sources import Candidate

__all__ = ["KeptTogether", "drop_leaks", "group_names", "keep_together", "sign", "signature_version"]

_LONGEST_NAME = 1024  # longest name a pattern is searched in, since patterns can be slow


@dataclass(frozen=True)
class KeptTogether:
    """Numbers of images kept in one split with others.

    Attributes:
        alike: near duplicates of another image.
        alike_groups: groups of near duplicates.
        named: images in user-defined groups.
        named_groups: user-defined groups.
    """

    alike: int = 0
    alike_groups: int = 0
    named: int = 0
    named_groups: int = 0


def sign(image: Image) -> bytes | None:
    """Signature of an image, see :func:`scones_ml.evaluation.signatures.signature`."""
    found: bytes | None = _signatures().signature(image)
    return found


def signature_version() -> int:
    """Version of the near-duplicate signatures."""
    found: int = _signatures().SIGNATURE_VERSION
    return found


def _signatures() -> ModuleType:
    try:
        from scones_ml.evaluation import signatures
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    return signatures


def group_names(candidates: Sequence[Candidate], group_by: str | None) -> list[str | None]:
    """Name of each image's user-defined group.

    Args:
        candidates: the images.
        group_by: a column of the manifest, or a regular expression that is searched in the file names, or in the full
            names if it matches no file name. The text of its first capturing group, or else the whole match, is the
            group's name. None for no groups.

    Returns:
        One name per image; None where the column is empty or the expression does not match.

    Raises:
        DatasetError: ``group_by`` is not a valid regular expression, or gives no group at all.
    """
    if group_by is None:
        return [None] * len(candidates)
    if any(group_by in candidate.columns for candidate in candidates):
        found = [candidate.columns.get(group_by) or None for candidate in candidates]
        what = f"column {group_by!r} is empty in every line"
    else:
        pattern = _compiled(group_by)
        names = [candidate.name[-_LONGEST_NAME:] for candidate in candidates]
        found = [_searched(pattern, name.rpartition("/")[2]) for name in names]
        if not any(found):
            found = [_searched(pattern, name) for name in names]
        example = f", such as {names[0]!r}" if names else ""
        what = f"{group_by!r} is not a column and matches none of the {len(names):,} names{example}"
    if not any(found):
        raise DatasetError(f"nothing to group by: {what}: choose another --group-by, or leave it out")
    return found


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarning: syntax that later Pythons may read differently
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        reason = str(exc).replace("\n", " ")
        raise DatasetError(
            f"--group-by {pattern!r} is not a column or regular expression ({reason}): write one like '^(veh[0-9]+)_'"
        ) from exc


def _searched(pattern: re.Pattern[str], name: str) -> str | None:
    match = pattern.search(name)
    return (match[1] if pattern.groups else match[0]) or None if match else None


def drop_leaks(
    images: Sequence[StagedImage], untouched: Collection[str] = ()
) -> tuple[list[StagedImage], list[Problem]]:
    """Remove training images that are near duplicates, or in a group, of an image in an evaluation split.

    Args:
        images: images, some with a fixed split; fixed splits other than train are evaluation splits.
        untouched: names of images that stay in any case.

    Returns:
        The kept images, and a problem for each removed one, both in the order given.
    """
    judges = [image for image in images if image.split not in (None, "train")]
    taught = [image for image in images if image.split in (None, "train") and image.name not in untouched]
    groups = {judge.group: judge for judge in sorted(judges, key=lambda image: image.name, reverse=True) if judge.group}
    problems = {
        image.name: _leak(image, groups[image.group], f"of the group {image.group!r} with")
        for image in taught
        if image.group in groups
    }
    rest = [image for image in taught if image.name not in problems]
    for image, judge in _alike(rest, judges):
        problems.setdefault(image.name, _leak(image, judge, "nearly the same image as"))
    return [image for image in images if image.name not in problems], list(problems.values())


def _leak(image: StagedImage, judge: StagedImage, why: str) -> Problem:
    label = "" if image.class_name == judge.class_name else f", there labelled {judge.class_name}"
    return Problem(image.name, "leak", f"{why} {judge.name} in the {judge.split} set{label}")


def keep_together(images: Iterable[StagedImage]) -> tuple[list[list[StagedImage]], KeptTogether]:
    """Group the images without a fixed split.

    Near duplicates form a group, as do images with one group name; groups that share an image are merged. The result
    does not depend on the order or the names of the images.

    Returns:
        Groups of two images or more, and their counts.
    """
    pool = [image for image in images if image.split is None]
    alike = _alike_groups(pool)
    named: dict[str, list[StagedImage]] = defaultdict(list)
    for image in pool:
        if image.group is not None:
            named[image.group].append(image)
    counts = KeptTogether(
        alike=sum(map(len, alike)),
        alike_groups=len(alike),
        named=sum(map(len, named.values())),
        named_groups=len(named),
    )
    return _united([*alike, *named.values()]), counts


def _united(groups: Iterable[Sequence[StagedImage]]) -> list[list[StagedImage]]:
    """Merge groups that share an image; those of one image are left out."""
    united: dict[StagedImage, list[StagedImage]] = {}
    for group in groups:
        parts = {id(part): part for part in (united.get(image, [image]) for image in group)}
        whole = max(parts.values(), key=len)
        for part in parts.values():
            united |= dict.fromkeys(part, whole)
            if part is not whole:
                whole += part
    found = {id(group): group for group in united.values()}
    return [group for group in found.values() if len(group) > 1]


def _alike_groups(images: Sequence[StagedImage]) -> list[list[StagedImage]]:
    signed = {image: image.signature for image in images if image.signature is not None}
    if not signed:
        return []
    from scones_ml.evaluation.near_duplicates import near_duplicate_groups
    from scones_ml.evaluation.signatures import unpack

    groups: dict[int, list[StagedImage]] = defaultdict(list)
    for image, group in zip(signed, near_duplicate_groups(unpack(signed.values())), strict=True):
        groups[int(group)].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _alike(images: Sequence[StagedImage], others: Sequence[StagedImage]) -> Iterator[tuple[StagedImage, StagedImage]]:
    """Near duplicates of other images, each with the most similar of those."""
    signed = {image: image.signature for image in images if image.signature is not None}
    ordered = sorted(others, key=lambda image: image.name)
    references = {other: other.signature for other in ordered if other.signature is not None}
    if not signed or not references:
        return
    from scones_ml.evaluation.near_duplicates import nearest
    from scones_ml.evaluation.signatures import unpack

    judges = list(references)
    for image, row in zip(signed, nearest(unpack(signed.values()), unpack(references.values())), strict=True):
        if row >= 0:
            yield image, judges[row]
