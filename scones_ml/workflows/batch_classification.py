"""The bulk workflow: a distributed Map over a prefix, a manifest or a list, one function invocation per batch.

::

    ClassifyImages (Map, one Express execution per batch)
        ItemReader -> ItemBatcher -> ClassifyBatch -> counts -> ResultWriter
                                         | the function ran out of time or memory
                                      ClassifyEach (Map, one image at a time)
                                          ClassifyImage -> counts, or FailImage

An error of one image is that image's outcome, and its batch continues. If an image crashes the function, each image of
the batch is classified on its own, so that only this one fails. System faults fail the batch, and too many failed
batches fail the run.

A batch's function writes one JSON Lines object with all results; its key is the hash of the batch's (key, etag) pairs,
so that a second run with the same name computes only the missing results. The execution's input is::

    {"s3_bucket": "photos", "s3_prefix": "2026/11/", "run": "november"}

with the manifest's ``s3_key`` in place of ``s3_prefix``, or ``images``, a list of ``{"s3_key", "etag"}``.
"""

from __future__ import annotations

from typing import Literal

from scones_ml import asl
from scones_ml.workflows import retries

__all__ = ["ImageSource", "batch_classification"]

ImageSource = Literal["prefix", "manifest", "list"]

TASK_SECONDS = 270
"""Longer than the function's time limit of 240 s, and within the 300 s of an Express execution."""
_MAP_SECONDS = 86_400  # enough for 3.6 million images by default, even if every batch takes its full 240 s


def batch_classification(
    source: ImageSource = "prefix",
    batch_size: int = 100,
    max_concurrency: int = 100,
    tolerated_failure_percentage: int = 5,
) -> asl.StateMachine:
    """The state machine that classifies many images.

    Args:
        source: where the list of images comes from: the objects below a prefix; a manifest in S3, JSON Lines of
            ``{"s3_key", "etag"}``; or a list in the input.
        batch_size: images per invocation; 100 keys of 1,024 bytes fit in a state.
        max_concurrency: maximum number of concurrent invocations.
        tolerated_failure_percentage: percentage of batches that may fail; a broken image is not a failure.

    Returns:
        The machine, with ``${ClassifyBatchFunctionArn}`` and ``${OutputBucketName}`` as placeholders.
    """
    read = asl.Map(
        comment="One execution per batch; a broken image is a result, not a failure",
        item_reader=_reader(source),
        items_path="$.images" if source == "list" else None,
        item_selector=_selector(source),
        item_batcher=asl.ItemBatcher(
            max_items_per_batch=batch_size,
            batch_input={
                "s3_bucket.$": "$.s3_bucket",
                "output_bucket": "${OutputBucketName}",
                "run.$": "$.run",
            },
        ),
        item_processor=asl.ItemProcessor(
            processor_config=asl.ProcessorConfig(mode="DISTRIBUTED", execution_type="EXPRESS"),
            start_at="ClassifyBatch",
            states=_batch(),
        ),
        max_concurrency=max_concurrency,
        tolerated_failure_percentage=tolerated_failure_percentage,
        result_writer=asl.ResultWriter(
            resource="arn:aws:states:::s3:putObject",
            parameters={"Bucket": "${OutputBucketName}", "Prefix.$": "States.Format('bulk-runs/{}', $.run)"},
        ),
        label="ClassifyImages",
        retry=(retries.MAP,),
        end=True,
    )
    return asl.StateMachine(
        comment="Classify many images: read, classify and filter in batches, results as JSON Lines",
        start_at="ClassifyImages",
        states={"ClassifyImages": read},
        timeout_seconds=_MAP_SECONDS,
    )


def _reader(source: ImageSource) -> asl.ItemReader | None:
    if source == "list":
        return None
    if source == "prefix":
        return asl.ItemReader(
            resource="arn:aws:states:::s3:listObjectsV2",
            parameters={"Bucket.$": "$.s3_bucket", "Prefix.$": "$.s3_prefix"},
        )
    return asl.ItemReader(
        resource="arn:aws:states:::s3:getObject",
        reader_config=asl.ReaderConfig(input_type="JSONL"),
        parameters={"Bucket.$": "$.s3_bucket", "Key.$": "$.s3_key"},
    )


def _selector(source: ImageSource) -> dict[str, asl.Json] | None:
    """The item selector that turns entries of a listing into our form; manifests and lists have that form."""
    if source != "prefix":
        return None
    return {"s3_key.$": "$$.Map.Item.Value.Key", "etag.$": "$$.Map.Item.Value.Etag"}


def _batch() -> dict[str, asl.State]:
    each = asl.Map(
        comment="An image crashed the function: classify each one on its own",
        items_path="$.Items",
        item_selector={"BatchInput.$": "$.BatchInput", "Items.$": "States.Array($$.Map.Item.Value)"},
        item_processor=asl.ItemProcessor(
            processor_config=asl.ProcessorConfig(mode="INLINE"),
            start_at="ClassifyImage",
            states={"ClassifyImage": _classify("FailImage", ("States.ALL",)), "FailImage": _failed()},
        ),
        max_concurrency=10,
        end=True,
    )
    return {"ClassifyBatch": _classify("ClassifyEach", retries.KILLED), "ClassifyEach": each}


def _classify(otherwise: str, errors: tuple[str, ...]) -> asl.Task:
    return asl.Task(
        comment="Read, classify and filter each image of the batch",
        resource="arn:aws:states:::lambda:invoke",
        parameters={"FunctionName": "${ClassifyBatchFunctionArn}", "Payload.$": "$"},
        output_path="$.Payload",
        timeout_seconds=TASK_SECONDS,
        retry=(retries.LAMBDA,),
        catch=(asl.Catcher(error_equals=errors, result_path="$.error", next=otherwise),),
        end=True,
    )


def _failed() -> asl.Pass:
    return asl.Pass(
        comment="Fail for an image that crashed the function",
        parameters={
            "counts": {"failed": 1},
            "image.$": "$.Items[0].s3_key",
            "reason.$": "$.error.Error",
        },
        end=True,
    )
