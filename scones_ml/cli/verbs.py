"""The verbs of the life cycle but for run: stage, train, deploy, evaluate."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml import backends
from scones_ml.cli import terminal
from scones_ml.cli.options import Classes, DryRun, Html, Json, On, Seed, Threads, TimeToLive, Workspace, names, seconds
from scones_ml.cli.plans import show_plans
from scones_ml.errors import ConfigurationError
from scones_ml.plans import Run

if TYPE_CHECKING:
    from scones_ml.dataset import Dataset
    from scones_ml.evaluation import Comparison, Evaluation
    from scones_ml.labels import LabelCheck
    from scones_ml.lifecycle import Predictions

__all__ = ["deploy", "evaluate", "stage", "train"]

Source = Annotated[
    str,
    typer.Argument(
        help="A folder of class folders, a CIFAR-100 archive or its URL, a manifest, s3://bucket/prefix, or synthetic.",
        show_default=False,
    ),
]
Destination = Annotated[
    str, typer.Argument(help="The data set's folder, to be made, or s3://bucket/prefix.", show_default=False)
]
Data = Annotated[Path, typer.Argument(help="A staged data set.", show_default=False)]
Model = Annotated[Path, typer.Argument(help="A model's folder or model.tar.gz.", show_default=False)]
PerClass = Annotated[int, typer.Option("--per-class", min=1, help="How many synthetic pictures of each class.")]
ImageSize = Annotated[int, typer.Option("--image-size", min=8, help="Side that pictures are reduced to, in pixels.")]
CheckLabels = Annotated[
    bool, typer.Option("--check-labels", help="Name probable label errors and near duplicates; takes five trainings.")
]
Preset = Annotated[Literal["fast", "best"], typer.Option("--preset", help="The training recipe.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the images; the preset's otherwise.")]
TargetPrecision = Annotated[
    float, typer.Option("--target-precision", min=0.5, max=0.9999, help="What the threshold is to promise.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the network trains.")]
Init = Annotated[Path | None, typer.Option("--init", help="A model to go on from; from scratch when not given.")]
Name = Annotated[str, typer.Option("--name", help="The endpoint's name.")]
Percentage = Annotated[int, typer.Option("--capture-percentage", min=0, max=100, help="Share of requests to record.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")]
Compare = Annotated[
    Path | None, typer.Option("--compare", help="An older model: is MODEL better on the same images, beyond chance?")
]
SplitOption = Annotated[
    Literal["train", "validation", "calibration", "test"], typer.Option("--split", help="Which images.")
]


def stage(
    source: Source,
    destination: Destination,
    classes: Classes = None,
    seed: Seed = 0,
    image_size: ImageSize = 32,
    per_class: PerClass = 600,
    check_labels: CheckLabels = False,
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Check, split and hash pictures into a data set."""
    from scones_ml import dataset, lifecycle

    remote = destination.startswith("s3://")
    folder = workspace / "staged" / destination.removeprefix("s3://") if remote else Path(destination)
    plan = lifecycle.plan_stage(folder)
    if dry_run:
        show_plans([plan, *([lifecycle.plan_upload(destination, backends.region())] if remote else [])], json)
        return
    backend = backends.backend("local", workspace)
    store = backends.s3_store() if remote or source.startswith("s3://") else None
    origin = dataset.Synthetic(per_class=per_class, seed=seed, size=image_size) if source == "synthetic" else source
    with terminal.progress("stage") as progress, lifecycle.recording(backend, plan):
        result = dataset.stage(
            origin,
            folder,
            classes=names(classes),
            seed=seed,
            image_size=image_size,
            progress=progress,
            store=store,
            downloads=workspace / "downloads",
        )
    if remote and store:
        plan = lifecycle.plan_upload(destination, backends.region())
        with terminal.progress("upload") as progress, lifecycle.recording(backend, plan):
            sent = dataset.upload(result.dataset, destination, store, progress)
        terminal.say(
            f"{sent.uri}: {sent.written:,} objects written, {sent.skipped:,} were there, {sent.removed:,} removed"
        )
    check = _checked_labels(result.dataset, seed, workspace) if check_labels else None
    counts = result.dataset.counts()
    if json:
        document: dict[str, object] = {
            "classes": result.dataset.classes,
            "counts": counts,
            "hash": result.dataset.hash,
            "problems": [dataclasses.asdict(problem) for problem in result.problems],
            "ignored": result.ignored,
        }
        terminal.print_json(document | ({"label_check": dataclasses.asdict(check)} if check else {}))
        return
    rows = [(name, *(f"{counts[split][name]:,}" for split in counts)) for name in result.dataset.classes]
    terminal.print_table(("class", *counts), rows, right=tuple(counts))
    for problem in result.problems[:10]:
        terminal.say(f"left out: {problem.name}: {problem.reason}")
    if len(result.problems) > 10:
        terminal.say(f"left out: {len(result.problems) - 10} more, listed in {folder / 'dataset.json'}")
    if check:
        _show_label_check(check)
    terminal.say(f"next: scones train {folder}")


def _checked_labels(data: Dataset, seed: int, workspace: Path) -> LabelCheck:
    from scones_ml import labels

    terminal.say(f"checking labels: {labels.FOLDS} trainings, each on the pictures that the others are asked about")
    started = time.monotonic()
    with terminal.progress("labels") as progress:
        check = labels.check_labels(backends.backend("local", workspace), data, workspace, seed=seed, progress=progress)
    terminal.say(f"looked at {check.images:,} labels in {time.monotonic() - started:.0f} s; nothing was changed")
    return check


def _show_label_check(check: LabelCheck) -> None:
    terminal.out.print()
    if check.suspects:
        rows = [(found.path, found.given, found.suggested, f"{found.confidence:.3f}") for found in check.suspects]
        terminal.print_table(("probable label error", "label", "suggested", "confidence"), rows, right=("confidence",))
    else:
        terminal.out.print("no probable label errors")
    terminal.out.print()
    if check.near_duplicates:
        pairs = [
            (pair.first, pair.second, f"{pair.similarity:.3f}", "mirrored" if pair.mirrored else "")
            for pair in check.near_duplicates
        ]
        terminal.print_table(("near duplicates", "", "similarity", " "), pairs, right=("similarity",))
    else:
        terminal.out.print("no near duplicates")


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
    request = TrainingRequest(data, target, preset, seed, threads, epochs, target_precision, device, init)
    backend = backends.backend(on, workspace)
    if dry_run:
        show_plans([lifecycle.plan_train(backend, request)], json)
        return
    with terminal.progress("train") as progress:
        card = lifecycle.train(backend, request, progress)
    if json:
        terminal.print_json({"model": str(target), **card.model_dump(mode="json")})
        return
    terminal.say(str(card.threshold_choice.get("reason", "")))
    terminal.say(f"next: scones evaluate {target} {data}; scones deploy {target}")
    terminal.out.print(str(target))


def deploy(
    model: Model,
    name: Name = "scones",
    capture_percentage: Percentage = 100,
    port: Port = 0,
    ttl: TimeToLive = None,
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Serve a model behind SageMaker's own paths, until `scones cleanup`."""
    from scones_ml import lifecycle
    from scones_ml.ports import DeploymentRequest

    request = DeploymentRequest(name, model, capture_percentage, port)
    run = Run.new(None if ttl is None else timedelta(seconds=seconds(ttl, "--ttl")))
    backend = backends.backend(on, workspace, run)
    if dry_run:
        show_plans([lifecycle.plan_deploy(backend, request)], json)
        return
    endpoint = lifecycle.deploy(backend, request)
    if json:
        terminal.print_json(dataclasses.asdict(endpoint))
        return
    terminal.out.print(endpoint.url)
    terminal.say(f"captures go to {endpoint.captures}")
    terminal.say(
        f"try: aws --no-sign-request --region us-east-1 --endpoint-url {endpoint.url} sagemaker-runtime "
        f"invoke-endpoint --endpoint-name {name} --content-type image/png --body fileb://PHOTO.png /dev/stdout"
    )
    terminal.say("next: scones run PHOTO.png; scones cleanup")


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
