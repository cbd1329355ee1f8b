"""The application: every verb in the order of the life cycle."""

from __future__ import annotations

from typing import Annotated

import typer

from scones_ml import __version__
from scones_ml.cli import asl, cloud, resources
from scones_ml.cli.demo import demo
from scones_ml.cli.deploy import deploy
from scones_ml.cli.doctor import doctor
from scones_ml.cli.evaluate import evaluate
from scones_ml.cli.label_next import label_next
from scones_ml.cli.monitor import monitor
from scones_ml.cli.review import review
from scones_ml.cli.run import run
from scones_ml.cli.stage import stage
from scones_ml.cli.threshold import threshold
from scones_ml.cli.train import train

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Event-driven image classification, on AWS and on this machine.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scones {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


for _verb in (
    demo,
    stage,
    train,
    deploy,
    run,
    evaluate,
    threshold,
    monitor,
    label_next,
    review,
    cloud.cost,
    cloud.package,
    doctor,
    resources.status,
    resources.cleanup,
):
    app.command()(_verb)
app.add_typer(asl.app, name="asl")
