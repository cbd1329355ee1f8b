"""ResultWriter: the results of a distributed Map, written to S3 or passed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scones_ml.asl.failures import StateFailed
from scones_ml.asl.parts import ResultWriter, WriterConfig
from scones_ml.asl.resources import call_service
from scones_ml.asl.step import Step
from scones_ml.asl.timestamps import format_timestamp
from scones_ml.asl.values import UNSET, Json, size, text

__all__ = ["Child", "collect", "write_results"]

_FAILED: Final = "States.ResultWriterFailed"


@dataclass(frozen=True, slots=True)
class Child:
    """The ended execution of one item."""

    arn: str
    name: str
    input: str
    status: str
    output: Json
    error: str | None
    cause: str | None
    started: float
    stopped: float

    def to_json(self, machine: Json) -> dict[str, Json]:
        """The execution in the form of AWS's result files."""
        document: dict[str, Json] = {
            "ExecutionArn": self.arn,
            "Input": self.input,
            "InputDetails": {"Included": True},
            "Name": self.name,
            "RedriveCount": 0,
            "RedriveStatus": "NOT_REDRIVABLE" if self.status == "SUCCEEDED" else "REDRIVABLE",
            "StartDate": format_timestamp(self.started),
            "StateMachineArn": machine,
            "Status": self.status,
            "StopDate": format_timestamp(self.stopped),
        }
        if self.status == "SUCCEEDED":
            document["Output"] = text(self.output)
            document["OutputDetails"] = {"Included": True}
            document["RedriveStatusReason"] = "Execution is SUCCEEDED and cannot be redriven"
        else:
            document["Error"] = self.error
            document["Cause"] = self.cause
        return document


def collect(writer: ResultWriter | None, children: Sequence[Child | None]) -> Json:
    """The result of a Map without a destination in S3: the outputs, transformed by WriterConfig."""
    ended = [child for child in children if child is not None]
    config = WriterConfig(transformation="COMPACT") if writer is None else writer.writer_config
    return _transformed(config or WriterConfig(), ended, None)


def _transformed(config: WriterConfig, children: Sequence[Child], machine: Json) -> list[Json]:
    if config.transformation in (None, "NONE"):
        return [child.to_json(machine) for child in children]
    outputs = [child.output for child in children if child.status == "SUCCEEDED"]
    if config.transformation == "FLATTEN":
        return [item for output in outputs for item in (output if isinstance(output, list | tuple) else [output])]
    return outputs


def write_results(writer: ResultWriter | None, step: Step, children: Sequence[Child | None], map_run: str) -> Json:
    """Write the result files and the manifest, and return their location; None without a destination.

    Raises:
        StateFailed: a file could not be written (States.ResultWriterFailed).
    """
    if writer is None or writer.resource is None:
        return None
    template = writer.arguments if writer.arguments is not UNSET else writer.parameters
    request = step.flow.template({} if template is UNSET else template, "Parameters", step.scope.on(step.input))
    parameters = request if isinstance(request, dict) else {}
    prefix = "/".join(part for part in (str(parameters.get("Prefix") or ""), map_run.rpartition(":")[2]) if part)
    config, machine = writer.writer_config or WriterConfig(), step.frame.shared.machine["Id"]
    suffix = "jsonl" if config.output_type == "JSONL" else "json"
    ended = [child for child in children if child is not None]
    files: dict[str, Json] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status in ("FAILED", "SUCCEEDED"):
        chosen = [child for child in ended if child.status == status]
        if not chosen:
            continue
        records = _transformed(config if status == "SUCCEEDED" else WriterConfig(), chosen, machine)
        body = "\n".join(map(text, records)) if suffix == "jsonl" else text(records)
        key = f"{prefix}/{status}_0.{suffix}"
        _put(step, writer.resource, parameters, key, body)
        files[status] = [{"Key": key, "Size": size(body)}]
    manifest = {"DestinationBucket": parameters.get("Bucket"), "MapRunArn": map_run, "ResultFiles": files}
    _put(step, writer.resource, parameters, f"{prefix}/manifest.json", text(manifest))
    details = {"Bucket": parameters.get("Bucket"), "Key": f"{prefix}/manifest.json"}
    return {"MapRunArn": map_run, "ResultWriterDetails": details}


def _put(step: Step, resource: str, parameters: dict[str, Json], key: str, body: str) -> None:
    request = {name: value for name, value in parameters.items() if name != "Prefix"}
    try:
        call_service(step.frame.shared.resources, resource, {**request, "Key": key, "Body": body})
    except StateFailed as failure:
        raise StateFailed(_FAILED, failure.cause) from failure
