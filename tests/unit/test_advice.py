"""What is said to help a model without a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from scones_ml.evaluation import choose_threshold, evaluate
from scones_ml.inference.model import ModelCard
from scones_ml.lifecycle.advice import what_helps

LABELS = ("bicycle", "motorcycle")


def card(quality: float, *, images: int = 40, input_size: int = 224, **facts: object) -> ModelCard:
    """A card of a model that is right this often, bicycles always, whose threshold 40 images were to give."""
    top = np.linspace(0.99, 0.6, images)
    truth = np.arange(images) % 2
    right = (truth == 0) | (np.arange(images) % 20 < 20 * (2 * quality - 1))
    answer = np.where(right, truth, 1 - truth)
    probabilities = np.where(answer[:, None] == [0, 1], top[:, None], 1 - top[:, None])
    document = {
        "labels": LABELS,
        "input_size": input_size,
        "threshold_choice": choose_threshold(probabilities, truth).to_json(),
        "metrics": {"test": evaluate(probabilities, truth, LABELS).to_json()},
        **facts,
    }
    return ModelCard.model_validate(document)


def test_another_target_and_more_labels_are_named() -> None:
    """The target that holds comes with its coverage, the labels scaled to the whole data set: a tenth of it chooses."""
    counts = {"train": {"bicycle": 160, "motorcycle": 160}, "calibration": {"bicycle": 20, "motorcycle": 20}}
    assert what_helps(card(1.0, counts=counts), "m", "d") == (
        "`scones threshold m d --target-precision 0.9`, which accepts 100%; "
        "or label about 170 more images as they come in and stage them with the others, for 19 more to choose by"
    )


def test_weak_classes_are_named() -> None:
    """A class that is found clearly less often than all is what to train on."""
    assert what_helps(card(0.8)).endswith("and more of motorcycle to train on")


def test_the_weak_classes_are_those_of_the_images_that_were_to_choose() -> None:
    """Where the card has figures out of fold, the test split does not say what to label."""
    weak, strong = (card(quality).metrics["test"] for quality in (0.8, 1.0))
    assert "motorcycle" not in what_helps(card(0.8, metrics={"out_of_fold": strong, "test": weak}))
    assert what_helps(card(0.8, metrics={"out_of_fold": weak, "test": strong})).endswith("motorcycle to train on")


@pytest.mark.parametrize(
    ("recipe", "input_size", "larger", "told"),
    [
        ("scratch", 32, 300, "--image-size 64: 300 of 400 images were reduced"),
        ("scratch", 32, 100, ""),
        ("scratch", 224, 300, ""),
        ("head", 224, 300, "--image-size 352: 300 of 400 images were reduced"),
        ("head", 352, 300, ""),
    ],
)
def test_a_larger_size_helps_where_much_was_reduced(recipe: str, input_size: int, larger: int, told: str) -> None:
    """What was reduced a lot can be staged larger, up to what its recipe gains from; else nothing is said of it."""
    counts = {"train": {"bicycle": 200, "motorcycle": 200}}
    found = what_helps(card(1.0, recipe=recipe, input_size=input_size, larger=larger, counts=counts))
    assert told in found
    assert ("were reduced" in found) == bool(told)


def test_a_model_near_chance_is_told_so() -> None:
    """Where always giving one answer may be as good, neither another target nor a size for it is offered."""
    found = what_helps(card(0.5))
    assert found.startswith("the model itself is too weak, 50.0% right on 40 test images where always predicting ")
    assert "--target" not in found
    assert "on 40 held-out images" in what_helps(card(0.5, metrics={"out_of_fold": card(0.5).metrics["test"]}))


def test_few_facts_give_few_words() -> None:
    """A card of an earlier version, or one that was altered, still leads to the command that says more."""
    bare = ModelCard(labels=LABELS, input_size=32)
    assert what_helps(bare) == "`scones threshold MODEL DATA`"
    altered = bare.model_copy(update={"threshold_choice": {"labels": "many"}, "metrics": {"test": {"accuracy": 1}}})
    assert what_helps(altered) == "`scones threshold MODEL DATA`"
