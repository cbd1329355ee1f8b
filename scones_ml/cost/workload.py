"""What a definition makes of one image, counted from the definition itself, and how long each part takes."""

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
"""How many times longer a vCPU on AWS is taken to need than the machine that a model was measured on."""

_HANDLER_MS = 15  # of an invocation, beside the model: event, logs, answer
_READING_MS = 8  # of an image in bulk, beside the model: its object


@dataclass(frozen=True)
class FunctionUse:
    """One invocation of a function.

    Attributes:
        milliseconds: billed duration.
        memory_mb: what the function is given.
    """

    milliseconds: float
    memory_mb: int

    @property
    def gb_seconds(self) -> float:
        """What Lambda bills."""
        return self.milliseconds / 1000 * self.memory_mb / 1024


@dataclass(frozen=True)
class Workload:
    """How long things take and how large they are: assumptions, each to be replaced by what your account measures.

    The functions' durations are those of public warm runs of the course project, with 128 MB each: ours have more
    memory and are not slower. ``docs/live-checks.md`` says how to measure yours.

    Attributes:
        functions: each function of the definition.
        model_ms: decoding an image of the model's size and answering it, on one vCPU; by default of a photograph, 224
            pixels wide: `DEAR_SIDE` times the 10 ms that a server takes. ``scones cost --model`` measures yours.
        overhead_ms: what Step Functions adds to an execution.
        packed: images to one object, for batch transform.
        startup_seconds: billed start of a batch transform job.
        jobs: batch transform jobs in a month.
        payload_kb: one request to an endpoint and its answer.
        log_kb: log of one invocation.
        serverless_mb: memory of a serverless endpoint. It buys processors; a photographs' model needs 150 MB of it.
        architecture: of the functions.
        instance: SageMaker instance type.
        instances: how many of them an endpoint keeps.
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
        """Classify where the model runs inside the function."""
        return FunctionUse(_HANDLER_MS + self.model_ms, ONE_VCPU_MB)

    @property
    def batch_image(self) -> FunctionUse:
        """One image of a bulk batch, model inside the function."""
        return FunctionUse(_READING_MS + self.model_ms, ONE_VCPU_MB)

    @property
    def transform_ms(self) -> float:
        """Instance time for one image in batch transform."""
        return _READING_MS + self.model_ms


@dataclass(frozen=True)
class Counts:
    """What one image takes on the longest way through a definition on which nothing fails.

    Attributes:
        transitions: what Step Functions bills a Standard execution for: each state that runs, and the start.
        functions: the functions that are invoked.
        writes: objects that are written.
    """

    transitions: int
    functions: tuple[str, ...]
    writes: int


@dataclass(frozen=True)
class BatchCounts:
    """What one batch of a distributed map takes.

    Attributes:
        size: images to a batch.
        asks: whether its function asks S3 for what an earlier run has finished.
        writes: whether its function writes the results.
    """

    size: int
    asks: bool
    writes: bool


_START: Final = 1  # the start of an execution is billed like a state


def count(machine: asl.StateMachine) -> Counts:
    """Count what an image takes, from the definition.

    Raises:
        InvalidDefinitionError: the definition has a loop, or states that run others.
    """
    way = _longest(machine, machine.start_at, ())
    tasks = [state for name in way if isinstance(state := machine.states[name], asl.Task)]
    return Counts(
        transitions=len(way) + _START,
        functions=tuple(name for name in function_names(machine) if name in way),
        writes=sum(task.resource.endswith(":s3:putObject") for task in tasks),
    )


def count_batches(machine: asl.StateMachine) -> BatchCounts:
    """Count what a batch takes, from the definition and its function's handler.

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
    """How one function is used.

    Raises:
        ConfigurationError: the workload does not say.
    """
    if function not in workload.functions:
        raise ConfigurationError(
            f"the workload does not say how long {function} runs: it knows {', '.join(workload.functions)}"
        )
    return workload.functions[function]
