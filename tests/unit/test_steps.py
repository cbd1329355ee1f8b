"""The three steps."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scones_ml import steps
from scones_ml.errors import EventError, ImageTooLargeError, InferenceError, InvalidImageError
from scones_ml.events import ClassifiedImage, ImageRef, SerializedImage
from scones_ml.ports import StoredObject
from scones_ml.settings import ImagePolicy
from scones_ml.testing import FakeClassifier
from scones_ml.verdicts import FLATNESS, is_unlike, least_threshold

REF = ImageRef(s3_bucket="photos", s3_key="a b/ü.png", etag="e1")
LABELS = ("bicycle", "motorcycle")


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def serialized(data: bytes, policy: ImagePolicy | None = None) -> SerializedImage:
    return steps.serialize_image_data(StoredObject(REF, data), policy or ImagePolicy())


def classified(confidence: float) -> ClassifiedImage:
    return ClassifiedImage(
        s3_bucket="photos",
        s3_key="a.png",
        image_id="0" * 40,
        inferences=(1 - confidence, confidence),
        label="motorcycle",
        confidence=confidence,
    )


def test_serialize_names_the_object_and_carries_the_image() -> None:
    """The image travels as base64 PNG together with bucket, key, etag and identity."""
    image = serialized(png(40, 30))
    assert (image.s3_bucket, image.s3_key, image.etag, image.image_id) == ("photos", "a b/ü.png", "e1", REF.image_id)
    assert base64.b64decode(image.image_data).startswith(b"\x89PNG")


def test_errors_start_with_the_identity() -> None:
    """A broken image's message starts with its image_id, by which the workflow files it, then names the object."""
    with pytest.raises(InvalidImageError, match=f"^{REF.image_id} s3://photos/a b/ü.png: not an image"):
        serialized(b"<html>")
    with pytest.raises(ImageTooLargeError, match=f"^{REF.image_id} "):
        serialized(png(40, 30), ImagePolicy(max_pixels=100))


def test_a_image_too_large_for_a_state_is_a_claim_check() -> None:
    """When the policy lets large images through, only the reference travels, and the next step reads the object."""
    policy = ImagePolicy(image_size=2000)
    data = png(2000, 2000)
    image = serialized(data, policy)
    assert image.image_data == ""
    picture = steps.image_bytes(image, lambda ref: StoredObject(ref, data), policy)
    assert Image.open(io.BytesIO(picture)).size == (2000, 2000)


def test_image_of_reads_nothing_when_the_image_is_there() -> None:
    """An image in the event is decoded without asking the store."""

    def never(ref: ImageRef) -> StoredObject:
        raise AssertionError(f"{ref} was read")

    assert steps.image_bytes(serialized(png(8, 8)), never, ImagePolicy()).startswith(b"\x89PNG")


def test_image_data_that_is_not_base64_is_named() -> None:
    """Broken base64 is an EventError that names the object."""
    image = SerializedImage(s3_bucket="photos", s3_key="a.png", image_id="0" * 40, image_data="%%%")
    with pytest.raises(EventError, match=r"image_data of s3://photos/a.png is not base64"):
        steps.image_bytes(image, lambda ref: StoredObject(ref, b""), ImagePolicy())


def test_classify_names_the_most_probable_label() -> None:
    """The answer carries label and confidence, all probabilities and the identity, but no image."""
    classifier = FakeClassifier(LABELS, (0.25, 0.75))
    image = steps.classify_image_data(serialized(png(8, 8)), b"", classifier)
    assert (image.label, image.confidence, image.inferences) == ("motorcycle", 0.75, (0.25, 0.75))
    assert classifier.asked == [REF.image_id]
    assert "image_data" not in image.to_event()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((0.5,), "1 numbers for 2 labels"),
        ((0.2, 0.3, 0.5), "3 numbers for 2 labels"),
        ((float("nan"), 0.5), "outside 0..1"),
        ((float("inf"), 0.0), "outside 0..1"),
        ((2.3, -1.1), "outside 0..1"),
        ((0.9, 0.2), "add up to 1.1000"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(answer: tuple[float, ...], words: str) -> None:
    """Logits, NaN, and the wrong number of classes are InferenceErrors; nothing is ever softmaxed into shape."""
    with pytest.raises(InferenceError, match=words):
        steps.classify_image_data(serialized(png(8, 8)), b"", FakeClassifier(LABELS, answer))


@given(st.floats(0.501, 1.0), st.floats(0.01, 1.0))
def test_accepted_means_at_least_the_threshold(confidence: float, threshold: float) -> None:
    """``accepted`` is ``confidence >= threshold``, exactly."""
    image = steps.filter_low_confidence(classified(confidence), threshold)
    assert image.accepted == (confidence >= threshold)
    assert image.threshold == threshold


@pytest.mark.parametrize("confidence", [0.6, 1.0])
def test_without_a_threshold_nothing_is_accepted(confidence: float) -> None:
    """A model without a threshold leaves every image to a person, at a confidence of exactly 1.0, too, and says why."""
    image = steps.filter_low_confidence(classified(confidence), None)
    assert (image.accepted, image.threshold, image.reason) == (False, 1.0, "no threshold")


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=12), st.floats(0.001, 1.0), st.booleans())
def test_unlike_images_are_never_accepted(weights: list[float], threshold: float, chosen: bool) -> None:
    """Whatever the threshold, an answer folded to 1/K goes to review and says why; unfolded it does not."""
    share = 1 / len(weights)
    plain = [weight / sum(weights) for weight in weights]
    folded = tuple(share + 2**-14 * (p - share) for p in plain)
    image = classified(max(folded)).model_copy(update={"inferences": folded})
    filtered = steps.filter_low_confidence(image, threshold if chosen else None)
    assert (filtered.accepted, filtered.reason) == (False, "unlike the training images")
    if max(plain) - share > 2**-14:
        image = classified(max(plain)).model_copy(update={"inferences": tuple(plain)})
        filtered = steps.filter_low_confidence(image, threshold)
        assert (filtered.accepted, filtered.reason) == (max(plain) >= threshold, None)


def test_an_ordinary_answer_has_no_reason() -> None:
    """What is decided by its confidence says nothing more: the event has the fields that it always had."""
    assert "reason" not in steps.filter_low_confidence(classified(0.8), 0.9).to_event()


@given(st.integers(2, 2000))
def test_no_unlike_answer_reaches_the_least_threshold(classes: int) -> None:
    """The threshold that lets all pass lies just above the surest answer that is unlike the training images."""
    surest = 1 / classes + FLATNESS * (1 - 1 / classes)
    assert is_unlike((surest, *((1 - surest) / (classes - 1),) * (classes - 1)))
    assert surest < least_threshold(classes) < surest + 2e-4


def test_the_output_stays_small() -> None:
    """What the filter returns is under 8 KiB, even with a key of 1,024 bytes and a hundred classes."""
    image = ClassifiedImage(
        s3_bucket="b" * 63,
        s3_key="k" * 1024,
        image_id="0" * 40,
        inferences=(0.01,) * 100,
        label="x" * 60,
        confidence=0.01,
    )
    assert len(steps.filter_low_confidence(image, 0.5).model_dump_json()) < 8192
