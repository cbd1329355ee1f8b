"""AWS clients, made by botocore itself: importing boto3 on top of it costs a function 15 ms of every cold start.

A program that has imported boto3 gets boto3's clients, so that the default session it may have set up counts.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from scones_ml.aws.errors import translated
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.session import Session

__all__ = ["client", "region"]


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


def region() -> str:
    """The region that clients are made for.

    Raises:
        ConfigurationError: none is set, or a profile that is not there.
    """
    boto3 = sys.modules.get("boto3")
    with translated("region"):
        if boto3 is not None:
            found = (boto3.DEFAULT_SESSION or boto3.Session()).region_name
        else:
            found = _session().get_config_variable("region")
    if not found:
        raise ConfigurationError("no AWS region is set: set AWS_DEFAULT_REGION, or `aws configure set region REGION`")
    return str(found)


@lru_cache(maxsize=1)
def _session() -> Session:
    import botocore.session

    return botocore.session.get_session()
