"""What is there, and how to be rid of it: cleanup."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml import backends
from scones_ml.cli import terminal
from scones_ml.cli.options import DryRun, Json, On, Workspace
from scones_ml.cli.plans import dollars, show_plans

if TYPE_CHECKING:
    from scones_ml.lifecycle import Leftover
    from scones_ml.ports import Backend

__all__ = ["cleanup"]

RunId = Annotated[str | None, typer.Option("--run", help="Only what this run made; `scones status` names runs.")]
All = Annotated[bool, typer.Option("--all", help="Also what other workspaces made: all that bears our tag.")]


def cleanup(
    run: RunId = None,
    everything: All = False,
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Remove what our commands made, newest first, then list again to prove that nothing is left.

    Data sets, models and captures on this machine stay: they are results. What a killed command left of them goes.
    """
    from scones_ml import lifecycle

    places = _backends(on, workspace, run)
    if dry_run:
        show_plans([lifecycle.plan_cleanup(backend, run, everything) for backend in places], json)
        return
    left: list[Leftover] = []
    for backend in places:
        with terminal.progress("clean up") as progress:
            left += lifecycle.cleanup(backend, run, everything, progress=progress)
    if json:
        terminal.print_json({"resources_left": [dataclasses.asdict(leftover) for leftover in left]})
    else:
        for leftover in left:
            price = f", {dollars(leftover.dollars_per_hour)} an hour" if leftover.dollars_per_hour != 0 else ""
            reason = leftover.reason or "made again while we cleaned up"
            terminal.out.print(f"{leftover.kind} {leftover.name}{price}: {reason}")
        terminal.out.print(f"{len(left)} resources left")
    if left:
        raise typer.Exit(1)


def _backends(on: str, workspace: Path, run: str | None = None) -> list[Backend]:
    """The workspace's backend and, on this machine, that of the demo; with a run those that know it, if any does."""
    folders = [workspace, workspace / "demo"] if on == "local" else [workspace]
    found = [backends.backend(on, folder) for folder in folders]
    knowing = [backend for backend in found if any(entry.run == run for entry in backend.ledger.entries())]
    return found if run is None else knowing or found[:1]
