"""Lambda FilterLowConfidence: label and confidence -> accepted or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml import events, settings, steps
from scones_ml.aws.observability import logger, measure_verdict, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@observed
def lambda_handler(event: dict[str, object], _context: LambdaContext) -> dict[str, object]:
    """Compare the confidence with SCONES_THRESHOLD."""
    filtered = steps.filter_low_confidence(events.classified_image(event), settings.threshold())
    logger.info("filtered", extra={"image_id": filtered.image_id, "accepted": filtered.accepted})
    measure_verdict(accepted=filtered.accepted, confidence=filtered.confidence)
    return filtered.to_event()
