"""``scones evaluate``."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.cli import terminal
from scones_ml.cli.fitting import shortened
from scones_ml.cli.options import Html, Json, Workspace, on_this_machine
from scones_ml.errors import ConfigurationError
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.evaluation import Comparison, Evaluation
    from scones_ml.lifecycle import Predictions

__all__ = ["evaluate"]

_CORNER = "true \\ predicted"
_GAP = 3  # blanks between columns
_SHORTEST = 5  # columns of a name
_MATRIX_CLASSES = 6  # of more, a terminal shows the most confused pairs
_FEW_CLASSES = 4  # of which a terminal shows all figures, and the table of what is taken for what
_MOST_LINES = 12

Data = Annotated[Path, typer.Argument(help="Staged data set.", show_default=False, callback=on_this_machine)]
Model = Annotated[Path, typer.Argument(help="Model folder or model.tar.gz.", show_default=False)]
Compare = Annotated[
    Path | None,
    typer.Option("--compare", help="Second model: test on the same images whether MODEL is significantly better."),
]
SplitOption = Annotated[
    Literal["train", "validation", "calibration", "test"], typer.Option("--split", help="Split to evaluate on.")
]


def evaluate(
    model: Model,
    data: Data,
    split: SplitOption = "test",
    compare: Compare = None,
    html: Html = None,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Evaluate a model on labelled images, with 95 % intervals."""
    from scones_ml import lifecycle

    if html and split != "test":
        raise ConfigurationError(f"--html tells of the test split, not of {split}: leave --split out")
    with terminal.progress("evaluate") as progress:
        predictions = lifecycle.predict(model, data, split, progress)
    _warn_of_learned(model, data, split)
    comparison = None
    if compare:
        with terminal.progress("compare") as progress:
            comparison = lifecycle.compare(lifecycle.predict(compare, data, split, progress), predictions)
    evaluation = lifecycle.evaluate(predictions)
    if html:
        _write_report(model, data, predictions, (str(compare), comparison) if comparison else None, html, workspace)
    if json:
        terminal.print_json(evaluation.to_json() | ({"comparison": comparison.to_json()} if comparison else {}))
        return
    _show_evaluation(evaluation)
    if comparison:
        _show_comparison(comparison, compare)


def _warn_of_learned(model: Path, data: Path, split: str) -> None:
    from scones_ml import dataset
    from scones_ml.inference.model import read_card

    card = read_card(model)
    if split in card.trained_on and card.dataset_hash == dataset.load(data).hash:
        terminal.say(f"{model} was trained on the {split} images: these figures are too optimistic")


def _write_report(
    model: Path,
    data: Path,
    predictions: Predictions,
    comparison: tuple[str, Comparison] | None,
    path: Path,
    workspace: Path,
) -> None:
    from scones_ml.lifecycle.report_data import evaluation_report
    from scones_ml.reports.evaluation_report import render_report

    many = len(predictions.classes) > _FEW_CLASSES
    with terminal.progress("features") as progress:
        told = evaluation_report(
            model,
            data,
            predictions,
            title=f"{len(predictions.classes):,} classes of {data.name}" if many else " or ".join(predictions.classes),
            source=str(data),
            created=datetime.now(UTC),
            workspace=workspace,
            progress=progress,
        )
    page = render_report(replace(told, comparison=comparison))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    terminal.say(f"the report is {path}")


def _show_evaluation(evaluation: Evaluation) -> None:
    rows = [
        (
            "accuracy",
            *terminal.figure(evaluation.accuracy),
            f"{evaluation.correct:,} of {counted(evaluation.images, 'image')}",
        )
    ]
    if evaluation.at_threshold:
        found = evaluation.at_threshold
        rows.append(("coverage", *terminal.figure(found.coverage), f"accepted at threshold {found.threshold:.4f}"))
        rows.append(("precision", *terminal.figure(found.precision), "of the accepted"))
    if evaluation.unlike.value:
        rows.append(("unlike", *terminal.figure(evaluation.unlike), "of the images, unlike the training images"))
    rows.append(("calibration error", *terminal.figure(evaluation.calibration_error), "confidence against truth"))
    many = len(evaluation.classes) > _FEW_CLASSES
    for row in () if many else evaluation.per_class:
        rows.append(
            (f"precision {row.name}", *terminal.figure(row.precision), f"of {counted(row.predicted, 'prediction')}")
        )
        rows.append((f"recall {row.name}", *terminal.figure(row.recall), f"of {counted(row.support, 'image')}"))
    terminal.print_table(("figure", "value", "95 % interval", ""), rows, right=("value",))
    terminal.out.print()
    if many:
        _show_classes(evaluation)
    if len(evaluation.classes) > _MATRIX_CLASSES:
        _show_confusions(evaluation)
    else:
        _show_matrix(evaluation)


def _show_matrix(evaluation: Evaluation) -> None:
    """Print the confusion matrix; on a terminal names are shortened to fit."""
    names = list(evaluation.classes)
    if columns := terminal.out.columns:
        room = (columns - len(_CORNER)) // len(names) - _GAP
        names = [shortened(name, max(room, _SHORTEST)) for name in names]
    rows = [
        (name, *(f"{count:,}" for count in counts)) for name, counts in zip(names, evaluation.confusion, strict=True)
    ]
    terminal.print_table((_CORNER, *names), rows, right=names)


def _show_classes(evaluation: Evaluation) -> None:
    """Print a line per class, hardest first; only the hardest of many."""
    shown = evaluation.hardest_classes()[:_MOST_LINES]
    rows = [
        (row.name, str(row.support), *terminal.figure(row.recall), *terminal.figure(row.precision)) for row in shown
    ]
    columns = ("class", "images", "recall", "95 % interval", "precision", "95 % interval ")
    terminal.print_table(columns, rows, right=("images", "recall", "precision"))
    if rest := len(evaluation.classes) - len(shown):
        terminal.out.print(
            (
                f"the hardest of {len(evaluation.classes):,}; {counted(rest, 'more class', 'more classes')}: "
                "see --json",
                "dim",
            )
        )
    terminal.out.print()


def _show_confusions(evaluation: Evaluation) -> None:
    """Print the most confused pairs of classes."""
    pairs = evaluation.confused_pairs()
    if not pairs:
        terminal.out.print("no image is predicted as another class")
        return
    supports = {row.name: row.support for row in evaluation.per_class}
    rows = [(pair.truth, pair.answer, f"{pair.images:,} of {supports[pair.truth]:,}") for pair in pairs[:_MOST_LINES]]
    terminal.print_table(("true class", "predicted", "images"), rows, right=("images",))
    if rest := len(pairs) - len(rows):
        terminal.out.print((f"the most frequent; {counted(rest, 'more pair')}: see --json", "dim"))


def _show_comparison(comparison: Comparison, old: Path | None) -> None:
    value, low, high = (100 * figure for figure in (comparison.gain.value, comparison.gain.low, comparison.gain.high))
    terminal.out.print()
    terminal.out.print(f"against {old}: accuracy {value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})")
    terminal.out.print(comparison.verdict)
