"""``scones train``: train on this machine or as a SageMaker job."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import DryRun, Json, On, Seed, Threads, TimeToLive, Workspace, new_run, on_this_machine
from scones_ml.cli.plans import show_plans
from scones_ml.errors import ConfigurationError
from scones_ml.ports import TrainingRequest

if TYPE_CHECKING:
    from scones_ml.inference.model import ModelCard
    from scones_ml.ports import Backend

__all__ = ["train"]

_SYNTHETIC = "synthetic"
Data = Annotated[Path | None, typer.Argument(help="Staged data set.", show_default=False, callback=on_this_machine)]
Model = Annotated[Path | None, typer.Option("--model", help="Output folder (default: WORKSPACE/model).")]
RecipeName = Annotated[
    Literal["auto", "head", "scratch"],
    typer.Option(
        "--recipe",
        help="head: classifier on a pretrained backbone, for photographs; scratch: small network trained from "
        "scratch, for thumbnails (needs the extra train); auto: chosen by image size.",
    ),
]
FitName = Annotated[
    Literal["crop", "pad", "stretch"],
    typer.Option("--fit", help="How images are made square: centre crop, pad with white, or stretch."),
]
BackboneFile = Annotated[
    Path | None,
    typer.Option("--backbone", help="Backbone of the recipe head: an ONNX file, see docs/backbones.md."),
]
Preset = Annotated[
    Literal["fast", "best"] | None, typer.Option("--preset", help="Size of the recipe scratch (default: fast).")
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, help="Epochs of the recipe scratch."),
]
Init = Annotated[
    str | None,
    typer.Option("--init", help="Base model to continue from, or `synthetic`: one pretrained here on drawn images."),
]
TargetPrecision = Annotated[
    float, typer.Option("--target-precision", min=0.5, max=0.9999, help="Precision that the threshold guarantees.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to train on.")]
InstanceType = Annotated[
    str | None,
    typer.Option(
        "--instance-type", help="Instance type on AWS (default: ml.m5.xlarge for head, ml.g4dn.xlarge for scratch)."
    ),
]
SpotCapacity = Annotated[
    bool, typer.Option("--spot", help="Use spot instances: cheaper, may be interrupted, then resumed.")
]
MaxHours = Annotated[
    float, typer.Option("--max-hours", min=0.1, help="Maximum training time, in hours, before AWS stops the job.")
]
Attach = Annotated[
    str | None, typer.Option("--attach", metavar="JOB", help="Follow a training job on AWS that was started earlier.")
]


def train(
    context: typer.Context,
    data: Data = None,
    model: Model = None,
    recipe: RecipeName = "auto",
    fit: FitName = "crop",
    backbone: BackboneFile = None,
    preset: Preset = None,
    epochs: Epochs = None,
    init: Init = None,
    seed: Seed = 0,
    threads: Threads = 1,
    target_precision: TargetPrecision = 0.95,
    device: Device = "auto",
    ttl: TimeToLive = None,
    on: On = "local",
    instance_type: InstanceType = None,
    spot: SpotCapacity = False,
    max_hours: MaxHours = 1.0,
    attach: Attach = None,
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Train a classifier and choose its threshold."""
    from scones_ml import lifecycle

    if on == "local" and (instance_type or spot or attach):
        raise ConfigurationError("--instance-type, --spot and --attach are only for AWS: add --on aws")
    target = model or workspace / "model"
    backends = backends_of(context)
    backend = (backends.planner if dry_run else backends.backend)(on, workspace, new_run(ttl))
    if attach:
        with terminal.progress("train") as progress:
            card = lifecycle.attach(backend, attach, target, progress, terminal.say)
        _show(card, target, data, json)
        return
    if data is None:
        raise ConfigurationError("no data set is given: scones train DATA, a folder that `scones stage` has made")
    request = TrainingRequest(
        data=data,
        model=target,
        recipe=recipe,
        fit=fit,
        backbone=backbone,
        cache=workspace / "cache",
        preset=preset or "fast",
        seed=seed,
        threads=threads,
        epochs=epochs,
        target_precision=target_precision,
        device=device,
        init=None if init is None else _start(init, data, preset or "fast", workspace),
        instance_type=instance_type,
        spot=spot,
        max_seconds=round(3_600 * max_hours),
    )
    choice = lifecycle.recipe_of(request)
    terminal.say(f"recipe {choice.recipe}: {choice.reason}")
    if choice.recipe == "head" and (preset or epochs):
        raise ConfigurationError(
            "--preset and --epochs are only for the recipe scratch: leave them out, or add --recipe scratch"
        )
    if dry_run:
        if on == "aws" and init == _SYNTHETIC:
            _refuse_unmade(request)
        show_plans([lifecycle.plan_train(backend, request)], json)
        return
    if init == _SYNTHETIC:
        _train_on_drawings(backends.backend("local", workspace), data, preset or "fast", threads, workspace)
    elif request.init:
        _warn_of_seen_images(request.init, data)
    with terminal.progress("train", "images" if choice.recipe == "head" else "") as progress:
        card = lifecycle.train(backend, request, progress, terminal.say)
    _show(card, target, data, json)


def _show(card: ModelCard, model: Path, data: Path | None, json: bool) -> None:
    if json:
        terminal.print_json({"model": str(model), **card.model_dump(mode="json")})
        return
    terminal.say(str(card.threshold_choice.get("reason", "")))
    if rows := _figures(card):
        terminal.say_table(rows, right=[1])
    if card.threshold is None:
        from scones_ml.lifecycle.advice import what_helps

        terminal.say(f"what helps: {what_helps(card, shlex.quote(str(model)), shlex.quote(str(data or 'DATA')))}")
    terminal.say_next(("evaluate", model, data or "DATA"), ("deploy", model))
    terminal.out.print(str(model))


def _figures(card: ModelCard) -> list[tuple[str, str, str, str]]:
    """Figures of the images that chose the threshold; empty where model.json has none."""
    from scones_ml.lifecycle.figures import figures

    found = figures(card, "out_of_fold")
    if found is None:
        return []
    how = "out of fold" if card.cross_fitted else "of the calibration split"
    rows = [("accuracy", *terminal.figure(found.accuracy.estimate()), f"{found.images:,} images {how}")]
    if at := found.at_threshold:
        rows.append(("coverage", *terminal.figure(at.coverage.estimate()), f"accepted at threshold {at.threshold:.4f}"))
        rows.append(("precision", *terminal.figure(at.precision.estimate()), "of the accepted"))
    return rows


def _start(init: str, data: Path, preset: str, workspace: Path) -> Path:
    """Base model to continue from; the synthetic one is trained here if missing."""
    from scones_ml import dataset
    from scones_ml.lifecycle.synthetic_model import synthetic_folder

    if init != _SYNTHETIC:
        return Path(init)
    return synthetic_folder(workspace, preset, dataset.load(data).image_size)


def _refuse_unmade(request: TrainingRequest) -> None:
    if request.init and not request.init.exists():
        raise ConfigurationError(
            "the model of drawings is not made yet, and a plan for AWS names what it holds: "
            f"train with --init {_SYNTHETIC} on this machine once, or without --dry-run"
        )


def _warn_of_seen_images(init: Path, data: Path) -> None:
    from scones_ml import lifecycle

    if lifecycle.may_have_seen(init, data):
        terminal.say(
            f"{init} was not trained on {data} or what it was extended from: if it was trained on images that "
            f"{data} calibrates with, temperature and threshold are too optimistic"
        )


def _train_on_drawings(backend: Backend, data: Path, preset: str, threads: int, workspace: Path) -> None:
    from scones_ml import dataset
    from scones_ml.lifecycle.synthetic_model import synthetic_model

    size = dataset.load(data).image_size
    terminal.say("starting from a model that was trained on drawn images; the first use trains it, in a minute or two")
    with terminal.progress("drawings") as progress:
        synthetic_model(backend, workspace, preset=preset, image_size=size, threads=threads, progress=progress)
