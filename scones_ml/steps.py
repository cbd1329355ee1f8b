"""The three steps of the workflow: pure functions on events.

``serialize_image_data`` -> ``classify_image_data`` -> ``filter_low_confidence``. The handlers of the same names read an
event, call a step and return its result; the state machine composes them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable

from scones_ml import images
from scones_ml.errors import EventError, ImageError, InferenceError
from scones_ml.events import ClassifiedImage, FilteredImage, ImageRef, SerializedImage
from scones_ml.ports import Classifier, StoredObject
from scones_ml.settings import ImagePolicy

__all__ = [
    "classify_image_data",
    "filter_low_confidence",
    "picture_of",
    "serialize_image_data",
]

STATE_LIMIT_BYTES = 262_144
_ROOM_FOR_OTHER_FIELDS = 8_192


def serialize_image_data(stored: StoredObject, policy: ImagePolicy) -> SerializedImage:
    """Turn an object into a normalised picture that fits into a state.

    Args:
        stored: the object's bytes and version.
        policy: what an image may be (see :mod:`scones_ml.images`).

    Returns:
        The picture as base64 PNG; a claim check (empty ``image_data``) when it would not fit.

    Raises:
        InvalidImageError: not a picture. The message starts with the image_id, by which the workflow files it.
        ImageTooLargeError: beyond the policy's caps; the message likewise.
    """
    ref = stored.ref
    image_data = base64.b64encode(_normalise(ref, stored.data, policy).png).decode()
    fits = len(image_data) <= STATE_LIMIT_BYTES - _ROOM_FOR_OTHER_FIELDS
    return SerializedImage(**ref.model_dump(), image_id=ref.image_id, image_data=image_data if fits else "")


def picture_of(image: SerializedImage, read: Callable[[ImageRef], StoredObject], policy: ImagePolicy) -> bytes:
    """The picture's bytes: decoded from the event, or read anew for a claim check.

    Args:
        image: what ``serialize_image_data`` returned.
        read: how an object is read; called for claim checks only.
        policy: applied to what is read.

    Raises:
        EventError: ``image_data`` is not base64.
    """
    if not image.image_data:
        return _normalise(image.ref, read(image.ref).data, policy).png
    try:
        return base64.b64decode(image.image_data, validate=True)
    except binascii.Error as exc:
        raise EventError(f"image_data of s3://{image.s3_bucket}/{image.s3_key} is not base64: {exc}") from exc


def classify_image_data(image: SerializedImage, picture: bytes, classifier: Classifier) -> ClassifiedImage:
    """Name what a picture shows.

    Args:
        image: which picture it is; its bytes are dropped here.
        picture: the encoded picture.
        classifier: an endpoint, or a model in this process.

    Returns:
        The most probable label with its probability, and all probabilities.

    Raises:
        InferenceError: the answer is not one probability per label (finite, in [0, 1], sum 1 within 1e-3). Logits
            are never turned into probabilities here: a softmax would make any numbers look confident.
    """
    probabilities = classifier.predict(picture, image_id=image.image_id)
    labels = classifier.labels
    if len(probabilities) != len(labels):
        raise InferenceError(
            f"the classifier gave {len(probabilities)} numbers for {len(labels)} labels ({', '.join(labels)})"
        )
    if not all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in probabilities):
        raise InferenceError(f"the classifier's answer holds numbers outside 0..1: {list(probabilities)}")
    if abs(math.fsum(probabilities) - 1.0) > 1e-3:
        raise InferenceError(f"the classifier's probabilities add up to {math.fsum(probabilities):.4f}, not 1")
    confidence = max(probabilities)
    return ClassifiedImage(
        **image.model_dump(exclude={"image_data"}),
        inferences=probabilities,
        label=labels[probabilities.index(confidence)],
        confidence=confidence,
    )


def filter_low_confidence(image: ClassifiedImage, threshold: float) -> FilteredImage:
    """Accept a picture whose confidence reaches the threshold.

    Args:
        image: a classified picture.
        threshold: in (0, 1]; ``confidence >= threshold`` is accepted.
    """
    return FilteredImage(**image.model_dump(), threshold=threshold, accepted=image.confidence >= threshold)


def _normalise(ref: ImageRef, data: bytes, policy: ImagePolicy) -> images.Picture:
    try:
        return images.normalise(data, policy)
    except ImageError as exc:
        raise type(exc)(f"{ref.image_id} {ref.uri}: {exc}") from exc
