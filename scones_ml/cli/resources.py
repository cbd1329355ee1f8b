"""``scones status`` and ``scones cleanup``."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from scones_ml.cli import cleaning, terminal
from scones_ml.cli.context import Backends, backends_of
from scones_ml.cli.neighbours import neighbours
from scones_ml.cli.options import DryRun, Json, On, Workspace, span
from scones_ml.cli.plans import cost_line, dollars, prices_as_of, show_plans
from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.lifecycle import RemainingResource
    from scones_ml.plans import Resource
    from scones_ml.ports import Backend, LeftAlone

__all__ = ["cleanup", "status"]

_MOST_NEIGHBOURS = 3  # workspaces nearby that `status` names
Done = TypeVar("Done")

RunId = Annotated[
    str | None, typer.Option("--run", help="Remove only what this run created; `scones status` lists runs.")
]
All = Annotated[
    bool,
    typer.Option("--all", help="Include other workspaces: on AWS, everything with the project's tag, and the stack."),
]
Adopt = Annotated[
    bool,
    typer.Option("--adopt", help="Adopt a workspace of version 0.1.0: list what cleanup would remove, then mark it."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation, even if images await review.")]


def cleanup(
    context: typer.Context,
    run: RunId = None,
    everything: All = False,
    adopt: Adopt = False,
    yes: Yes = False,
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Remove everything that our commands created, newest first, then verify that nothing is left.

    Data sets, models and captures on this machine stay, since they are results; unfinished ones of killed commands go.
    """
    from scones_ml import lifecycle

    linked = workspace.is_symlink()  # nothing is removed through a link, so neither from the folder of the demo
    places = _backends(backends_of(context), on, workspace, run)[: 1 if linked else None]
    if adopt:
        if on == "aws":
            raise ConfigurationError(
                "--adopt marks a folder of this machine: on AWS each resource has our tag or marker"
            )
        cleaning.adopt(places, yes)
        return
    if dry_run:
        alone: list[LeftAlone] = []
        foreseen = [lifecycle.plan_cleanup(backend, run, everything, alone.append) for backend in places]
        show_plans(foreseen, json, [str(backend.ledger.path.parent) for backend in places])
        if on == "aws" and not everything:
            terminal.say("from this workspace's record; each is deleted only if AWS confirms that it is ours")
        _say_what_stays(alone)
        return
    plans = _each(places, lambda backend: lifecycle.plan_cleanup(backend, run, everything), [])
    taken = [lifecycle.takings(backend, plan) for backend, plan in plans if not backend.inventory.refusal()]
    cleaning.announce(taken, yes)
    refused: list[SconesError] = []
    with terminal.progress("clean up") as progress:

        def clean(backend: Backend) -> Sequence[RemainingResource]:
            return lifecycle.cleanup(backend, run, everything, progress=progress, steps=terminal.say)

        left = [leftover for _, found in _each(places, clean, refused) for leftover in found]
    _say_what_is_left(left, refused, json)
    if refused:
        raise refused[0]
    if not json:
        _say_what_may_be_missed(places)
        if on == "aws" and not everything:
            terminal.say(
                "from this workspace's record; --all also finds everything on AWS with our tag, the stack included"
            )
    if left:
        raise typer.Exit(1)


def _each(
    places: Sequence[Backend], act: Callable[[Backend], Done], refused: list[SconesError]
) -> list[tuple[Backend, Done]]:
    """Act in each place; a failure in one does not stop the others."""
    done = []
    for backend in places:
        try:
            done.append((backend, act(backend)))
        except SconesError as exc:
            refused.append(exc)
    return done


def _say_what_is_left(left: Sequence[RemainingResource], refused: Sequence[SconesError], json: bool) -> None:
    if json:
        terminal.print_json({"resources_left": [dataclasses.asdict(leftover) for leftover in left]})
        return
    for leftover in left:
        price = f", {dollars(leftover.dollars_per_hour)} an hour" if leftover.dollars_per_hour != 0 else ""
        reason = leftover.reason or "made again while we cleaned up"
        terminal.out.print(f"{leftover.kind} {leftover.name}{price}: {reason}")
    if left or not refused:  # a place that refuses cannot be counted
        terminal.out.print(f"{counted(len(left), 'resource')} left")


def status(
    context: typer.Context,
    everything: All = False,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """List existing resources with age, lifetime and cost."""
    from scones_ml import lifecycle

    now = datetime.now(UTC)
    rows: list[Resource] = []
    dead: list[Resource] = []
    so_far = 0.0
    places = _backends(backends_of(context), on, workspace)
    alone: list[LeftAlone] = []
    for backend in places:
        found = lifecycle.resources(backend, everything, alone.append)
        rows += found
        if on == "local":
            running = backend.deployer.running()
            dead += [row for row in found if row.kind == "endpoint" and row.name not in running]
        so_far += lifecycle.spent(backend, now)
        place = backend.place_name
    per_hour = (
        None if any(row.dollars_per_hour is None for row in rows) else sum(row.dollars_per_hour or 0 for row in rows)
    )
    if json:
        terminal.print_json(
            {
                "place": place,
                "resources": [_document(row, now) for row in rows],
                "dollars_per_hour": per_hour,
                "dollars_so_far": so_far,
                "prices_as_of": prices_as_of(place),
                "other_workspaces": {str(one.folder): one.resources for one in neighbours(workspace)},
            }
        )
        _say_what_stays(alone)
        return
    if not rows and not all(one.foreign for one in alone):
        terminal.out.print("no other resources")
    elif not rows:
        terminal.out.print("no resources")
    else:
        cells = [_cells(row, now, row in dead) for row in rows]
        columns = ["what", "name", "state", "for", "until", "an hour", "so far", "run"]
        if place == "local":  # costs nothing
            columns, cells = columns[:5] + columns[7:], [row[:5] + row[7:] for row in cells]
        terminal.print_table(columns, cells, right=("an hour", "so far"))
        terminal.out.print(cost_line(per_hour, place))
    if so_far:
        terminal.out.print(
            f"{dollars(round(so_far, 4))} so far, from this workspace's record, deleted resources included"
        )
    _say_what_may_be_missed(places)
    if on == "local":
        _say_what_was_not_captured(places)
    _name_other_workspaces(workspace)
    _say_what_stays(alone)


def _name_other_workspaces(workspace: Path) -> None:
    others = list(neighbours(workspace))
    for one in others[:_MOST_NEIGHBOURS]:
        count = counted(one.resources, "resource")
        terminal.say(
            f"another workspace has {count} on record: `scones status --workspace {shlex.quote(str(one.folder))}`"
        )
    if len(others) > _MOST_NEIGHBOURS:
        terminal.say(f"{counted(len(others) - _MOST_NEIGHBOURS, 'more workspace')} nearby: see `scones status --json`")


def _say_what_was_not_captured(places: Sequence[Backend]) -> None:
    """The latest loss of each workspace's captures, and the command that counts all."""
    from scones_ml import lifecycle

    for backend in places:
        if loss := next(lifecycle.not_captured(backend), None):
            terminal.say(f"{loss}; all of them: scones monitor {shlex.quote(backend.captures)}")


def _say_what_stays(alone: Sequence[LeftAlone]) -> None:
    """Print what cleanup leaves and why; exit code 1 when it may be ours or could not be inspected."""
    for one in dict.fromkeys(alone):
        terminal.say(f"{one.kind} {one.name} is kept: {one.reason}")
    if not all(one.foreign for one in alone):
        raise typer.Exit(1)


def _cells(row: Resource, now: datetime, dead: bool) -> list[str]:
    state = {"created": "there", "creating": "unfinished", "deleting": "half deleted"}.get(row.state, row.state)
    state = "not running" if dead and row.state == "created" else state
    until = "" if row.expires is None else f"in {span(row.expires - now)}" if row.expires > now else "overdue"
    cost = row.dollars_so_far(now)
    return [
        *(row.kind, row.name, state, span(now - row.since), until),
        *(dollars(row.dollars_per_hour), dollars(None if cost is None else round(cost, 4)), row.run),
    ]


def _document(row: Resource, now: datetime) -> dict[str, object]:
    return {
        **dataclasses.asdict(row),
        "since": row.since.isoformat(),
        "expires": row.expires and row.expires.isoformat(),
        "dollars_so_far": row.dollars_so_far(now),
    }


def _say_what_may_be_missed(places: Sequence[Backend]) -> None:
    """Warn of resources on AWS and of unreadable ledger lines."""
    here = places[0].place_name
    elsewhere = Counter(one.place for backend in places for one in backend.ledger.resources() if one.place != here)
    for place, count in elsewhere.items():
        if place != "local":
            region = place.removeprefix("aws:")
            terminal.say(
                f"{count} more on record in {region}: scones status --on aws, with AWS_DEFAULT_REGION={region}"
            )
    for ledger in (backend.ledger for backend in places):
        if count := ledger.unreadable():
            terminal.say(
                f"{ledger.path}: {count:,} {'line says' if count == 1 else 'lines say'} nothing, harmless if a command "
                "was killed there; if the file was damaged, --on aws --all asks AWS itself for everything with our tag"
            )


def _backends(backends: Backends, on: str, workspace: Path, run: str | None = None) -> list[Backend]:
    """Backends of the workspace and the local demo; with a run, those that know it."""
    folders = [workspace, workspace / "demo"] if on == "local" else [workspace]
    found = [backends.backend(on, folder) for folder in folders]
    if run is None:
        return found
    knowing = [backend for backend in found if any(entry.run == run for entry in backend.ledger.entries())]
    return knowing or found[:1]
