"""Permissions for each function that a handler uses and each task in a definition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from scones_ml import asl
from scones_ml.errors import InvalidDefinitionError
from scones_ml.infrastructure.definitions import function_names, states_of
from scones_ml.infrastructure.functions import check_uses, log_group
from scones_ml.infrastructure.intrinsics import Value, get_att, ref, sub
from scones_ml.infrastructure.statements import Statement
from scones_ml.infrastructure.storage import CAPTURE_PREFIX, UPLOAD_PREFIX
from scones_ml.workflows.handlers import handler_name, handler_uses

__all__ = ["of_expiry", "of_function", "of_machine", "of_map", "of_sagemaker"]

_RESULTS: Final = "bulk/"  # prefix of events.ImageBatch.result_key
_READ_BY_JOBS: Final = ("checkpoints/", "data/", "models/", "source/")
_WRITTEN_BY_JOBS: Final = (CAPTURE_PREFIX, "checkpoints/", "models/")
_IMAGES: Final = ("image-classification", "pytorch-inference", "pytorch-training")
_SEND_TRACES: Final = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
_SAMPLE_TRACES: Final = ("xray:GetSamplingRules", "xray:GetSamplingTargets")

_ENDPOINT: Final = sub("arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/${EndpointName}")


def of_function(name: str) -> Iterator[Statement]:
    """Permissions of one function: for what its handler uses, and its log.

    Args:
        name: ``"ClassifyImageData"``.
    """
    handler = handler_name(name)
    uses = check_uses(handler, handler_uses(handler))
    if "backends.read_object" in uses:
        # Images uploaded for a run are run one by one: no batch holds them.
        batches = "backends.batch_classifier" in uses
        yield from _read_images(() if batches else (sub(f"${{InputBucket.Arn}}/{UPLOAD_PREFIX}*"),))
    if uses & {"backends.classifier", "backends.batch_classifier"}:
        yield from _classify()
    if "backends.result_exists" in uses:
        yield Statement(
            "FindResults",
            ("s3:ListBucket",),
            (get_att("OutputBucket"),),
            "a batch that an earlier run has finished is not computed again",
            condition={"StringLike": {"s3:prefix": f"{_RESULTS}*"}},
        )
    if "backends.write_result" in uses:
        yield Statement(
            "WriteResults",
            ("s3:PutObject",),
            (sub(f"${{OutputBucket.Arn}}/{_RESULTS}*"),),
            "one object of JSON Lines for each batch",
        )
    yield Statement(
        "WriteLogs",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (get_att(log_group(name)),),
        "Lambda writes the function's log",
    )
    yield _traces("the function's segments", _SEND_TRACES)


def of_machine(machine: asl.StateMachine) -> Iterator[Statement]:
    """Permissions of a state machine: for its tasks, its maps' input and results, and its log.

    Raises:
        InvalidDefinitionError: no permission is known for a Task's resource.
    """
    functions = function_names(machine)
    yield Statement(
        "InvokeFunctions",
        ("lambda:InvokeFunction",),
        tuple(get_att(f"{name}Function") for name in functions),
        f"{', '.join(functions)}: each state invokes its function",
    )
    states = [state for _, state in states_of(machine.states)]
    yield from _outcomes([state for state in states if isinstance(state, asl.Task)])
    for state in states:
        if isinstance(state, asl.Map):
            yield from _items(state)
    yield Statement(
        "DeliverLogs",
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ),
        ("*",),
        "Step Functions sets up the delivery of the execution log, and checks it at each update",
        unrestricted="CloudWatch Logs defines no resource type for log deliveries, and Step Functions asks for these "
        "actions on every resource",
    )
    yield _traces("the execution's segments, and returns the sampling rules", (*_SAMPLE_TRACES, *_SEND_TRACES))


def of_map(name: str, machine: asl.StateMachine) -> Iterator[Statement]:
    """Permissions of a state machine with a distributed map on itself.

    Args:
        name: logical name of the state machine.
        machine: the definition.
    """
    if not any(_is_distributed(state) for _, state in states_of(machine.states)):
        return
    yield Statement(
        "StartBatches",
        ("states:StartExecution",),
        (ref(name),),
        "a distributed map runs each batch as an execution of its own state machine",
    )
    executions = f"arn:${{AWS::Partition}}:states:${{AWS::Region}}:${{AWS::AccountId}}:execution:${{{name}.Name}}"
    yield Statement(
        "FollowBatches",
        ("states:DescribeExecution", "states:StopExecution"),
        (sub(f"{executions}:*"),),
        "it follows its batches, and stops them when it is stopped",
    )
    yield Statement(
        "RedriveBatches",
        ("states:RedriveExecution",),
        (sub(f"{executions}/*:*"),),
        "a redriven run tries only the batches that failed",
    )


def of_sagemaker() -> Iterator[Statement]:
    """Permissions of training jobs and endpoints, below their prefixes of the output bucket."""
    yield Statement(
        "ReadModelsAndData",
        ("s3:GetObject",),
        tuple(sub(f"${{OutputBucket.Arn}}/{prefix}*") for prefix in _READ_BY_JOBS),
        "jobs read data, source and checkpoints, endpoints their model",
    )
    yield Statement(
        "ListModelsAndData",
        ("s3:ListBucket",),
        (get_att("OutputBucket"),),
        "SageMaker lists the objects of a job's inputs",
        condition={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in _READ_BY_JOBS]}},
    )
    yield Statement(
        "WriteModelsAndCaptures",
        ("s3:PutObject",),
        tuple(sub(f"${{OutputBucket.Arn}}/{prefix}*") for prefix in _WRITTEN_BY_JOBS),
        "jobs write models and checkpoints, endpoints their data capture",
    )
    yield Statement(
        "PullImages",
        ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        tuple(sub(f"arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:*:repository/{name}") for name in _IMAGES),
        "SageMaker pulls AWS's containers; their account differs from region to region",
    )
    yield Statement(
        "SignInToRegistry",
        ("ecr:GetAuthorizationToken",),
        ("*",),
        "SageMaker signs in before it pulls",
        unrestricted="ECR defines no resource for signing in",
    )
    yield Statement(
        "WriteLogs",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
        (sub("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/sagemaker/*"),),
        "containers write their logs",
    )
    yield Statement(
        "WriteMetrics",
        ("cloudwatch:PutMetricData",),
        ("*",),
        "containers' metrics go to CloudWatch",
        unrestricted="CloudWatch defines no resource for metrics; the permission is restricted to the namespace",
        condition={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
    )


def _read_images(more: tuple[Value, ...]) -> Iterator[Statement]:
    yield Statement(
        "ReadImages",
        ("s3:GetObject", "s3:GetObjectVersion"),
        (sub("${InputBucket.Arn}/${InputPrefix}*"), *more),
        "the handler reads the image version that the event names",
    )
    yield Statement(
        "TellGoneFromForbidden",
        ("s3:ListBucket",),
        (get_att("InputBucket"),),
        "S3 answers 404 instead of 403 for an image that is gone; the workflow drops only the former",
    )


def _classify() -> Iterator[Statement]:
    yield Statement(
        "AskEndpoint",
        ("sagemaker:InvokeEndpoint",),
        (_ENDPOINT,),
        "the endpoint classifies the image",
        when="UsesEndpoint",
    )
    yield Statement(
        "ReadModel",
        ("s3:GetObject",),
        ({"Fn::Sub": ["arn:${AWS::Partition}:s3:::${ModelObject}", {"ModelObject": _model_path()}]},),
        "the function loads the model when it starts",
        when="UsesModelUri",
    )


def _model_path() -> Value:
    """``bucket/key`` of ``s3://bucket/key``; split with ``s3://`` appended, so that part 1 always exists."""
    return {"Fn::Select": [1, {"Fn::Split": ["s3://", sub("${ModelUri}s3://")]}]}


def _outcomes(tasks: list[asl.Task]) -> Iterator[Statement]:
    """Permissions for tasks other than function calls."""
    written, read = [], []
    for task in tasks:
        if task.resource == "arn:aws:states:::aws-sdk:s3:putObject":
            written.append(_target(task.parameters, "Key.$"))
        elif task.resource == "arn:aws:states:::aws-sdk:s3:getObject":
            read.append(_target(task.parameters, "Key.$"))
        elif task.resource != "arn:aws:states:::lambda:invoke":
            raise InvalidDefinitionError(
                f"no permission is known for the resource {task.resource}: enter its needs in infrastructure/grants.py"
            )
    if written:
        yield Statement(
            "WriteOutcomes",
            ("s3:PutObject",),
            _objects(written),
            "one object for each image: accepted, review or quarantined",
        )
    if read:
        yield Statement(
            "FindOutcomes",
            ("s3:GetObject",),
            _objects(read),
            "an event may arrive after its object is gone: before an image is dropped, its outcome is looked up",
        )
        yield Statement(
            "TellMissingFromForbidden",
            ("s3:ListBucket",),
            tuple(get_att(bucket) for bucket in dict.fromkeys(bucket for bucket, _ in read)),
            "S3 answers 404 instead of 403 for an outcome that does not exist",
        )


def _objects(targets: list[tuple[str, str]]) -> tuple[Value, ...]:
    return tuple(sub(f"${{{bucket}.Arn}}/{prefix}*") for bucket, prefix in dict.fromkeys(targets))


def _items(state: asl.Map) -> Iterator[Statement]:
    """Permissions for a distributed map's input and results."""
    if state.item_reader is not None:
        if state.item_reader.resource != "arn:aws:states:::s3:listObjectsV2":
            raise InvalidDefinitionError(
                f"no permission is known for a reader of {state.item_reader.resource}: enter its needs in "
                "infrastructure/grants.py"
            )
        yield Statement(
            "ListImages",
            ("s3:ListBucket",),
            (get_att("InputBucket"),),
            "the map runs over the images under a prefix",
            condition={"StringLike": {"s3:prefix": sub("${InputPrefix}*")}},
        )
    if state.result_writer is not None:
        bucket, prefix = _target(state.result_writer.parameters, "Prefix.$")
        yield Statement(
            "WriteMapResults",
            ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"),
            (sub(f"${{{bucket}.Arn}}/{prefix}*"),),
            "the map writes the result of each batch, in parts when there are many",
        )


def _target(parameters: object, key: str) -> tuple[str, str]:
    """Bucket and prefix of a write: the part of the key before its first field."""
    held = parameters if isinstance(parameters, Mapping) else {}
    bucket = re.fullmatch(r"\$\{(\w+)Name\}", str(held.get("Bucket", "")))
    prefix = re.match(r"States\.Format\('([^'{]+/)", str(held.get(key, "")))
    if bucket is None or prefix is None:
        raise InvalidDefinitionError(
            f"a write to S3 has to name its bucket as ${{...BucketName}} and {key} as States.Format('prefix/...'), "
            "so that its permission can be limited to that prefix"
        )
    return bucket[1], prefix[1]


def _is_distributed(state: asl.State) -> bool:
    processor = state.item_processor if isinstance(state, asl.Map) else None
    return bool(processor and processor.processor_config and processor.processor_config.mode == "DISTRIBUTED")


def _traces(what: str, actions: tuple[str, ...]) -> Statement:
    return Statement(
        "SendTraces",
        actions,
        ("*",),
        f"X-Ray takes {what}",
        unrestricted="X-Ray defines no resource for segments and sampling",
        when="UsesTracing",
    )


def of_expiry() -> Iterator[Statement]:
    """Permissions of the schedule that deletes an endpoint."""
    yield Statement(
        "DeleteEndpoint",
        ("sagemaker:DeleteEndpoint",),
        (_ENDPOINT,),
        "the endpoint is deleted when it expires",
    )
    yield Statement(
        "KeepFailure",
        ("sqs:SendMessage",),
        (get_att("DeadLetterQueue"),),
        "a deletion that AWS refused for a day is kept and reported",
    )
