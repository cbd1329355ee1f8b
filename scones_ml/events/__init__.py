"""Events that start the workflow, and the data passed between its states.

``models`` define our data: frozen, and unknown fields are rejected. The JSON keys are those of the course project:
``s3_bucket, s3_key, image_data, inferences``. ``starts`` reads start events (``image_refs``), ``readers`` the data that
one state passes to the next (``serialized_image``, ``classified_image``), in all known formats.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from scones_ml.events.models import (
    ClassifiedImage,
    FilteredImage,
    ImageBatch,
    ImageOutcome,
    ImageRef,
    Outcome,
    SerializedImage,
    classes_id,
    image_id,
    object_uri,
    parse_object_uri,
    parse_uri,
)
from scones_ml.events.readers import classified_image, image_batch, serialized_image
from scones_ml.events.starts import (
    CreatedObject,
    StartEvent,
    image_ref,
    image_refs,
    start_event,
)

__all__ = [
    "ClassifiedImage",
    "CreatedObject",
    "FilteredImage",
    "ImageBatch",
    "ImageOutcome",
    "ImageRef",
    "Outcome",
    "SerializedImage",
    "StartEvent",
    "classes_id",
    "classified_image",
    "image_batch",
    "image_id",
    "image_ref",
    "image_refs",
    "object_uri",
    "parse_object_uri",
    "parse_uri",
    "serialized_image",
    "start_event",
]
