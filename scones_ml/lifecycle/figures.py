"""The figures on a model's card, read back."""

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
    """A share of images and its 95 % interval; the value is None where it is undefined."""

    value: float | None
    low: float
    high: float

    def estimate(self) -> Estimate:
        """As evaluation has it, NaN where it is undefined."""
        from scones_ml.evaluation import Estimate

        return Estimate(math.nan if self.value is None else self.value, self.low, self.high)


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many images there were of it, and how many of them were found."""

    name: str
    support: int
    recall: Share


@dataclass(frozen=True)
class ThresholdFigures:
    """What the threshold lets through, and how often that is right."""

    threshold: float
    coverage: Share
    precision: Share


@dataclass(frozen=True)
class CardFigures:
    """The figures of some labelled images, in :class:`scones_ml.evaluation.Evaluation`'s terms."""

    images: int
    correct: int
    accuracy: Share
    per_class: tuple[ClassFigures, ...]
    at_threshold: ThresholdFigures | None = None


def figures(card: ModelCard, images: Literal["out_of_fold", "test"]) -> CardFigures | None:
    """The figures on a card; None where it has none, or was altered.

    Args:
        card: of a model.
        images: those by which the threshold was chosen, or the test split.
    """
    try:
        found = TypeAdapter(CardFigures).validate_python(card.metrics.get(images))
    except ValidationError:
        return None
    return found if found.images and found.per_class and found.accuracy.value is not None else None
