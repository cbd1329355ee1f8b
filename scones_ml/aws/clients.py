"""AWS clients, made by botocore itself: importing boto3 on top of it costs a function 15 ms of every cold start.

A program that has imported boto3 gets boto3's clients, so that the default session it may have set up counts.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, cast

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
    boto3 = sys.modules.get("boto3")
    with translated(service):
        if boto3 is not None:
            return cast("BaseClient", boto3.client(service, config=config, endpoint_url=url))
        return _session().create_client(service, config=config, endpoint_url=url)


@lru_cache(maxsize=1)
def _session() -> Session:
    import botocore.session

    return botocore.session.get_session()
