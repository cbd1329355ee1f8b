"""The application: every verb in the order of the life cycle, imported when it is called.

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
    """Where a verb is, and what it does.

    Attributes:
        target: ``module:name`` within this package, of a function or of an application.
        help: the first sentence of its help.
    """

    target: str
    help: str


VERBS: Final = {
    "demo": Verb("demo:demo", "The whole life cycle on this machine: stage, train, serve, run, evaluate, clean up."),
    "stage": Verb("stage:stage", "Check, split and hash images into a data set."),
    "train": Verb("train:train", "Train a classifier and choose its threshold."),
    "deploy": Verb(
        "deploy:deploy",
        "Serve a model behind SageMaker's own paths, here or on SageMaker itself, until `scones cleanup`.",
    ),
    "run": Verb("run:run", "Send images through the state machine and show where each went."),
    "evaluate": Verb(
        "evaluate:evaluate", "Compare a model's answers with the truth, each figure with its 95 % interval."
    ),
    "threshold": Verb(
        "threshold:threshold",
        "Choose another threshold by images that the model did not learn from, and write it into model.json.",
    ),
    "monitor": Verb(
        "monitor:monitor",
        "Look at captured requests: volume, classes, confidence, reviews, drift, and how often the model is right.",
    ),
    "label-next": Verb(
        "label_next:label_next",
        "Name the images whose labels would help the model most: doubtful ones, and no two alike.",
    ),
    "review": Verb(
        "review:review", "Show doubtful images on a local web page, one by one, and keep what people say of them."
    ),
    "cost": Verb("cloud:cost", "What each design costs in a month on AWS, from dated list prices; needs no account."),
    "package": Verb(
        "cloud:package", "Build the Lambda functions as the template names them, byte for byte reproducible."
    ),
    "doctor": Verb(
        "doctor:doctor",
        "Whether all is as it should be, line by line, each with its remedy; exits with 1 when something is wrong.",
    ),
    "status": Verb("resources:status", "What exists now, since when, until when, and what it costs."),
    "cleanup": Verb(
        "resources:cleanup",
        "Remove what our commands made, newest first, then list again to prove that nothing is left.",
    ),
    "asl": Verb("asl:app", "Run, validate and draw any Amazon States Language definition."),
}


class _Commands(Mapping[str, Any]):
    """The verbs as typer's commands, each made when it is asked for."""

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
    """The group of all verbs; names and help lines come from the table."""

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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass
