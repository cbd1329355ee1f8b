"""``scones stage``: stage images as a data set."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.left_out import ignored, left_out
from scones_ml.cli.options import Classes, DryRun, ImageSize, Json, Seed, Workspace, Yes, names
from scones_ml.cli.plans import show_plans
from scones_ml.cli.replacing import announce_data
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml import dataset
    from scones_ml.lifecycle.label_check import LabelCheck
    from scones_ml.ports import Backend

__all__ = ["stage"]

_SUITS = {224: ", the size for photographs", 32: ", the size for thumbnails"}  # sizes that staging chooses

Source = Annotated[
    str,
    typer.Argument(
        help="Folder of class folders, manifest (JSON Lines, CSV, .lst), RecordIO file, CIFAR-100 archive or its "
        "URL, review answers, s3://BUCKET/PREFIX, or `synthetic`.",
        show_default=False,
    ),
]
Destination = Annotated[
    str, typer.Argument(help="Data set folder to create, or s3://BUCKET/PREFIX.", show_default=False)
]
PerClass = Annotated[int, typer.Option("--per-class", min=1, help="Synthetic images per class.")]
CheckLabels = Annotated[
    bool,
    typer.Option(
        "--check-labels",
        help="Report probable label errors and near duplicates; seconds for photographs, five trainings for "
        "thumbnails.",
    ),
]
AnswersFile = Annotated[
    Path | None,
    typer.Option("--answers", help="Review answers to add to the training images of SOURCE, a staged data set."),
]
LabelAttribute = Annotated[
    str | None,
    typer.Option("--label-attribute", help="Manifest field that holds the labels, when there are several."),
]
Format = Annotated[
    Literal["folders", "recordio"],
    typer.Option(
        "--format", help="`recordio` also writes train.rec, validation.rec etc. for SageMaker's built-in algorithm."
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        help="Keep related images in one split: a manifest column, or a pattern in file names such as '^(veh[0-9]+)_'.",
    ),
]


def stage(
    context: typer.Context,
    source: Source,
    destination: Destination,
    classes: Classes = None,
    seed: Seed = 0,
    image_size: ImageSize = None,
    per_class: PerClass = 300,
    answers: AnswersFile = None,
    check_labels: CheckLabels = False,
    label_attribute: LabelAttribute = None,
    group_by: GroupBy = None,
    written_as: Format = "folders",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Stage images as a data set: check, split and hash them."""
    from scones_ml import backends, dataset, lifecycle
    from scones_ml.events import parse_uri
    from scones_ml.lifecycle.staging import source_of, upload_staged

    remote = destination.startswith("s3://")
    folder = workspace / "staged" / "/".join(parse_uri(destination)) if remote else Path(destination)
    plan = lifecycle.plan_stage(folder)
    if dry_run:
        show_plans([plan, *([lifecycle.plan_upload(destination, backends.region())] if remote else [])], json)
        return
    backend = backends_of(context).backend("local", workspace)
    store = backends.s3_store() if remote or source.startswith("s3://") else None
    synthetic = dataset.Synthetic(per_class=per_class, seed=seed, size=image_size or dataset.Synthetic.size)
    origin = synthetic if source == "synthetic" and not answers else source_of(source, answers, backend.store)
    if folder.resolve() != Path(source).resolve():  # else staging refuses: nothing is replaced
        announce_data(folder, yes)
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
            label_attribute=label_attribute,
            group_by=group_by,
            workspace=workspace,
        )
        if written_as == "recordio":
            dataset.write_recordio(result.dataset)
    if remote and store:
        with terminal.progress("upload") as progress:
            sent = upload_staged(backend, result.dataset, destination, store, backends.region(), progress)
        terminal.say(
            f"{sent.uri}: {sent.written:,} objects written, {sent.skipped:,} were there, {sent.removed:,} removed"
        )
    check = _checked_labels(backend, result.dataset, seed, workspace) if check_labels else None
    if json:
        terminal.print_json(_document(result) | ({"label_check": dataclasses.asdict(check)} if check else {}))
        return
    _show_staged(result, folder, chosen=image_size is not None)
    for line in ignored(result):
        terminal.say(line)
    if check:
        _show_label_check(check)
    if written_as == "recordio":
        place = destination.rstrip("/")
        terminal.say(f"for SageMaker's Image Classification: {place}/train.rec and {place}/validation.rec")
    terminal.say_next(("train", folder))


def _document(result: dataset.StageResult) -> dict[str, object]:
    return {
        "classes": result.dataset.classes,
        "counts": result.dataset.counts(),
        "hash": result.dataset.hash,
        "problems": [dataclasses.asdict(problem) for problem in result.problems],
        "ignored": result.ignored,
        "ignored_by_kind": dict(result.ignored_by_kind),
        "kept_together": dataclasses.asdict(result.together),
    }


def _show_staged(result: dataset.StageResult, folder: Path, chosen: bool) -> None:
    """Print a summary of the staged data set.

    Args:
        result: of staging.
        folder: where it is.
        chosen: whether the image size was given.
    """
    counts = result.dataset.counts()
    rows = [(name, *(f"{counts[split][name]:,}" for split in counts)) for name in result.dataset.classes]
    terminal.print_table(("class", *counts), rows, right=tuple(counts))
    size = result.dataset.image_size
    suits = "" if chosen else _SUITS.get(size, "")
    larger = f"; {counted(result.larger, 'image is', 'images are')} larger: see --image-size" if result.larger else ""
    terminal.say(f"models will see each image at {size} x {size} pixels{suits}{larger}")
    _show_kept_together(result.together)
    for line in left_out(result, folder):
        terminal.say(line)


def _show_kept_together(together: dataset.KeptTogether) -> None:
    """Print how groups shaped the splits, if there are any."""
    if together.named:
        groups = counted(together.named_groups, "group")
        terminal.say(f"kept together: {counted(together.named, 'image')} of {groups}, by --group-by")
    if together.alike:
        groups = counted(together.alike_groups, "group")
        terminal.say(f"kept together: {together.alike:,} images, nearly the same in {groups}")


def _checked_labels(backend: Backend, data: dataset.Dataset, seed: int, workspace: Path) -> LabelCheck:
    from scones_ml.lifecycle.features import has_photographs
    from scones_ml.lifecycle.label_check import FOLDS, check_labels

    models = "classifiers of the images' features" if has_photographs(data) else "trainings"
    terminal.say(f"checking labels: {FOLDS} {models} in turn, each trained without the images that it checks")
    started = time.monotonic()
    with terminal.progress("labels") as progress:
        check = check_labels(backend, data, workspace, seed=seed, progress=progress)
    terminal.say(f"checked {counted(check.images, 'label')} in {time.monotonic() - started:.0f} s; nothing was changed")
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
