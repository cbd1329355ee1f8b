"""AWS clients: one session that makes them all, and one configuration for each kind of call.

botocore makes them: importing boto3 on top of it costs a function 15 ms of every cold start. Credentials, profile,
region and ``AWS_ENDPOINT_URL_*`` come from the environment and from AWS's own files, found as boto3 finds them. A
default session that a program has set up in boto3 is ignored, so that nothing depends on what else was imported;
programs that need other credentials pass clients of their own.
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
"""Calls on one resource at a time, from a command. 60 seconds are botocore's default: some of these calls are slow, and
only a person waits."""

BULK: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 8, "mode": "standard"})
"""Executions by the thousand, from a command. Throttling is expected: eight attempts wait out half a minute of it."""

DATA_PLANE: Final = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
"""The objects and the execution of one image, from a function as from a command. It gives up while the function still
has time to say so, since the workflow or the queue behind it tries again."""

INFERENCE: Final = Config(connect_timeout=3, read_timeout=55, retries={"total_max_attempts": 1, "mode": "standard"})
"""Requests to an endpoint, whose container has 60 seconds to answer (InvokeEndpoint's reference). The workflow retries,
so that one invocation of a function never sends an image twice to an endpoint that is slow."""

_IDENTITY: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1, "mode": "standard"})
"""A detail for an error message, which is not worth waiting for."""


def client(service: str, config: Config, url: str | None = None) -> BaseClient:
    """A client with credentials, region and ``AWS_ENDPOINT_URL_*`` from the environment.

    Args:
        service: ``"s3"``.
        config: time-outs, retries and the like: one of this module's.
        url: where the service is; None means what the environment says, else AWS.

    Raises:
        ConfigurationError: no region, or a profile that is not there.
    """
    with translated(service):
        return session().create_client(service, config=config, endpoint_url=url)


def region() -> str:
    """The region that clients are made for.

    Raises:
        ConfigurationError: none is set, or a profile that is not there.
    """
    with translated("region"):
        found = session().get_config_variable("region")
    if not found:
        raise ConfigurationError("no AWS region is set: set AWS_DEFAULT_REGION, or `aws configure set region REGION`")
    return str(found)


def caller() -> str:
    """ARN of whose credentials are used; "the caller" where that cannot be had quickly."""
    try:
        with translated("caller"):
            # botocore adds a client's operations at run time.
            return str(client("sts", _IDENTITY).get_caller_identity()["Arn"])  # type: ignore[attr-defined]
    except SconesError:
        return "the caller"


@lru_cache(maxsize=1)
def session() -> Session:
    """The session of this process; it reads AWS's service models and finds the credentials once, for all clients."""
    import botocore.session

    return botocore.session.get_session()
