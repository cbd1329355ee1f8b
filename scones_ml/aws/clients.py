"""AWS clients: one session for all of them, and one configuration for each kind of call.

They use botocore: importing boto3 as well adds 15 ms to every cold start of a function. Credentials, profile, region
and ``AWS_ENDPOINT_URL_*`` come from the environment and AWS's configuration files, as in boto3. A default session that
a program has set up in boto3 is ignored; programs that need other credentials pass their own clients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from scones_ml.aws.errors import translated
from scones_ml.errors import ConfigurationError, MissingExtraError, SconesError

try:
    from botocore.config import Config
except ModuleNotFoundError as exc:
    raise MissingExtraError("boto3", "aws") from exc

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.session import Session

__all__ = ["BULK", "CONTROL_PLANE", "DATA_PLANE", "INFERENCE", "caller", "client", "region", "session"]

CONTROL_PLANE: Final = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 5, "mode": "standard"})
"""Calls on one resource at a time, from a command. 60 seconds is botocore's default: some of these calls are slow."""

BULK: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 8, "mode": "standard"})
"""Thousands of executions, from a command. Throttling is expected: eight attempts bridge half a minute of it."""

DATA_PLANE: Final = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
"""Objects and execution of one image, from a function or a command. Calls time out before the function does, so that
the error is reported and the workflow or the queue tries again."""

INFERENCE: Final = Config(connect_timeout=3, read_timeout=55, retries={"total_max_attempts": 1, "mode": "standard"})
"""Requests to an endpoint, whose container has 60 seconds to answer (InvokeEndpoint's reference). Only the workflow
retries, so that one invocation of a function never sends an image twice to a slow endpoint."""

_IDENTITY: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1, "mode": "standard"})
"""Optional details for an error message: no retries, short timeouts."""


def client(service: str, config: Config, url: str | None = None) -> BaseClient:
    """A client with credentials, region and ``AWS_ENDPOINT_URL_*`` from the environment.

    Args:
        service: ``"s3"``.
        config: timeouts and retries: one of this module's constants.
        url: URL of the service; None for the environment's, or else AWS.

    Raises:
        ConfigurationError: there is no region, or the profile does not exist.
    """
    with translated(service):
        return session().create_client(service, config=config, endpoint_url=url)


def region() -> str:
    """The clients' region.

    Raises:
        ConfigurationError: no region is set, or the profile does not exist.
    """
    with translated("region"):
        found = session().get_config_variable("region")
    if not found:
        raise ConfigurationError("no AWS region is set: set AWS_DEFAULT_REGION, or `aws configure set region REGION`")
    return str(found)


def caller() -> str:
    """ARN of the caller's identity; "the caller" when it cannot be found quickly."""
    try:
        with translated("caller"):
            # botocore adds a client's operations at run time.
            return str(client("sts", _IDENTITY).get_caller_identity()["Arn"])  # type: ignore[attr-defined]
    except SconesError:
        return "the caller"


@lru_cache(maxsize=1)
def session() -> Session:
    """The session of this process, which reads service models and credentials once for all clients."""
    import botocore.session

    return botocore.session.get_session()
