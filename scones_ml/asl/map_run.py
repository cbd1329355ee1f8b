"""Map states: inline, with the items in this execution, and distributed, with each item in its own execution."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from scones_ml.asl.concurrent import run_branches
from scones_ml.asl.execution import Frame
from scones_ml.asl.failures import RUNTIME, EvaluationFailed, StateFailed, too_large
from scones_ml.asl.history import Recorder
from scones_ml.asl.interpreter import run_branch
from scones_ml.asl.map_batches import batches
from scones_ml.asl.map_reader import Item, described, numbered, read_items
from scones_ml.asl.map_writer import Child, collect, write_results
from scones_ml.asl.states import Map
from scones_ml.asl.step import Step
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import UNSET, Json, fits, new_id, text
from scones_ml.limits import INLINE_MAP_CONCURRENCY, MAP_CONCURRENCY

__all__ = ["run_map"]

_STATE_DATA: Final = "STATE_DATA"
_TOLERANCE_EXCEEDED: Final = "States.ExceedToleratedFailureThreshold"


def run_map(state: Map, step: Step) -> Json:
    """Run all items; return their outputs in order, or the result of the ResultWriter.

    Raises:
        StateFailed: an item failed, or more items than the state tolerates.
    """
    processor = state.item_processor or state.iterator
    config = None if processor is None else processor.processor_config
    distributed = config is not None and config.mode == "DISTRIBUTED"
    concurrency = step.integer(state, "max_concurrency") or 0
    if concurrency < 0:
        cause = f"Expected non-negative integer for MaxConcurrency, got '{concurrency}' instead."
        raise EvaluationFailed(RUNTIME, cause)
    if distributed:
        return _run_distributed(state, step, concurrency or MAP_CONCURRENCY)
    return _run_inline(state, step, min(concurrency or INLINE_MAP_CONCURRENCY, INLINE_MAP_CONCURRENCY))


def _items(state: Map, step: Step, *, pairs: bool) -> list[Item]:
    """The items of the input; with `pairs` also the members of an object."""
    value = step.flow.value(state, "items", step.scope.on(step.input))
    given = step.input if value is UNSET else value
    if not isinstance(given, list | tuple | (Mapping if pairs else tuple)):
        raise step.flow.wrong(state, "items", given, "array" if value is not UNSET else "input array")
    return numbered(described(given, _STATE_DATA))


def _selected(state: Map, step: Step, item: Item) -> Json:
    """The input of one item's machine: the item, or the result of ItemSelector (formerly Parameters)."""
    selector = state.item_selector if state.item_selector is not None else state.parameters
    if selector is UNSET or selector is None:
        return {"Key": item["Key"], "Value": item["Value"]} if "Key" in item else item["Value"]
    scope = replace(step.scope, input=step.input, context=lambda: {**step.context(), "Map": {"Item": item}})
    return step.flow.template(selector, "ItemSelector", scope)


def _run_inline(state: Map, step: Step, concurrency: int) -> Json:
    items, program, done = _items(state, step, pairs=False), step.node.branches[0], step.done
    step.record("MapStateStarted", {"length": len(items)})

    def iterate(number: int, frame: Frame) -> Json:
        iteration = {"name": step.name, "index": number}
        frame.record("MapIterationStarted", iteration)
        frame.item = {"Item": items[number]}
        try:
            output = run_branch(frame, program, _selected(state, step, items[number]), done.unfinished.get(number))
        except StateFailed:
            frame.record("MapIterationFailed", iteration)
            raise
        frame.record("MapIterationSucceeded", iteration)
        return output

    workers = concurrency if program.waits else 1
    results = run_branches(step.frame, len(items), iterate, workers=workers, finished=done.finished)
    step.record("MapStateSucceeded", {})
    return results


class _Failures:
    """The number of failed items, compared with the state's tolerance."""

    def __init__(self, state: Map, step: Step) -> None:
        self._count = step.integer(state, "tolerated_failure_count")
        self._percentage = step.number(state, "tolerated_failure_percentage")
        self._failed = 0
        if self._count is not None and self._count < 0:
            raise EvaluationFailed(RUNTIME, "ToleratedFailureCount cannot be negative.")
        if self._percentage is not None and not 0 <= self._percentage <= 100:
            raise EvaluationFailed(RUNTIME, "ToleratedFailurePercentage must be between 0 and 100.")

    def add(self, items: int, total: int) -> None:
        """Count failed items, of `total` in all.

        Raises:
            StateFailed: either limit (default: 0) is exceeded (States.ExceedToleratedFailureThreshold).
        """
        self._failed += items
        by_count = self._count is not None and self._failed > self._count
        by_percentage = self._percentage is not None and self._failed * 100 > self._percentage * total
        if by_count or by_percentage or (self._count is None and self._percentage is None):
            raise StateFailed(_TOLERANCE_EXCEEDED, "The specified tolerated failure threshold was exceeded")


def _run_distributed(state: Map, step: Step, concurrency: int) -> Json:
    reader = state.item_reader
    items = _items(state, step, pairs=True) if reader is None else []
    step.record("MapStateStarted", {"length": len(items)})
    failures = _Failures(state, step)
    arn = _started_run(state, step)
    try:
        if reader is not None:
            items = read_items(reader, step)
        results = _run_children(state, step, items, concurrency, failures, arn)
    except StateFailed as failure:
        step.record("MapRunFailed", {"error": failure.error, "cause": failure.cause})
        raise
    step.record("MapRunSucceeded", {})
    step.record("MapStateSucceeded", {})
    return results


def _started_run(state: Map, step: Step) -> str:
    """The ARN of the Map run: a new one, or that of the redriven run."""
    if step.done.map_run in step.frame.shared.map_runs:
        redrives = step.frame.shared.execution.get("RedriveCount")
        step.record("MapRunRedriven", {"map_run_arn": step.done.map_run, "redrive_count": redrives})
        return step.done.map_run
    machine = str(step.frame.shared.machine["Id"]).replace(":stateMachine:", ":mapRun:", 1)
    arn = f"{machine}/{state.label or step.name}:{new_id()}"
    step.record("MapRunStarted", {"map_run_arn": arn})
    return arn


def _run_children(
    state: Map, step: Step, items: Sequence[Item], concurrency: int, failures: _Failures, arn: str
) -> Json:
    inputs = batches(state.item_batcher, step, [_selected(state, step, item) for item in items])
    before = step.frame.shared.map_runs.pop(arn, [None] * len(inputs))
    children = [child if child is not None and child.status == "SUCCEEDED" else None for child in before]
    lock = threading.Lock()

    def execute(number: int, frame: Frame) -> Json:
        child = _run_child(state, step, frame, inputs[number])
        children[number] = child
        if child.status != "SUCCEEDED":
            with lock:
                failures.add(_count(state, inputs[number]), len(items))
        return None

    program = step.node.branches[0]
    finished = {number: None for number, child in enumerate(children) if child is not None}
    try:
        run_branches(step.frame, len(inputs), execute, workers=concurrency if program.waits else 1, finished=finished)
    except StateFailed:
        step.frame.shared.map_runs[arn] = children
        raise
    finally:
        written = write_results(state.result_writer, step, children, arn)
    return collect(state.result_writer, children) if written is None else written


def _count(state: Map, document: Json) -> int:
    """The number of items in a child's input: those of a batch, or one."""
    batch = document.get("Items") if state.item_batcher is not None and isinstance(document, Mapping) else None
    return len(batch) if isinstance(batch, list) else 1


def _run_child(state: Map, step: Step, frame: Frame, document: Json) -> Child:
    """One item's execution, with its own name, history and variables."""
    name = new_id()
    label = state.label or step.name
    started = frame.clock.timestamp()
    parent = step.frame.shared
    execution_arn = f"{parent.machine['Id']}/{label}:{name}".replace(":stateMachine:", ":execution:", 1)
    context: dict[str, Json] = {
        **parent.execution,
        "Id": execution_arn,
        "Input": document,
        "Name": name,
        "StartTime": format_timestamp(started),
    }
    recorder = Recorder(keep=False, limit=None, listener=None)
    frame.shared = replace(parent, recorder=recorder, execution=context)
    frame.variables, frame.item, frame.previous = {}, None, 0
    status, output, error, cause = "SUCCEEDED", None, None, None
    try:
        if not fits(document):
            raise too_large(step.name)
        output = run_branch(frame, step.node.branches[0], document)
    except StateFailed as failure:
        status, error, cause = "FAILED", failure.error, failure.cause
    return Child(execution_arn, name, text(document), status, output, error, cause, started, frame.clock.timestamp())
