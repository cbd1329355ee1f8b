r"""The workflow: serialize -> classify -> filter low confidence, with exactly one outcome per image.

::

    SerializeImageData -> ClassifyImageData -> FilterLowConfidence -> IsConfident
        accepted     -> AcceptImage ----------------------------------------\
        not accepted -> ReviewImage (or RejectImage, which fails the run) ----+-> WriteOutcome
        broken or too large image -> ReadFailure -> IsGone -> QuarantineImage /
        object gone or replaced   -> ReadFailure -> IsGone -> FindAccepted -> FindReview -> FindQuarantined
            -> WhichIsLatest -> EndAccepted, EndReview, EndQuarantined or DropImage

Events can arrive late and more than once: the object may have been deleted although its outcome exists. So before an
image is dropped, the workflow looks for its outcome, and all executions for one version end with the same outcome. If
another threshold or model has left several outcomes, the latest is used, as readers do. While the object exists, this
costs nothing. An execution that finds no outcome because another one has read the object but not yet written its
outcome still drops the image; the outcome that the other one writes is valid.

Error names are taken from the exception classes, so that the rules always match the errors that the functions raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from scones_ml import asl
from scones_ml.errors import ImageNotFoundError, ImageTooLargeError, InvalidImageError
from scones_ml.events.models import PLACES
from scones_ml.workflows import retries

__all__ = ["THRESHOLD_ERROR", "image_classification"]

THRESHOLD_ERROR = "THRESHOLD_CONFIDENCE_NOT_MET"
"""The error of an execution that fails for a confidence below the threshold."""

TASK_SECONDS = 90
"""Longer than the function's time limit of 60 s, which is longer than its client's."""
OUTCOME_SECONDS = 30  # for an object of some kilobytes: a call that hangs is retried
MACHINE_SECONDS = 900
"""Longer than three tasks with retries."""

_NEVER = "1970-01-01T00:00:00Z"
_IMAGE_ID = "States.ArrayGetItem(States.StringSplit($.failure.errorMessage, ' '), 0)"
_REASON = {"error.$": "$.error", "reason.$": "$.failure.errorMessage", "input.$": "$$.Execution.Input"}


def image_classification(below_threshold: Literal["review", "fail"] = "review") -> asl.StateMachine:
    """The state machine that classifies one image.

    Args:
        below_threshold: what to do with an image below the threshold: ``review`` writes it to the review queue,
            ``fail`` fails the execution with `THRESHOLD_ERROR`.

    Returns:
        The machine, with ``${SerializeImageDataFunctionArn}``, ``${ClassifyImageDataFunctionArn}``,
        ``${FilterLowConfidenceFunctionArn}`` and ``${OutputBucketName}`` to be substituted.
    """
    doubtful = "ReviewImage" if below_threshold == "review" else "RejectImage"
    states: dict[str, asl.State] = {
        "SerializeImageData": _function(
            "SerializeImageData", next="ClassifyImageData", comment="Read the image and normalise it"
        ),
        "ClassifyImageData": _function("ClassifyImageData", next="FilterLowConfidence", comment="Classify the image"),
        "FilterLowConfidence": _filter(),
        "IsConfident": asl.Choice(
            comment="Accept confident predictions, send the others to review",
            choices=(asl.Comparison("$.accepted", "BooleanEquals", True, next="AcceptImage"),),
            default=doubtful,
        ),
        "AcceptImage": _outcome("accepted", "The confidence is at or above the threshold"),
        doubtful: _doubtful(below_threshold),
        **_failures(),
        "WriteOutcome": _write(),
    }
    return asl.StateMachine(
        comment="Classify one image: serialize, classify, filter low confidence, write the outcome",
        start_at="SerializeImageData",
        states=states,
        timeout_seconds=MACHINE_SECONDS,
    )


def _function(name: str, *, next: str, comment: str) -> asl.Task:  # noqa: A002 - AWS's name
    """A task that reads the image, which may be broken, too large or deleted."""
    return asl.Task(
        comment=comment,
        resource="arn:aws:states:::lambda:invoke",
        parameters={"FunctionName": f"${{{name}FunctionArn}}", "Payload.$": "$"},
        output_path="$.Payload",
        timeout_seconds=TASK_SECONDS,
        retry=(retries.MISSING_IMAGE, retries.LAMBDA, retries.RARE),
        catch=(
            asl.Catcher(
                error_equals=(InvalidImageError.__name__, ImageTooLargeError.__name__, ImageNotFoundError.__name__),
                result_path="$.error",
                next="ReadFailure",
            ),
        ),
        next=next,
    )


def _filter() -> asl.Task:
    return asl.Task(
        comment="Compare the confidence with the threshold",
        resource="arn:aws:states:::lambda:invoke",
        parameters={"FunctionName": "${FilterLowConfidenceFunctionArn}", "Payload.$": "$"},
        output_path="$.Payload",
        timeout_seconds=TASK_SECONDS,
        retry=(retries.LAMBDA, retries.RARE),
        next="IsConfident",
    )


def _outcome(outcome: str, comment: str) -> asl.Pass:
    return asl.Pass(comment=comment, result=outcome, result_path="$.outcome", next="WriteOutcome")


def _doubtful(below_threshold: Literal["review", "fail"]) -> asl.State:
    if below_threshold == "review":
        return _outcome("review", "A person decides")
    return asl.Fail(
        comment="Fail the execution: the confidence is below the threshold",
        error=THRESHOLD_ERROR,
        cause="The confidence is below the threshold: see both in the output of FilterLowConfidence.",
    )


def _failures() -> dict[str, asl.State]:
    """The states for an image that cannot be read; the error message begins with the image id."""
    return {
        "ReadFailure": asl.Pass(
            comment="Parse the function's error, which is JSON in the cause",
            parameters={
                "error.$": "$.error.Error",
                "failure.$": "States.StringToJson($.error.Cause)",
                **{place: {"at": _NEVER} for place in PLACES},
            },
            next="IsGone",
        ),
        "IsGone": asl.Choice(
            comment="Quarantine a broken image; look for the outcome of a deleted one",
            choices=(asl.Comparison("$.error", "StringEquals", ImageNotFoundError.__name__, next="FindAccepted"),),
            default="QuarantineImage",
        ),
        "FindAccepted": _find("accepted", "FindReview"),
        "FindReview": _find("review", "FindQuarantined"),
        "FindQuarantined": _find("quarantined", "WhichIsLatest"),
        "WhichIsLatest": asl.Choice(
            comment="Use the latest of several outcomes",
            choices=tuple(_is_latest(place, PLACES[number + 1 :]) for number, place in enumerate(PLACES)),
            default="DropImage",
        ),
        **{f"End{place.capitalize()}": _end(place) for place in PLACES},
        "QuarantineImage": asl.Pass(
            comment="Record the unreadable image with the reason",
            parameters={
                "outcome": "quarantined",
                "image_id.$": _IMAGE_ID,
                **_REASON,
            },
            next="WriteOutcome",
        ),
        "DropImage": asl.Pass(
            comment="The object was deleted or replaced and has no outcome; a newer version has its own event",
            parameters={"outcome": "dropped", **_REASON},
            end=True,
        ),
    }


def _find(outcome: str, then: str) -> asl.Task:
    """The states that look for the outcome of an earlier execution for the same object version."""
    return asl.Task(
        comment=f"Late event: look for an outcome in {outcome}",
        resource="arn:aws:states:::aws-sdk:s3:getObject",
        parameters={
            "Bucket": "${OutputBucketName}",
            "Key.$": f"States.Format('outcomes/{outcome}/{{}}.json', {_IMAGE_ID})",
        },
        result_selector={"found.$": "States.StringToJson($.Body)", "at.$": "$.LastModified"},
        result_path=f"$.{outcome}",
        timeout_seconds=OUTCOME_SECONDS,
        retry=(retries.S3,),
        catch=(asl.Catcher(error_equals=("S3.NoSuchKeyException",), result_path=None, next=then),),
        next=then,
    )


def _is_latest(place: str, others: Sequence[str]) -> asl.And:
    """Rule for an outcome in one place, with none later in the places after it."""
    there = asl.Comparison(f"$.{place}.at", "TimestampGreaterThan", _NEVER)
    later = (asl.Comparison(f"$.{place}.at", "TimestampGreaterThanEqualsPath", f"$.{other}.at") for other in others)
    return asl.And((there, *later), next=f"End{place.capitalize()}")


def _end(place: str) -> asl.Pass:
    return asl.Pass(comment=f"The image already has an outcome in {place}", input_path=f"$.{place}.found", end=True)


def _write() -> asl.Task:
    return asl.Task(
        comment="Write one object per image, always with the same key",
        resource="arn:aws:states:::aws-sdk:s3:putObject",
        parameters={
            "Bucket": "${OutputBucketName}",
            "Key.$": "States.Format('outcomes/{}/{}.json', $.outcome, $.image_id)",
            "Body.$": "$",
            "ContentType": "application/json",
        },
        result_path=None,
        timeout_seconds=OUTCOME_SECONDS,
        retry=(retries.S3, retries.RARE),
        end=True,
    )
