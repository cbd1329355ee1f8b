"""Lambda SerializeImageData: an event that names an image -> the normalised image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml import backends, events, settings, steps
from scones_ml.aws.observability import logger, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@observed
def lambda_handler(event: dict[str, object], _context: LambdaContext) -> dict[str, object]:
    """Read the object, apply the image policy and return the image."""
    stored = backends.read_object(events.image_ref(event))
    image = steps.serialize_image_data(stored, settings.image_policy())
    logger.info("serialized", extra={"image_id": image.image_id, "uri": stored.ref.uri})
    return image.to_event()
