"""``scones demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml import __version__
from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.no_threshold import warn_of_no_threshold
from scones_ml.cli.options import Classes, DryRun, ImageSize, Json, Seed, Threads, Workspace, names
from scones_ml.cli.plans import dollars, show_plans
from scones_ml.cost.prices import price_table
from scones_ml.ports import RealTime

if TYPE_CHECKING:
    from scones_ml.lifecycle.demo import DemoResult

__all__ = ["demo"]

Data = Annotated[str, typer.Option("--data", help="Folder of class folders, or `synthetic` for drawn images.")]


def demo(
    context: typer.Context,
    data: Data = "synthetic",
    classes: Classes = None,
    seed: Seed = 0,
    threads: Threads = 1,
    image_size: ImageSize = None,
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Run the whole life cycle on this machine: stage, train, deploy, run, evaluate, clean up."""
    if not dry_run:
        what = "drawn bicycles and motorcycles" if data == "synthetic" else data
        terminal.say(f"scones {__version__} · {what}, from images to proof, on this machine", "bold")
        terminal.say()
    from scones_ml.lifecycle.demo import DemoRequest, plan_demo, run_demo

    folder = workspace / "demo"
    request = DemoRequest(
        folder=folder,
        source=None if data == "synthetic" else Path(data),
        classes=names(classes),
        seed=seed,
        threads=threads,
        image_size=image_size,
    )
    backend = backends_of(context).backend("local", folder)
    if dry_run:
        show_plans([plan_demo(backend, request)], json)
        return
    result = run_demo(backend, request, terminal.StageLines())
    warn_of_no_threshold(folder / "model", str(folder / "data"))
    if json:
        terminal.print_json(result.to_json())
    else:
        _show(result, folder)


def _show(result: DemoResult, folder: Path) -> None:
    evaluation, acceptance = result.evaluation, result.evaluation.at_threshold
    rows = [("accuracy", *terminal.figure(evaluation.accuracy), "of all test images")]
    if acceptance:
        rows.append(
            ("coverage", *terminal.figure(acceptance.coverage), f"accepted at threshold {acceptance.threshold:.4f}")
        )
        rows.append(("precision", *terminal.figure(acceptance.precision), "of the accepted are right"))
    terminal.say()
    terminal.print_table(("figure", "value", "95 % interval", ""), rows, right=("value",))
    terminal.out.print()
    terminal.out.print(f"report     {folder / 'report.html'}")
    terminal.out.print(f"left over  {len(result.remaining)} resources")
    instance = RealTime().instance_type
    price = price_table().instances[instance]
    terminal.out.print(
        f"cost       nothing here; an endpoint on AWS, one {instance}, is {dollars(price.dollars)} an hour "
        f"(list price of {price.date})"
    )
    terminal.out.print()
    terminal.out.print("next")
    commands = {
        f"scones run --model {folder}/model YOUR_PHOTO.jpg": "classify your own",
        f"scones evaluate {folder}/model {folder}/data": "every figure with its interval",
        f"scones deploy {folder}/model": "serve it until `scones cleanup`",
    }
    width = max(map(len, commands))
    for command, what in commands.items():
        terminal.out.print(f"  {command:<{width}}   {what}")
