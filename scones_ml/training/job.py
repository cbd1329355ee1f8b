"""One training job: a staged data set in, a model folder out.

The recipe decides how: :mod:`scones_ml.training.head` or :mod:`scones_ml.training.scratch`. What both make is judged
here alike: ``test`` is reported and decides nothing.
"""

# ruff: noqa: T201 - standard output is where SageMaker looks for metrics

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import __version__, dataset
from scones_ml.dataset.resolution import typical_side  # by its module: a job on AWS carries what is imported so
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
    """What a training job was asked for.

    Attributes:
        data: folder of the staged data set.
        model_dir: where ``model.onnx`` and ``model.json`` go.
        output_dir: where ``history.json``, the figures by epoch, goes.
        recipe: see :func:`scones_ml.ports.choose_recipe`.
        fit: what makes the model's square of an image; a data set of image policy 1 is stretched.
        backbone: an ONNX file in the place of the recipe ``head``'s own backbone.
        cache: folder that keeps the backbone and the images' features; kept nowhere when None.
        init: folder or ``model.tar.gz`` of a model to go on from; from scratch when None.
        checkpoints: folder that a training which is cut short goes on from, bit for bit; kept nowhere when None.
        preset: a key of ``PRESETS``, of the recipe ``scratch``.
        epochs: passes over the training images; None takes the preset's.
        seed: random seed.
        threads: CPU threads, within the process's affinity.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        target_precision: what accepted answers should reach, in (0, 1).
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
    """What a recipe made.

    Attributes:
        card: the model's card, whole.
        graph: the bytes of ``model.onnx``.
        history: figures by epoch.
        extra: other files of the model's folder, by name.
    """

    card: ModelCard
    graph: bytes
    history: Sequence[dict[str, float]]
    extra: dict[str, bytes]


def run(job: Job) -> ModelCard:
    """Train, calibrate, export and write; metric lines go to standard output.

    Raises:
        DatasetError: the data set is not there, not staged or not whole.
        ConfigurationError: the model to go on from is none.
        TrainingError: it cannot be learned from, or learning went wrong.
        MissingExtraError: what the recipe needs is not installed.
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
            job.model_dir / MODEL_CARD: trained.card.model_dump_json(indent=2).encode(),  # last: it says all is there
        }
    )
    for name in {MODEL_ANSWERS, MODEL_WEIGHTS}.difference(trained.extra):
        (job.model_dir / name).unlink(missing_ok=True)  # of a model that was there before
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
        raise TrainingError(f"{data.root} holds one class only, {data.classes[0]}: two or more are needed")
    if empty:
        raise TrainingError(f"no training images of {', '.join(empty)} in {data.root}: add some and stage it again")


def _write(files: dict[Path, bytes]) -> None:
    """Write all files under temporary names first: an interruption or a full disk leaves none half-written."""
    with ExitStack() as stack:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.part")
            stack.callback(temporary.unlink, missing_ok=True)
            temporary.write_bytes(content)
        for path in files:
            path.with_name(f".{path.name}.part").replace(path)
