"""The recipe ``scratch``: a small network trained on the data set's images only, for thumbnails.

Each split has one use: ``train`` for the network's weights, ``validation`` for the temperature, ``calibration`` for the
threshold, ``test`` for reporting only. If ``calibration`` is too small for a guarantee, it is combined with
``validation``, see :func:`scones_ml.evaluation.choose_threshold_cross_fitted`.
"""

# ruff: noqa: T201 - SageMaker reads metrics from standard output

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from scones_ml.errors import TrainingError
from scones_ml.evaluation import (
    choose_threshold,
    choose_threshold_cross_fitted,
    evaluate,
    fit_temperature,
    softmax,
)
from scones_ml.evaluation.fixed_sequence import fewest_labels
from scones_ml.inference.model import MODEL_GRAPH, MODEL_WEIGHTS, ModelCard, OnnxClassifier, read_card, read_file
from scones_ml.training.checkpoints import Checkpoint, Checkpoints
from scones_ml.training.export import to_onnx
from scones_ml.training.fit import Training, make_repeatable
from scones_ml.training.job import Job, Trained
from scones_ml.training.network import MINIMUM_SIZE
from scones_ml.training.presets import PRESETS, fine_tuning
from scones_ml.training.weights import initial, to_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.dataset import Dataset, Split
    from scones_ml.evaluation import ThresholdChoice
    from scones_ml.training.fit import Epoch, Fitted
    from scones_ml.training.presets import Recipe

    _Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]

__all__ = ["train"]

_FOLDS: Final = 5
_LARGEST_UNASKED: Final = 64  # pixels; memory and time grow with the area


def train(job: Job, data: Dataset, card: ModelCard) -> Trained:
    """Train a network.

    Args:
        job: arguments of the training job.
        data: the data set.
        card: model card with the facts known before training.

    Raises:
        DatasetError: an image is missing or broken.
        ConfigurationError: the base model is not a model.
        TrainingError: the images are too small, too large without an explicit recipe, or training failed.
    """
    if job.init and read_card(job.init).recipe == "head":
        raise TrainingError(
            f"the model {job.init} is a head on a pretrained backbone, which cannot be fine-tuned: leave out --init"
        )
    _check_size(data, job)
    device = _device(job.device)
    make_repeatable(job.threads, device)
    recipe = PRESETS[job.preset]
    if job.init:
        recipe = fine_tuning(recipe, len(data.split("train")))
    recipe = dataclasses.replace(recipe, epochs=job.epochs or recipe.epochs)
    update = {
        "preset": job.preset,
        "epochs": recipe.epochs,
        "base_model": hashlib.sha256(read_file(job.init, MODEL_GRAPH)).hexdigest() if job.init else "",
    }
    card = card.model_copy(update=update)
    validation = data.arrays("validation", card.image_policy())
    progress = _Progress(*validation)
    fitted = _trained(job, device, data, recipe, card, progress)
    temperature, choice = _chosen(fitted, validation, data.arrays("calibration", card.image_policy()), job)
    graph = to_onnx(fitted, card.input_size, temperature)
    card = card.model_copy(update={"temperature": temperature})
    if choice:
        card = card.model_copy(update={"threshold": choice.threshold, "threshold_choice": choice.to_json()})
    card = _tested(card, OnnxClassifier(graph, card), data)
    return Trained(card, graph, progress.history, {MODEL_WEIGHTS: to_weights(fitted)})


def _check_size(data: Dataset, job: Job) -> None:
    if data.image_size < MINIMUM_SIZE:
        raise TrainingError(f"images of {data.image_size} pixels a side are too small: stage at {MINIMUM_SIZE} or more")
    if data.image_size > _LARGEST_UNASKED and job.recipe != "scratch":
        share = (data.image_size / 32) ** 2
        raise TrainingError(
            f"training from scratch on images of {data.image_size} pixels takes {share:.0f} times the time and memory "
            "of 32 pixels: confirm with --recipe scratch, or use --recipe head"
        )


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: torch finds no CUDA device here; use --device cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _trained(job: Job, device: str, data: Dataset, recipe: Recipe, card: ModelCard, progress: _Progress) -> Fitted:
    """Train all epochs, from the newest checkpoint if there is one, and save one after every epoch."""
    images, labels = data.arrays("train", card.image_policy())
    print(
        f"Training: epochs={recipe.epochs} images={len(labels)} classes={len(data.classes)} "
        f"threads={job.threads} seed={job.seed} device={device}",
        flush=True,
    )
    init = initial(job.init, data.classes, data.image_size, recipe.widths, device) if job.init else None
    training = Training(images, labels, len(data.classes), recipe, seed=job.seed, device=device, init=init)
    # On a machine with other threads the training resumes, too, but not bit for bit.
    identity = card.model_dump(mode="json", exclude={"threads"})
    checkpoints = Checkpoints(job.checkpoints, identity) if job.checkpoints else None
    if checkpoints and (found := checkpoints.load()):
        training.restore(found.state)
        progress.history.extend(found.history)
        print(f"Resuming from {checkpoints.folder}: {len(found.history)} epochs are done", flush=True)
    for epoch in training:
        progress.report(epoch, training.fitted)
        if checkpoints:
            checkpoints.save(Checkpoint(training.state(), progress.history))
    return training.fitted


class _Progress:
    """Prints and records figures by epoch, in the format of SageMaker's built-in algorithm."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._images, self._labels = images, labels
        self._started = time.perf_counter()
        self.history: list[dict[str, float]] = []

    def report(self, epoch: Epoch, fitted: Fitted) -> None:
        figures = {"Train-accuracy": epoch.train_accuracy}
        if len(self._labels):
            figures["Validation-accuracy"] = fitted.accuracy(self._images, self._labels)
        now = time.perf_counter()
        self._started, seconds = now, now - self._started
        for name, value in figures.items():
            print(f"Epoch[{epoch.number}] {name}={value:.6f}")
        print(f"Epoch[{epoch.number}] Time cost={seconds:.3f}", flush=True)
        self.history.append({"epoch": epoch.number, **figures})


def _chosen(
    fitted: Fitted, validation: _Labelled, calibration: _Labelled, job: Job
) -> tuple[float, ThresholdChoice | None]:
    """Choose temperature and threshold on held-out images; no threshold without any."""
    parts = [(fitted.logits(images), truth) for images, truth in (validation, calibration) if len(truth)]
    if not len(calibration[1]):
        return (fit_temperature(*parts[0]) if parts else 1.0), None
    if len(parts) == 2 and len(calibration[1]) >= fewest_labels(job.target_precision):
        temperature = fit_temperature(*parts[0])
        logits, truth = parts[1]
        return temperature, choose_threshold(softmax(logits, temperature), truth, target_precision=job.target_precision)
    logits, truth = (np.concatenate(both) for both in zip(*parts, strict=True))
    folds = np.arange(len(truth)) % _FOLDS  # sorted by class, so that folds are stratified
    choice = choose_threshold_cross_fitted(logits, truth, folds, target_precision=job.target_precision)
    return fit_temperature(logits, truth), choice


def _tested(card: ModelCard, classifier: OnnxClassifier, data: Dataset) -> ModelCard:
    """Model card with the figures of the test split."""
    probabilities, labels = _predict(classifier, data, "test")
    if not len(labels):
        return card
    figures = evaluate(probabilities, labels, data.classes, card.threshold).summary()
    return card.model_copy(update={"metrics": {"test": figures}})


def _predict(classifier: OnnxClassifier, data: Dataset, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images, labels = data.arrays(split, classifier.card.image_policy())
    parts = [classifier.predict_batch(images[start : start + 64]) for start in range(0, len(images), 64)]
    return np.concatenate(parts) if parts else np.empty((0, len(data.classes)), np.float32), labels
