"""The recipe ``head``: a logistic classifier on the features of a pretrained backbone, for photographs.

Features are computed once for each image and cached; training on them takes a second. See
:mod:`scones_ml.heads.cross_fitting` for the use of the splits.
"""

# ruff: noqa: T201 - SageMaker reads metrics from standard output

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from scones_ml.backbones import Backbone, efficientnet_lite0, load_onnx
from scones_ml.backbones.extractor import BackboneExtractor
from scones_ml.backbones.features import Features, extract
from scones_ml.dataset.folds import folds
from scones_ml.errors import ConfigurationError, TrainingError
from scones_ml.evaluation import evaluate, softmax
from scones_ml.evaluation.fixed_sequence import enough_labels
from scones_ml.evaluation.unlike import restored
from scones_ml.heads.cross_fitting import Learned, learn_cross_fitted, learn_held_out
from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.inference.model import MODEL_ANSWERS, ModelCard, OnnxClassifier
from scones_ml.inference.out_of_fold import OutOfFold, to_answers
from scones_ml.training.job import Job, Trained
from scones_ml.verdicts import FLATNESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scones_ml.dataset import Dataset, Record

__all__ = ["train"]

_FOLDS: Final = 5
_MOST_CLASSES: Final = 1_000
_ALMOST: Final = 0.01  # tolerance of a probability for fp16 weights and the served graph
_AT_A_TIME: Final = 1_024  # rows
_CHECKED: Final = 4  # images that the graph is checked with before it is written


def train(job: Job, data: Dataset, card: ModelCard) -> Trained:
    """Train a classifier on a backbone and export both as one graph.

    Args:
        job: arguments of the training job.
        data: the data set.
        card: model card with the facts known before training.

    Raises:
        DatasetError: an image is missing or broken.
        ConfigurationError: the backbone does not support the images' size.
        TrainingError: there are too many classes, or the backbone's features are not finite.
        MissingExtraError: the backbone's weights are not installed.
    """
    _check(data)
    started = time.perf_counter()
    backbone = _backbone(job, data)
    records = sorted(data.records, key=lambda record: record.split == "test")
    print(f"Training: images={len(records)} classes={len(data.classes)} threads={job.threads}", flush=True)
    features = extract(
        BackboneExtractor(backbone),
        data,
        records,
        card.image_policy(),
        job.cache,
        threads=job.threads,
        progress=lambda done, total: print(f"Features[{done}] of {total}", flush=True),
    )
    labels = np.array([record.label for record in records], np.int64)
    learned = _learn(features, labels, records, data, job)
    weight = _half_where_it_does(learned, features)
    graph = _to_onnx(backbone, weight, learned)
    card = card.model_copy(
        update={
            "backbone": {"name": backbone.name, "sha256": backbone.sha256, "licence": backbone.licence},
            "temperature": learned.temperature,
            "threshold": learned.choice.threshold,
            "threshold_choice": learned.choice.to_json(),
            "trained_on": ("train",) if learned.folds is None else ("train", "validation", "calibration"),
        }
    )
    card = card.model_copy(update={"metrics": _metrics(learned, features, labels, records, card)})
    _check_graph(graph, card, learned, features, records, data)
    accuracy = float((learned.probabilities.argmax(axis=1) == labels[learned.judged]).mean())
    print(f"Epoch[0] Validation-accuracy={accuracy:.6f}")
    print(f"Epoch[0] Time cost={time.perf_counter() - started:.3f}", flush=True)
    kept = _kept(learned, labels, records, graph)
    return Trained(card, graph, [{"epoch": 0, "Validation-accuracy": accuracy}], kept)


def _backbone(job: Job, data: Dataset) -> Backbone:
    if job.backbone is None:
        return efficientnet_lite0(data.image_size, job.cache)
    backbone = load_onnx(job.backbone)
    if backbone.input_size != data.image_size:
        raise ConfigurationError(
            f"the backbone {job.backbone} takes images of {backbone.input_size} pixels, those of {data.root} have "
            f"{data.image_size}: stage it with --image-size {backbone.input_size}"
        )
    return backbone


def _check(data: Dataset) -> None:
    if len(data.classes) > _MOST_CLASSES:
        raise TrainingError(
            f"{data.root} has {len(data.classes):,} classes, more than {_MOST_CLASSES:,}: train on fewer"
        )


def _learn(features: Features, labels: NDArray[np.int64], records: list[Record], data: Dataset, job: Job) -> Learned:
    """Train on all images except the test split's, which are the last records."""
    splits = np.array([record.split for record in records])
    parts = [np.flatnonzero(splits == name) for name in ("train", "validation", "calibration")]
    classes = len(data.classes)
    if len(parts[2]) >= enough_labels(job.target_precision):
        return learn_held_out(features, labels, (parts[0], parts[1], parts[2]), classes, job.target_precision)
    taught = int((splits != "test").sum())
    counts = np.bincount(labels[:taught], minlength=classes)
    if counts.min() < 2:
        name = data.classes[int(counts.argmin())]
        raise TrainingError(f"{data.root} has one image of {name} besides the test images: add some and stage it again")
    held = folds(data, min(_FOLDS, int(counts.min())), job.seed, ("train", "validation", "calibration"))
    number = {digest: fold for fold, digests in enumerate(held) for digest in digests}
    fold_of = np.array([number[record.sha256] for record in records[:taught]], np.int64)
    return learn_cross_fitted(features, labels[:taught], fold_of, classes, job.target_precision)


def _half_where_it_does(learned: Learned, features: Features) -> NDArray[np.floating]:
    """Served weights (D, K), divided by the temperature; as fp16 if no prediction changes."""
    weight = learned.linear.weight / learned.temperature
    half = weight.astype(np.float16)
    bias = learned.linear.bias / learned.temperature
    for start in range(0, len(features), _AT_A_TIME):
        rows = features.take(np.arange(start, min(start + _AT_A_TIME, len(features))))
        full, rounded = (softmax(rows @ each.astype(np.float32) + bias) for each in (weight, half))
        if (full.argmax(axis=1) != rounded.argmax(axis=1)).any() or abs(full - rounded).max() > _ALMOST:
            return weight
    return half


def _to_onnx(backbone: Backbone, weight: NDArray[np.floating], learned: Learned) -> bytes:
    """One graph from images to calibrated probabilities, nearly uniform for images unlike the training images."""
    graph, classes = GraphWriter.after(backbone.graph), weight.shape[1]
    store = graph.half if weight.dtype == np.float16 else graph.constant

    def number(value: float) -> str:
        return graph.constant(np.array(value, np.float32))

    def squares(x: str) -> str:
        return graph.add("ReduceSum", graph.add("Mul", x, x), graph.constant(np.array([1])), keepdims=1)  # (N, 1)

    bias = graph.constant((learned.linear.bias / learned.temperature).astype(np.float32))
    logits = graph.add("Add", graph.add("MatMul", "features", store(weight)), bias)
    sure = graph.add("Softmax", logits, axis=1)  # (N, K)
    along = squares(graph.add("MatMul", "features", graph.half(learned.directions)))
    least = graph.add("Mul", squares("features"), number(learned.limit))
    flat = graph.add("Mul", graph.add("Sub", sure, number(1 / classes)), number(FLATNESS))
    even = graph.add("Add", flat, number(1 / classes))
    graph.add("Where", graph.add("Less", along, least), even, sure, output="probabilities")
    return graph.serialise("probabilities", classes)


def _metrics(
    learned: Learned, features: Features, labels: NDArray[np.int64], records: list[Record], card: ModelCard
) -> dict[str, object]:
    judged = evaluate(learned.probabilities, labels[learned.judged], card.labels, card.threshold)
    metrics: dict[str, object] = {"out_of_fold": judged.summary()}
    tested = np.array([row for row, record in enumerate(records) if record.split == "test"], np.int64)
    if len(tested):
        metrics["test"] = evaluate(
            learned.answers(features.take(tested)), labels[tested], card.labels, card.threshold
        ).summary()
    return metrics


def _kept(learned: Learned, labels: NDArray[np.int64], records: list[Record], graph: bytes) -> dict[str, bytes]:
    """Out-of-fold predictions, for choosing another threshold; those on held-out images can be recomputed."""
    if learned.folds is None:
        return {}
    answers = OutOfFold(
        tuple(records[row].sha256 for row in learned.judged),
        labels[learned.judged],
        learned.folds,
        learned.probabilities.astype(np.float32),
    )
    return {MODEL_ANSWERS: to_answers(answers, graph)}


def _check_graph(
    graph: bytes, card: ModelCard, learned: Learned, features: Features, records: list[Record], data: Dataset
) -> None:
    """Check the served graph's predictions on a few images against the evaluated ones."""
    classifier = OnnxClassifier(graph, card)
    rows = np.linspace(0, len(records) - 1, _CHECKED).astype(np.int64)
    expected = restored(learned.answers(features.take(rows)))  # rounding may move an image across the limit
    for row, wanted in zip(rows, expected, strict=True):
        found = classifier.predict((data.root / records[row].path).read_bytes())
        if abs(restored([found])[0] - wanted).max() > 2 * _ALMOST:
            raise TrainingError(
                f"the exported model's prediction on {records[row].path} differs from the evaluated one: remove the "
                "cache and train again"
            )
