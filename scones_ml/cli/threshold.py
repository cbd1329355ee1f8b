"""``scones threshold``: choose a new threshold for an existing model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.options import DryRun, Json, on_this_machine
from scones_ml.errors import ConfigurationError
from scones_ml.wording import share_hint

if TYPE_CHECKING:
    from scones_ml.evaluation import ThresholdChoice
    from scones_ml.lifecycle import HeldOut, Predictions

__all__ = ["threshold"]

_USUAL = 0.95  # what `scones train` promises by default, too
_FOLDS = 5  # each temperature is fitted on four fifths of few labels
_LEAST = 1e-12  # the logarithm of a probability of 0 would be no number

Model = Annotated[Path, typer.Argument(help="Model folder.", show_default=False)]
Data = Annotated[
    Path, typer.Argument(help="The model's staged data set.", show_default=False, callback=on_this_machine)
]
Precision = Annotated[
    float | None,
    typer.Option("--target-precision", help="Guaranteed precision of accepted predictions (default: 0.95)."),
]
Coverage = Annotated[float | None, typer.Option("--target-coverage", help="Share of images to accept.")]
Costs = Annotated[
    str | None,
    typer.Option("--costs", help="WRONG,REVIEW: cost of a wrong prediction and of a review, in the same unit."),
]
Confidence = Annotated[float, typer.Option("--confidence", help="Confidence level of the guarantee.")]
CrossFitted = Annotated[
    bool,
    typer.Option(
        "--cross-fitted", help="Also use the validation split, for few labels; the guarantee is then approximate."
    ),
]


def threshold(
    model: Model,
    data: Data,
    target_precision: Precision = None,
    target_coverage: Coverage = None,
    costs: Costs = None,
    confidence: Confidence = 0.95,
    cross_fitted: CrossFitted = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Choose a new threshold on images that the model was not trained on, and write it to model.json."""
    wishes = {"--target-precision": target_precision, "--target-coverage": target_coverage, "--costs": costs}
    _check([name for name, wish in wishes.items() if wish is not None], cross_fitted)
    shares = {"--target-precision": target_precision, "--target-coverage": target_coverage, "--confidence": confidence}
    for name, share in shares.items():
        if share is not None and (hint := share_hint(share)):
            raise ConfigurationError(f"{name} is {share:g}: {hint}")
    from scones_ml import lifecycle

    precision = _USUAL if target_precision is None else target_precision
    with terminal.progress("calibrate") as progress:
        judged = lifecycle.held_out(model, data, progress)
    answers = judged.predictions
    if judged.folds is None:
        _compare_data(model, data)
    if target_coverage is None and costs is None and (cross_fitted or judged.folds is not None):
        choice = _cross_fitted(model, data, judged, precision, confidence)
    else:
        choice = _chosen(answers, precision, target_coverage, costs, confidence)
    if judged.folds is not None:
        choice = choice.as_approximate()
    written = choice.threshold is not None and not dry_run
    if written:
        lifecycle.set_threshold(model, data, choice, answers)
    _show(model, data, choice, answers.threshold, written, json)
    if choice.threshold is None:
        raise typer.Exit(1)


def _chosen(
    answers: Predictions, precision: float, coverage: float | None, costs: str | None, level: float
) -> ThresholdChoice:
    from scones_ml.evaluation import choose_threshold, choose_threshold_for_costs, choose_threshold_for_coverage

    given = (answers.probabilities, answers.labels)
    if coverage is not None:
        return choose_threshold_for_coverage(*given, coverage, confidence_level=level)
    if costs is not None:
        wrong, review = _pair(costs)
        return choose_threshold_for_costs(*given, wrong_accept=wrong, review=review, confidence_level=level)
    return choose_threshold(*given, target_precision=precision, confidence_level=level)


def _compare_data(model: Path, data: Path) -> None:
    """Warn of a data set other than the model's: it may contain training images."""
    from scones_ml import dataset
    from scones_ml.inference.model import read_card

    if read_card(model).dataset_hash != dataset.load(data).hash:
        terminal.say(
            f"{model} was trained on another data set: the promise holds only if that shares no image with {data}"
        )


def _check(wishes: list[str], cross_fitted: bool) -> None:
    if len(wishes) > 1:
        raise ConfigurationError(f"{wishes[0]} and {wishes[1]} are mutually exclusive")
    if cross_fitted and wishes not in ([], ["--target-precision"]):
        raise ConfigurationError(f"--cross-fitted promises a precision: leave {wishes[0]} out")


def _pair(text: str) -> tuple[float, float]:
    try:
        wrong, review = map(float, text.split(","))
    except ValueError as exc:
        raise ConfigurationError(f"--costs {text!r}: give two numbers, WRONG,REVIEW, as in 20,1") from exc
    return wrong, review


def _cross_fitted(model: Path, data: Path, judged: HeldOut, precision: float, level: float) -> ThresholdChoice:
    """Choose from out-of-fold predictions, else from validation and calibration together."""
    import numpy as np

    from scones_ml import lifecycle
    from scones_ml.evaluation import choose_threshold_cross_fitted

    probabilities, labels, folds = judged.predictions.probabilities, judged.predictions.labels, judged.folds
    if folds is None:
        others = lifecycle.predict(model, data, "validation")
        probabilities = np.concatenate([probabilities, others.probabilities])
        labels = np.concatenate([labels, others.labels])
        folds = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    return choose_threshold_cross_fitted(
        np.log(np.maximum(probabilities, _LEAST)), labels, folds, target_precision=precision, confidence_level=level
    )


def _show(model: Path, data: Path, choice: ThresholdChoice, before: float | None, written: bool, json: bool) -> None:
    if json:
        terminal.print_json({"written": written, "before": before, **choice.to_json()})
        return
    terminal.say(choice.reason)
    had = "no threshold" if before is None else f"the threshold {before:g}"
    if written:
        terminal.say(f"{model} had {had}; endpoints and stacks keep theirs until they are deployed again")
        terminal.say_next(("evaluate", model, data), ("deploy", model))
    else:
        terminal.say(f"nothing was written: {model} keeps {had}")
        if choice.attainable_precision:
            target = f"{choice.attainable_precision:g}"
            terminal.say_next(("threshold", model, data, "--target-precision", target))
    if choice.threshold is not None:
        terminal.out.print(f"{choice.threshold:g}")
