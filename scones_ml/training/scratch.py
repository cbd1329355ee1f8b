"""One training job: a staged data set in, a model folder out.

The splits have one use each: ``train`` teaches the network, ``validation`` fits the temperature, ``calibration``
chooses the threshold, ``test`` is reported and decides nothing.
"""

# ruff: noqa: T201 - standard output is where SageMaker looks for metrics

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scones_ml import __version__, dataset
from scones_ml.errors import TrainingError
from scones_ml.evaluation import choose_threshold, evaluate, fit_temperature
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, MODEL_WEIGHTS, ModelCard, OnnxClassifier, read_file
from scones_ml.training.checkpoints import Checkpoint, Checkpoints
from scones_ml.training.export import to_onnx
from scones_ml.training.fit import Training, make_repeatable
from scones_ml.training.network import MINIMUM_SIZE
from scones_ml.training.presets import PRESETS, fine_tuning
from scones_ml.training.weights import initial, to_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.dataset import Dataset, Split
    from scones_ml.training.fit import Epoch, Fitted
    from scones_ml.training.presets import Recipe

__all__ = ["Job", "run"]


@dataclass(frozen=True)
class Job:
    """What a training job was asked for.

    Attributes:
        data: folder of the staged data set.
        model_dir: where ``model.onnx`` and ``model.json`` go.
        output_dir: where ``history.json``, the figures by epoch, goes.
        init: folder or ``model.tar.gz`` of a model to go on from; from scratch when None.
        checkpoints: folder that a training which is cut short goes on from, bit for bit; kept nowhere when None.
        preset: a key of ``PRESETS``.
        epochs: passes over the training images; None takes the preset's.
        seed: of everything random.
        threads: CPU threads, within the process's affinity.
        device: ``"cpu"`` or ``"cuda"``.
        target_precision: what accepted answers should reach, in (0, 1).
    """

    data: Path
    model_dir: Path
    output_dir: Path
    init: Path | None = None
    checkpoints: Path | None = None
    preset: str = "fast"
    epochs: int | None = None
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    target_precision: float = 0.95


def run(job: Job) -> ModelCard:
    """Train, calibrate, export and write; metric lines go to standard output.

    Raises:
        DatasetError: the data set is not there, not staged or not whole.
        ConfigurationError: the model to go on from is none.
        TrainingError: it cannot be learned from, or learning went wrong.
    """
    make_repeatable(job.threads, job.device)
    data = dataset.load(job.data)
    _check(data)
    recipe = PRESETS[job.preset]
    if job.init:
        recipe = fine_tuning(recipe, len(data.split("train")))
    recipe = dataclasses.replace(recipe, epochs=job.epochs or recipe.epochs)
    card = ModelCard(
        labels=data.classes,
        input_size=data.image_size,
        policy=data.policy,
        fit=None if data.policy == 1 else "crop",
        dataset_hash=data.hash,
        preset=job.preset,
        epochs=recipe.epochs,
        seed=job.seed,
        threads=job.threads,
        base_model=hashlib.sha256(read_file(job.init, MODEL_GRAPH)).hexdigest() if job.init else "",
        library_version=__version__,
    )
    progress = _Progress(*data.arrays("validation", card.image_policy()))
    fitted = _trained(job, data, recipe, card, progress)
    card = card.model_copy(update={"temperature": progress.temperature(fitted)})
    graph = to_onnx(fitted, card.input_size, card.temperature)
    card = _judged(card, OnnxClassifier(graph, card), data, job.target_precision)
    _write(
        {
            job.model_dir / MODEL_GRAPH: graph,
            job.model_dir / MODEL_CARD: card.model_dump_json(indent=2).encode(),
            job.model_dir / MODEL_WEIGHTS: to_weights(fitted),
            job.output_dir / "history.json": json.dumps(progress.history, indent=2).encode(),
        }
    )
    return card


def _trained(job: Job, data: Dataset, recipe: Recipe, card: ModelCard, progress: _Progress) -> Fitted:
    """Train to the end, from the newest checkpoint where there is one, and keep one after every epoch."""
    images, labels = data.arrays("train", card.image_policy())
    print(
        f"Training: epochs={recipe.epochs} images={len(labels)} classes={len(data.classes)} "
        f"threads={job.threads} seed={job.seed} device={job.device}",
        flush=True,
    )
    init = initial(job.init, data.classes, data.image_size, recipe.widths, job.device) if job.init else None
    training = Training(images, labels, len(data.classes), recipe, seed=job.seed, device=job.device, init=init)
    # Another machine may have other threads: then the training goes on too, if not bit for bit.
    identity = card.model_dump(mode="json", exclude={"threads"})
    checkpoints = Checkpoints(job.checkpoints, identity) if job.checkpoints else None
    if checkpoints and (found := checkpoints.load()):
        training.restore(found.state)
        progress.history.extend(found.history)
        print(f"Going on from {checkpoints.folder}: {len(found.history)} epochs are done", flush=True)
    for epoch in training:
        progress.report(epoch, training.fitted)
        if checkpoints:
            checkpoints.save(Checkpoint(training.state(), progress.history))
    return training.fitted


class _Progress:
    """Prints a line per figure and epoch, in the form of SageMaker's built-in algorithm, and keeps them."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._images, self._labels = images, labels
        self._started = time.perf_counter()
        self.history: list[dict[str, float]] = []

    def report(self, epoch: Epoch, fitted: Fitted) -> None:
        figures = {"Train-accuracy": epoch.train_accuracy}
        if len(self._labels):
            figures["Validation-accuracy"] = fitted.quick_accuracy(self._images, self._labels)
        now = time.perf_counter()
        self._started, seconds = now, now - self._started
        for name, value in figures.items():
            print(f"Epoch[{epoch.number}] {name}={value:.6f}")
        print(f"Epoch[{epoch.number}] Time cost={seconds:.3f}", flush=True)
        self.history.append({"epoch": epoch.number, **figures})

    def temperature(self, fitted: Fitted) -> float:
        if not len(self._labels):
            return 1.0
        return fit_temperature(fitted.logits(self._images), self._labels)


def _check(data: Dataset) -> None:
    counts = data.counts()["train"]
    empty = [name for name in data.classes if not counts[name]]
    if len(data.classes) < 2:
        raise TrainingError(f"{data.root} holds one class only, {data.classes[0]}: two or more are needed")
    if empty:
        raise TrainingError(f"no training images of {', '.join(empty)} in {data.root}: add some and stage it again")
    if data.image_size < MINIMUM_SIZE:
        raise TrainingError(f"images of {data.image_size} pixels a side are too small: stage at {MINIMUM_SIZE} or more")


def _judged(card: ModelCard, classifier: OnnxClassifier, data: Dataset, target_precision: float) -> ModelCard:
    """The card with the threshold that the calibration split gives, and the figures of the test split at it."""
    probabilities, labels = _predict(classifier, data, "calibration")
    threshold, update = None, dict[str, object]()
    if len(labels):
        choice = choose_threshold(probabilities, labels, target_precision=target_precision)
        threshold = choice.threshold
        update = {"threshold": threshold, "threshold_choice": choice.to_json()}
    probabilities, labels = _predict(classifier, data, "test")
    if len(labels):
        update["metrics"] = {"test": evaluate(probabilities, labels, data.classes, threshold).to_json()}
    return card.model_copy(update=update)


def _predict(classifier: OnnxClassifier, data: Dataset, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images, labels = data.arrays(split, classifier.card.image_policy())
    parts = [classifier.predict_batch(images[start : start + 64]) for start in range(0, len(images), 64)]
    return np.concatenate(parts) if parts else np.empty((0, len(data.classes)), np.float32), labels


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
