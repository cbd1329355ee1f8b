r"""The workflow: serialize -> classify -> filter low confidence, each image ending in exactly one outcome.

::

    SerializeImageData -> ClassifyImageData -> FilterLowConfidence -> IsConfident
        accepted     -> AcceptImage ----------------------------------------\
        not accepted -> ReviewImage (or RejectImage, which fails the run) ----+-> WriteOutcome
        broken or too large image -> ReadFailure -> IsGone -> QuarantineImage /
        object gone or replaced   -> ReadFailure -> IsGone -> FindAccepted -> FindReview -> FindQuarantined
            -> WhichIsLatest -> EndAccepted, EndReview, EndQuarantined or DropImage

Events come more than once, and late: the object may be gone by then, although its outcome is there. So the outcome is
looked for before an image is dropped, and duplicates of one version end alike. Of several outcomes, which another
threshold or model has left, the latest is taken, as readers do. That costs nothing where the object is still there. An
execution that looks while another one, which has read the object in time, has not written yet still drops it; the
outcome that is then written stands.

Error names come from the classes, so that what Step Functions matches on cannot drift from what the functions raise.
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
"""The error of a run that fails below the threshold."""

TASK_SECONDS = 90
"""Longer than a function's own limit of 60 s, which is longer than its client's."""
OUTCOME_SECONDS = 30  # for an object of some kilobytes: a call that hangs is tried again
MACHINE_SECONDS = 900
"""Longer than three tasks with their retries."""

_NEVER = "1970-01-01T00:00:00Z"
_IMAGE_ID = "States.ArrayGetItem(States.StringSplit($.failure.errorMessage, ' '), 0)"
_REASON = {"error.$": "$.error", "reason.$": "$.failure.errorMessage", "input.$": "$$.Execution.Input"}


def image_classification(below_threshold: Literal["review", "fail"] = "review") -> asl.StateMachine:
    """The state machine that classifies one image.

    Args:
        below_threshold: what becomes of an image whose confidence is below the threshold: ``review`` writes it to
            the review queue, ``fail`` fails the execution with `THRESHOLD_ERROR`.

    Returns:
        The machine, with ``${SerializeImageDataFunctionArn}``, ``${ClassifyImageDataFunctionArn}``,
        ``${FilterLowConfidenceFunctionArn}`` and ``${OutputBucketName}`` to be substituted.
    """
    doubtful = "ReviewImage" if below_threshold == "review" else "RejectImage"
    states: dict[str, asl.State] = {
        "SerializeImageData": _function(
            "SerializeImageData", next="ClassifyImageData", comment="Read the image and normalise it"
        ),
        "ClassifyImageData": _function(
            "ClassifyImageData", next="FilterLowConfidence", comment="Ask the model what the image shows"
        ),
        "FilterLowConfidence": _filter(),
        "IsConfident": asl.Choice(
            comment="Confident answers flow on, doubtful ones do not",
            choices=(asl.Comparison("$.accepted", "BooleanEquals", True, next="AcceptImage"),),
            default=doubtful,
        ),
        "AcceptImage": _outcome("accepted", "The answer is at or above the threshold"),
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
    """A function that reads the image: it may be broken, too large or gone."""
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
        comment="A doubtful answer fails the execution",
        error=THRESHOLD_ERROR,
        cause="The confidence is below the threshold; the output of FilterLowConfidence tells both.",
    )


def _failures() -> dict[str, asl.State]:
    """The way of an image that cannot be read: its error's message starts with the image id."""
    return {
        "ReadFailure": asl.Pass(
            comment="The function's own error is JSON inside the cause",
            parameters={
                "error.$": "$.error.Error",
                "failure.$": "States.StringToJson($.error.Cause)",
                **{place: {"at": _NEVER} for place in PLACES},
            },
            next="IsGone",
        ),
        "IsGone": asl.Choice(
            comment="What is broken is kept; what is gone may have its outcome already",
            choices=(asl.Comparison("$.error", "StringEquals", ImageNotFoundError.__name__, next="FindAccepted"),),
            default="QuarantineImage",
        ),
        "FindAccepted": _find("accepted", "FindReview"),
        "FindReview": _find("review", "FindQuarantined"),
        "FindQuarantined": _find("quarantined", "WhichIsLatest"),
        "WhichIsLatest": asl.Choice(
            comment="Of outcomes in several places, the latest counts",
            choices=tuple(_is_latest(place, PLACES[number + 1 :]) for number, place in enumerate(PLACES)),
            default="DropImage",
        ),
        **{f"End{place.capitalize()}": _end(place) for place in PLACES},
        "QuarantineImage": asl.Pass(
            comment="Keep what cannot be read, with the reason",
            parameters={
                "outcome": "quarantined",
                "image_id.$": _IMAGE_ID,
                **_REASON,
            },
            next="WriteOutcome",
        ),
        "DropImage": asl.Pass(
            comment="The object is gone or was replaced, and has no outcome: a newer version has an event of its own",
            parameters={"outcome": "dropped", **_REASON},
            end=True,
        ),
    }


def _find(outcome: str, then: str) -> asl.Task:
    """Where an earlier execution of the same object version has written its outcome, it is this execution's too."""
    return asl.Task(
        comment=f"A late event: the image may be in {outcome} already",
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
    """There is an outcome in a place, and in the places that come after it there is none that is later."""
    there = asl.Comparison(f"$.{place}.at", "TimestampGreaterThan", _NEVER)
    later = (asl.Comparison(f"$.{place}.at", "TimestampGreaterThanEqualsPath", f"$.{other}.at") for other in others)
    return asl.And((there, *later), next=f"End{place.capitalize()}")


def _end(place: str) -> asl.Pass:
    return asl.Pass(comment=f"The image is in {place} already", input_path=f"$.{place}.found", end=True)


def _write() -> asl.Task:
    return asl.Task(
        comment="One object per image; the same image always writes the same key",
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
