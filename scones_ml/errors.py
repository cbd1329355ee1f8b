"""The errors of scones_ml.

::

    SconesError
    ├── ConfigurationError            a setting is missing or wrong: names the variable or the option
    │   └── MissingExtraError         an optional package is not installed: says what to install
    ├── EventError                    an event of no known format
    ├── ImageError                    the object is not an image that can be classified
    │   ├── InvalidImageError         not an image, or a broken one      -> quarantined
    │   ├── ImageTooLargeError        exceeds the policy's limits        -> quarantined
    │   ├── ImageNotFoundError        deleted or replaced since the event -> dropped after one retry
    │   └── UnreadableImageError      exists, but cannot be read         -> failed: retried by later runs
    ├── TransientServiceError         throttling, timeouts: the only one of these that workflows retry
    ├── InferenceError                the endpoint's response is not a probability vector
    ├── DatasetError                  a source or a staged data set that cannot be used
    ├── TrainingError                 a training job that cannot start or did not finish
    ├── DeploymentError               an endpoint that cannot be created, reached or removed
    └── WorkflowError
        ├── InvalidDefinitionError    a state machine that AWS would reject
        └── ExecutionFailedError      an execution that ended without a result

Class names are part of the interface: the Lambda runtime reports them, and Step Functions' Retry and Catch rules match
them. Messages are one line with the cause and the remedy; unprintable characters are escaped. An error from a service
has the service's error code in ``code``: programs should use class and code, not the message.

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
    """Base class of all errors of scones_ml.

    Args:
        message: one line; names in it may contain any characters.
        code: the service's error code, ``"NoSuchBucket"``; empty if the error is not from a service.

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
        package: the missing distribution, ``"Pillow"``.
        extra: the extra of scones-ml that installs it, ``"onnx"``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'scones-ml[{extra}]'")


class EventError(SconesError):
    """An event of no known format."""


class ImageError(SconesError):
    """The object is not an image that can be classified."""


class InvalidImageError(ImageError):
    """The object is not an image, or a broken one: quarantined."""


class ImageTooLargeError(ImageError):
    """The image exceeds the image policy's limits on bytes or pixels: quarantined.

    Attributes:
        version_id: version of the object that was rejected without reading it, in a versioned bucket.
    """

    version_id: str | None = None


class ImageNotFoundError(ImageError):
    """The object was deleted or replaced since the event: dropped after one retry."""


class UnreadableImageError(ImageError):
    """The object exists but cannot be read (no permission, a pipe, a damaged disk): failed."""


class TransientServiceError(SconesError):
    """Throttling or a timeout; retrying later may help."""


class InferenceError(SconesError):
    """The classifier's result is not a probability vector."""


class DatasetError(SconesError):
    """A source or a staged data set that cannot be used."""


class TrainingError(SconesError):
    """A training job that cannot start or did not finish."""


class DeploymentError(SconesError):
    """An endpoint that cannot be created, reached or removed."""


class WorkflowError(SconesError):
    """A state machine that cannot run or did not end well."""


class InvalidDefinitionError(WorkflowError):
    """A state machine definition that AWS would reject."""


class ExecutionFailedError(WorkflowError):
    """An execution that ended without a result.

    Attributes:
        error: the error name that Step Functions reports, ``"States.Timeout"``.
        cause: the readable cause, possibly empty.
    """

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause
