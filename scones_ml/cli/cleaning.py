"""Announcement and confirmation before cleanup removes anything."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from scones_ml.cli import terminal
from scones_ml.errors import ConfigurationError
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.lifecycle import Takings
    from scones_ml.ports import Backend

__all__ = ["adopt", "announce", "in_words"]


def announce(taken: Sequence[Takings], yes: bool) -> None:
    """Print what will be removed; ask first when images await review.

    Args:
        taken: by place.
        yes: do not ask.

    Raises:
        ConfigurationError: nobody can be asked.
        typer.Exit: the answer was no.
    """
    if not (words := in_words(taken)):
        return
    terminal.say(f"cleanup removes {words}")
    if yes or all(one.unreviewed == 0 for one in taken):
        return
    known = sum(one.unreviewed or 0 for one in taken)
    what = f"{counted(known, 'image')} not reviewed yet" if known else "images that wait for review cannot be counted"
    what += " (answers in files of --answers are not counted)"
    _ask(f"{what}: `scones review` shows what waits; --yes removes it anyway", "remove it anyway?", yes)


def adopt(places: Sequence[Backend], yes: bool) -> None:
    """List what cleanup would remove from unmarked workspaces, ask, and mark them.

    Args:
        places: the workspaces.
        yes: do not ask.

    Raises:
        ConfigurationError: nobody can be asked, or one cannot be marked.
        typer.Exit: the answer was no.
    """
    from scones_ml import lifecycle

    plans = {backend: lifecycle.plan_cleanup(backend) for backend in places if backend.inventory.refusal()}
    unmarked = {one: plan for one, plan in plans.items() if plan.changes or one.ledger.path.exists()}
    if not unmarked:
        terminal.out.print("nothing to adopt: every workspace here has our marker")
        return
    for backend, plan in unmarked.items():
        terminal.out.print(f"{backend.ledger.path.parent}: cleanup would take {len(plan.changes):,}")
        for change in plan.changes:
            terminal.out.print(f"  {change.kind} {change.name}")
    _ask("--adopt marks this as ours to remove: without a terminal, confirm with --yes", "is all this ours?", yes)
    for backend in unmarked:
        lifecycle.adopt(backend)
        terminal.say(f"{backend.ledger.path.parent} is marked as ours now")
    terminal.say_next(("cleanup",))


def in_words(taken: Sequence[Takings]) -> str:
    """``"1 endpoint, 280 images, 100 of them not reviewed yet"``; empty when nothing is taken.

    Images of a folder that was run in bulk are not in the store: ``"1 image, outcomes of 4 not reviewed yet"``.
    """
    kinds: Counter[str] = sum((Counter(one.kinds) for one in taken), Counter())
    images, unreviewed = sum(one.images for one in taken), sum(one.unreviewed or 0 for one in taken)
    outcomes = sum(one.outcomes for one in taken)
    words = [counted(count, kind) for kind, count in sorted(kinds.items())]
    words += [counted(images, "image")] if images else []
    words += [counted(outcomes, "outcome")] if outcomes else []
    waiting = f"{unreviewed:,} of them" if unreviewed <= max(images, outcomes) else f"outcomes of {unreviewed:,}"
    return ", ".join([*words, f"{waiting} not reviewed yet"] if unreviewed else words)


def _ask(refusal: str, question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin or not sys.stdin.isatty():
        raise ConfigurationError(refusal)
    if not typer.confirm(question, err=True):
        terminal.say("nothing was done")
        raise typer.Exit(1)
