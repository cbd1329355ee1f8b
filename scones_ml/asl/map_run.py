"""Map states: inline, where items run in this execution, and distributed, where each runs in one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scones_ml.asl.concurrent import run_branches
from scones_ml.asl.execution import Frame
from scones_ml.asl.failures import RUNTIME, EvaluationFailed, StateFailed, too_large
from scones_ml.asl.history import Recorder
from scones_ml.asl.interpreter import run_branch
from scones_ml.asl.map_batches import batches
from scones_ml.asl.map_reader import read_items
from scones_ml.asl.map_writer import Child, collect, write_results
from scones_ml.asl.states import Map
from scones_ml.asl.step import Step
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import UNSET, Json, fits, new_id, text

__all__ = ["run_map"]

_INLINE_CONCURRENCY = 40
_DISTRIBUTED_CONCURRENCY = 10_000
_TOLERANCE_EXCEEDED = "States.ExceedToleratedFailureThreshold"


def run_map(state: Map, step: Step) -> Json:
    """The outputs of all items, in their order, or what a ResultWriter makes of them.

    Raises:
        StateFailed: an item failed, or more of them than are tolerated.
    """
    processor = state.item_processor or state.iterator
    config = None if processor is None else processor.processor_config
    distributed = config is not None and config.mode == "DISTRIBUTED"
    concurrency = step.integer(state, "max_concurrency") or 0
    if concurrency < 0:
        raise step.flow.wrong(state, "max_concurrency", concurrency, "positive")
    if distributed:
        return _run_distributed(state, step, concurrency or _DISTRIBUTED_CONCURRENCY)
    return _run_inline(state, step, min(concurrency or _INLINE_CONCURRENCY, _INLINE_CONCURRENCY))


def _items(state: Map, step: Step, *, pairs: bool) -> list[Mapping[str, Json]]:
    """The context object's ``Map.Item`` of every item; an object's members count as items where `pairs` says so."""
    value = step.flow.value(state, "items", step.scope.on(step.input))
    given = step.input if value is UNSET else value
    if pairs and isinstance(given, Mapping):
        entries: list[Json] = [{"Key": key, "Value": value} for key, value in given.items()]
        return [{"Index": index, "Value": entry} for index, entry in enumerate(entries)]
    if not isinstance(given, list | tuple):
        raise step.flow.wrong(state, "items", given, "array" if value is not UNSET else "input array")
    return [{"Index": index, "Value": item} for index, item in enumerate(given)]


def _selected(state: Map, step: Step, item: Mapping[str, Json]) -> Json:
    """What one item's machine gets: the item, or what ItemSelector (once called Parameters) makes of it."""
    selector = state.item_selector if state.item_selector is not None else state.parameters
    if selector is UNSET or selector is None:
        return item["Value"]
    scope = replace(step.scope, input=step.input, context=lambda: {**step.context(), "Map": {"Item": item}})
    return step.flow.template(selector, "ItemSelector", scope)


def _run_inline(state: Map, step: Step, concurrency: int) -> Json:
    items, program = _items(state, step, pairs=False), step.node.branches[0]
    step.record("MapStateStarted", {"length": len(items)})

    def iterate(number: int, frame: Frame) -> Json:
        iteration = {"name": step.name, "index": number}
        frame.record("MapIterationStarted", iteration)
        frame.item = {"Item": items[number]}
        try:
            output = run_branch(frame, program, _selected(state, step, items[number]))
        except StateFailed:
            frame.record("MapIterationFailed", iteration)
            raise
        frame.record("MapIterationSucceeded", iteration)
        return output

    results = run_branches(step.frame, len(items), iterate, workers=concurrency if program.waits else 1)
    step.record("MapStateSucceeded", {})
    return results


@dataclass(frozen=True, slots=True)
class _Tolerance:
    """How many items may fail."""

    count: int
    percentage: float

    def exceeded(self, failed: int, total: int) -> bool:
        return failed > self.count and failed * 100 > self.percentage * total


def _tolerance(state: Map, step: Step) -> _Tolerance:
    count = step.integer(state, "tolerated_failure_count") or 0
    percentage = step.number(state, "tolerated_failure_percentage") or 0.0
    if count < 0:
        raise step.flow.wrong(state, "tolerated_failure_count", count, "positive")
    if not 0 <= percentage <= 100:
        raise EvaluationFailed(RUNTIME, "ToleratedFailurePercentage must be between 0 and 100.")
    return _Tolerance(count, percentage)


def _run_distributed(state: Map, step: Step, concurrency: int) -> Json:
    reader = state.item_reader
    items = _items(state, step, pairs=True) if reader is None else []
    step.record("MapStateStarted", {"length": len(items)})
    tolerance = _tolerance(state, step)
    run_id = new_id()
    machine = str(step.frame.run.machine["Id"]).replace(":stateMachine:", ":mapRun:", 1)
    arn = f"{machine}/{state.label or step.name}:{run_id}"
    step.record("MapRunStarted", {"map_run_arn": arn})
    try:
        if reader is not None:
            items = read_items(reader, step)
        results = _run_children(state, step, items, concurrency, tolerance, arn)
    except StateFailed as failure:
        step.record("MapRunFailed", {"error": failure.error, "cause": failure.cause})
        raise
    step.record("MapRunSucceeded", {})
    step.record("MapStateSucceeded", {})
    return results


def _run_children(
    state: Map, step: Step, items: Sequence[Mapping[str, Json]], concurrency: int, tolerance: _Tolerance, arn: str
) -> Json:
    inputs = batches(state.item_batcher, step, [_selected(state, step, item) for item in items])
    children: list[Child | None] = [None] * len(inputs)
    failed = [0]

    def execute(number: int, frame: Frame) -> Json:
        child = _run_child(state, step, frame, inputs[number])
        children[number] = child
        if child.status != "SUCCEEDED":
            failed[0] += 1
            if tolerance.exceeded(failed[0], len(inputs)):
                raise StateFailed(_TOLERANCE_EXCEEDED, "The specified tolerated failure threshold was exceeded")
        return None

    program = step.node.branches[0]
    try:
        run_branches(step.frame, len(inputs), execute, workers=concurrency if program.waits else 1)
    finally:
        written = write_results(state.result_writer, step, children, arn)
    return collect(state.result_writer, children) if written is None else written


def _run_child(state: Map, step: Step, frame: Frame, document: Json) -> Child:
    """One item's execution: it has a name, a history and variables of its own."""
    name = new_id()
    label = state.label or step.name
    started = frame.clock.timestamp()
    parent = step.frame.run
    execution_arn = f"{parent.machine['Id']}/{label}:{name}".replace(":stateMachine:", ":execution:", 1)
    context: dict[str, Json] = {
        **parent.execution,
        "Id": execution_arn,
        "Input": document,
        "Name": name,
        "StartTime": format_timestamp(started),
    }
    recorder = Recorder(keep=False, limit=None, listener=None)
    frame.run = replace(parent, recorder=recorder, execution=context)
    frame.variables, frame.item, frame.previous = {}, None, 0
    status, output, error, cause = "SUCCEEDED", None, None, None
    try:
        if not fits(document):
            raise too_large(step.name)
        output = run_branch(frame, step.node.branches[0], document)
    except StateFailed as failure:
        status, error, cause = "FAILED", failure.error, failure.cause
    return Child(execution_arn, name, text(document), status, output, error, cause, started, frame.clock.timestamp())
