"""SageMaker hyperparameter tuning jobs as data: one training job, and the ranges to search.

>>> tuning = Tuning(job=job, ranges=(Continuous("learning_rate", 1e-5, 0.1, "Logarithmic"),), max_jobs=12)
>>> request = tuning_request(tuning)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from scones_ml.errors import ConfigurationError
from scones_ml.limits import TUNING_NAME_CHARACTERS
from scones_ml.sagemaker.hyperparameters import Hyperparameters
from scones_ml.sagemaker.training_job import TrainingJob, definition

__all__ = ["IMAGE_CLASSIFICATION_RANGES", "Categorical", "Continuous", "Integer", "Range", "Tuning", "tuning_request"]

Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]
Strategy = Literal["Bayesian", "Random", "Hyperband", "Grid"]
_NEVER = ("num_classes", "num_training_samples", "source")


@dataclass(frozen=True, slots=True)
class Continuous:
    """A number between two bounds, both included."""

    name: str
    low: float
    high: float
    scaling: Scaling = "Auto"


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number between two bounds, both included."""

    name: str
    low: int
    high: int
    scaling: Scaling = "Auto"


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of a set of values."""

    name: str
    values: tuple[str, ...]


Range = Continuous | Integer | Categorical

# https://docs.aws.amazon.com/sagemaker/latest/dg/IC-tuning.html
IMAGE_CLASSIFICATION_RANGES: Final[tuple[Range, ...]] = (
    Continuous("learning_rate", 1e-6, 0.5, "Logarithmic"),
    Integer("mini_batch_size", 8, 512),
    Continuous("momentum", 0.0, 0.999),
    Continuous("weight_decay", 0.0, 0.999),
    Categorical("optimizer", ("sgd", "adam", "rmsprop", "nag")),
)
"""Ranges that AWS recommends for the built-in algorithm."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """One tuning job.

    Attributes:
        job: template of its training jobs; its name, at most 32 characters, becomes the tuning job's.
        ranges: hyperparameters to search; the others are those of ``job``.
        max_jobs: total number of training jobs.
        parallel_jobs: number of concurrent training jobs.
        strategy: search strategy.
        objective: metric to maximize.
        stop_early: whether AWS stops training jobs that fall behind.
        seed: random seed of the search; None lets AWS choose.
        tags: tags of the tuning job.
    """

    job: TrainingJob
    ranges: tuple[Range, ...]
    max_jobs: int = 10
    parallel_jobs: int = 1
    strategy: Strategy = "Bayesian"
    objective: str = "validation:accuracy"
    stop_early: bool = False
    seed: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.job.name) > TUNING_NAME_CHARACTERS:
            raise ConfigurationError(f"tuning job name {self.job.name!r}: at most {TUNING_NAME_CHARACTERS} characters")
        if not self.ranges:
            raise ConfigurationError("tuning needs at least one range to search")
        names = [searched.name for searched in self.ranges]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"ranges {', '.join(names)}: give each once")
        if not 1 <= self.parallel_jobs <= self.max_jobs:
            raise ConfigurationError(f"parallel_jobs={self.parallel_jobs}: must be 1 to max_jobs={self.max_jobs}")
        if self.job.metrics and self.objective not in self.job.metrics:
            raise ConfigurationError(f"objective {self.objective!r}: the job reports {', '.join(self.job.metrics)}")
        if self.strategy == "Grid" and not all(isinstance(searched, Categorical) for searched in self.ranges):
            raise ConfigurationError("strategy Grid searches categorical ranges only")
        for searched in self.ranges:
            _check_range(self.job.hyperparameters, searched)


def tuning_request(tuning: Tuning) -> dict[str, object]:
    """The CreateHyperParameterTuningJob request of a tuning job."""
    job = tuning.job
    config: dict[str, object] = {
        "Strategy": tuning.strategy,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": tuning.objective},
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": tuning.max_jobs,
            "MaxParallelTrainingJobs": tuning.parallel_jobs,
        },
        "ParameterRanges": _ranges(job.hyperparameters, tuning.ranges),
        "TrainingJobEarlyStoppingType": "Auto" if tuning.stop_early else "Off",
    }
    if tuning.seed is not None:
        config["RandomSeed"] = tuning.seed
    searched = {job.hyperparameters.request_name(found.name) for found in tuning.ranges}
    fixed = {name: value for name, value in job.hyperparameters.to_request().items() if name not in searched}
    request: dict[str, object] = {
        "HyperParameterTuningJobName": job.name,
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": {"StaticHyperParameters": fixed, **definition(job)},
    }
    if tuning.tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tuning.tags.items()]
    return request


def _check_range(base: Hyperparameters, searched: Range) -> None:
    """Check that both bounds, or every value, are valid for the hyperparameter."""
    if searched.name not in type(base).model_fields or searched.name in _NEVER:
        raise ConfigurationError(f"range {searched.name}: no such hyperparameter can be searched")
    if isinstance(searched, Categorical):
        if not searched.values:
            raise ConfigurationError(f"range {searched.name}: holds no values")
        values: tuple[object, ...] = searched.values
    else:
        if searched.low >= searched.high:
            raise ConfigurationError(f"range {searched.name}: {searched.low} is not below {searched.high}")
        if searched.low <= 0 and searched.scaling == "Logarithmic":
            raise ConfigurationError(f"range {searched.name}: Logarithmic needs bounds above 0")
        values = (searched.low, searched.high)
    for value in values:
        type(base).parse(base.model_dump(exclude_unset=True) | {searched.name: value})


def _ranges(base: Hyperparameters, ranges: tuple[Range, ...]) -> dict[str, object]:
    found: dict[str, list[dict[str, object]]] = {
        "ContinuousParameterRanges": [],
        "IntegerParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for searched in ranges:
        name = base.request_name(searched.name)
        if isinstance(searched, Categorical):
            values = [base.request_value(value) for value in searched.values]
            found["CategoricalParameterRanges"].append({"Name": name, "Values": values})
            continue
        kind = "IntegerParameterRanges" if isinstance(searched, Integer) else "ContinuousParameterRanges"
        found[kind].append(
            {
                "Name": name,
                "MinValue": str(searched.low),
                "MaxValue": str(searched.high),
                "ScalingType": searched.scaling,
            }
        )
    return {kind: rows for kind, rows in found.items() if rows}
