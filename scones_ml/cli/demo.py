"""``scones demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml import __version__
from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.invocation import as_typed, command
from scones_ml.cli.no_threshold import warn_of_no_threshold
from scones_ml.cli.options import Classes, DryRun, ImageSize, Json, Seed, Threads, Workspace, Yes, names
from scones_ml.cli.plans import dollars, show_plans
from scones_ml.cli.replacing import announce_demo
from scones_ml.cost.prices import price_table
from scones_ml.ports import RealTime
from scones_ml.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scones_ml.lifecycle.demo import DemoResult

__all__ = ["demo"]

_WIDE = 110  # columns, where there is no terminal

Data = Annotated[str, typer.Option("--data", help="Folder of class folders, or `synthetic` for drawn images.")]


def demo(
    context: typer.Context,
    data: Data = "synthetic",
    classes: Classes = None,
    seed: Seed = 0,
    threads: Threads = 1,
    image_size: ImageSize = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Run the whole life cycle on this machine: stage, train, deploy, run, evaluate, clean up."""
    drawn = data == "synthetic"
    if not dry_run:
        what = "drawn bicycles and motorcycles" if drawn else data
        terminal.say(f"scones {__version__} · the life cycle on this machine, with {what}", "bold")
        terminal.say()
    from scones_ml.lifecycle.demo import DemoRequest, plan_demo, run_demo

    folder = workspace / "demo"
    request = DemoRequest(
        folder=folder,
        source=None if drawn else Path(data),
        classes=names(classes),
        seed=seed,
        threads=threads,
        image_size=image_size,
    )
    backend = backends_of(context).backend("local", folder)
    if dry_run:
        show_plans([plan_demo(backend, request)], json)
        return
    announce_demo(folder, data, yes)
    result = run_demo(backend, request, terminal.StageLines())
    warn_of_no_threshold(folder / "model", str(folder / "data"))
    if json:
        terminal.print_json(result.to_json())
    else:
        _show(result, folder, drawn)


def _show(result: DemoResult, folder: Path, drawn: bool) -> None:
    evaluation, acceptance = result.evaluation, result.evaluation.at_threshold
    images = "drawn test images" if drawn else "test images"
    rows = [("accuracy", *terminal.figure(evaluation.accuracy), f"of all {images}")]
    if acceptance:
        rows.append(
            ("coverage", *terminal.figure(acceptance.coverage), f"accepted at threshold {acceptance.threshold:.4f}")
        )
        rows.append(("precision", *terminal.figure(acceptance.precision), "of the accepted are right"))
    terminal.say()
    terminal.print_table(("figure", "value", "95 % interval", ""), rows, right=("value",))
    if drawn:
        terminal.out.print("drawn images only: these figures say nothing about photographs")
    terminal.out.print()
    terminal.out.print("report     ", str(folder / "report.html"))
    terminal.out.print("left over  ", counted(len(result.remaining), "resource"))
    terminal.out.print("cost       ", _cost(), hang=len("cost       "))
    terminal.out.print()
    _show_next(folder, drawn)


def _cost() -> str:
    instance, prices = RealTime().instance_type, price_table()
    return (
        f"none on this machine; an endpoint on AWS, one {instance}, {dollars(prices.instance(instance))} an hour "
        f"(list prices as of {prices.as_of})"
    )


def _show_next(folder: Path, drawn: bool) -> None:
    model, data = folder / "model", folder / "data"
    image = min((data / "test").rglob("*.png"))
    _show_commands(
        "next",
        {
            ("run", "--model", model, image): "classify an image: any file, or a folder of them",
            ("evaluate", model, data): "every figure with its interval",
            ("deploy", model): "serve the model until `scones cleanup`",
        },
    )
    if drawn:
        terminal.out.print()
        _show_commands(
            "with photographs of your own, in PHOTOS/CLASS/*.jpg",
            {
                ("demo", "--data", "PHOTOS"): "all of this again, with them (`make demo DATA=PHOTOS`)",
                ("stage", "PHOTOS", "data"): "or step by step: check and split them,",
                ("train", "data"): "then train a model that knows them",
            },
        )


def _show_commands(heading: str, explained: Mapping[tuple[object, ...], str]) -> None:
    """Commands with explanations: beside them where there is room, else above, so that no command is split."""
    terminal.out.print(heading)
    lines = {command(*arguments): as_typed(what) for arguments, what in explained.items()}
    width = max(map(len, lines))
    beside = width + max(map(len, lines.values())) + 5 <= (terminal.out.columns or _WIDE)
    for line, what in lines.items():
        if beside:
            terminal.out.print_whole(f"  {line:<{width}}   {what}")
        else:
            terminal.out.print((f"  # {what}", "dim"))
            terminal.out.print_whole(f"  {line}")
