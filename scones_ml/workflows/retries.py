"""Retry rules of our definitions: one for each kind of failure.

Waits are random (full jitter), so that tasks that failed together do not retry together. Errors without a rule are not
retried: our permanent errors, ``States.Permissions``, a function that does not exist.
"""

from __future__ import annotations

from typing import Final

from scones_ml import asl
from scones_ml.errors import ImageNotFoundError, TransientServiceError

__all__ = ["KILLED", "LAMBDA", "MAP", "MISSING_IMAGE", "RARE", "S3"]


def _transient(*names: str) -> asl.Retrier:
    """Throttling and transient faults: six retries after 2 s, 4 s, ... up to 60 s, as AWS recommends for Lambda.

    https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html
    """
    return asl.Retrier(
        error_equals=(*names, TransientServiceError.__name__),
        interval_seconds=2,
        max_attempts=6,
        backoff_rate=2,
        max_delay_seconds=60,
        jitter_strategy="FULL",
    )


LAMBDA: Final = _transient(
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)
"""Faults of Lambda, and our transient error."""

S3: Final = _transient(
    "S3.S3Exception",
    "S3.SdkClientException",
    "S3.SlowDownException",
    "S3.InternalErrorException",
    "S3.ServiceUnavailableException",
    "S3.RequestTimeoutException",
)
"""Faults of S3 when the state machine accesses it without a function."""

KILLED: Final = ("Lambda.Unknown", "Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "States.Timeout")
"""A function that ran out of time or memory, or crashed."""

RARE: Final = asl.Retrier(
    error_equals=("Sandbox.Timedout", "Lambda.Unknown", "States.Timeout"),
    interval_seconds=2,
    max_attempts=2,
    backoff_rate=2,
    jitter_strategy="FULL",
)
"""Faults that may be transient but cost a full timeout each time: two retries."""

MISSING_IMAGE: Final = asl.Retrier(
    error_equals=(ImageNotFoundError.__name__,), interval_seconds=2, max_attempts=1, jitter_strategy="FULL"
)
"""An object that does not exist (yet): one retry, then the image is dropped."""

MAP: Final = asl.Retrier(
    error_equals=("States.ItemReaderFailed", "States.ResultWriterFailed"),
    interval_seconds=5,
    max_attempts=2,
    backoff_rate=2,
    jitter_strategy="FULL",
)
"""A distributed Map that could not list its items or write its results."""
