"""Designs to compare, each as the lines of its bill."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from scones_ml import asl, workflows
from scones_ml.cost.prices import HOURS_A_MONTH, PriceTable
from scones_ml.cost.workload import FunctionUse, Workload, count, count_batches, use_of
from scones_ml.infrastructure import alarms
from scones_ml.limits import S3_PAGE_KEYS

__all__ = ["DESIGNS", "Design", "Line", "bulk", "compute", "one_by_one"]

_GB_KB = 1024 * 1024  # KB in a GB
_COURSE_MB = 128  # Lambda's default, which the course keeps
_COURSE_KB = 3  # a PNG of 32 x 32 pixels, and two numbers
_EXPRESS_GB = 64 / 1024  # billing unit of Express workflows


@dataclass(frozen=True)
class Line:
    """One line of a bill.

    Attributes:
        what: name of the item.
        formula: calculation of its price, in numbers.
        per_image: dollars for each image.
        per_month: dollars a month, independent of the number of images.
        idle: whether ``per_month`` is also due in a month without images.
    """

    what: str
    formula: str
    per_image: float = 0.0
    per_month: float = 0.0
    idle: bool = True

    def dollars(self, images: float) -> float:
        """Dollars for a month with a number of images."""
        return self.per_image * images + (self.per_month if self.idle or images else 0.0)


@dataclass(frozen=True)
class Design:
    """One design of the workflow.

    Attributes:
        description: a short description.
        lines: the bill, given workload and prices.
    """

    description: str
    lines: Callable[[Workload, PriceTable], Iterator[Line]]


Model = Literal["endpoint", "serverless endpoint", "function"]
WorkflowType = Literal["STANDARD", "EXPRESS"]


def one_by_one(
    model: Model, workflow_type: WorkflowType, machine: asl.StateMachine | None = None, *, watched: bool = True
) -> Design:
    """The design with one execution for each image.

    Args:
        model: where the model runs.
        workflow_type: type of the state machine.
        machine: the definition; ours by default.
        watched: whether the template's alarms are included.
    """
    kind = workflow_type.capitalize()
    machine = machine or workflows.image_classification()
    counts = count(machine)

    def lines(workload: Workload, prices: PriceTable) -> Iterator[Line]:
        uses = {name: use_of(workload, name) for name in counts.functions}
        if model == "function":
            uses["ClassifyImageData"] = workload.model_inside
        yield _each("S3 event", 1, prices.item("event"))
        yield from _workflow(workflow_type, counts.transitions, uses, workload, prices)
        yield from _functions(uses, workload, prices)
        yield _each("S3 GET", 1, prices.item("s3 get"))
        if counts.writes:
            yield _each("S3 PUT of the outcome", counts.writes, prices.item("s3 put"))
        if model == "endpoint":
            yield from _endpoint(workload, prices)
        if model == "serverless endpoint":
            yield from _serverless(workload, prices)
        if watched:
            yield from _monitoring(prices, endpoint=model != "function")

    return Design(f"{kind} workflow, {len(counts.functions)} functions, model in the {model}", lines)


def bulk(machine: asl.StateMachine | None = None) -> Design:
    """The design with a distributed map over a prefix, and one invocation for each batch.

    Args:
        machine: the definition; ours by default.
    """
    counts = count_batches(machine or workflows.batch_classification())
    share, of_batch = 1 / counts.size, f"/{counts.size}"

    def lines(workload: Workload, prices: PriceTable) -> Iterator[Line]:
        seconds = _billed_seconds(workload.batch_image.milliseconds * counts.size)
        rate = prices.item("express duration")
        formula = f"{seconds:g} s x 64 MB x ${_plain(rate)}{of_batch}"
        yield _each("listing of the images", 1 / S3_PAGE_KEYS, prices.item("s3 put"), f"/{S3_PAGE_KEYS}")
        yield _each("start of a batch, a transition", share, prices.item("transition"), of_batch)
        yield _each("Express request", share, prices.item("express request"), of_batch)
        yield Line("Express duration", formula, seconds * _EXPRESS_GB * rate * share)
        yield _each("Lambda request", share, prices.item("lambda request"), of_batch)
        yield compute("Lambda ClassifyBatch", workload.batch_image, workload, prices)
        yield _logs(share, workload, prices, of_batch)
        yield _each("S3 GET", 1, prices.item("s3 get"))
        if counts.asks:
            yield _each("S3 LIST: done before?", share, prices.item("s3 put"), of_batch)
        if counts.writes:
            yield _each("S3 PUT of the results", share, prices.item("s3 put"), of_batch)

    return Design(f"Distributed Map, batches of {counts.size}, model in the function", lines)


def _course(workflow_type: WorkflowType) -> Design:
    """The course project's design: three states, functions of 128 MB on x86_64, no alarms."""
    names = ("SerializeImageData", "ClassifyImageData", "FilterLowConfidence")
    states: dict[str, asl.State] = {
        name: asl.Task(
            resource="arn:aws:states:::lambda:invoke",
            parameters={"FunctionName": f"${{{name}FunctionArn}}", "Payload.$": "$"},
            next=after,
            end=None if after else True,
        )
        for name, after in zip(names, (*names[1:], None), strict=True)
    }
    machine = asl.StateMachine(start_at=names[0], states=states)
    inner = one_by_one("endpoint", workflow_type, machine, watched=False)

    def lines(workload: Workload, prices: PriceTable) -> Iterator[Line]:
        uses = {name: FunctionUse(use_of(workload, name).milliseconds, _COURSE_MB) for name in names}
        as_taught = dataclasses.replace(workload, functions=uses, architecture="x86_64", payload_kb=_COURSE_KB)
        yield from inner.lines(as_taught, prices)

    return Design(f"the course's three states: {workflow_type.capitalize()} workflow, model on an endpoint", lines)


def _transform(packed: bool) -> Callable[[Workload, PriceTable], Iterator[Line]]:
    def lines(workload: Workload, prices: PriceTable) -> Iterator[Line]:
        rate = prices.instance(workload.instance)
        files = 1 / workload.packed if packed else 1.0
        of_file = f"/{workload.packed}" if packed else ""
        yield Line(
            "instance time",
            f"{workload.transform_ms:g} ms x ${rate:g}/h",
            workload.transform_ms / 3_600_000 * rate,
        )
        yield Line(
            "start of jobs",
            f"{workload.jobs} x {workload.startup_seconds:g} s x ${rate:g}/h",
            per_month=workload.jobs * workload.startup_seconds / 3600 * rate,
            idle=False,
        )
        yield _each("S3 GET", files, prices.item("s3 get"), of_file)
        yield _each("S3 PUT of the results", files, prices.item("s3 put"), of_file)

    return lines


DESIGNS: Final[Mapping[str, Design]] = {
    "course": _course("STANDARD"),
    "course-express": _course("EXPRESS"),
    "endpoint": one_by_one("endpoint", "STANDARD"),
    "endpoint-express": one_by_one("endpoint", "EXPRESS"),
    "serverless": one_by_one("serverless endpoint", "STANDARD"),
    "serverless-express": one_by_one("serverless endpoint", "EXPRESS"),
    "lambda": one_by_one("function", "STANDARD"),
    "lambda-express": one_by_one("function", "EXPRESS"),
    "bulk": bulk(),
    "batch-transform": Design("SageMaker batch transform, one object for each image", _transform(packed=False)),
    "batch-transform-packed": Design("SageMaker batch transform, packed objects", _transform(packed=True)),
}
"""Every design by its name."""


def _workflow(
    kind: WorkflowType, transitions: int, uses: Mapping[str, FunctionUse], workload: Workload, prices: PriceTable
) -> Iterator[Line]:
    if kind == "STANDARD":
        yield _each("state transitions", transitions, prices.item("transition"))
        return
    seconds = _billed_seconds(sum(use.milliseconds for use in uses.values()) + workload.overhead_ms)
    rate = prices.item("express duration")
    yield _each("Express request", 1, prices.item("express request"))
    yield Line("Express duration", f"{seconds:g} s x 64 MB x ${_plain(rate)}", seconds * _EXPRESS_GB * rate)


def _functions(uses: Mapping[str, FunctionUse], workload: Workload, prices: PriceTable) -> Iterator[Line]:
    yield _each("Lambda requests", len(uses), prices.item("lambda request"))
    for name, use in uses.items():
        yield compute(f"Lambda {name}", use, workload, prices)
    yield _logs(len(uses), workload, prices)


def _logs(invocations: float, workload: Workload, prices: PriceTable, suffix: str = "") -> Line:
    rate = prices.item("log")
    shown = workload.log_kb * (1 if suffix else invocations)
    return Line("logs", f"{shown:g} KB x ${rate:g}/GB{suffix}", invocations * workload.log_kb / _GB_KB * rate)


def compute(what: str, use: FunctionUse, workload: Workload, prices: PriceTable) -> Line:
    """Cost of one invocation's GB-seconds."""
    rate = prices.item("lambda arm64" if workload.architecture == "arm64" else "lambda x86_64")
    formula = f"{use.milliseconds:g} ms x {use.memory_mb} MB x ${_plain(rate)}"
    return Line(what, formula, use.gb_seconds * rate)


def _endpoint(workload: Workload, prices: PriceTable) -> Iterator[Line]:
    rate = prices.instance(workload.instance)
    yield Line(
        "endpoint, always on",
        f"{workload.instances} x {workload.instance} x {HOURS_A_MONTH} h x ${rate:g}",
        per_month=workload.instances * HOURS_A_MONTH * rate,
    )
    yield _data(workload, prices)


def _serverless(workload: Workload, prices: PriceTable) -> Iterator[Line]:
    use = FunctionUse(workload.model_inside.milliseconds, workload.serverless_mb)
    rate = prices.item("serverless duration")
    yield Line(
        "serverless endpoint",
        f"{use.milliseconds:g} ms x {use.memory_mb} MB x ${_plain(rate)}",
        use.gb_seconds * rate,
    )
    yield _data(workload, prices)


def _data(workload: Workload, prices: PriceTable) -> Line:
    rate = prices.item("endpoint data")
    return Line("endpoint data", f"{workload.payload_kb:g} KB x ${rate:g}/GB", workload.payload_kb / _GB_KB * rate)


def _monitoring(prices: PriceTable, *, endpoint: bool) -> Iterator[Line]:
    """Alarms and metrics of the template; the endpoint's alarms only with an endpoint."""
    watched = alarms.metrics(endpoint=endpoint)
    rate = prices.item("alarm")
    yield Line("alarms", f"{watched} x ${rate:g}", per_month=watched * rate)
    rate = prices.item("metric")
    yield Line(
        "custom metrics", f"{alarms.CUSTOM_METRICS} x ${rate:g}", per_month=alarms.CUSTOM_METRICS * rate, idle=False
    )


def _each(what: str, number: float, rate: float, suffix: str = "") -> Line:
    shown = "1" if suffix else f"{number:g}"
    return Line(what, f"{shown} x ${_plain(rate)}{suffix}", number * rate)


def _billed_seconds(milliseconds: float) -> float:
    """Express workflows are billed in steps of 100 ms."""
    return ceil(round(milliseconds / 100, 6)) / 10


def _plain(rate: float) -> str:
    """A rate without an exponent: ``0.00001667``."""
    return f"{rate:.12f}".rstrip("0").rstrip(".")
