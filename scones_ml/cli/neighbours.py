"""Other workspaces nearby: a command in the wrong folder looks as if nothing were there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from scones_ml.errors import ConfigurationError

__all__ = ["Neighbour", "neighbours"]

_MOST: Final = 1_000  # folders that are looked into


class Neighbour(NamedTuple):
    """Another workspace.

    Attributes:
        folder: where it is, from the current folder.
        resources: how many it has on record, those of its demo included.
    """

    folder: Path
    resources: int


def neighbours(workspace: Path) -> Iterator[Neighbour]:
    """Workspaces of the same name in the folders above and beside this one's, where something is on record.

    Args:
        workspace: the one that was asked about.
    """
    here = workspace.absolute().parent
    for folder in (*here.parents, *_beside(here), *_within(here)):
        found = folder / workspace.name
        if found.is_dir() and not (found.is_symlink() or folder.is_symlink()) and (count := _recorded(found)):
            yield Neighbour(Path(os.path.relpath(found)), count)


def _beside(here: Path) -> Iterator[Path]:
    return (folder for folder in _within(here.parent) if folder != here)


def _within(folder: Path) -> Iterator[Path]:
    try:
        return iter(sorted(itertools.islice(folder.iterdir(), _MOST)))
    except OSError:
        return iter(())


def _recorded(workspace: Path) -> int:
    from scones_ml.plans import Ledger

    try:
        return sum(len(Ledger(place / "ledger.jsonl").resources()) for place in (workspace, workspace / "demo"))
    except (ConfigurationError, OSError):  # not ours, or of another version
        return 0
