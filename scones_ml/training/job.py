"""A training job, from a staged data set to a model folder.

The recipe is :mod:`scones_ml.training.head` or :mod:`scones_ml.training.scratch`. Models of both are evaluated here:
figures on ``test`` are reported and used for no choice.
"""

# ruff: noqa: T201 - SageMaker reads metrics from standard output

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import __version__, dataset
from scones_ml.dataset.resolution import typical_side  # from its module: jobs on AWS package the imported modules
from scones_ml.errors import MissingExtraError, TrainingError
from scones_ml.inference.model import MODEL_ANSWERS, MODEL_CARD, MODEL_GRAPH, MODEL_WEIGHTS, ModelCard
from scones_ml.ports import Recipe, choose_recipe
from scones_ml.settings import Fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scones_ml.dataset import Dataset

__all__ = ["Job", "Trained", "run"]


@dataclass(frozen=True)
class Job:
    """Arguments of a training job.

    Attributes:
        data: folder of the staged data set.
        model_dir: folder for ``model.onnx`` and ``model.json``.
        output_dir: folder for ``history.json``, the figures by epoch.
        recipe: see :func:`scones_ml.ports.choose_recipe`.
        fit: how images become the model's square; data sets of image policy 1 are stretched.
        backbone: ONNX file to use instead of the recipe ``head``'s default backbone.
        cache: folder to cache the backbone and the images' features; None for no cache.
        init: folder or ``model.tar.gz`` of the base model; None trains from scratch.
        checkpoints: folder for checkpoints, from which an interrupted training resumes bit for bit; None for none.
        preset: a key of ``PRESETS``, for the recipe ``scratch``.
        epochs: passes over the training images; None for the preset's.
        seed: random seed.
        threads: CPU threads, within the process's affinity.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        target_precision: target precision of accepted predictions, in (0, 1).
    """

    data: Path
    model_dir: Path
    output_dir: Path
    recipe: Recipe = "auto"
    fit: Fit = "crop"
    backbone: Path | None = None
    cache: Path | None = None
    init: Path | None = None
    checkpoints: Path | None = None
    preset: str = "fast"
    epochs: int | None = None
    seed: int = 0
    threads: int = 1
    device: str = "auto"
    target_precision: float = 0.95


@dataclass(frozen=True)
class Trained:
    """Result of a recipe.

    Attributes:
        card: the complete model card.
        graph: bytes of ``model.onnx``.
        history: figures by epoch.
        extra: contents of other files of the model folder, by name.
    """

    card: ModelCard
    graph: bytes
    history: Sequence[dict[str, float]]
    extra: dict[str, bytes]


def run(job: Job) -> ModelCard:
    """Train, calibrate, export and write a model; metric lines go to standard output.

    Raises:
        DatasetError: the data set is missing, not staged or incomplete.
        ConfigurationError: the base model is not a model.
        TrainingError: the data set is unsuitable, or training failed.
        MissingExtraError: a package that the recipe needs is not installed.
    """
    data = dataset.load(job.data)
    _check(data)
    choice = choose_recipe(job.recipe, typical_side(data), data.image_size, init=job.init is not None)
    print(f"Recipe: {choice.recipe}; {choice.reason}", flush=True)
    card = ModelCard(
        labels=data.classes,
        input_size=data.image_size,
        policy=data.policy,
        fit=None if data.policy == 1 else job.fit,
        counts={str(split): by_class for split, by_class in data.counts().items()},
        larger=data.larger,
        dataset_hash=data.hash,
        recipe=choice.recipe,
        recipe_reason=choice.reason,
        seed=job.seed,
        threads=job.threads,
        library_version=__version__,
    )
    trained = _trained_by(choice.recipe, job, data, card)
    _write(
        {
            job.model_dir / MODEL_GRAPH: trained.graph,
            **{job.model_dir / name: content for name, content in trained.extra.items()},
            job.output_dir / "history.json": json.dumps(trained.history, indent=2).encode(),
            job.model_dir / MODEL_CARD: trained.card.model_dump_json(
                indent=2
            ).encode(),  # last: marks the model as complete
        }
    )
    for name in {MODEL_ANSWERS, MODEL_WEIGHTS}.difference(trained.extra):
        (job.model_dir / name).unlink(missing_ok=True)  # left by an earlier model
    return trained.card


def _trained_by(recipe: str, job: Job, data: Dataset, card: ModelCard) -> Trained:
    try:
        if recipe == "scratch":
            from scones_ml.training import scratch as chosen
        else:
            from scones_ml.training import head as chosen  # type: ignore[no-redef] # both have the same ``train``
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "train" if recipe == "scratch" else "pretrained") from exc
    return chosen.train(job, data, card)


def _check(data: Dataset) -> None:
    counts = data.counts()["train"]
    empty = [name for name in data.classes if not counts[name]]
    if len(data.classes) < 2:
        raise TrainingError(f"{data.root} has only the class {data.classes[0]}: stage two or more")
    if empty:
        raise TrainingError(f"no training images of {', '.join(empty)} in {data.root}: add some and stage it again")


def _write(files: dict[Path, bytes]) -> None:
    """Write all files under temporary names, then rename, so that none is left half-written."""
    with ExitStack() as stack:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.part")
            stack.callback(temporary.unlink, missing_ok=True)
            temporary.write_bytes(content)
        for path in files:
            path.with_name(f".{path.name}.part").replace(path)
