"""Readers of the data passed between states, in all known formats.

Formats of the course project (``body`` as an object or a string, ``Payload``, inferences as a string) are read by
``_unwrap`` and never written.
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
    """Whether the key can be an image's: not a folder marker, a manifest or a list."""
    return not key.lower().endswith(_NO_IMAGES)


def image_batch(event: Event) -> ImageBatch:
    """Read the batch that a distributed Map's ItemBatcher passes to one invocation.

    ``BatchInput`` contains ``s3_bucket``, ``output_bucket`` and ``run``; ``Items`` contains objects with ``s3_key``
    and, if known, ``etag`` (quotes are removed) or ``version_id``. Keys that cannot be images are skipped.

    Raises:
        EventError: a field is missing or invalid; the message names it.
    """
    shared, items = event.get("BatchInput"), event.get("Items")
    if not isinstance(shared, Mapping) or not isinstance(items, list):
        raise EventError(f"the event (its keys: {field_names(event)}) is not a batch: it needs Items and BatchInput")
    bucket = shared.get("s3_bucket")
    images = [_item(item, bucket) for item in items]
    fields = {k: v for k, v in shared.items() if k != "s3_bucket"}
    return validated(ImageBatch, {**fields, "images": [ref for ref in images if is_image_key(ref.s3_key)]})


def serialized_image(event: Event) -> SerializedImage:
    """Read the result of ``SerializeImageData``, also in the course's formats.

    Raises:
        EventError: a field is missing or invalid; the message names it.
    """
    event = _unwrap(event)
    return validated(SerializedImage, _with_identity({k: v for k, v in event.items() if k != "inferences"}))


def classified_image(event: Event) -> ClassifiedImage:
    """Read the result of ``ClassifyImageData``, also in the course's formats.

    The course's events contain no class names and sometimes no object: the label is then the class's index, and the
    image id a hash of the event.

    Raises:
        EventError: a field is missing or invalid; the message names it.
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
    """Remove the envelopes of the course project: ``Payload`` and ``body``, as an object or a JSON string."""
    for _ in range(4):
        if isinstance(event, str):
            event = parse_text(event, "body")
        if not isinstance(event, Mapping):
            raise EventError(f"the event must be a JSON object, but is of type {type(event).__name__}")
        inner = event.get("Payload", event.get("body"))
        if inner is None or "s3_key" in event or "image_data" in event:
            return dict(event)
        event = inner
    raise EventError("the event has more than three nested envelopes (body, Payload)")


def _with_identity(fields: dict[str, object]) -> dict[str, object]:
    """The fields with an ``image_id``, which is computed for events of the course."""
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
        raise EventError(f"the event (its keys: {field_names(fields)}) is nested too deeply") from exc


def _item(item: object, bucket: object) -> ImageRef:
    if not isinstance(item, Mapping):
        raise EventError("every entry of Items must be an object")
    return validated(ImageRef, {"s3_bucket": bucket, **item})
