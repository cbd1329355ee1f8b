"""WorkflowRunner in this process: the deployed definition and handlers in our interpreter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from scones_ml import asl, workflows
from scones_ml.errors import ConfigurationError
from scones_ml.local.resources import workspace_resources
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import ImageResult, WorkflowModel, WorkflowRequest
from scones_ml.settings import labels_text, threshold_text

__all__ = ["LocalWorkflowRunner", "execute", "handler_environment", "redrive", "variables"]


class LocalWorkflowRunner:
    """Runs executions one after the other.

    Args:
        buckets: folder of the directory store that images are read from and outcomes written to.
    """

    def __init__(self, buckets: Path) -> None:
        self._buckets = buckets

    def run(self, request: WorkflowRequest) -> Iterator[ImageResult]:
        """See :meth:`scones_ml.ports.WorkflowRunner.run`."""
        if request.model is None:
            raise ConfigurationError("no classifier: give a model or an endpoint")
        return self._results(request, handler_environment(request.model, self._buckets))

    def _results(self, request: WorkflowRequest, environment: Mapping[str, str]) -> Iterator[ImageResult]:
        definition = workflows.image_classification()
        tasks = workspace_resources(DirectoryObjectStore(self._buckets), {"OutputBucketName": request.output_bucket})
        begin = time.perf_counter()
        for image in request.images:
            started = time.perf_counter()
            with variables(environment):
                execution = asl.run(
                    definition, cast("asl.Json", image.to_event()), resources=tasks, name=image.image_id
                )
            ended = time.perf_counter()
            error = None if execution.status == "SUCCEEDED" else execution.error or execution.status
            yield ImageResult.of_execution(
                image, execution.output, error, execution.cause, started - begin, ended - started
            )


def execute(
    definition: asl.Definition,
    document: asl.Json,
    buckets: Path,
    output_bucket: str,
    model: WorkflowModel,
    tasks: Mapping[str, asl.Resource] | None = None,
    on_event: Callable[[asl.Event], None] | None = None,
) -> asl.Execution:
    """Run a definition in this process, with the real handlers behind its Lambda functions.

    Args:
        definition: the definition; each FunctionName is the name or the placeholder of a handler.
        document: the input; images are read from the directory store.
        buckets: folder of the directory store, for images and outcomes.
        output_bucket: value of ``${OutputBucketName}``.
        model: the classifier.
        tasks: functions by Resource ARN, in addition to ours and before them.
        on_event: called with each event.
    """
    ours = workspace_resources(DirectoryObjectStore(buckets), {"OutputBucketName": output_bucket})
    with variables(handler_environment(model, buckets)):
        return asl.run(definition, document, resources=ours | dict(tasks or {}), on_event=on_event)


def redrive(
    execution: Mapping[str, object],
    definition: asl.Definition,
    buckets: Path,
    model: WorkflowModel | None = None,
    tasks: Mapping[str, asl.Resource] | None = None,
    on_event: Callable[[asl.Event], None] | None = None,
) -> asl.Execution:
    """Continue a failed execution in this process, with the real handlers.

    Handlers read from the store in SCONES_OBJECT_STORE, by default S3; outcomes stay on this machine.

    Args:
        execution: the JSON of GetExecutionHistory.
        definition: definition of its state machine.
        buckets: folder of the directory store that outcomes are written to.
        model: the classifier; None for the one in the environment.
        tasks: functions by Resource ARN, in addition to ours and before them.
        on_event: called with each event.

    Raises:
        WorkflowError: the execution did not fail, or its history does not fit the definition.
    """
    behind = workspace_resources(DirectoryObjectStore(buckets), {}) | dict(tasks or {})
    with variables(_model_environment(model) if model else {}):
        return asl.redrive(
            cast("Mapping[str, asl.Json]", execution), resources=behind, definition=definition, on_event=on_event
        )


def handler_environment(model: WorkflowModel, buckets: Path) -> dict[str, str]:
    """Environment variables for handlers that read this workspace's store and use this classifier."""
    return {"SCONES_OBJECT_STORE": f"workspace:{buckets.absolute()}", **_model_environment(model)}


def _model_environment(model: WorkflowModel) -> dict[str, str]:
    environment = {
        "SCONES_THRESHOLD": threshold_text(model.threshold),
        "SCONES_IMAGE_SIZE": str(model.image_size),
        "SCONES_IMAGE_FIT": model.fit or "",
    }
    if isinstance(model.classifier, Path):
        return environment | {"SCONES_CLASSIFIER": f"onnx:{model.classifier.absolute()}"}
    return environment | {
        "SCONES_CLASSIFIER": f"sagemaker:{model.classifier.name}",
        "SCONES_LABELS": labels_text(model.classifier.labels),
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": model.classifier.url,
    }


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set the handlers' environment variables during the block; handlers read no other settings.

    The environment belongs to the whole process: threads of one run share it, and no other run may change it meanwhile.
    The handlers' logs, which repeat the results, are off unless POWERTOOLS_LOG_LEVEL is set.
    """
    values = {"POWERTOOLS_LOG_LEVEL": os.environ.get("POWERTOOLS_LOG_LEVEL", "CRITICAL"), **values}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
