"""Powertools for a handler: structured logs always, traces and metrics when enabled.

Metrics are log lines in CloudWatch's embedded metric format, which need no call and no permission.
Both carry the service POWERTOOLS_SERVICE_NAME, which the template sets to the stack's name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from scones_ml import settings
from scones_ml.errors import MissingExtraError

try:
    from aws_lambda_powertools import Logger
except ModuleNotFoundError as exc:
    raise MissingExtraError("aws-lambda-powertools", "lambda") from exc

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    Event = dict[str, object]
    Handler = Callable[[Event, LambdaContext], Event]

__all__ = ["logger", "measure_verdict", "observed"]

_SERVICE: Final = os.environ.get("POWERTOOLS_SERVICE_NAME") or "scones"
_NAMESPACE: Final = "scones"

logger = Logger(service=_SERVICE)


def observed(handler: Handler) -> Handler:
    """Decorate a handler: every log line gets the invocation's context; bodies and images are never logged.

    SCONES_TRACING=1 adds Tracer (about 40 ms of cold start); it is read when the function starts.
    """
    handler = logger.inject_lambda_context(handler)
    if settings.tracing_enabled():
        try:
            from aws_lambda_powertools import Tracer
        except ModuleNotFoundError as exc:
            raise MissingExtraError("aws-xray-sdk", "tracing") from exc
        # A response can hold the image, so it is not traced.
        handler = Tracer(service=_SERVICE).capture_lambda_handler(handler, capture_response=False)
    return handler


def measure_verdict(*, accepted: bool, confidence: float) -> None:
    """Write the metrics of one image, with SCONES_METRICS=1.

    ``Review`` is 1 for an image that goes to review and 0 for an accepted one, so that its mean is the share of
    reviews, its sum their number, its sample count the number of images. ``Confidence`` has quantiles, too.

    Args:
        accepted: whether the image is accepted.
        confidence: the confidence, in [0, 1].
    """
    if not settings.metrics_enabled():
        return
    from aws_lambda_powertools import Metrics

    metrics = Metrics(namespace=_NAMESPACE, service=_SERVICE)
    metrics.add_metric(name="Review", unit="Count", value=0 if accepted else 1)
    metrics.add_metric(name="Confidence", unit="None", value=confidence)
    metrics.flush_metrics()
