"""The verbs of the life cycle but for stage, deploy and run: train, evaluate."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml import backends
from scones_ml.cli import terminal
from scones_ml.cli.options import DryRun, Html, Json, On, Seed, Threads, Workspace
from scones_ml.cli.plans import show_plans
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from scones_ml.evaluation import Comparison, Evaluation
    from scones_ml.lifecycle import Predictions

__all__ = ["evaluate", "train"]

_SYNTHETIC = "synthetic"
Data = Annotated[Path, typer.Argument(help="A staged data set.", show_default=False)]
Model = Annotated[Path, typer.Argument(help="A model's folder or model.tar.gz.", show_default=False)]
Preset = Annotated[Literal["fast", "best"], typer.Option("--preset", help="The training recipe.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the images; the preset's otherwise.")]
TargetPrecision = Annotated[
    float, typer.Option("--target-precision", min=0.5, max=0.9999, help="What the threshold is to promise.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the network trains.")]
Init = Annotated[
    str | None,
    typer.Option("--init", help="A model to go on from, or synthetic: one that has seen drawings only, made here."),
]
Compare = Annotated[
    Path | None, typer.Option("--compare", help="An older model: is MODEL better on the same images, beyond chance?")
]
SplitOption = Annotated[
    Literal["train", "validation", "calibration", "test"], typer.Option("--split", help="Which images.")
]


def train(
    data: Data,
    model: Annotated[Path | None, typer.Option("--model", help="Where to; WORKSPACE/model otherwise.")] = None,
    preset: Preset = "fast",
    epochs: Epochs = None,
    init: Init = None,
    seed: Seed = 0,
    threads: Threads = 1,
    target_precision: TargetPrecision = 0.95,
    device: Device = "auto",
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Train a classifier and choose its threshold."""
    from scones_ml import lifecycle
    from scones_ml.ports import TrainingRequest

    target = model or workspace / "model"
    start = None if init is None else _start(init, data, preset, workspace)
    request = TrainingRequest(data, target, preset, seed, threads, epochs, target_precision, device, start)
    backend = backends.backend(on, workspace)
    if dry_run:
        show_plans([lifecycle.plan_train(backend, request)], json)
        return
    if init == _SYNTHETIC:
        _train_on_drawings(data, preset, threads, workspace)
    elif start and lifecycle.may_have_seen(start, data):
        terminal.say(
            f"{start} was not trained on {data} or what it was grown from: if it has seen pictures that {data} judges "
            "by, temperature and threshold flatter it"
        )
    with terminal.progress("train") as progress:
        card = lifecycle.train(backend, request, progress)
    if json:
        terminal.print_json({"model": str(target), **card.model_dump(mode="json")})
        return
    terminal.say(str(card.threshold_choice.get("reason", "")))
    terminal.say(f"next: scones evaluate {target} {data}; scones deploy {target}")
    terminal.out.print(str(target))


def _start(init: str, data: Path, preset: str, workspace: Path) -> Path:
    """The model to go on from; that of drawings may still have to be made."""
    from scones_ml import dataset, labels

    if init != _SYNTHETIC:
        return Path(init)
    return labels.synthetic_folder(workspace, preset, dataset.load(data).image_size)


def _train_on_drawings(data: Path, preset: str, threads: int, workspace: Path) -> None:
    from scones_ml import dataset, labels

    backend = backends.backend("local", workspace)
    size = dataset.load(data).image_size
    with terminal.progress("drawings") as progress:
        labels.synthetic_model(backend, workspace, preset=preset, image_size=size, threads=threads, progress=progress)


def evaluate(
    model: Model,
    data: Data,
    split: SplitOption = "test",
    compare: Compare = None,
    html: Html = None,
    json: Json = False,
) -> None:
    """Compare a model's answers with the truth, each figure with its 95 % interval."""
    from scones_ml import lifecycle

    if html and split != "test":
        raise ConfigurationError(f"--html tells of the test split, not of {split}: leave --split away")
    with terminal.progress("evaluate") as progress:
        predictions = lifecycle.predict(model, data, split, progress)
    comparison = None
    if compare:
        with terminal.progress("compare") as progress:
            comparison = lifecycle.compare(lifecycle.predict(compare, data, split, progress), predictions)
    evaluation = lifecycle.evaluate(predictions)
    if html:
        _write_report(model, data, predictions, html)
    if json:
        terminal.print_json(evaluation.to_json() | ({"comparison": comparison.to_json()} if comparison else {}))
        return
    _show_evaluation(evaluation)
    if comparison:
        _show_comparison(comparison, compare)


def _write_report(model: Path, data: Path, predictions: Predictions, path: Path) -> None:
    from scones_ml import reports
    from scones_ml.evaluation import render_report

    told = reports.evaluation_report(
        model,
        data,
        predictions,
        title=" or ".join(predictions.classes),
        source=str(data),
        created=datetime.now(UTC),
    )
    page = render_report(told)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    terminal.say(f"the report is {path}")


def _show_evaluation(evaluation: Evaluation) -> None:
    rows = [("accuracy", *terminal.figure(evaluation.accuracy), f"{evaluation.correct} of {evaluation.images} images")]
    if evaluation.at_threshold:
        found = evaluation.at_threshold
        rows.append(("coverage", *terminal.figure(found.coverage), f"accepted at threshold {found.threshold:.4f}"))
        rows.append(("precision", *terminal.figure(found.precision), "of the accepted"))
    rows.append(("calibration error", *terminal.figure(evaluation.calibration_error), "confidence against truth"))
    for row in evaluation.per_class:
        rows.append((f"precision {row.name}", *terminal.figure(row.precision), f"of {row.predicted} called so"))
        rows.append((f"recall {row.name}", *terminal.figure(row.recall), f"of {row.support} that are"))
    terminal.print_table(("figure", "value", "95 % interval", ""), rows, right=("value",))
    terminal.out.print()
    confusion = [
        (f"is {name}", *map(str, counts)) for name, counts in zip(evaluation.classes, evaluation.confusion, strict=True)
    ]
    columns = ("", *(f"called {name}" for name in evaluation.classes))
    terminal.print_table(columns, confusion, right=columns[1:])


def _show_comparison(comparison: Comparison, old: Path | None) -> None:
    gain = comparison.gain
    terminal.out.print()
    terminal.out.print(f"against {old}: accuracy {gain.value:+.1%} (95 % interval {gain.low:+.1%} to {gain.high:+.1%})")
    terminal.out.print(comparison.verdict)
