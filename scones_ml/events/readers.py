"""Reads what travels between the states, in every shape that is known.

Shapes of the course project (``body`` as an object or a string, ``Payload``, inferences as a string) are unwrapped by
one function, ``_unwrap``, and never written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from scones_ml.errors import EventError
from scones_ml.events.documents import field_names, parse_text, validated
from scones_ml.events.models import ClassifiedImage, ImageBatch, ImageRef, SerializedImage, image_id

__all__ = ["classified_image", "image_batch", "is_image_key", "serialized_image"]

Event = Mapping[str, object]

_NO_IMAGES = ("/", ".csv", ".json", ".jsonl", ".lst", ".manifest", ".parquet", ".txt")


def is_image_key(key: str) -> bool:
    """Whether an object can be an image: folder markers, manifests and lists are not work."""
    return not key.lower().endswith(_NO_IMAGES)


def image_batch(event: Event) -> ImageBatch:
    """Read what a distributed Map's ItemBatcher hands to one invocation.

    ``BatchInput`` holds ``s3_bucket``, ``output_bucket`` and ``run``; ``Items`` holds objects with ``s3_key`` and,
    where known, ``etag`` (quotes are taken off) or ``version_id``. What cannot be an image is left out.

    Raises:
        EventError: a field is missing or wrong; the message names it.
    """
    shared, items = event.get("BatchInput"), event.get("Items")
    if not isinstance(shared, Mapping) or not isinstance(items, list):
        raise EventError(f"the event is no batch (its keys: {field_names(event)}): it needs Items and BatchInput")
    bucket = shared.get("s3_bucket")
    images = [_item(item, bucket) for item in items]
    fields = {k: v for k, v in shared.items() if k != "s3_bucket"}
    return validated(ImageBatch, {**fields, "images": [ref for ref in images if is_image_key(ref.s3_key)]})


def serialized_image(event: Event) -> SerializedImage:
    """Read what ``SerializeImageData`` handed on, also in the course's shapes.

    Raises:
        EventError: a field is missing or wrong; the message names it.
    """
    event = _unwrap(event)
    return validated(SerializedImage, _with_identity({k: v for k, v in event.items() if k != "inferences"}))


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
        inferences = fields["inferences"] = parse_text(inferences, "inferences")
    if "confidence" not in fields and isinstance(inferences, list | tuple) and inferences:
        numbers = [p for p in inferences if isinstance(p, int | float)]
        if len(numbers) == len(inferences):
            fields["confidence"] = max(numbers)
            fields.setdefault("label", str(numbers.index(max(numbers))))
    fields.setdefault("s3_bucket", "")
    fields.setdefault("s3_key", "")
    return validated(ClassifiedImage, fields)


def _unwrap(event: object) -> dict[str, object]:
    """Peel the envelopes of the course project: ``Payload`` and ``body``, as an object or as a JSON string."""
    for _ in range(4):
        if isinstance(event, str):
            event = parse_text(event, "body")
        if not isinstance(event, Mapping):
            raise EventError(f"the event is a JSON {type(event).__name__} where an object is expected")
        inner = event.get("Payload", event.get("body"))
        if inner is None or "s3_key" in event or "image_data" in event:
            return dict(event)
        event = inner
    raise EventError("the event has more than three envelopes (body, Payload) around it")


def _with_identity(fields: dict[str, object]) -> dict[str, object]:
    """Events of the course carry no ``image_id``: compute it."""
    if "image_id" not in fields:
        bucket, key = fields.get("s3_bucket"), fields.get("s3_key")
        version = fields.get("version_id") or fields.get("etag")
        if not (isinstance(bucket, str) and isinstance(key, str)):
            bucket, key, version = "", "", _canonical(fields)
        fields["image_id"] = image_id(bucket, key, version if isinstance(version, str) else None)
    return fields


def _canonical(fields: Event) -> str:
    try:
        return json.dumps(fields, sort_keys=True, default=str)
    except RecursionError as exc:
        raise EventError(f"the event (its keys: {field_names(fields)}) is nested too deep") from exc


def _item(item: object, bucket: object) -> ImageRef:
    if not isinstance(item, Mapping):
        raise EventError("Items holds something that is not an object")
    return validated(ImageRef, {"s3_bucket": bucket, **item})
