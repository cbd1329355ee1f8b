"""The verbs that look: predict, evaluate, compare, choose a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import dataset
from scones_ml.errors import DatasetError
from scones_ml.inference.model import ModelCard, load_model, read_card, write_card
from scones_ml.ports import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scones_ml.evaluation import Comparison, Evaluation, ThresholdChoice

__all__ = ["Predictions", "compare", "evaluate", "predict", "set_threshold", "unseen_split"]

_BATCH = 64  # images: enough to keep the processor busy, few enough to show progress and to bound memory


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A model's answers on labelled images.

    Attributes:
        probabilities: float32 (N, K).
        labels: int64 (N,), the truth.
        classes: K names.
        threshold: the model's own; None when it has none.
    """

    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    threshold: float | None


def predict(model: Path, data: Path, split: dataset.Split = "test", progress: Progress = no_progress) -> Predictions:
    """Ask a model about every image of one split.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: ``data`` is not a staged data set, has other classes than the model, or the split is empty.
    """
    classifier = load_model(model)
    staged = dataset.load(data)
    if staged.classes != classifier.labels:
        raise DatasetError(
            f"{data} holds {', '.join(staged.classes)}, but {model} knows {', '.join(classifier.labels)}"
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


def unseen_split(card: ModelCard, data: dataset.Dataset) -> dataset.Split:
    """The split that shows what a model's answers look like on images that it did not learn from.

    That is ``calibration``, or ``test`` for a head whose threshold was chosen on more labels than that split has: then
    it was cross-fitted, and the head has learned from all others.
    """
    chosen_on = card.threshold_choice.get("labels")
    crossed = card.recipe == "head" and isinstance(chosen_on, int) and chosen_on > len(data.split("calibration"))
    return "test" if crossed else "calibration"


def evaluate(predictions: Predictions) -> Evaluation:
    """Every figure of a model on one split, at the model's own threshold."""
    from scones_ml import evaluation

    return evaluation.evaluate(
        predictions.probabilities, predictions.labels, predictions.classes, predictions.threshold
    )


def set_threshold(model: Path, data: Path, choice: ThresholdChoice) -> ModelCard:
    """Give a model another threshold: its card gets the choice, and the figures of the test split at it.

    Args:
        model: its folder.
        data: the data set whose calibration split the choice was made on.
        choice: the threshold, and how it was chosen.

    Raises:
        ConfigurationError: ``model`` is no folder of a model.
        DatasetError: ``data`` is not a staged data set, or has other classes than the model.
    """
    metrics: dict[str, object] = {}
    if dataset.load(data).split("test"):
        tested = replace(predict(model, data), threshold=choice.threshold)
        metrics = {"test": evaluate(tested).summary()}
    update = {"threshold": choice.threshold, "threshold_choice": choice.to_json(), "metrics": metrics}
    card = read_card(model).model_copy(update=update)
    write_card(model, card)
    return card


def compare(old: Predictions, new: Predictions) -> Comparison:
    """Whether a new model is better than an old one beyond chance, on the same images."""
    from scones_ml import evaluation

    return evaluation.compare(old.probabilities, new.probabilities, new.labels)
