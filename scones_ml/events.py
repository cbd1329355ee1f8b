"""What travels between the states, and what starts them.

Our own models are frozen and refuse unknown fields; AWS's envelopes are read for the fields we need and ignored for
the rest. The wire keys are the ones that users of the course project know: ``s3_bucket,
s3_key, image_data, inferences``.

``image_refs`` reads whatever starts the workflow; ``serialized_image`` and ``classified_image`` read what one state
hands to the next. Shapes of the course project (``body`` as an object or a string, ``Payload``, inferences as a string)
are unwrapped by one function, ``_unwrap``, and never written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scones_ml.errors import ConfigurationError, EventError

__all__ = [
    "ClassifiedImage",
    "FilteredImage",
    "ImageBatch",
    "ImageOutcome",
    "ImageRef",
    "Outcome",
    "SerializedImage",
    "classified_image",
    "image_batch",
    "image_id",
    "image_ref",
    "image_refs",
    "is_image_key",
    "object_uri",
    "parse_object_uri",
    "parse_uri",
    "queued",
    "serialized_image",
]

Outcome = Literal["accepted", "review", "quarantined", "dropped"]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Event = Mapping[str, object]
Model = TypeVar("Model", bound=BaseModel)


def image_id(bucket: str, key: str, version: str | None) -> str:
    """Name one version of one object: the first 40 hex digits of sha256 over bucket, key and version id or etag.

    It is the endpoint's InferenceId, the execution's name where we start it, and the outcome's key.
    """
    return hashlib.sha256(json.dumps([bucket, key, version]).encode()).hexdigest()[:40]


def object_uri(bucket: str, key: str) -> str:
    """``s3://bucket/key``; the file's path where the bucket is a folder of this machine, named by its own path."""
    return f"{bucket}/{key}" if bucket.startswith("/") else f"s3://{bucket}/{key}"


def parse_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key, or prefix, of ``s3://bucket/key``.

    Args:
        uri: the URI.
        what: the option, variable or field that holds it, for the message.

    Returns:
        The bucket's name, and all after its slash: empty for a bucket alone.

    Raises:
        ConfigurationError: not an S3 URI, or it names no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} is not s3://bucket/prefix")
    return bucket, key


def parse_object_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``, as :func:`parse_uri`, where a bucket alone will not do.

    Raises:
        ConfigurationError: not an S3 URI, or it names no bucket or no key.
    """
    bucket, key = parse_uri(uri, what)
    if not key:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} names a bucket alone: give s3://bucket/key")
    return bucket, key


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_event(self) -> dict[str, object]:
        """The JSON object that a handler returns; absent fields are left out."""
        return self.model_dump(mode="json", exclude_none=True)


class ImageRef(_Wire):
    """One object in S3, at the version that the event spoke of.

    Attributes:
        s3_bucket: the bucket's name; the absolute path of a folder of this machine, where that stands for a bucket.
        s3_key: the object's key, decoded; at most 1,024 bytes; never a path.
        version_id: S3's version id, where the bucket is versioned.
        etag: S3's entity tag without quotes.
    """

    s3_bucket: str = Field(min_length=1)
    s3_key: str = Field(min_length=1)
    version_id: str | None = None
    etag: str | None = None

    @property
    def uri(self) -> str:
        """See :func:`object_uri`."""
        return object_uri(self.s3_bucket, self.s3_key)

    @property
    def image_id(self) -> str:
        """The identity of this object version, 40 hex digits (see :func:`image_id`)."""
        return image_id(self.s3_bucket, self.s3_key, self.version_id or self.etag)


class SerializedImage(_Wire):
    """A picture on its way to the classifier.

    Attributes:
        image_id: identity of the object version, 40 hex digits.
        image_data: the normalised picture as base64 PNG; empty when it is too large for a state, and the next state
            reads the object itself (a claim check).
    """

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    image_data: str

    @property
    def ref(self) -> ImageRef:
        """The object that the picture was read from."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class ClassifiedImage(_Wire):
    """What the classifier said of one picture; the picture itself is dropped here.

    Attributes:
        inferences: one probability per class, in the model's order of labels, each in [0, 1].
        label: the most probable class.
        confidence: its probability, in [0, 1].
        model: which model said it, ``"sha256:..."`` of its graph or ``"endpoint:NAME"``; None in the course's events.
    """

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    inferences: tuple[Probability, ...] = Field(min_length=1)
    label: str
    confidence: Probability
    model: str | None = None

    @property
    def ref(self) -> ImageRef:
        """The object that the picture was read from."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class FilteredImage(ClassifiedImage):
    """A classified picture with the verdict on its confidence.

    Attributes:
        threshold: the least confidence that is accepted, in (0, 1].
        accepted: whether ``confidence >= threshold``.
    """

    threshold: float = Field(gt=0.0, le=1.0)
    accepted: bool


class ImageBatch(_Wire):
    """Images that one invocation classifies.

    Attributes:
        images: the objects, in order.
        output_bucket: where the results go.
        run: names the bulk run; results of one run are never computed twice.
    """

    model_config = ConfigDict(defer_build=True)  # one function alone needs it

    images: tuple[ImageRef, ...]
    output_bucket: str = Field(min_length=1)
    run: str = Field(min_length=1, pattern=r"^[\w.-]+$")

    @property
    def batch_id(self) -> str:
        """The identity of these object versions: the first 40 hex digits of sha256 over their (key, etag) pairs."""
        pairs = [[ref.s3_key, ref.etag] for ref in self.images]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:40]

    @property
    def result_key(self) -> str:
        """``bulk/RUN/BATCH_ID.jsonl``: the same images of a run always write the same object."""
        return f"bulk/{self.run}/{self.batch_id}.jsonl"


class ImageOutcome(_Wire):
    """What became of one image of a batch: a line of its results.

    Attributes:
        outcome: where it goes.
        label: the most probable class; with confidence, inferences, threshold and accepted as in `FilteredImage`,
            where the image could be read.
        model: which model said it, as in `FilteredImage`.
        error: the error's class name, where it could not.
        reason: its message.
    """

    model_config = ConfigDict(defer_build=True)  # one function alone needs it

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    outcome: Outcome
    inferences: tuple[Probability, ...] | None = None
    label: str | None = None
    confidence: Probability | None = None
    threshold: float | None = None
    accepted: bool | None = None
    model: str | None = None
    error: str | None = None
    reason: str | None = None


_NO_IMAGES = ("/", ".csv", ".json", ".jsonl", ".lst", ".manifest", ".parquet", ".txt")


def is_image_key(key: str) -> bool:
    """Whether an object can be an image: folder markers, manifests and lists are not work."""
    return not key.lower().endswith(_NO_IMAGES)


def queued(event: Event) -> dict[str, object] | None:
    """The bodies of an SQS batch by message id; None when the event is not one.

    Raises:
        EventError: a message has no id.
    """
    records = event.get("Records")
    if not isinstance(records, list) or not records or _dig(records[0], "eventSource") != "aws:sqs":
        return None
    messages = {_dig(record, "messageId"): _dig(record, "body") for record in records}
    if not all(isinstance(name, str) and name for name in messages):
        raise EventError("an SQS record has no messageId")
    return {str(name): body for name, body in messages.items()}


def image_batch(event: Event) -> ImageBatch:
    """Read what a distributed Map's ItemBatcher hands to one invocation.

    ``BatchInput`` holds ``s3_bucket``, ``output_bucket`` and ``run``; ``Items`` holds objects with ``s3_key`` and,
    where known, ``etag`` (quotes are taken off) or ``version_id``. What cannot be an image is left out.

    Raises:
        EventError: a field is missing or wrong; the message names it.
    """
    shared, items = event.get("BatchInput"), event.get("Items")
    if not isinstance(shared, Mapping) or not isinstance(items, list):
        raise EventError(f"the event is no batch (its keys: {_keys(event)}): it needs Items and BatchInput")
    bucket = shared.get("s3_bucket")
    images = [_item(item, bucket) for item in items]
    fields = {k: v for k, v in shared.items() if k != "s3_bucket"}
    return _parse(ImageBatch, {**fields, "images": [ref for ref in images if is_image_key(ref.s3_key)]})


def image_refs(event: Event) -> tuple[ImageRef, ...]:
    """Read every object that a start event names.

    Known shapes: direct (``s3_bucket, s3_key``), S3 notification, EventBridge ``Object Created``, SQS messages that
    hold any of these, and the course's ``body``/``Payload`` envelopes. Keys of S3 notifications are form-encoded and
    decoded here, once; EventBridge and direct events carry them as they are.

    Returns:
        References in the event's order; empty for ``s3:TestEvent``.

    Raises:
        EventError: no known shape fits.
    """
    event = _unwrap(event)
    if "s3_key" in event or "s3_bucket" in event:
        return (_direct(event),)
    if "detail" in event:
        return (_eventbridge(event),)
    records = event.get("Records")
    if isinstance(records, list):
        return tuple(ref for record in records for ref in _record(record))
    if event.get("Event") == "s3:TestEvent":
        return ()
    raise EventError(
        f"the event names no image (its keys: {_keys(event)}): "
        "send s3_bucket and s3_key, an S3 notification, an EventBridge 'Object Created' or an SQS batch of them"
    )


def image_ref(event: Event) -> ImageRef:
    """Read the one object that a start event names.

    Raises:
        EventError: no known shape fits, or the event names none or several.
    """
    refs = image_refs(event)
    if len(refs) != 1:
        raise EventError(f"the event names {len(refs)} images where one is expected: start one execution for each")
    return refs[0]


def serialized_image(event: Event) -> SerializedImage:
    """Read what ``SerializeImageData`` handed on, also in the course's shapes.

    Raises:
        EventError: a field is missing or wrong; the message names it.
    """
    event = _unwrap(event)
    return _parse(SerializedImage, _with_identity({k: v for k, v in event.items() if k != "inferences"}))


def classified_image(event: Event) -> ClassifiedImage:
    """Read what ``ClassifyImageData`` handed on, also in the course's shapes.

    The course's events name no class and sometimes no object: the label is then the class's index, and the identity
    is a hash of the event itself.

    Raises:
        EventError: a field is missing or wrong; the message names it.
    """
    event = _unwrap(event)
    fields = _with_identity({k: v for k, v in event.items() if k not in {"image_data", "statusCode"}})
    inferences = fields.get("inferences")
    if isinstance(inferences, str):
        inferences = fields["inferences"] = _json(inferences, "inferences")
    if "confidence" not in fields and isinstance(inferences, list | tuple) and inferences:
        numbers = [p for p in inferences if isinstance(p, int | float)]
        if len(numbers) == len(inferences):
            fields["confidence"] = max(numbers)
            fields.setdefault("label", str(numbers.index(max(numbers))))
    fields.setdefault("s3_bucket", "")
    fields.setdefault("s3_key", "")
    return _parse(ClassifiedImage, fields)


def _unwrap(event: object) -> dict[str, object]:
    """Peel the envelopes of the course project: ``Payload`` and ``body``, as an object or as a JSON string."""
    for _ in range(4):
        if isinstance(event, str):
            event = _json(event, "body")
        if not isinstance(event, Mapping):
            raise EventError(f"the event is a JSON {type(event).__name__} where an object is expected")
        inner = event.get("Payload", event.get("body"))
        if inner is None or "s3_key" in event or "image_data" in event:
            return dict(event)
        event = inner
    raise EventError("the event has more than four envelopes (body, Payload) around it")


def _with_identity(fields: dict[str, object]) -> dict[str, object]:
    """Events of the course carry no ``image_id``: compute it."""
    if "image_id" not in fields:
        bucket, key = fields.get("s3_bucket"), fields.get("s3_key")
        version = fields.get("version_id") or fields.get("etag")
        if not (isinstance(bucket, str) and isinstance(key, str)):
            bucket, key, version = "", "", json.dumps(fields, sort_keys=True, default=str)
        fields["image_id"] = image_id(bucket, key, version if isinstance(version, str) else None)
    return fields


def _direct(event: Event) -> ImageRef:
    known = {k: v for k, v in event.items() if k in ImageRef.model_fields}
    unknown = set(event) - set(known) - {"image_data", "inferences", "image_id"}
    if unknown:
        raise EventError(
            f"unknown field {_keys(dict.fromkeys(unknown))}: an image is named by {', '.join(ImageRef.model_fields)}"
        )
    return _parse(ImageRef, known)


def _eventbridge(event: Event) -> ImageRef:
    fields = {
        "s3_bucket": _dig(event, "detail", "bucket", "name"),
        "s3_key": _dig(event, "detail", "object", "key"),
        "version_id": _dig(event, "detail", "object", "version-id"),
        "etag": _dig(event, "detail", "object", "etag"),
    }
    return _parse(ImageRef, fields)


def _record(record: object) -> tuple[ImageRef, ...]:
    if not isinstance(record, Mapping):
        raise EventError("Records holds something that is not an object")
    if "s3" in record:
        key = _dig(record, "s3", "object", "key")
        fields = {
            "s3_bucket": _dig(record, "s3", "bucket", "name"),
            "s3_key": unquote_plus(key) if isinstance(key, str) else key,
            "version_id": _dig(record, "s3", "object", "versionId"),
            "etag": _dig(record, "s3", "object", "eTag"),
        }
        return (_parse(ImageRef, fields),)
    if "body" in record:
        return image_refs(_unwrap(record["body"]))
    raise EventError(f"a record is neither S3's nor SQS's (its keys: {_keys(record)})")


def _item(item: object, bucket: object) -> ImageRef:
    if not isinstance(item, Mapping):
        raise EventError("Items holds something that is not an object")
    etag = item.get("etag")
    return _parse(ImageRef, {"s3_bucket": bucket, **item, "etag": etag.strip('"') if isinstance(etag, str) else etag})


def _dig(event: object, *path: str) -> object:
    for name in path:
        event = event.get(name) if isinstance(event, Mapping) else None
    return event


def _json(text: str, field: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise EventError(f"{field} is a string that is not JSON: {text[:60]!r}") from exc


def _keys(event: Event) -> str:
    return ", ".join(sorted(map(str, event))[:8]) or "none"


def _parse(model: type[Model], fields: Event) -> Model:
    try:
        return model.model_validate(dict(fields))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EventError(f"{model.__name__}: {where}: {first['msg']}") from exc
