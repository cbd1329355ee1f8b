"""Work for one image, counted from a definition, and the duration of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from scones_ml import asl
from scones_ml.errors import ConfigurationError, InvalidDefinitionError
from scones_ml.infrastructure.definitions import function_names
from scones_ml.infrastructure.functions import DECODING_MB, ONE_VCPU_MB, SMALL_MB
from scones_ml.workflows.handlers import handler_name, handler_uses

__all__ = ["DEAR_SIDE", "BatchCounts", "Counts", "FunctionUse", "Workload", "count", "count_batches", "use_of"]

DEAR_SIDE: Final = 2.0
"""Assumed slowdown of a vCPU on AWS relative to the machine that a model was measured on."""

_HANDLER_MS = 15  # of an invocation, in addition to the model: event, logs, response
_READING_MS = 8  # of an image in a bulk run, in addition to the model: reading its object


@dataclass(frozen=True)
class FunctionUse:
    """One invocation of a function.

    Attributes:
        milliseconds: billed duration.
        memory_mb: the function's memory.
    """

    milliseconds: float
    memory_mb: int

    @property
    def gb_seconds(self) -> float:
        """GB-seconds that Lambda bills."""
        return self.milliseconds / 1000 * self.memory_mb / 1024


@dataclass(frozen=True)
class Workload:
    """Durations and sizes: assumptions, to be replaced by measurements in your account.

    The functions' durations are those of public warm runs of the course project, with 128 MB each: ours have more
    memory and are not slower. ``docs/live-checks.md`` says how to measure yours.

    Attributes:
        functions: use of each function of the definition.
        model_ms: time to decode and classify an image of the model's size, on one vCPU; by default a photograph, 224
            pixels
        wide: `DEAR_SIDE` times the 10 ms of a server. ``scones cost --model`` measures yours.
        overhead_ms: time that Step Functions adds to an execution.
        packed: images in one object, for batch transform.
        startup_seconds: billed start of a batch transform job.
        jobs: batch transform jobs in a month.
        payload_kb: size of one request to an endpoint and its response.
        log_kb: log of one invocation.
        serverless_mb: memory of a serverless endpoint, which determines its vCPUs; a model of photographs needs 150 MB.
        architecture: processor architecture of the functions.
        instance: SageMaker instance type.
        instances: number of an endpoint's instances.
    """

    functions: Mapping[str, FunctionUse] = field(
        default_factory=lambda: {
            "SerializeImageData": FunctionUse(343, DECODING_MB),
            "ClassifyImageData": FunctionUse(163, DECODING_MB),
            "FilterLowConfidence": FunctionUse(83, SMALL_MB),
        }
    )
    model_ms: float = 20
    overhead_ms: float = 360
    packed: int = 100
    startup_seconds: float = 300
    jobs: int = 1
    payload_kb: float = 100
    log_kb: float = 1
    serverless_mb: int = 2048
    architecture: Literal["arm64", "x86_64"] = "arm64"
    instance: str = "ml.m5.large"
    instances: int = 1

    @property
    def model_inside(self) -> FunctionUse:
        """Use of the classifying function with the model inside."""
        return FunctionUse(_HANDLER_MS + self.model_ms, ONE_VCPU_MB)

    @property
    def batch_image(self) -> FunctionUse:
        """Use of the function for one image of a bulk batch, with the model inside."""
        return FunctionUse(_READING_MS + self.model_ms, ONE_VCPU_MB)

    @property
    def transform_ms(self) -> float:
        """Instance time for one image in batch transform, in milliseconds."""
        return _READING_MS + self.model_ms


@dataclass(frozen=True)
class Counts:
    """Counts for one image on the longest path without failures through a definition.

    Attributes:
        transitions: billed transitions of a Standard execution: each state that runs, and the start.
        functions: invoked functions.
        writes: written objects.
    """

    transitions: int
    functions: tuple[str, ...]
    writes: int


@dataclass(frozen=True)
class BatchCounts:
    """Counts for one batch of a distributed map.

    Attributes:
        size: images in a batch.
        asks: whether its function looks in S3 for results of an earlier run.
        writes: whether its function writes the results.
    """

    size: int
    asks: bool
    writes: bool


_START: Final = 1  # the start of an execution is billed like a state


def count(machine: asl.StateMachine) -> Counts:
    """Count transitions, invocations and writes for one image, from the definition.

    Raises:
        InvalidDefinitionError: the definition has a loop, or states that contain others.
    """
    way = _longest(machine, machine.start_at, ())
    tasks = [state for name in way if isinstance(state := machine.states[name], asl.Task)]
    return Counts(
        transitions=len(way) + _START,
        functions=tuple(name for name in function_names(machine) if name in way),
        writes=sum(task.resource.endswith(":s3:putObject") for task in tasks),
    )


def count_batches(machine: asl.StateMachine) -> BatchCounts:
    """Count requests for one batch, from the definition and its function's handler.

    Raises:
        InvalidDefinitionError: the definition has no distributed map of Express batches.
    """
    for state in machine.states.values():
        processor = state.item_processor if isinstance(state, asl.Map) else None
        config = processor.processor_config if processor else None
        if isinstance(state, asl.Map) and config is not None and config.execution_type == "EXPRESS":
            size = state.item_batcher.max_items_per_batch if state.item_batcher else 1
            if not isinstance(size, int):
                break
            (function,) = function_names(machine)
            uses = handler_uses(handler_name(function))
            return BatchCounts(size, "backends.result_exists" in uses, "backends.write_result" in uses)
    raise InvalidDefinitionError("the bulk definition has no distributed map of Express batches of a fixed size")


def _longest(machine: asl.StateMachine, name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    state = machine.states[name]
    if name in before or isinstance(state, asl.Map | asl.Parallel):
        raise InvalidDefinitionError(f"the states that follow {name} cannot be counted: it repeats")
    if isinstance(state, asl.Choice):
        following = [rule.next for rule in state.choices] + [state.default]
    else:
        following = [getattr(state, "next", None)]
    ways = [_longest(machine, after, (*before, name)) for after in following if after is not None]
    return (name, *max(ways, key=len, default=()))


def use_of(workload: Workload, function: str) -> FunctionUse:
    """Use of one function.

    Raises:
        ConfigurationError: the function is not in the workload.
    """
    if function not in workload.functions:
        raise ConfigurationError(f"the workload has no duration for {function}: it has {', '.join(workload.functions)}")
    return workload.functions[function]
