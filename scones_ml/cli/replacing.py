"""What is said and asked before earlier results are replaced."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from scones_ml.cli import terminal
from scones_ml.printable import printable
from scones_ml.wording import counted

__all__ = ["announce_data", "announce_demo"]


def announce_data(folder: Path, yes: bool) -> None:
    """Say which data set staging replaces; on a terminal ask first.

    Args:
        folder: the destination.
        yes: do not ask.

    Raises:
        typer.Exit: the answer was no.
    """
    from scones_ml.dataset.records import provenance

    if earlier := provenance(folder):
        terminal.say(f"{folder} will be replaced: {_described(*earlier)}")
        _ask("replace it?", yes)


def announce_demo(folder: Path, source: str, yes: bool) -> None:
    """Say which results the demo replaces; on a terminal ask first where they are of other images.

    Args:
        folder: the demo's.
        source: of the images, as ``--data`` names it.
        yes: do not ask.

    Raises:
        typer.Exit: the answer was no.
    """
    from scones_ml.dataset.records import provenance

    if earlier := provenance(folder / "data"):
        terminal.say(
            f"the results of an earlier demo in {folder} will be replaced: {_described(*earlier)}, model and report"
        )
        drawn = source == "synthetic" and earlier[0].startswith("synthetic, ")
        _ask("replace them?", yes or drawn or earlier[0] == printable(source))


def _described(source: str, images: int) -> str:
    origin = f" from {source}" if source else ""
    return f"{counted(images, 'image')}{origin}" if images else f"a data set{origin}"


def _ask(question: str, yes: bool) -> None:
    if yes or not sys.stdin or not sys.stdin.isatty():
        return
    if not typer.confirm(question, err=True):
        terminal.say("nothing was done")
        raise typer.Exit(1)
