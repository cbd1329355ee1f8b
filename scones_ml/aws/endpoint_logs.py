"""What an endpoint's container has said: SageMaker makes a log group for each endpoint's name, and never removes it.

An earlier endpoint of that name, perhaps somebody else's, wrote into the same group. So of an older group only those
streams go that are no older than our endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from scones_ml.aws.resources import Resources
from scones_ml.errors import SconesError

__all__ = ["delete_logs", "has_logs", "last_lines", "log_group"]

_LAST_LINES: Final = 5  # they are joined into one error line
_CLOCKS_DIFFER: Final = timedelta(minutes=10)  # `since` can be this machine's clock, creation times are AWS's


def log_group(endpoint: str) -> str:
    """Name of an endpoint's log group."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def last_lines(aws: Resources, endpoint: str) -> str:
    """The end of a message: what an endpoint's container logged last, or where its log is when that cannot be had.

    Args:
        aws: makes the calls.
        endpoint: its name.
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


def has_logs(aws: Resources, group: str, since: datetime) -> bool:
    """Whether a log group holds anything from then on, or is from then on itself.

    Args:
        aws: makes the calls.
        group: its name.
        since: when the endpoint was made, with its time zone.
    """
    found = _find(aws, group)
    return found is not None and (_is_ours(found, since) or next(_streams(aws, group, since), None) is not None)


def delete_logs(aws: Resources, group: str, since: datetime) -> None:
    """Delete what :func:`has_logs` finds; nothing happens when there is no such group.

    Args:
        aws: makes the calls.
        group: its name.
        since: when the endpoint was made, with its time zone.
    """
    found = _find(aws, group)
    if found is None:
        return
    if _is_ours(found, since):
        aws.call("logs", "DeleteLogGroup", {"logGroupName": group}, f"log group {group}")
        return
    for stream in list(_streams(aws, group, since)):
        aws.call("logs", "DeleteLogStream", {"logGroupName": group, "logStreamName": stream}, f"log group {group}")


def _find(aws: Resources, group: str) -> Mapping[str, Any] | None:
    answer = aws.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": group}, f"log group {group}")
    found: list[Mapping[str, Any]] = answer["logGroups"]
    return next((one for one in found if one["logGroupName"] == group), None)


def _streams(aws: Resources, group: str, since: datetime) -> Iterator[str]:
    request: dict[str, object] = {"logGroupName": group}
    while True:
        answer = aws.call("logs", "DescribeLogStreams", request, f"log group {group}")
        yield from (one["logStreamName"] for one in answer["logStreams"] if _is_ours(one, since))
        if not answer.get("nextToken"):
            return
        request["nextToken"] = answer["nextToken"]


def _is_ours(found: Mapping[str, Any], since: datetime) -> bool:
    return bool(found["creationTime"] >= 1000 * (since - _CLOCKS_DIFFER).timestamp())
