"""What travels between the states, and what starts them.

``models`` are ours: frozen, and unknown fields are refused. The wire keys are the ones that users of the course project
know: ``s3_bucket, s3_key, image_data, inferences``. ``starts`` read whatever starts the workflow (``image_refs``),
``readers`` what one state hands to the next (``serialized_image``, ``classified_image``), in every shape that is known.

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
