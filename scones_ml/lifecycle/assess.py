"""Commands that assess a model: predict, evaluate, compare, choose a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import dataset
from scones_ml.errors import ConfigurationError, DatasetError
from scones_ml.inference.model import ModelCard, load_classifier, read_card, write_card
from scones_ml.ports import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scones_ml.dataset import Dataset
    from scones_ml.evaluation import Comparison, Evaluation, ThresholdChoice

__all__ = ["HeldOut", "Predictions", "compare", "evaluate", "held_out", "predict", "set_threshold", "unseen_split"]

_BATCH = 64  # images: enough to use the processor, few enough to show progress and to bound memory


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A model's predictions on labelled images.

    Attributes:
        probabilities: float32 (N, K).
        labels: int64 (N,) true classes.
        classes: K names.
        threshold: the model's threshold; None when it has none.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    threshold: float | None


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions on images that the model did not learn from, or from before it did.

    Attributes:
        predictions: the predictions.
        folds: int64 (N,) fold of each image, for out-of-fold predictions; None when the model itself, which has not
            learned from these images, predicted.
    """

    predictions: Predictions
    folds: npt.NDArray[np.int64] | None


def predict(model: Path, data: Path, split: dataset.Split = "test", progress: Progress = no_progress) -> Predictions:
    """Predict every image of one split.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set, its classes differ from the model's, or the split is empty.
    """
    classifier = load_classifier(model)
    staged = dataset.load(data)
    if staged.classes != classifier.labels:
        raise DatasetError(
            f"{data} has the classes {', '.join(staged.classes)}, but {model} {', '.join(classifier.labels)}"
        )
    size = classifier.card.input_size
    if staged.image_size != size:
        raise DatasetError(
            f"{data} was staged at {staged.image_size} pixels, but the model takes {size}: "
            f"stage it with --image-size {size}"
        )
    pixels, labels = staged.arrays(split, classifier.card.image_policy())
    if not len(labels):
        raise DatasetError(f"{data} has no {split} images: stage a source that has some")
    import numpy as np

    probabilities = []
    for start in range(0, len(labels), _BATCH):
        probabilities.append(classifier.predict_batch(pixels[start : start + _BATCH]))
        progress(min(start + _BATCH, len(labels)), len(labels))
    return Predictions(np.concatenate(probabilities), labels, staged.classes, classifier.card.threshold)


def unseen_split(card: ModelCard) -> dataset.Split:
    """The split with images that a model did not learn from.

    ``calibration``, or ``test`` for a cross-fitted model, which has learned from all others.
    """
    return "test" if card.cross_fitted else "calibration"


def held_out(model: Path, data: Path, progress: Progress = no_progress) -> HeldOut:
    """Unbiased predictions of a model, to choose a threshold by.

    They are those on the calibration split. A cross-fitted model has learned from that split, so for its own data set
    the out-of-fold predictions are used, which training has kept.

    Raises:
        ConfigurationError: ``model`` is not a model, its out-of-fold predictions are missing, or it has learned from
            some of the images.
        DatasetError: as :func:`predict`.
    """
    staged, card = dataset.load(data), read_card(model)
    if card.cross_fitted and (kept := _kept(model, card, staged)):
        return kept
    return HeldOut(predict(model, data, "calibration", progress), None)


def _kept(model: Path, card: ModelCard, staged: Dataset) -> HeldOut | None:
    """The out-of-fold predictions; None for a data set that the model did not learn from."""
    from scones_ml.inference.out_of_fold import read_out_of_fold

    answers = read_out_of_fold(model)
    learned = dict(zip(answers.images, answers.labels.tolist(), strict=True))
    truth = {record.sha256: record.label for record in staged.records if record.split in card.trained_on}
    if card.labels == staged.classes and learned == truth:
        predictions = Predictions(answers.probabilities, answers.labels, staged.classes, card.threshold)
        return HeldOut(predictions, answers.folds)
    if not learned.keys().isdisjoint(truth):
        raise ConfigurationError(
            f"{model} has learned from a part of {staged.root}, or with other labels, so its figures would be biased: "
            f"train it again on {staged.root}"
        )
    return None


def evaluate(predictions: Predictions) -> Evaluation:
    """Evaluate a model on one split, at the model's threshold."""
    from scones_ml import evaluation

    return evaluation.evaluate(
        predictions.probabilities, predictions.labels, predictions.classes, predictions.threshold
    )


def set_threshold(model: Path, data: Path, choice: ThresholdChoice, judged: Predictions) -> ModelCard:
    """Set a model's threshold: write the choice, and the figures at it, to its card.

    Args:
        model: the model's folder.
        data: the data set that the choice was made on.
        choice: the threshold, and how it was chosen.
        judged: the predictions that it was chosen by.

    Raises:
        ConfigurationError: ``model`` is not a model's folder.
        DatasetError: ``data`` is not a staged data set, or its classes differ from the model's.
    """
    card, metrics = read_card(model), {}
    if "out_of_fold" in card.metrics:
        metrics["out_of_fold"] = evaluate(replace(judged, threshold=choice.threshold)).summary()
    if dataset.load(data).split("test"):
        tested = replace(predict(model, data), threshold=choice.threshold)
        metrics["test"] = evaluate(tested).summary()
    update = {"threshold": choice.threshold, "threshold_choice": choice.to_json(), "metrics": metrics}
    card = card.model_copy(update=update)
    write_card(model, card)
    return card


def compare(old: Predictions, new: Predictions) -> Comparison:
    """Test whether a new model is significantly better than an old one, on the same images."""
    from scones_ml import evaluation

    return evaluation.compare(old.probabilities, new.probabilities, new.labels)
