"""What our definitions try again, how often and how long apart: one rule for each kind of failure.

The waits are spread at random (full jitter), so that what failed together does not come back together. Names that no
rule holds are never tried again: our own permanent errors, ``States.Permissions``, a function that does not exist.
"""

from __future__ import annotations

from typing import Final

from scones_ml import asl
from scones_ml.errors import ImageNotFoundError, TransientServiceError

__all__ = ["KILLED", "LAMBDA", "MAP", "MISSING_IMAGE", "RARE", "S3"]


def _transient(*names: str) -> asl.Retrier:
    """Throttling and passing faults: 2 s, 4 s, ... 60 s apart at most, six times, as AWS advises for Lambda.

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
"""Faults of Lambda itself, and the one error of ours that may pass."""

S3: Final = _transient(
    "S3.S3Exception",
    "S3.SdkClientException",
    "S3.SlowDownException",
    "S3.InternalErrorException",
    "S3.ServiceUnavailableException",
    "S3.RequestTimeoutException",
)
"""Faults of S3 where the state machine writes to it without a function."""

KILLED: Final = ("Lambda.Unknown", "Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "States.Timeout")
"""A function that had no time or no memory left, and could not say so itself."""

RARE: Final = asl.Retrier(
    error_equals=("Sandbox.Timedout", "Lambda.Unknown", "States.Timeout"),
    interval_seconds=2,
    max_attempts=2,
    backoff_rate=2,
    jitter_strategy="FULL",
)
"""What may pass, but costs a whole time-out each time: twice only."""

MISSING_IMAGE: Final = asl.Retrier(
    error_equals=(ImageNotFoundError.__name__,), interval_seconds=2, max_attempts=1, jitter_strategy="FULL"
)
"""An object that is not there (yet): once more, then it is dropped."""

MAP: Final = asl.Retrier(
    error_equals=("States.ItemReaderFailed", "States.ResultWriterFailed"),
    interval_seconds=5,
    max_attempts=2,
    backoff_rate=2,
    jitter_strategy="FULL",
)
"""A distributed Map that could not list its items, or not write its results."""
