"""AWS clients, made by botocore itself: boto3 on top of it would cost a function 15 ms of every cold start."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from scones_ml.aws.errors import translated

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.session import Session

__all__ = ["client"]


def client(service: str, config: Config, url: str | None = None) -> BaseClient:
    """A client with credentials, region and ``AWS_ENDPOINT_URL_*`` from the environment.

    Args:
        service: ``"s3"``.
        config: time-outs, retries and the like.
        url: where the service is; None means what the environment says, else AWS.

    Raises:
        ConfigurationError: no region, or a profile that is not there.
    """
    with translated(service):
        return _session().create_client(service, config=config, endpoint_url=url)


@lru_cache(maxsize=1)
def _session() -> Session:
    import botocore.session

    return botocore.session.get_session()
