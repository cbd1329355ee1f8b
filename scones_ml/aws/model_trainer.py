"""Conversion of a training job to the SageMaker SDK's ModelTrainer, for the same request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scones_ml.errors import MissingExtraError
from scones_ml.sagemaker.training_job import TrainingJob, training_request

if TYPE_CHECKING:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.train import ModelTrainer

__all__ = ["to_model_trainer"]

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def to_model_trainer(job: TrainingJob, session: Session | None = None) -> ModelTrainer:
    """Convert a job to the ModelTrainer of the SageMaker SDK, version 3; its ``train()`` sends the job's request.

    The SDK adds the time to the job's name, looks up the role and may send telemetry (see its documentation).

    Args:
        job: a job of the built-in algorithm or of our own training.
        session: session of the SDK; None lets the SDK create one from the environment.

    Raises:
        MissingExtraError: the SDK is not installed.
    """
    try:
        from sagemaker.core.training import configs
        from sagemaker.train import ModelTrainer
    except ModuleNotFoundError as exc:
        raise MissingExtraError("sagemaker", "sagemaker") from exc
    request = _snake_case(training_request(job))
    algorithm = request["algorithm_specification"]
    trainer = ModelTrainer(
        sagemaker_session=session,
        base_job_name=job.name,
        role=job.role_arn,
        training_image=job.image,
        training_input_mode=algorithm["training_input_mode"],
        hyperparameters=job.hyperparameters.to_request(),
        compute=configs.Compute(
            **request["resource_config"], enable_managed_spot_training=request["enable_managed_spot_training"]
        ),
        stopping_condition=configs.StoppingCondition(**request["stopping_condition"]),
        input_data_config=[configs.Channel(**channel) for channel in request["input_data_config"]],
        output_data_config=configs.OutputDataConfig(**request["output_data_config"]),
        tags=[configs.Tag(**tag) for tag in request.get("tags", ())],
    )
    if "checkpoint_config" in request:
        trainer.with_checkpoint_config(configs.CheckpointConfig(**request["checkpoint_config"]))
    if job.metrics:
        found = algorithm["metric_definitions"]
        trainer.with_metric_definitions([configs.MetricDefinition(**metric) for metric in found])
    return trainer


def _snake_case(value: Any) -> Any:
    """A request with the SDK's spelling of keys: ``S3DataSource`` becomes ``s3_data_source``."""
    if isinstance(value, dict):
        return {_WORD.sub("_", key).lower(): _snake_case(part) for key, part in value.items()}
    return [_snake_case(part) for part in value] if isinstance(value, list) else value
