"""Log groups of endpoints: tagged as ours, and deleted.

SageMaker creates one for each endpoint name and never removes it. While our endpoint exists, its log group is tagged,
which later proves that it is ours. An earlier endpoint of that name, perhaps someone else's, used the same group: a
group that is older than our endpoint is not tagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.resources import Resources

__all__ = ["delete_logs", "find_logs", "is_of", "tag_logs", "tags_of_logs"]


def tag_logs(aws: Resources, endpoint: str, found: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Tag the log group of our endpoint; does nothing when there is none, or it is older than the endpoint.

    Args:
        aws: makes the calls.
        endpoint: name of the endpoint, which was checked to be ours.
        found: description of the endpoint.
        tags: tags of all our resources.
    """
    group = log_group(endpoint)
    logs = find_logs(aws, group)
    if logs is not None and is_of(logs, found):
        aws.call("logs", "TagResource", {"resourceArn": _arn(logs), "tags": dict(tags)}, f"log group {group}")


def is_of(logs: Mapping[str, Any], endpoint: Mapping[str, Any]) -> bool:
    """Whether a log group is no older than the endpoint of its name, by AWS's timestamps.

    Args:
        logs: description of the log group.
        endpoint: description of the endpoint.
    """
    return bool(logs["creationTime"] >= 1000 * endpoint["CreationTime"].timestamp())


def find_logs(aws: Resources, group: str) -> Mapping[str, Any] | None:
    """Describe a log group; None when it does not exist."""
    answer = aws.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": group}, f"log group {group}")
    found: list[Mapping[str, Any]] = answer["logGroups"]  # sorted by name: the group itself comes first
    return next((one for one in found if one["logGroupName"] == group), None)


def tags_of_logs(aws: Resources, group: str, found: Mapping[str, Any]) -> Mapping[str, str]:
    """The tags of a log group.

    Args:
        aws: makes the calls.
        group: name of the log group.
        found: description of the log group.
    """
    answer = aws.call("logs", "ListTagsForResource", {"resourceArn": _arn(found)}, f"log group {group}")
    return dict(answer.get("tags", {}))


def delete_logs(aws: Resources, group: str) -> None:
    """Delete a log group."""
    aws.call("logs", "DeleteLogGroup", {"logGroupName": group}, f"log group {group}")


def _arn(found: Mapping[str, Any]) -> str:
    """ARN for tagging: without the ``:*`` that DescribeLogGroups appends."""
    return str(found["arn"]).removesuffix(":*")
