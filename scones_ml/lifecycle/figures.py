"""Figures on a model's card."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from scones_ml.evaluation import Estimate
    from scones_ml.inference.model import ModelCard

__all__ = ["CardFigures", "ClassFigures", "Share", "ThresholdFigures", "figures"]


@dataclass(frozen=True)
class Share:
    """A share of images and its 95 % interval; the value is None when undefined."""

    value: float | None
    low: float
    high: float

    def estimate(self) -> Estimate:
        """As an Estimate of :mod:`scones_ml.evaluation`, NaN when undefined."""
        from scones_ml.evaluation import Estimate

        return Estimate(math.nan if self.value is None else self.value, self.low, self.high)


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class: number of its images, and how many were found."""

    name: str
    support: int
    recall: Share


@dataclass(frozen=True)
class ThresholdFigures:
    """Coverage and precision at the threshold."""

    threshold: float
    coverage: Share
    precision: Share


@dataclass(frozen=True)
class CardFigures:
    """Figures on labelled images, in :class:`scones_ml.evaluation.Evaluation`'s terms."""

    images: int
    correct: int
    accuracy: Share
    per_class: tuple[ClassFigures, ...]
    at_threshold: ThresholdFigures | None = None


def figures(card: ModelCard, images: Literal["out_of_fold", "test"]) -> CardFigures | None:
    """Read the figures on a card; None when it has none, or was altered.

    Args:
        card: the model's card.
        images: the images that the threshold was chosen on, or the test split.
    """
    try:
        found = TypeAdapter(CardFigures).validate_python(card.metrics.get(images))
    except ValidationError:
        return None
    return found if found.images and found.per_class and found.accuracy.value is not None else None
