"""Ports of the workflow runners, their requests and results."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from scones_ml import strict_json
from scones_ml.ports.deployment import Endpoint
from scones_ml.ports.progress import Progress, no_progress
from scones_ml.settings import Fit
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.events import ImageRef, Outcome

__all__ = [
    "NAMED_FAILURES",
    "BulkRequest",
    "BulkResult",
    "BulkRunner",
    "ImageResult",
    "WorkflowModel",
    "WorkflowRequest",
    "WorkflowRunner",
    "failures_in_words",
]

NAMED_FAILURES: Final = 3
"""Number of failed images that a message names."""


@dataclass(frozen=True, slots=True)
class WorkflowModel:
    """The classifier and settings of a workflow.

    Attributes:
        classifier: an endpoint, or the folder of a model to load into this process.
        threshold: least confidence that is accepted, in (0, 1]; None sends all images to review.
        image_size: the model's input size, in pixels.
        fit: how an image becomes the model's square; None for a model of policy 1.
    """

    classifier: Endpoint | Path
    threshold: float | None
    image_size: int
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class WorkflowRequest:
    """Images to run through the state machine.

    Attributes:
        images: objects in the store, consumed lazily.
        output_bucket: bucket that outcomes are written to.
        model: the classifier; None for the model and threshold that the workflow was deployed with.
    """

    images: Iterable[ImageRef]
    output_bucket: str
    model: WorkflowModel | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """Result of one execution.

    Attributes:
        image: the object.
        outcome: the image's outcome; None when the execution failed.
        label: the most probable class, where there is one.
        confidence: its probability in [0, 1].
        reason: why the image was quarantined or dropped, goes to review whatever its confidence, or why the execution
            failed.
        started: seconds since the run began.
        seconds: duration of the execution.
        execution: its ARN on AWS; None on this machine.
        error: name of the error when the execution failed or the image could not be read.
    """

    image: ImageRef
    outcome: Outcome | None
    label: str | None
    confidence: float | None
    reason: str | None
    started: float
    seconds: float
    execution: str | None = None
    error: str | None = None

    @classmethod
    def of_execution(
        cls,
        image: ImageRef,
        output: object,
        error: str | None,
        cause: str | None,
        started: float,
        seconds: float,
        execution: str | None = None,
    ) -> ImageResult:
        """Build the result from the end of an execution.

        Args:
            image: the object.
            output: the execution's output.
            error: the execution's error; None when it succeeded.
            cause: cause of the error, possibly a Lambda function's JSON.
            started: seconds since the run began.
            seconds: duration of the execution.
            execution: ARN of the execution, on AWS.
        """
        found = output if error is None and isinstance(output, Mapping) else {}
        reason = found.get("reason") if error is None else f"{error}: {_message(cause)}"
        return cls(
            image=image,
            outcome=found.get("outcome"),
            label=found.get("label"),
            confidence=found.get("confidence"),
            reason=reason and str(reason).removeprefix(f"{image.image_id} {image.uri}: "),
            started=started,
            seconds=seconds,
            execution=execution,
            error=error or found.get("error"),
        )


def _message(cause: str | None) -> str:
    """The message in a Lambda function's Cause, or the cause itself."""
    try:
        found = strict_json.parse(cause or "")
    except ValueError:
        found = None
    return str(found["errorMessage"]) if isinstance(found, dict) and "errorMessage" in found else cause or ""


class WorkflowRunner(Protocol):
    """Runs the state machine once per image."""

    def run(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        """Yield one result per image, as executions end.

        Raises:
            ConfigurationError: the request names a model and the workflow was deployed with one, or neither has one.
        """
        ...


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Images to classify in batches.

    Attributes:
        source: ``s3://bucket/prefix``; on this machine also a folder.
        model: the classifier; None for the model and threshold that the workflow was deployed with.
    """

    source: str
    model: WorkflowModel | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Result of a bulk run.

    Attributes:
        run: name of the run.
        images: number of images.
        finished_before: number of images that an earlier run of the same name finished.
        outcomes: number of images by outcome, ``failed`` for those without one; on AWS images that were finished before
            are counted apart, not by outcome.
        results: prefix of the JSON Lines results, ``s3://bucket/bulk/RUN/``.
        seconds: duration.
        unlike: number of images unlike the training images, which go to review whatever the threshold.
        failed: reasons of the first failed images, by key; the same command tries them again.
    """

    run: str
    images: int
    finished_before: int
    outcomes: Mapping[str, int]
    results: str
    seconds: float
    unlike: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


def failures_in_words(failed: Mapping[str, str], count: int, images: int) -> str:
    """A line that says which images failed, why, and what to do.

    Args:
        failed: reasons by key; the first keys are named.
        count: number of failed images.
        images: number of images.
    """
    keys: dict[str, list[str]] = {}
    for key, reason in itertools.islice(failed.items(), NAMED_FAILURES):
        keys.setdefault(reason, []).append(key)
    named = "; ".join(f"{', '.join(those)}: {reason}" for reason, those in keys.items())
    more = f"; and {count - NAMED_FAILURES:,} more" if count > NAMED_FAILURES else ""
    return f"{count:,} of {counted(images, 'image')} failed: {named}{more}; the same command tries them again"


class BulkRunner(Protocol):
    """Classifies many images in batches; repeating a request classifies the images that are missing."""

    def check(self, request: BulkRequest) -> None:
        """Refuse an invalid request before anything is recorded or started.

        Raises:
            ConfigurationError: the source is invalid; or the request names a model and the workflow was deployed with
                one, or neither has one.
        """
        ...

    def run(self, request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
        """Classify every image of a source.

        Args:
            request: the source and the model.
            progress: called with the number of finished images, those of earlier runs included.

        Raises:
            ConfigurationError: as :meth:`check`; no permission; the model cannot be loaded.
            InvalidImageError: the source holds no images.
            ExecutionFailedError: too many batches failed; finished results are kept.
            WorkflowError: interrupted; what was started elsewhere continues.
        """
        ...
