"""The application: all verbs in life-cycle order, each imported on use.

``scones --help`` needs this table alone: importing sixteen verbs to name one of them is most of what a command waits
for. A test holds the lines of the table against the verbs' own docstrings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.main import get_command

from scones_ml import __version__
from scones_ml.cli.help import Group, VerbCommand

__all__ = ["VERBS", "Verb", "app"]


class Verb(NamedTuple):
    """A verb's import path and help line.

    Attributes:
        target: ``module:name`` within this package, of a function or of an application.
        help: the first sentence of its help.
    """

    target: str
    help: str


VERBS: Final = {
    "demo": Verb(
        "demo:demo", "Run the whole life cycle on this machine: stage, train, deploy, run, evaluate, clean up."
    ),
    "stage": Verb("stage:stage", "Stage images as a data set: check, split and hash them."),
    "train": Verb("train:train", "Train a classifier and choose its threshold."),
    "deploy": Verb(
        "deploy:deploy",
        "Deploy a model to an endpoint, on this machine or on SageMaker, until `scones cleanup`.",
    ),
    "run": Verb("run:run", "Classify images through the workflow and show each outcome."),
    "evaluate": Verb("evaluate:evaluate", "Evaluate a model on labelled images, with 95 % intervals."),
    "threshold": Verb(
        "threshold:threshold",
        "Choose a new threshold on images that the model was not trained on, and write it to model.json.",
    ),
    "monitor": Verb(
        "monitor:monitor",
        "Monitor captured requests: volume, classes, confidence, reviews, drift and estimated accuracy.",
    ),
    "label-next": Verb(
        "label_next:label_next",
        "Suggest the images to label next: uncertain and diverse ones.",
    ),
    "review": Verb("review:review", "Review low-confidence images on a local web page and save the answers."),
    "cost": Verb(
        "cloud:cost", "Estimate the monthly AWS cost of each design from dated list prices; needs no account."
    ),
    "package": Verb("cloud:package", "Build reproducible Lambda packages, named as in the template."),
    "doctor": Verb(
        "doctor:doctor",
        "Check this machine or account, with a remedy per problem; exit code 1 on a problem.",
    ),
    "status": Verb("resources:status", "List existing resources with age, lifetime and cost."),
    "cleanup": Verb(
        "resources:cleanup",
        "Remove everything that our commands created, newest first, then verify that nothing is left.",
    ),
    "asl": Verb("asl:app", "Run, validate and draw any Amazon States Language definition."),
}


class _Commands(Mapping[str, Any]):
    """Typer commands, created on first access."""

    def __getitem__(self, name: str) -> Any:
        module, attribute = VERBS[name].target.split(":")
        target = getattr(import_module(f"scones_ml.cli.{module}"), attribute)
        if isinstance(target, typer.Typer):
            return get_command(target)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=VerbCommand)(target)
        return get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class _Verbs(Group):
    """Group of all verbs; names and help lines come from the table."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]  # nobody adds to it

    def help_lines(self) -> Iterator[tuple[str, str]]:
        return ((name, verb.help) for name, verb in VERBS.items())


app = typer.Typer(
    cls=_Verbs,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
    help="Event-driven image classification, on AWS and on this machine.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scones {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
