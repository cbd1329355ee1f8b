"""The runner of the state machine, what it is asked for, and how executions end."""

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
"""Images that a message names."""


@dataclass(frozen=True, slots=True)
class WorkflowModel:
    """What classifies within a workflow.

    Attributes:
        classifier: an endpoint, or a model's folder, to be loaded into this process.
        threshold: least confidence that is accepted, in (0, 1]; None for a model without one: all go to review.
        image_size: what images are reduced to, in pixels; the model's input size.
        fit: what makes a square of an image; None for a model of policy 1.
    """

    classifier: Endpoint | Path
    threshold: float | None
    image_size: int
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class WorkflowRequest:
    """Images to send through the state machine.

    Attributes:
        images: objects in the store; taken one after the other, so they may still be arriving.
        output_bucket: where outcomes are written.
        model: what classifies; None for the model and threshold that the workflow was deployed with.
    """

    images: Iterable[ImageRef]
    output_bucket: str
    model: WorkflowModel | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """How one execution ended.

    Attributes:
        image: the object.
        outcome: where it went; None when the execution failed.
        label: the most probable class, where there is one.
        confidence: its probability in [0, 1].
        reason: why it was quarantined or dropped, or goes to review whatever its confidence, or why the execution
            failed.
        started: seconds since the run began.
        seconds: how long the execution took.
        execution: its ARN on AWS; None on this machine.
        error: the error's name, where it failed or the image could not be read.
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
        """Read an execution's end.

        Args:
            image: the object.
            output: what the state machine put out.
            error: what the execution failed by; None when it succeeded.
            cause: of the error, possibly a Lambda's JSON.
            started: seconds since the run began.
            seconds: how long the execution took.
            execution: its ARN, on AWS.
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
    """The message inside a Lambda's Cause, or the cause as it is."""
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
            ConfigurationError: the workflow was deployed with a model, or was not, and the request says otherwise.
        """
        ...


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Images to classify in batches.

    Attributes:
        source: ``s3://bucket/prefix``; on this machine also a folder.
        model: what classifies; None for the model and threshold that the workflow was deployed with.
    """

    source: str
    model: WorkflowModel | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """How a bulk run ended.

    Attributes:
        run: its name.
        images: how many there are.
        finished_before: how many an earlier run of the same name had finished.
        outcomes: how many images went where, ``failed`` for those without a place; on AWS those that were finished
            before are not told apart.
        results: where the JSON Lines objects are, ``s3://bucket/bulk/RUN/``.
        seconds: how long it took.
        unlike: how many of them are unlike the training images, and go to review whatever the threshold.
        failed: the first of those that failed, by key, each with its reason; the same command tries them again.
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
    """Which images of a run failed, why, and what to do.

    Args:
        failed: keys with their reasons; the first are named.
        count: how many failed.
        images: how many there are.
    """
    keys: dict[str, list[str]] = {}
    for key, reason in itertools.islice(failed.items(), NAMED_FAILURES):
        keys.setdefault(reason, []).append(key)
    named = "; ".join(f"{', '.join(those)}: {reason}" for reason, those in keys.items())
    more = f"; and {count - NAMED_FAILURES:,} more" if count > NAMED_FAILURES else ""
    return f"{count:,} of {counted(images, 'image')} failed: {named}{more}; the same command tries them again"


class BulkRunner(Protocol):
    """Classifies many images in batches; the same request again computes what is missing."""

    def check(self, request: BulkRequest) -> None:
        """Refuse what can never run, before anything is recorded or started.

        Raises:
            ConfigurationError: there can be no such source; or the workflow was deployed with a model, or was not, and
                the request says otherwise.
        """
        ...

    def run(self, request: BulkRequest, progress: Progress = no_progress) -> BulkResult:
        """Classify every image of a source.

        Args:
            request: what, by which model.
            progress: counts images, those that were finished before included.

        Raises:
            ConfigurationError: as :meth:`check`; no permission; the model cannot be loaded.
            InvalidImageError: the source holds no images.
            ExecutionFailedError: more batches failed than are tolerated; what is finished is kept.
            WorkflowError: interrupted, while what was started elsewhere goes on.
        """
        ...
