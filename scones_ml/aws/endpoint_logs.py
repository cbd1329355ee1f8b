"""Logs of an endpoint's container."""

from __future__ import annotations

from typing import Final

from scones_ml.aws.resources import Resources
from scones_ml.errors import SconesError

__all__ = ["last_lines", "log_group"]

_LAST_LINES: Final = 5  # they are joined into one error line


def log_group(endpoint: str) -> str:
    """The name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def last_lines(aws: Resources, endpoint: str) -> str:
    """The end of an error message: the container's last log lines, or the log group's name when they cannot be read.

    Args:
        aws: makes the calls.
        endpoint: name of the endpoint.
    """
    group = log_group(endpoint)
    try:
        request: dict[str, object] = {"orderBy": "LastEventTime", "descending": True, "limit": 1}
        request["logGroupName"] = group
        streams = aws.call("logs", "DescribeLogStreams", request, group)["logStreams"]
        request = {"logGroupName": group, "logStreamName": streams[0]["logStreamName"], "limit": _LAST_LINES}
        events = aws.call("logs", "GetLogEvents", request, group)["events"]  # newest: startFromHead is off by default
    except (SconesError, IndexError):
        return f"; its log is {group}"
    lines = [" ".join(event["message"].split()) for event in events]
    return "; its last lines: " + " | ".join(filter(None, lines))
