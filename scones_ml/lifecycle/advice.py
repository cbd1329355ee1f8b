"""Advice for a model without a threshold, from the figures on its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scones_ml.errors import ConfigurationError
from scones_ml.lifecycle.figures import figures
from scones_ml.wording import listed

if TYPE_CHECKING:
    from scones_ml.evaluation import ThresholdChoice
    from scones_ml.inference.model import ModelCard

__all__ = ["what_helps"]

_LARGE: Final = {"head": 352, "scratch": 64}  # pixels, by recipe; larger sizes gain less
_LEAST_RECALL_GAP: Final = 0.05  # a class counts as weak this far below the accuracy on all images
_USUAL_COVERAGE: Final = 0.5


def what_helps(card: ModelCard, model: str = "MODEL", data: str = "DATA") -> str:
    """One line with the ways to get a threshold for a model, the quickest first.

    The model's figures are those on the images that its threshold was to be chosen on; on the test split when the card
    has none for those.

    Args:
        card: card of a model without a threshold.
        model: the model in commands.
        data: its data set in commands.
    """
    if weak := _too_weak(card):
        return weak
    choice = _choice(card)
    parts = [_command(choice, f"scones threshold {model} {data}"), _labels(card, choice), _size(card)]
    return "; or ".join(filter(None, parts))


def _too_weak(card: ModelCard) -> str:
    """Sentence for a model that may be no better than always predicting one class."""
    held_out = figures(card, "out_of_fold")
    found = held_out or figures(card, "test")
    if found is None:
        return ""
    most = max(found.per_class, key=lambda row: row.support)
    if found.accuracy.low > most.support / found.images:
        return ""
    return (
        f"the model itself is too weak, {found.accuracy.value:.1%} right on {found.images:,} "
        f"{'held-out' if held_out else 'test'} images where always predicting {most.name} gives "
        f"{most.support / found.images:.1%}: train it on more images or on larger ones"
    )


def _command(choice: ThresholdChoice | None, command: str) -> str:
    if choice and choice.attainable_precision:
        return (
            f"`{command} --target-precision {choice.attainable_precision:g}`, which accepts "
            f"{choice.attainable_coverage:.0%}"
        )
    if choice and choice.labels:
        return f"`{command} --target-coverage {_USUAL_COVERAGE:g}`, which promises no precision"
    return f"`{command}`"


def _labels(card: ModelCard, choice: ThresholdChoice | None) -> str:
    if choice is None or not choice.labels:
        return ""
    weak = listed(_weakest(card))
    if choice.labels_needed is None:
        return f"label more images to train on{weak and f', especially of {weak}'}"
    # Only the data set's usual share of new images is used to choose the threshold.
    missing = choice.labels_needed - choice.labels
    more = missing * max(1.0, _staged(card) / choice.labels)
    train = f", and more of {weak} to train on" if weak else ""
    return (
        f"label about {_rounded(more):,} more images as they come in and stage them with the others, "
        f"for {missing:,} more to choose by{train}"
    )


def _size(card: ModelCard) -> str:
    staged = _staged(card)
    large = _LARGE[card.recipe]
    if card.input_size >= large or 2 * card.larger < staged or not staged:
        return ""
    return f"stage it larger, with --image-size {large}: {card.larger:,} of {staged:,} images were reduced"


def _staged(card: ModelCard) -> int:
    """Number of images in the data set; 0 when the card does not say."""
    return sum(sum(by_class.values()) for by_class in card.counts.values())


def _weakest(card: ModelCard) -> list[str]:
    """At most two classes with an accuracy clearly below the average."""
    found = figures(card, "out_of_fold") or figures(card, "test")
    if found is None or found.accuracy.value is None:
        return []
    limit = found.accuracy.value - _LEAST_RECALL_GAP
    recalls = [(row.recall.value, row.name) for row in found.per_class if row.recall.value is not None]
    return [name for recall, name in sorted(recalls)[:2] if recall < limit]


def _choice(card: ModelCard) -> ThresholdChoice | None:
    from scones_ml.evaluation import ThresholdChoice

    try:
        return ThresholdChoice.from_json(card.threshold_choice) if card.threshold_choice else None
    except ConfigurationError:
        return None


def _rounded(number: float) -> int:
    """Round to two digits, the precision of the estimate."""
    return int(float(f"{number:.2g}"))
