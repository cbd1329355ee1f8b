"""Executions on Step Functions: started and looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import ClientError

from scones_ml.aws.clients import client
from scones_ml.aws.errors import translated

if TYPE_CHECKING:
    from scones_ml.events import ImageRef

__all__ = ["EndedExecution", "StateMachineExecutions"]


class _Client(Protocol):
    """What we need of a Step Functions client."""

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> object:  # noqa: A002, N803
        """Start an execution, or raise ClientError."""
        ...

    def describe_execution(self, *, executionArn: str) -> Mapping[str, Any]:  # noqa: N803
        """How an execution stands, or raise ClientError."""
        ...


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """An execution that has come to its end.

    Attributes:
        output: what it put out; None when it did not succeed.
        error: what it failed by, or how it ended otherwise: ``"TIMED_OUT"``; None when it succeeded.
        cause: of the error, as Step Functions has it.
        started: seconds since the epoch.
        seconds: how long it took.
    """

    output: object
    error: str | None
    cause: str | None
    started: float
    seconds: float


class StateMachineExecutions:
    """The executions of one state machine.

    Args:
        arn: of the state machine.
        client: a Step Functions client; None makes one from the environment.
        attempts: how often a call is tried, with a growing pause, when it is throttled; for the client from the
            environment.
    """

    def __init__(self, arn: str, client: _Client | None = None, attempts: int = 3) -> None:
        self._arn = arn
        self._client = client or _default_client(attempts)

    def start(self, image: ImageRef, name: str | None = None) -> str:
        """Start the execution of one object version; it is named by it, so that a duplicate event is harmless.

        Args:
            image: the object version.
            name: of the execution; None for the image's id.

        Returns:
            The execution's ARN: of the one that is there already, where there is one of the name.

        Raises:
            TransientServiceError: throttled, or too many executions are open.
            ConfigurationError: no such state machine, or no permission.
        """
        name = name or image.image_id
        with translated(self._arn):
            try:
                self._client.start_execution(
                    stateMachineArn=self._arn, name=name, input=image.model_dump_json(exclude_none=True)
                )
            except ClientError as exc:
                if exc.response.get("Error", {}).get("Code") != "ExecutionAlreadyExists":
                    raise
        *place, _, machine = self._arn.split(":")[:7]
        return ":".join([*place, "execution", machine, name])

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
            started=found["startDate"].timestamp(),
            seconds=(found["stopDate"] - found["startDate"]).total_seconds(),
        )


def _default_client(attempts: int) -> _Client:
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": attempts, "mode": "standard"})
    return cast("_Client", client("stepfunctions", config))
