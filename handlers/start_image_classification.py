"""Lambda StartImageClassification: events of S3, in any envelope -> one execution per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml import backends, steps
from scones_ml.aws.observability import logger, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@observed
def lambda_handler(event: dict[str, object] | list[object], _context: LambdaContext) -> dict[str, object]:
    """Start an execution for each image; for an SQS batch, report the messages to be delivered again."""
    started = steps.start_image_classification(event, backends.start_execution)
    logger.info("started", extra={"images": started.images, "skipped": started.skipped, "failures": started.failures})
    return started.to_event()
