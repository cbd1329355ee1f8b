"""Lambda ClassifyImageData: the normalised image -> its label and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml import backends, events, settings, steps
from scones_ml.aws.observability import logger, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@observed
def lambda_handler(event: dict[str, object], _context: LambdaContext) -> dict[str, object]:
    """Classify the image and drop its data."""
    image = events.serialized_image(event)
    data = steps.image_bytes(image, backends.read_object, settings.image_policy())
    classified = steps.classify_image_data(image, data, backends.classifier())
    logger.info("classified", extra={"image_id": image.image_id, "label": classified.label})
    return classified.to_event()
