"""Executions on Step Functions: started, looked at, and fetched when they failed."""

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
    """What we need of a Step Functions client."""

    def start_execution(self, **request: str) -> Mapping[str, Any]:
        """Start an execution, or raise ClientError."""
        ...

    def describe_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """How an execution stands, or raise ClientError."""
        ...

    def describe_state_machine(self, *, stateMachineArn: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's spelling
        """What a state machine is, or raise ClientError."""
        ...

    def describe_state_machine_for_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803
        """What a state machine was when an execution started, or raise ClientError."""
        ...

    def get_execution_history(self, **request: Any) -> Mapping[str, Any]:
        """A page of an execution's history, or raise ClientError."""
        ...


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """An execution that has come to its end.

    Attributes:
        output: what it put out; None when it did not succeed.
        error: what it failed by, or how it ended otherwise: ``"TIMED_OUT"``; None when it succeeded.
        cause: of the error, as Step Functions has it.
        seconds: how long it took.
    """

    output: object
    error: str | None
    cause: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchedExecution:
    """An execution as it can be run again elsewhere.

    Attributes:
        definition: of the state machine as it was when the execution started, as JSON.
        history: its events, as GetExecutionHistory names them.
    """

    definition: str
    history: Mapping[str, object]


class StateMachineExecutions:
    """The executions of one state machine.

    Args:
        arn: of the state machine.
        client: a Step Functions client; None makes one from the environment.
        config: of the client from the environment; a command that starts many executions gives
            :data:`scones_ml.aws.clients.BULK`.
    """

    def __init__(self, arn: str, client: _Client | None = None, config: Config = clients.DATA_PLANE) -> None:
        self._arn = arn
        self._client = client or _default_client(config)

    def start(self, image: ImageRef, name: str | None) -> str:
        """Start the execution of one object version, once for each name.

        Args:
            image: the object version.
            name: of the execution; None for a new one.

        Returns:
            The execution's ARN: of the one that is there already, where there is one of the name.

        Raises:
            TransientServiceError: throttled, or too many executions are open.
            ConfigurationError: no such state machine, or no permission.
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
        """Refuse a machine whose executions nobody can look at.

        Raises:
            ConfigurationError: an EXPRESS machine, no such machine, or no permission.
        """
        with translated(self._arn):
            found = self._client.describe_state_machine(stateMachineArn=self._arn)
        if found["type"] == "EXPRESS":
            raise ConfigurationError(f"{self._arn} is EXPRESS: {_EXPRESS}")

    def ended(self, execution_arn: str) -> EndedExecution | None:
        """How an execution ended; None while it runs.

        Raises:
            TransientServiceError: throttled.
            ConfigurationError: no such execution, or no permission.
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
        arn: of the execution.
        client: a Step Functions client; None makes one from the environment.

    Raises:
        TransientServiceError: throttled.
        ConfigurationError: no such execution, one of an EXPRESS machine, or no permission.
    """
    if ":express:" in arn:
        raise ConfigurationError(f"{arn} is of an EXPRESS machine: {_EXPRESS}")
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
