"""Summary of the images that staging skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.dataset import Problem, StageResult

__all__ = ["ignored", "left_out"]

_DIGITS: Final = 7  # characters of a count: up to 999,999
_REASONS: Final = 4  # shown of each kind; all are in dataset.json


def left_out(result: StageResult, folder: Path) -> Iterator[str]:
    """Lines that list the skipped images by kind and reason.

    Args:
        result: of staging.
        folder: the data set's, for the place where all are listed.
    """
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in result.problems:
        kinds[problem.kind].append(problem)
    if kinds:
        count = len(result.problems)
        yield f"left out: {counted(count, 'image')}, listed in {folder / 'dataset.json'}"
    for kind in sorted(kinds):
        first, *others = _reasons(kinds[kind])
        yield f"{len(kinds[kind]):>{_DIGITS},}  {kind:<10}  {first}"
        yield from (f"{'':{_DIGITS}}  {'':10}  {line}" for line in others)


def ignored(result: StageResult) -> Iterator[str]:
    """Lines that count ignored files by kind, most frequent first."""
    if result.ignored:
        yield f"ignored: {result.ignored:,}"
    for kind, count in sorted(result.ignored_by_kind.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>{_DIGITS},}  {kind}"


def _reasons(problems: Sequence[Problem]) -> list[str]:
    """One line per reason with its first image and the number of others, most frequent first."""
    alike: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        alike[problem.reason].append(problem.name)
    ordered = sorted(alike.items(), key=lambda item: -len(item[1]))
    lines = [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {reason}"
        for reason, names in ordered[:_REASONS]
    ]
    rest = sum(len(names) for _, names in ordered[_REASONS:])
    return [*lines, f"and {rest:,} more"] if rest else lines
