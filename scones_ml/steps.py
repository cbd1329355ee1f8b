"""The three steps of the workflow: pure functions on events.

``serialize_image_data`` -> ``classify_image_data`` -> ``filter_low_confidence``. The handlers with the same names read
an event, call a step and return its result; the state machine connects them.

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

if TYPE_CHECKING:  # importing the ports' dataclasses would take some milliseconds in every function
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

_NAMED: Final = 5  # failed images listed in a batch's report
_ROOM_FOR_OTHER_FIELDS = 8_192  # bytes: a key has up to 1,024, or six times as many if JSON escapes them all


class BatchClassifier(Protocol[Pixels]):
    """A classifier of many images at once, with the same probabilities as a Classifier."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        ...

    @property
    def model(self) -> str:
        """The model's id, see :attr:`scones_ml.ports.Classifier.model`."""
        ...

    def prepare(self, data: bytes, policy: ImagePolicy) -> Pixels:
        """Decode an object's bytes to the model's input.

        Raises:
            InvalidImageError: it is not an image, or broken.
            ImageTooLargeError: it exceeds the policy's limits.
        """
        ...

    def predict_many(self, images: Sequence[Pixels], image_ids: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """Classify decoded images, in order; raises as :meth:`scones_ml.ports.Classifier.predict`."""
        ...


def read_image(ref: ImageRef, store: ObjectStore, policy: ImagePolicy) -> StoredObject:
    """Read the object that an event names; an object beyond the policy's limit is rejected without reading it.

    Raises:
        ImageNotFoundError: it was deleted or replaced. The message begins with the image_id, with which the workflow
            looks for an earlier outcome.
        ImageTooLargeError: it is too large. The message begins with the image_id, which the workflow uses as a key.
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
    """Turn an object into a normalised image that fits in a state.

    Args:
        stored: the object's bytes and version.
        policy: image policy, see :mod:`scones_ml.images`.

    Returns:
        The image as base64 PNG; a claim check (empty ``image_data``) if it would not fit.

    Raises:
        InvalidImageError: it is not an image. The message begins with the image_id, which the workflow uses as a key.
        ImageTooLargeError: it exceeds the policy's limits; the message begins likewise.
    """
    ref = stored.ref
    image_data = base64.b64encode(_normalise(ref, stored.data, policy).png).decode()
    fits = len(image_data) <= STATE_BYTES - _ROOM_FOR_OTHER_FIELDS
    return SerializedImage(**ref.model_dump(), image_id=ref.image_id, image_data=image_data if fits else "")


def image_bytes(image: SerializedImage, read: Callable[[ImageRef], StoredObject], policy: ImagePolicy) -> bytes:
    """The image's bytes: decoded from the event, or read from the store for a claim check.

    Args:
        image: result of ``serialize_image_data``.
        read: reads an object; called only for claim checks.
        policy: image policy for objects that are read.

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
    """Classify an image.

    Args:
        image: identifies the image; its data is dropped.
        data: the encoded image.
        classifier: an endpoint, or a model in this process.

    Returns:
        The most probable label with its probability, and the probabilities of all classes.

    Raises:
        InferenceError: the result is not one probability per label (finite, in [0, 1], sum 1 within 1e-3). Logits
            are not converted to probabilities: a softmax would make any numbers look confident.
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
    """Accept an image if its confidence reaches the threshold.

    Args:
        image: a classified image.
        threshold: in (0, 1]; ``confidence >= threshold`` is accepted, see ``scones_ml.verdicts``; None accepts none.
    """
    verdict = judge(image.confidence, image.inferences, threshold)
    return FilteredImage(**image.model_dump(), **verdict._asdict())


@dataclass(frozen=True, slots=True)
class Started:
    """The result of a start event.

    Attributes:
        images: number of executions that were started, now or earlier.
        failures: why messages of an SQS batch failed, by message id; ``""`` for messages without an id.
        skipped: number of records that start nothing, by kind: ``{"Object Deleted": 2, "not an image": 1}``.
    """

    images: int
    failures: dict[str, str]
    skipped: dict[str, int] = field(default_factory=dict)

    def to_event(self) -> dict[str, object]:
        """SQS's partial batch response: the messages to be delivered again.

        For a message without an id, an empty identifier makes Lambda and EventBridge Pipes deliver the whole batch
        again. Nothing is lost, since starting an image twice is harmless; without it, the message would be deleted.
        """
        return {"batchItemFailures": [{"itemIdentifier": name} for name in self.failures]}


def start_image_classification(event: object, start: Callable[[CreatedObject], None]) -> Started:
    """Start one execution for each image that was created according to an event.

    Args:
        event: any start event; its records, and the messages of an SQS batch, are handled independently.
        start: starts one execution, named :attr:`scones_ml.events.CreatedObject.name`; duplicates must be harmless.

    Returns:
        The number of executions started, the records skipped, and the messages of an SQS batch that failed for any
        reason; these are delivered again, and finally go to the dead-letter queue. Records that create no object,
        folder markers, manifests and test events start nothing and are not failures.

    Raises:
        EventError: the event is not an SQS batch, and a record cannot be read; all others have been started.
        TransientServiceError: the event is not an SQS batch, and an execution cannot be started at present; likewise.
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
    """Start all images that can be started; an error of one image does not stop the others."""
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
    """Read, classify and filter many images; an error of one image is its outcome, see ``scones_ml.batches``.

    Args:
        batch: the objects.
        read: reads an object.
        classifier: an endpoint, or a model in this process.
        policy: image policy.
        threshold: as for :func:`filter_low_confidence`.
        readers: number of objects to read and decode in parallel; at most so many are in memory undecoded.

    Returns:
        One outcome per image, in order.

    Raises:
        ConfigurationError: a setting, a package or a permission is missing.
        InferenceError: the model fails for every image, even a blank one.
        TransientServiceError: the store or the classifier is throttled; the batch can be retried.
    """

    def prepare(ref: ImageRef) -> tuple[ImageRef, Pixels] | ImageOutcome:
        """The pixels, and the version that was read, which listings do not contain."""
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
    """The object to write for a batch: a single one, so that a crash leaves no partial result.

    Returns:
        The key, which shows whether a later run has to repeat the batch, and JSON Lines with one image per line.
    """
    return _result_key(batch, outcomes), batches.json_lines(outcomes)


def _result_key(batch: ImageBatch, outcomes: Sequence[ImageOutcome]) -> str:
    undecided = any(one.outcome in UNDECIDED for one in outcomes)
    return batch.failed_key if undecided else batch.result_key


def batch_report(batch: ImageBatch, outcomes: Sequence[ImageOutcome] | None) -> dict[str, object]:
    """The result of one invocation for the ResultWriter: counts, the results' location and the number of unlike images.

    The first of the failed images are listed with their reasons.

    Args:
        batch: the batch.
        outcomes: the images' outcomes; None if an earlier invocation has written them.
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
    from scones_ml import images  # used by one function of three; the others start faster

    try:
        return batches.decoded(lambda: images.normalise(data, policy))
    except ImageError as exc:
        raise type(exc)(f"{ref.image_id} {ref.uri}: {exc}") from exc
