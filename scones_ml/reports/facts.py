"""What a report tells, as plain data: it asks nobody and looks nothing up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from scones_ml.evaluation import Estimate
    from scones_ml.evaluation.comparison import Comparison
    from scones_ml.evaluation.metrics import Evaluation
    from scones_ml.evaluation.threshold import ThresholdChoice

__all__ = [
    "BreakEven",
    "ClassifiedRow",
    "CostEstimate",
    "DatasetFacts",
    "DesignCost",
    "ModelFacts",
    "RunReport",
    "ScoredPrediction",
    "SimilarImage",
    "UnknownClasses",
]

Outcome = Literal["accepted", "review", "quarantined", "dropped"]


@dataclass(frozen=True)
class ScoredPrediction:
    """One prediction on a labelled test image.

    Attributes:
        confidence: in [0, 1].
        correct: whether it was right.
        unlike: whether the image is unlike the training images, so that no threshold lets it pass.
    """

    confidence: float
    correct: bool
    unlike: bool = False


@dataclass(frozen=True)
class SimilarImage:
    """A labelled image that looks much like another one to the model.

    Attributes:
        key: its name.
        thumbnail: a small PNG, or None when there is no image.
        truth: its label.
        similarity: cosine of the features of the two, at most 1.
    """

    key: str
    thumbnail: bytes | None
    truth: str
    similarity: float


@dataclass(frozen=True)
class ClassifiedRow:
    """One image and its answer: of the run, or of the test split.

    Attributes:
        key: the object's key; anybody may have written it.
        outcome: where it ended.
        thumbnail: a small PNG, or None when there is no image.
        label: the answer, None without one.
        confidence: of the answer, in [0, 1], None without one.
        truth: what it really shows, None when nobody knows.
        reason: why it was quarantined or dropped.
        started: seconds from the start of the run.
        duration_ms: from event to outcome.
        similar: the labelled images, none of the test split, that are most similar to it; may be empty.
    """

    key: str
    outcome: Outcome
    thumbnail: bytes | None = None
    label: str | None = None
    confidence: float | None = None
    truth: str | None = None
    reason: str | None = None
    started: float = 0.0
    duration_ms: float = 0.0
    similar: tuple[SimilarImage, ...] = ()

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; None when there is no answer or no truth."""
        return None if self.label is None or self.truth is None else self.label == self.truth


@dataclass(frozen=True)
class DatasetFacts:
    """What the model learned from.

    Attributes:
        source: where the images come from, in words or as a path.
        classes: K names.
        counts: images by split and class, ``{"train": {"bicycle": 400, ...}, ...}``.
        hash: sha256 of the data set.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    hash: str


@dataclass(frozen=True)
class ModelFacts:
    """What the model is.

    Attributes:
        preset: name of the training recipe.
        seed: of everything random.
        temperature: what its logits are divided by.
        input_size: side of its square input, pixels.
        file_bytes: size of ``model.onnx``.
        hash: sha256 of ``model.onnx``.
        library_version: of scones_ml.
    """

    preset: str
    seed: int
    temperature: float
    input_size: int
    file_bytes: int
    hash: str
    library_version: str


@dataclass(frozen=True)
class DesignCost:
    """What one design costs.

    Attributes:
        name: of the design.
        description: in a few words.
        idle: dollars for a month without an image.
        dollars: dollars a month, at each of the estimate's volumes.
        drawn: whether it is in the chart, too, and not in the table alone.
    """

    name: str
    description: str
    idle: float
    dollars: tuple[float, ...]
    drawn: bool = True


@dataclass(frozen=True)
class BreakEven:
    """Where two designs cost the same.

    Attributes:
        below: the design that is cheaper for fewer images.
        above: the design that is cheaper for more.
        images: images a month.
        dollars: what both cost there, a month.
    """

    below: str
    above: str
    images: float
    dollars: float


@dataclass(frozen=True)
class CostEstimate:
    """What a month on AWS costs, by design and volume.

    Attributes:
        prices: whose prices they are, and of when.
        volumes: images a month, each ten times the one before.
        designs: their costs.
        break_evens: where drawn designs change places, within the volumes.
        notes: what else there is to know, in sentences.
    """

    prices: str
    volumes: tuple[float, ...]
    designs: tuple[DesignCost, ...]
    break_evens: tuple[BreakEven, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnknownClasses:
    """What would be let through of a class that the model had not learned: each was left out in turn.

    Attributes:
        accepted: the share of their images, over all classes.
        fewest: the class of which the smallest share would pass, and that share.
        most: the class of which the largest would.
    """

    accepted: Estimate
    fewest: tuple[str, float]
    most: tuple[str, float]


@dataclass(frozen=True)
class RunReport:
    """All that the page tells; it asks nobody and looks nothing up.

    Attributes:
        title: of the page.
        created: when, as the caller says.
        dataset: what was learned from.
        model: what learned it.
        evaluation: on the test split.
        predictions: of the same test images, one by one, for the curves.
        threshold: the choice on the calibration split.
        rows: the run, in order; may be empty.
        stage_seconds: seconds by stage, in order.
        notes: lines on cost and on what is left, in words.
        uncalibrated: the answers as they would be without the temperature, to show what it did; may be empty.
        tested: test images that are worth a look, see ``hardest_examples``; may be empty.
        costs: what the work would cost on AWS.
        comparison: an older model's name, and how this one fares beside it on the test images.
        unknown: what would pass of classes that it does not know; None where that cannot be told.
    """

    title: str
    created: datetime
    dataset: DatasetFacts
    model: ModelFacts
    evaluation: Evaluation
    predictions: tuple[ScoredPrediction, ...]
    threshold: ThresholdChoice
    rows: tuple[ClassifiedRow, ...] = ()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    uncalibrated: tuple[ScoredPrediction, ...] = ()
    tested: tuple[ClassifiedRow, ...] = ()
    costs: CostEstimate | None = None
    comparison: tuple[str, Comparison] | None = None
    unknown: UnknownClasses | None = None
