"""Every error that scones_ml raises on purpose.

::

    SconesError
    ├── ConfigurationError            a setting is missing or wrong: names the variable or the option
    │   └── MissingExtraError         an optional package is not installed: says what to install
    ├── EventError                    an event that no known shape fits
    ├── ImageError                    the object is not an image that can be classified
    │   ├── InvalidImageError         not an image, or a broken one      -> quarantined
    │   ├── ImageTooLargeError        beyond the policy's caps           -> quarantined
    │   ├── ImageNotFoundError        gone or replaced since the event   -> dropped after one retry
    │   └── UnreadableImageError      there, but it cannot be read       -> failed: what is mended is tried again
    ├── TransientServiceError         throttling, time-outs: the only one of ours that a workflow retries
    ├── InferenceError                the endpoint's answer is not a probability vector
    ├── DatasetError                  a source or a staged data set that cannot be used
    ├── TrainingError                 a training job that cannot start or did not finish
    ├── DeploymentError               an endpoint that cannot be created, reached or removed
    └── WorkflowError
        ├── InvalidDefinitionError    a state machine that AWS would refuse
        └── ExecutionFailedError      an execution that ended without a result

Class names are a wire contract: the Lambda runtime reports them, and Step Functions' Retry and Catch match on them.
Messages are one line that names the thing and the remedy; what is not to be printed is escaped in them. An error that a
service answered keeps the service's own code in ``code``: programs decide by class and code, never by the message.

The names in ``__all__`` are public.
"""

from __future__ import annotations

from scones_ml.printable import printable

__all__ = [
    "ConfigurationError",
    "DatasetError",
    "DeploymentError",
    "EventError",
    "ExecutionFailedError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "InferenceError",
    "InvalidDefinitionError",
    "InvalidImageError",
    "MissingExtraError",
    "SconesError",
    "TrainingError",
    "TransientServiceError",
    "UnreadableImageError",
    "WorkflowError",
]


class SconesError(Exception):
    """Base of every error that scones_ml raises on purpose.

    Args:
        message: one line; names in it may hold anything.
        code: the error code of the service that answered, ``"NoSuchBucket"``; empty when no service did.

    Attributes:
        code: see above.
    """

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(printable(message))
        self.code = code


class ConfigurationError(SconesError):
    """A setting is missing or wrong; the message names the variable or the option."""


class MissingExtraError(ConfigurationError):
    """An optional package is not installed.

    Args:
        package: the distribution that is missing, ``"Pillow"``.
        extra: the extra of scones-ml that brings it, ``"onnx"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'scones-ml[{extra}]'")


class EventError(SconesError):
    """An event that no known shape fits."""


class ImageError(SconesError):
    """The object is not an image that can be classified."""


class InvalidImageError(ImageError):
    """Not an image, or a broken one: quarantined."""


class ImageTooLargeError(ImageError):
    """Beyond the image policy's caps on bytes or pixels: quarantined.

    Attributes:
        version_id: of the object that was refused unread, where its bucket keeps versions.
    """

    version_id: str | None = None


class ImageNotFoundError(ImageError):
    """The object is gone, or was replaced since the event: dropped after one retry."""


class UnreadableImageError(ImageError):
    """The object is there, but it cannot be read: no permission, a pipe, a damaged disk: failed."""


class TransientServiceError(SconesError):
    """Throttling or a time-out; trying again later may help."""


class InferenceError(SconesError):
    """The classifier's answer is not a probability vector."""


class DatasetError(SconesError):
    """A source or a staged data set that cannot be used."""


class TrainingError(SconesError):
    """A training job that cannot start or did not finish."""


class DeploymentError(SconesError):
    """An endpoint that cannot be created, reached or removed."""


class WorkflowError(SconesError):
    """A state machine that cannot run or did not end well."""


class InvalidDefinitionError(WorkflowError):
    """A state machine definition that AWS would refuse."""


class ExecutionFailedError(WorkflowError):
    """An execution that ended without a result.

    Attributes:
        error: the error name that Step Functions reports, ``"States.Timeout"``.
        cause: its human-readable cause, possibly empty.
    """

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause
