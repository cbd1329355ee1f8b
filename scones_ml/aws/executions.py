"""Executions on Step Functions: start, poll and fetch them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from scones_ml.aws import clients
from scones_ml.aws.errors import translated
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.config import Config

    from scones_ml.events import ImageRef

__all__ = ["EndedExecution", "FetchedExecution", "StateMachineExecutions", "fetch_execution"]


class _Client(Protocol):
    """The part of a Step Functions client that is used here."""

    def start_execution(self, **request: str) -> Mapping[str, Any]:
        """Start an execution, or raise ClientError."""
        ...

    def describe_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe an execution, or raise ClientError."""
        ...

    def describe_state_machine(self, *, stateMachineArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """Describe a state machine, or raise ClientError."""
        ...

    def describe_state_machine_for_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803
        """Describe a state machine as of an execution's start, or raise ClientError."""
        ...

    def get_execution_history(self, **request: Any) -> Mapping[str, Any]:
        """Get a page of an execution's history, or raise ClientError."""
        ...


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """An execution that has ended.

    Attributes:
        output: its output; None when it did not succeed.
        error: its error, or its status when it ended otherwise: ``"TIMED_OUT"``; None when it succeeded.
        cause: cause of the error, from Step Functions.
        seconds: its duration.
    """

    output: object
    error: str | None
    cause: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchedExecution:
    """Definition and history of an execution, with which it can be continued elsewhere.

    Attributes:
        definition: the state machine's definition as of the execution's start, as JSON.
        history: its events, in GetExecutionHistory's format.
    """

    definition: str
    history: Mapping[str, object]


class StateMachineExecutions:
    """The executions of one state machine.

    Args:
        arn: ARN of the state machine.
        client: a Step Functions client; None creates one from the environment.
        config: configuration of a created client; commands that start many executions pass
            :data:`scones_ml.aws.clients.BULK`.
    """

    def __init__(self, arn: str, client: _Client | None = None, config: Config = clients.DATA_PLANE) -> None:
        self._arn = arn
        self._client = client or _default_client(config)

    def start(self, image: ImageRef, name: str | None) -> str:
        """Start the execution of one object version, once for each name.

        Args:
            image: the object version.
            name: name of the execution; None for a new one.

        Returns:
            The execution's ARN; that of the existing execution if the name is taken.

        Raises:
            TransientServiceError: throttled, or too many executions are open.
            ConfigurationError: the state machine does not exist, or permission is missing.
        """
        request = {"stateMachineArn": self._arn, "input": image.model_dump_json(exclude_none=True)}
        try:
            with translated(self._arn):
                started = self._client.start_execution(**request, **({"name": name} if name else {}))
                return str(started["executionArn"])
        except ConfigurationError as exc:
            if exc.code != "ExecutionAlreadyExists":
                raise
        *place, _, machine = self._arn.split(":")[:7]  # no version or alias; AWS returns no ARN for a duplicate
        return ":".join([*place, "execution", machine, str(name)])

    def check(self) -> None:
        """Refuse a state machine whose executions cannot be described.

        Raises:
            ConfigurationError: the state machine is EXPRESS or does not exist, or permission is missing.
        """
        with translated(self._arn):
            found = self._client.describe_state_machine(stateMachineArn=self._arn)
        if found["type"] == "EXPRESS":
            raise ConfigurationError(f"{self._arn} is EXPRESS: {_EXPRESS}")

    def ended(self, execution_arn: str) -> EndedExecution | None:
        """The end of an execution; None while it runs.

        Raises:
            TransientServiceError: throttled.
            ConfigurationError: the execution does not exist, or permission is missing.
        """
        with translated(execution_arn):
            found = self._client.describe_execution(executionArn=execution_arn)
        if found["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return None
        succeeded = found["status"] == "SUCCEEDED"
        return EndedExecution(
            output=json.loads(found["output"]) if succeeded else None,
            error=None if succeeded else found.get("error") or found["status"],
            cause=found.get("cause"),
            seconds=(found["stopDate"] - found["startDate"]).total_seconds(),
        )


def fetch_execution(arn: str, client: _Client | None = None) -> FetchedExecution:
    """Fetch definition and history of an execution.

    Args:
        arn: ARN of the execution.
        client: a Step Functions client; None creates one from the environment.

    Raises:
        TransientServiceError: throttled.
        ConfigurationError: the execution does not exist or is of an EXPRESS state machine, or permission is missing.
    """
    if ":express:" in arn:
        raise ConfigurationError(f"{arn} is of an EXPRESS state machine: {_EXPRESS}")
    client = client or _default_client(clients.BULK)
    events: list[object] = []
    page: dict[str, object] = {"executionArn": arn, "maxResults": 1000, "includeExecutionData": True}
    with translated(arn):
        definition = client.describe_state_machine_for_execution(executionArn=arn)["definition"]
        while True:
            found = client.get_execution_history(**page)
            events += found["events"]
            if not found.get("nextToken"):
                return FetchedExecution(definition, {"events": events})
            page["nextToken"] = found["nextToken"]


_EXPRESS = "Step Functions keeps no history of its executions; outcomes are in the output bucket, failures in its log"


def _default_client(config: Config) -> _Client:
    return cast("_Client", clients.client("stepfunctions", config))
