"""Reads what starts executions and what travels between their states, in every shape that is known.

AWS's envelopes are read for the fields that we need, and ignored for the rest. Shapes of the course project (``body``
as an object or a string, ``Payload``, inferences as a string) are unwrapped by one function, ``_unwrap``, and never
written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import unquote_plus

from pydantic import BaseModel, ValidationError

from scones_ml import strict_json
from scones_ml.errors import EventError
from scones_ml.events.models import ClassifiedImage, ImageBatch, ImageRef, SerializedImage, image_id

__all__ = [
    "classified_image",
    "image_batch",
    "image_ref",
    "image_refs",
    "is_image_key",
    "queued",
    "serialized_image",
]

Event = Mapping[str, object]
Model = TypeVar("Model", bound=BaseModel)

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
    messages: dict[str, object] = {}
    for record in records:
        name = _dig(record, "messageId")
        if not isinstance(name, str) or not name:
            raise EventError("an SQS record has no messageId")
        messages[name] = _dig(record, "body")
    return messages


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
            "s3_key": unquote_plus(key) if isinstance(key, str) else key,  # form-encoded here, and here alone
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
        return strict_json.parse(text)
    except ValueError as exc:
        raise EventError(f"{field} is a string that {exc}: {text[:60]!a}") from exc


def _keys(event: Event) -> str:
    return ", ".join(f"{name:.40}" for name in sorted(map(str, event))[:8]) or "none"


def _parse(model: type[Model], fields: Event) -> Model:
    try:
        return model.model_validate(dict(fields))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EventError(f"{model.__name__}: {where:.80}: {first['msg']}") from exc
