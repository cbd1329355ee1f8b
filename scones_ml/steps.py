"""The three steps of the workflow: pure functions on events.

``serialize_image_data`` -> ``classify_image_data`` -> ``filter_low_confidence``. The handlers of the same names read an
event, call a step and return its result; the state machine composes them.

The names in ``__all__`` are public.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from scones_ml import batches
from scones_ml.errors import EventError, ImageError, ImageNotFoundError, ImageTooLargeError
from scones_ml.events import (
    ClassifiedImage,
    CreatedObject,
    FilteredImage,
    ImageBatch,
    ImageOutcome,
    ImageRef,
    SerializedImage,
    classes_id,
    start_event,
)
from scones_ml.events.models import UNDECIDED
from scones_ml.events.readers import is_image_key
from scones_ml.events.starts import queued
from scones_ml.limits import STATE_BYTES
from scones_ml.printable import printable
from scones_ml.settings import ImagePolicy
from scones_ml.verdicts import UNLIKE, judge, most_probable

if TYPE_CHECKING:  # importing the ports' many dataclasses would cost every function some milliseconds
    from scones_ml.images import NormalisedImage
    from scones_ml.ports import Classifier, ObjectStore, StoredObject

__all__ = [
    "BatchClassifier",
    "Started",
    "batch_report",
    "batch_results",
    "classify_batch",
    "classify_image_data",
    "filter_low_confidence",
    "image_bytes",
    "read_image",
    "serialize_image_data",
    "start_image_classification",
]

Pixels = TypeVar("Pixels")

_NAMED: Final = 5  # images that failed, in a batch's report
_ROOM_FOR_OTHER_FIELDS = 8_192  # bytes: a key has up to 1,024, six times as many when JSON escapes them all


class BatchClassifier(Protocol[Pixels]):
    """Turns many images into calibrated probabilities at a time; the same numbers as a Classifier gives."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        ...

    @property
    def model(self) -> str:
        """Which model answers, see :attr:`scones_ml.ports.Classifier.model`."""
        ...

    def prepare(self, data: bytes, policy: ImagePolicy) -> Pixels:
        """Decode an object's bytes to what the model takes.

        Raises:
            InvalidImageError: not an image, or a broken one.
            ImageTooLargeError: beyond the policy's caps.
        """
        ...

    def predict_many(self, images: Sequence[Pixels], image_ids: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """Classify prepared images, in order; errors as :meth:`scones_ml.ports.Classifier.predict`."""
        ...


def read_image(ref: ImageRef, store: ObjectStore, policy: ImagePolicy) -> StoredObject:
    """Read the object that an event names; beyond the policy's cap it is refused, unread.

    Raises:
        ImageNotFoundError: it is gone or was replaced. The message starts with the image_id, by which the workflow
            looks for the outcome that the image may have.
        ImageTooLargeError: it is larger. The message starts with the image_id, by which the workflow files it.
    """
    try:
        return store.read(ref, policy.max_bytes)
    except ImageNotFoundError as exc:
        raise ImageNotFoundError(f"{ref.image_id} {ref.uri}: {exc}") from exc
    except ImageTooLargeError as exc:
        found = store.version(ref)
        refused = ImageTooLargeError(f"{found.image_id} {found.uri}: {exc}")
        refused.version_id = found.version_id
        raise refused from exc


def serialize_image_data(stored: StoredObject, policy: ImagePolicy) -> SerializedImage:
    """Turn an object into a normalised image that fits into a state.

    Args:
        stored: the object's bytes and version.
        policy: what an image may be (see :mod:`scones_ml.images`).

    Returns:
        The image as base64 PNG; a claim check (empty ``image_data``) when it would not fit.

    Raises:
        InvalidImageError: not an image. The message starts with the image_id, by which the workflow files it.
        ImageTooLargeError: beyond the policy's caps; the message likewise.
    """
    ref = stored.ref
    image_data = base64.b64encode(_normalise(ref, stored.data, policy).png).decode()
    fits = len(image_data) <= STATE_BYTES - _ROOM_FOR_OTHER_FIELDS
    return SerializedImage(**ref.model_dump(), image_id=ref.image_id, image_data=image_data if fits else "")


def image_bytes(image: SerializedImage, read: Callable[[ImageRef], StoredObject], policy: ImagePolicy) -> bytes:
    """The image's bytes: decoded from the event, or read anew for a claim check.

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


def classify_image_data(image: SerializedImage, data: bytes, classifier: Classifier) -> ClassifiedImage:
    """Name what an image shows.

    Args:
        image: which image it is; its bytes are dropped here.
        data: the encoded image.
        classifier: an endpoint, or a model in this process.

    Returns:
        The most probable label with its probability, and all probabilities.

    Raises:
        InferenceError: the answer is not one probability per label (finite, in [0, 1], sum 1 within 1e-3). Logits
            are never turned into probabilities here: a softmax would make any numbers look confident.
    """
    probabilities = classifier.predict(data, image_id=image.image_id)
    label, confidence = most_probable(probabilities, classifier.labels)
    return ClassifiedImage(
        **image.model_dump(exclude={"image_data"}),
        inferences=probabilities,
        label=label,
        confidence=confidence,
        model=classifier.model,
        classes=classes_id(classifier.labels),
    )


def filter_low_confidence(image: ClassifiedImage, threshold: float | None) -> FilteredImage:
    """Accept an image whose confidence reaches the threshold.

    Args:
        image: a classified image.
        threshold: in (0, 1]; ``confidence >= threshold`` is accepted, see ``scones_ml.verdicts``; None accepts none.
    """
    verdict = judge(image.confidence, image.inferences, threshold)
    return FilteredImage(**image.model_dump(), **verdict._asdict())


@dataclass(frozen=True, slots=True)
class Started:
    """What came of a start event.

    Attributes:
        images: how many executions were started, or had been before.
        failures: why messages of an SQS batch failed, by message id; ``""`` stands for those that have none.
        skipped: how many records start nothing, by what they tell of: ``{"Object Deleted": 2, "not an image": 1}``.
    """

    images: int
    failures: dict[str, str]
    skipped: dict[str, int] = field(default_factory=dict)

    def to_event(self) -> dict[str, object]:
        """SQS's partial batch response: the messages that are to come again.

        A message without an id cannot be named: an empty identifier has Lambda and EventBridge Pipes send the whole
        batch again. That loses nothing, since starting an image twice is harmless; left out, the message would be
        deleted.
        """
        return {"batchItemFailures": [{"itemIdentifier": name} for name in self.failures]}


def start_image_classification(event: object, start: Callable[[CreatedObject], None]) -> Started:
    """Start one execution for each image whose creation an event tells of.

    Args:
        event: any start event; each record stands for itself, and so does each message of an SQS batch.
        start: starts one execution, under :attr:`scones_ml.events.CreatedObject.name`; a duplicate must be harmless.

    Returns:
        How many were started, what was skipped, and which messages of an SQS batch failed, for any reason: they come
        again, and end in the dead-letter queue when that does not help. What creates no object starts nothing and is
        no failure, nor are folder markers, manifests and test events.

    Raises:
        EventError: the event is no SQS batch, and a record of it cannot be read; all others were started before.
        TransientServiceError: likewise, and an execution cannot be started now.
    """
    messages = queued(event)
    if messages is None:
        begun = _start_all(event, start)
        if begun.errors:
            raise begun.errors[0]
        return Started(begun.images, {}, dict(begun.skipped))
    images, skipped, failures = 0, Counter[str](), {}
    for message in messages:
        begun = _start_all(message.record, start)
        images += begun.images
        skipped += begun.skipped
        if begun.errors:
            failures[message.message_id] = printable(f"{type(begun.errors[0]).__name__}: {begun.errors[0]}")
    return Started(images, failures, dict(skipped))


class _Begun(NamedTuple):
    images: int
    skipped: Counter[str]
    errors: list[Exception]


def _start_all(event: object, start: Callable[[CreatedObject], None]) -> _Begun:
    """Start whatever can be started; one image's error does not stop the others."""
    found = start_event(event)
    images = [created for created in found.created if is_image_key(created.ref.s3_key)]
    started, errors = 0, list[Exception](map(EventError, found.refused))
    for image in images:
        try:
            start(image)
            started += 1
        except Exception as exc:
            errors.append(exc)
    skipped = Counter(found.skipped) + Counter({"not an image": len(found.created) - len(images)})
    return _Begun(started, skipped, errors)


def classify_batch(
    batch: Sequence[ImageRef],
    read: Callable[[ImageRef], StoredObject],
    classifier: BatchClassifier[Pixels],
    policy: ImagePolicy,
    threshold: float | None,
    readers: int,
) -> tuple[ImageOutcome, ...]:
    """Read, classify and filter many images; whatever one raises is its own outcome, see ``scones_ml.batches``.

    Args:
        batch: the objects.
        read: how one is read.
        classifier: an endpoint, or a model in this process.
        policy: what an image may be.
        threshold: as for :func:`filter_low_confidence`.
        readers: how many objects are read and decoded at a time; only so many are held undecoded.

    Returns:
        One outcome per image, in order.

    Raises:
        ConfigurationError: a setting, a package or a permission is missing.
        InferenceError: the model answers no image, not even a blank one.
        TransientServiceError: the store or the classifier is throttled: the batch may be tried again.
    """

    def prepare(ref: ImageRef) -> tuple[ImageRef, Pixels] | ImageOutcome:
        """The pixels, and the version that they are: a listing names none."""
        try:
            found = read(ref)
        except ImageTooLargeError as exc:  # refused unread
            return batches.unclassified(ref.model_copy(update={"version_id": exc.version_id or ref.version_id}), exc)
        try:
            return found.ref, batches.decoded(lambda: classifier.prepare(found.data, policy))
        except ImageError as exc:
            return batches.unclassified(found.ref, exc)

    def classify(images: Sequence[tuple[ImageRef, Pixels]]) -> list[ImageOutcome]:
        answers = classifier.predict_many([image for _, image in images], [ref.image_id for ref, _ in images])
        return [_verdict(ref, answer, classifier, threshold) for (ref, _), answer in zip(images, answers, strict=True)]

    prepared = batches.prepare_each(batch, prepare, readers)
    images = [one for one in prepared if not isinstance(one, ImageOutcome)]
    answered = iter(batches.answer_each(images, classify))
    outcomes = tuple(one if isinstance(one, ImageOutcome) else next(answered) for one in prepared)
    blank = ImageRef(s3_bucket="blank", s3_key="blank.png")
    batches.check_model(outcomes, lambda: classify([(blank, classifier.prepare(batches.BLANK, policy))]))
    return outcomes


def batch_results(batch: ImageBatch, outcomes: Sequence[ImageOutcome]) -> tuple[str, str]:
    """What is to be written of a batch: one object, so that no crash leaves half of it.

    Returns:
        Its key, which says whether a later run has to do the batch again, and JSON Lines of one image a line.
    """
    return _result_key(batch, outcomes), batches.json_lines(outcomes)


def _result_key(batch: ImageBatch, outcomes: Sequence[ImageOutcome]) -> str:
    undecided = any(one.outcome in UNDECIDED for one in outcomes)
    return batch.failed_key if undecided else batch.result_key


def batch_report(batch: ImageBatch, outcomes: Sequence[ImageOutcome] | None) -> dict[str, object]:
    """What one invocation hands to the ResultWriter: counts, and where the results are; those unlike, if any.

    Of images that failed the first are named, each with its reason.

    Args:
        batch: what was asked for.
        outcomes: what became of it; None when an earlier invocation has written them.
    """
    counts: Counter[str] = Counter(outcome.outcome for outcome in outcomes or ())
    if outcomes is None:
        counts["finished_before"] = len(batch.images)
    key = _result_key(batch, outcomes or ())
    report: dict[str, object] = {"batch_id": batch.batch_id, "result_key": key, "counts": dict(counts)}
    unlike = sum(outcome.reason == UNLIKE for outcome in outcomes or ())
    failed = {one.s3_key: one.reason for one in outcomes or () if one.outcome == "failed"}
    named = dict(itertools.islice(failed.items(), _NAMED))
    return report | ({"unlike": unlike} if unlike else {}) | ({"failed": named} if named else {})


def _verdict(
    ref: ImageRef, probabilities: tuple[float, ...], classifier: BatchClassifier[Pixels], threshold: float | None
) -> ImageOutcome:
    label, confidence = most_probable(probabilities, classifier.labels)
    verdict = judge(confidence, probabilities, threshold)
    return ImageOutcome(
        **ref.model_dump(),
        image_id=ref.image_id,
        outcome="accepted" if verdict.accepted else "review",
        inferences=probabilities,
        label=label,
        confidence=confidence,
        model=classifier.model,
        classes=classes_id(classifier.labels),
        **verdict._asdict(),
    )


def _normalise(ref: ImageRef, data: bytes, policy: ImagePolicy) -> NormalisedImage:
    from scones_ml import images  # used by one function of three; the others start sooner

    try:
        return batches.decoded(lambda: images.normalise(data, policy))
    except ImageError as exc:
        raise type(exc)(f"{ref.image_id} {ref.uri}: {exc}") from exc
