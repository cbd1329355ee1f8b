"""Data of an evaluation report: the model, its data set, its predictions, and the cost on AWS.

:mod:`scones_ml.reports.evaluation_report` renders the page from it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml import dataset, images
from scones_ml.cost import estimate as cost
from scones_ml.cost.prices import price_table
from scones_ml.cost.workload import Workload
from scones_ml.dataset.folds import folds
from scones_ml.errors import ImageError
from scones_ml.inference.model import ModelCard, load_classifier
from scones_ml.lifecycle import Predictions, evaluate
from scones_ml.lifecycle.features import model_features
from scones_ml.ports import Progress, no_progress
from scones_ml.reports.cost_chart import two_digits
from scones_ml.reports.facts import (
    ClassifiedRow,
    CostEstimate,
    DatasetFacts,
    DesignCost,
    ModelFacts,
    RunReport,
    SimilarImage,
    UnknownClasses,
)
from scones_ml.verdicts import UNLIKE, judge

if TYPE_CHECKING:
    from scones_ml.backbones.features import Features
    from scones_ml.evaluation import ThresholdChoice

__all__ = ["THUMBNAIL", "cost_estimate", "evaluation_report"]

THUMBNAIL: Final = images.ImagePolicy(image_size=96)
"""How images are downscaled for a page."""

_FOLDS: Final = 3  # trainings for each class that is left out, plus one
_SIMILAR: Final = 3  # images next to each wrong prediction

# Images a month, from a trial to a large service; each ten times the one before, which the chart relies on.
_VOLUMES: Final = (1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)
_DRAWN: Final = (
    "endpoint",
    "endpoint-express",
    "serverless",
    "serverless-express",
    "lambda",
    "lambda-express",
    "bulk",
    "batch-transform-packed",
)


def evaluation_report(
    model: Path,
    data: Path,
    predictions: Predictions,
    *,
    title: str,
    source: str,
    created: datetime,
    workspace: Path | None = None,
    progress: Progress = no_progress,
) -> RunReport:
    """Gather the data of a report on a model's predictions on a test split.

    Args:
        model: its folder or ``model.tar.gz``.
        data: the staged data set.
        predictions: predictions on its test split, in its order.
        title: title of the page.
        source: origin of the images, in words or as a path.
        created: date of the page.
        workspace: workspace whose cache keeps the images' features, for showing similar images next to wrong
            predictions, and for estimating how many images of an unknown class would be accepted; neither when None, or
            when the model has no backbone.
        progress: called for images whose features are not in the cache.

    Raises:
        ConfigurationError: ``model`` is not a model, or its card's choice of the threshold is unreadable.
        DatasetError: ``data`` is not a staged data set.
    """
    from scones_ml.evaluation import rescale, unlike_rows
    from scones_ml.reports.evaluation_report import scored_predictions

    classifier, staged = load_classifier(model), dataset.load(data)
    card, known = classifier.card, ~unlike_rows(predictions.probabilities)
    features = None if workspace is None else model_features(model, staged, workspace, progress)
    raw = rescale(predictions.probabilities[known], 1 / card.temperature) if known.any() else None
    return RunReport(
        title=title,
        created=created,
        dataset=DatasetFacts(
            source, staged.classes, {str(name): counts for name, counts in staged.counts().items()}, staged.hash
        ),
        model=ModelFacts(
            preset=card.preset if card.recipe == "scratch" else f"head on {card.backbone.get('name', 'a backbone')}",
            seed=card.seed,
            temperature=card.temperature,
            input_size=card.input_size,
            file_bytes=classifier.file_bytes,
            hash=classifier.sha256,
            library_version=card.library_version,
        ),
        evaluation=evaluate(predictions),
        predictions=scored_predictions(predictions.probabilities, predictions.labels),
        threshold=_choice(card),
        uncalibrated=() if raw is None else scored_predictions(raw, predictions.labels[known]),
        tested=_with_similar(_tested(staged, predictions), staged, features),
        costs=cost_estimate(),
        unknown=_unknown(staged, features, card, progress),
    )


def cost_estimate(region: str = "us-east-1") -> CostEstimate:
    """Monthly cost by design and volume, from the dated price table.

    Raises:
        ConfigurationError: no prices are known for the region.
    """
    prices, workload = price_table(region), Workload()
    rows = cost.estimate(_VOLUMES[0], workload=workload, prices=prices)
    points = {(point.design, point.images): point.dollars for point in cost.chart(rows, _VOLUMES)}
    break_evens = cost.break_evens([row for row in rows if row.design in _DRAWN])
    always_on = cost.instance_break_even(workload, prices)
    return CostEstimate(
        prices=f"List prices of {region} as of {prices.as_of}",
        volumes=_VOLUMES,
        designs=tuple(
            DesignCost(
                row.design,
                row.description,
                row.idle_per_month,
                tuple(points[row.design, volume] for volume in _VOLUMES),
                row.design in _DRAWN,
            )
            for row in rows
        ),
        break_evens=tuple(one for one in break_evens if _VOLUMES[0] <= one.images <= _VOLUMES[-1]),
        notes=(
            f"Inference of a photograph ({workload.model_inside.milliseconds:g} ms) costs less on an always-on "
            f"{workload.instance} than in a Lambda function from about {two_digits(always_on)} images a month.",
            "Durations are assumptions on the high side; “scones cost --formulas” shows every line.",
        ),
    )


def _choice(card: ModelCard) -> ThresholdChoice:
    """How the threshold was chosen; a card with only a threshold promises nothing."""
    from scones_ml.evaluation import ThresholdChoice

    if card.threshold_choice:
        return ThresholdChoice.from_json(card.threshold_choice)
    given = "no threshold" if card.threshold is None else f"the threshold {card.threshold:g}"
    return ThresholdChoice(
        threshold=card.threshold,
        target_precision=None,
        confidence_level=0.95,
        coverage=0.0,
        accepted=0,
        correct=0,
        precision_lower_bound=0.0,
        labels=0,
        labels_needed=None,
        reason=f"The model's card gives {given}, and not how it was chosen: “scones threshold” chooses one.",
        rule="given",
    )


def _tested(staged: dataset.Dataset, predictions: Predictions) -> tuple[ClassifiedRow, ...]:
    from scones_ml.reports.evaluation_report import hardest_examples

    records = staged.split("test")
    rows = []
    for index in hardest_examples(predictions.probabilities, predictions.labels):
        record, probabilities = records[index], predictions.probabilities[index]
        confidence = float(probabilities.max())
        verdict = judge(confidence, probabilities.tolist(), predictions.threshold)
        rows.append(
            ClassifiedRow(
                key=record.path,
                outcome="accepted" if verdict.accepted else "review",
                thumbnail=_thumbnail(staged.root / record.path),
                label=staged.classes[int(probabilities.argmax())],
                confidence=confidence,
                truth=record.class_name,
                reason=UNLIKE if verdict.reason == UNLIKE else None,
            )
        )
    return tuple(rows)


def _with_similar(
    rows: tuple[ClassifiedRow, ...], staged: dataset.Dataset, features: Features | None
) -> tuple[ClassifiedRow, ...]:
    """Wrong predictions with the most similar labelled images."""
    wrong = [row for row in rows if row.correct is False]
    others = [place for place, record in enumerate(staged.records) if record.split != "test"]
    if features is None or not wrong or not others:
        return rows
    import numpy as np

    from scones_ml.heads.neighbours import nearest

    places = {record.path: place for place, record in enumerate(staged.records)}
    which = np.array([places[row.key] for row in wrong], np.int64)
    found, cosines = nearest(features, which, np.array(others, np.int64), _SIMILAR)
    similar = {
        row.key: tuple(
            SimilarImage(record.path, _thumbnail(staged.root / record.path), record.class_name, float(cosine))
            for record, cosine in zip((staged.records[place] for place in places_of), cosines_of, strict=True)
        )
        for row, places_of, cosines_of in zip(wrong, found, cosines, strict=True)
    }
    return tuple(replace(row, similar=similar.get(row.key, ())) for row in rows)


def _unknown(
    staged: dataset.Dataset, features: Features | None, card: ModelCard, progress: Progress
) -> UnknownClasses | None:
    """Results with each class left out in turn, without the test split; needs three classes of three images each."""
    taught = [place for place, record in enumerate(staged.records) if record.split != "test"]
    counts = Counter(staged.records[place].label for place in taught)
    target = _choice(card).target_precision
    if features is None or len(staged.classes) < 3 or min(counts.values(), default=0) < 3 or target is None:
        return None
    import numpy as np

    from scones_ml.evaluation import clopper_pearson
    from scones_ml.heads.unknown import leave_each_class_out

    held = folds(staged, min(_FOLDS, min(counts.values())), 0, ("train", "validation", "calibration"))
    fold = {digest: number for number, digests in enumerate(held) for digest in digests}
    places = np.array(taught, np.int64)
    labels = np.array([staged.records[place].label for place in taught], np.int64)
    fold_of = np.array([fold[staged.records[place].sha256] for place in taught], np.int64)
    rows = replace(features, rows=features.rows[places])
    found = leave_each_class_out(rows, labels, fold_of, len(staged.classes), target, progress)
    shares = sorted((left.accepted / left.images, staged.classes[left.label]) for left in found)
    (fewest, first), (most, last) = shares[0], shares[-1]
    accepted = clopper_pearson(sum(left.accepted for left in found), sum(left.images for left in found))
    return UnknownClasses(accepted, (first, fewest), (last, most))


def _thumbnail(path: Path) -> bytes | None:
    try:
        return images.preview(path.read_bytes(), THUMBNAIL).data
    except ImageError:
        return None
