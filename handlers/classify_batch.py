"""Lambda ClassifyBatch: a batch of images -> one JSON Lines object with every result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml import backends, events, settings, steps
from scones_ml.aws.observability import logger, observed

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@observed
def lambda_handler(event: dict[str, object], _context: LambdaContext) -> dict[str, object]:
    """Read, classify and filter each image, unless an earlier run with the same name has done so."""
    batch, outcomes = events.image_batch(event), None
    if not backends.result_exists(batch.output_bucket, batch.result_key):
        policy, threshold, readers = settings.image_policy(), settings.threshold(), settings.readers()
        classifier = backends.batch_classifier()
        outcomes = steps.classify_batch(batch.images, backends.read_object, classifier, policy, threshold, readers)
        backends.write_result(batch.output_bucket, *steps.batch_results(batch, outcomes))
    logger.info("classified", extra={"batch_id": batch.batch_id, "images": len(batch.images)})
    return steps.batch_report(batch, outcomes)
