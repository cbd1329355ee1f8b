"""Executions on Step Functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from botocore.exceptions import ClientError

from scones_ml.aws.clients import client
from scones_ml.aws.errors import translated

if TYPE_CHECKING:
    from scones_ml.events import ImageRef

__all__ = ["StateMachineExecutions"]


class _Client(Protocol):
    """What we need of a Step Functions client."""

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> object:  # noqa: A002, N803
        """Start an execution, or raise ClientError."""
        ...


class StateMachineExecutions:
    """Starts executions of one state machine.

    Args:
        arn: of the state machine.
        client: a Step Functions client; None makes one from the environment.
    """

    def __init__(self, arn: str, client: _Client | None = None) -> None:
        self._arn = arn
        self._client = client or _default_client()

    def start(self, image: ImageRef) -> None:
        """Start the execution of one object version; it is named by it, so that a duplicate event is harmless.

        Raises:
            TransientServiceError: throttled, or too many executions are open.
            ConfigurationError: no such state machine, or no permission.
        """
        with translated(self._arn):
            try:
                self._client.start_execution(
                    stateMachineArn=self._arn, name=image.image_id, input=image.model_dump_json(exclude_none=True)
                )
            except ClientError as exc:
                if exc.response.get("Error", {}).get("Code") != "ExecutionAlreadyExists":
                    raise


def _default_client() -> _Client:
    from botocore.config import Config

    # An SQS batch comes back later anyway: a few tries are enough when StartExecution is throttled.
    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
    return cast("_Client", client("stepfunctions", config))
