"""The contents of a report: plain data, no I/O."""

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
        unlike: whether the image is unlike the training images and so is accepted at no threshold.
    """

    confidence: float
    correct: bool
    unlike: bool = False


@dataclass(frozen=True)
class SimilarImage:
    """A labelled image that is similar to another one in the model's features.

    Attributes:
        key: the image's name.
        thumbnail: a small PNG, or None if there is no image.
        truth: the image's label.
        similarity: cosine of the features of the two, at most 1.
    """

    key: str
    thumbnail: bytes | None
    truth: str
    similarity: float


@dataclass(frozen=True)
class ClassifiedRow:
    """One image with its prediction, of the run or of the test split.

    Attributes:
        key: the object's key; untrusted.
        outcome: the image's outcome.
        thumbnail: a small PNG, or None if there is no image.
        label: the predicted class, None without a prediction.
        confidence: confidence of the prediction, in [0, 1], None without a prediction.
        truth: the true label, None if unknown.
        reason: why it was quarantined or dropped.
        started: seconds from the start of the run.
        duration_ms: from event to outcome.
        similar: the most similar labelled images, none from the test split; may be empty.
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
        """Whether the prediction is right; None without a prediction or a true label."""
        return None if self.label is None or self.truth is None else self.label == self.truth


@dataclass(frozen=True)
class DatasetFacts:
    """The data set of the model.

    Attributes:
        source: origin of the images, as text or a path.
        classes: K class names.
        counts: images by split and class, ``{"train": {"bicycle": 400, ...}, ...}``.
        hash: SHA-256 of the data set.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    hash: str


@dataclass(frozen=True)
class ModelFacts:
    """The model.

    Attributes:
        preset: name of the training recipe.
        seed: random seed.
        temperature: temperature by which the logits are divided.
        input_size: side of its square input, in pixels.
        file_bytes: size of ``model.onnx``.
        hash: SHA-256 of ``model.onnx``.
        library_version: version of scones_ml.
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
    """The costs of one design.

    Attributes:
        name: name of the design.
        description: short description.
        idle: dollars for a month without images.
        dollars: dollars a month, at each of the estimate's volumes.
        drawn: whether it is in the chart as well as in the table.
    """

    name: str
    description: str
    idle: float
    dollars: tuple[float, ...]
    drawn: bool = True


@dataclass(frozen=True)
class BreakEven:
    """A volume at which two designs cost the same.

    Attributes:
        below: the design that is cheaper for fewer images.
        above: the design that is cheaper for more images.
        images: images a month.
        dollars: cost of both at this volume, in dollars a month.
    """

    below: str
    above: str
    images: float
    dollars: float


@dataclass(frozen=True)
class CostEstimate:
    """Monthly costs on AWS, by design and volume.

    Attributes:
        prices: source and date of the prices.
        volumes: images a month, each ten times the one before.
        designs: the designs with their costs.
        break_evens: volumes at which two drawn designs cost the same, within the range of volumes.
        notes: further notes, as sentences.
    """

    prices: str
    volumes: tuple[float, ...]
    designs: tuple[DesignCost, ...]
    break_evens: tuple[BreakEven, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnknownClasses:
    """Accepted images of unknown classes, estimated by leaving each class out of the training in turn.

    Attributes:
        accepted: the accepted share of their images, over all classes.
        fewest: the class with the smallest accepted share, and that share.
        most: the class with the largest accepted share, and that share.
    """

    accepted: Estimate
    fewest: tuple[str, float]
    most: tuple[str, float]


@dataclass(frozen=True)
class RunReport:
    """The contents of the report: plain data, no I/O.

    Attributes:
        title: title of the page.
        created: time to show.
        dataset: the data set.
        model: the model.
        evaluation: evaluation on the test split.
        predictions: predictions on the same test images, for the curves.
        threshold: threshold chosen on the calibration split.
        rows: images of the run, in order; may be empty.
        stage_seconds: seconds by stage, in order.
        notes: lines on costs and remaining resources.
        uncalibrated: predictions without the temperature, for comparison; may be empty.
        tested: the hardest test images, see ``hardest_examples``; may be empty.
        costs: costs on AWS.
        comparison: an older model's name, and the comparison with it on the test images.
        unknown: accepted share of unknown classes; None if it cannot be estimated.
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
