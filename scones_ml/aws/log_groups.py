"""Log groups: told to be ours, and deleted.

SageMaker makes one for each endpoint's name, and never removes it. While our endpoint is there its log group is given
our tag, which proves afterwards whose it was. An earlier endpoint of that name, perhaps somebody else's, wrote into the
same group: a group that is older than our endpoint is given none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scones_ml.aws.endpoint_logs import log_group
from scones_ml.aws.resources import Resources

__all__ = ["delete_logs", "find_logs", "is_of", "tag_logs", "tags_of_logs"]


def tag_logs(aws: Resources, endpoint: str, found: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Give our tag to the log group of an endpoint of ours; nothing happens when there is none, or it is older.

    Args:
        aws: makes the calls.
        endpoint: its name; AWS has said that it is ours.
        found: its description.
        tags: what everything of ours bears.
    """
    group = log_group(endpoint)
    logs = find_logs(aws, group)
    if logs is not None and is_of(logs, found):
        aws.call("logs", "TagResource", {"resourceArn": _arn(logs), "tags": dict(tags)}, f"log group {group}")


def is_of(logs: Mapping[str, Any], endpoint: Mapping[str, Any]) -> bool:
    """Whether a log group is no older than the endpoint of its name, by AWS's own clock.

    Args:
        logs: description of the log group.
        endpoint: description of the endpoint.
    """
    return bool(logs["creationTime"] >= 1000 * endpoint["CreationTime"].timestamp())


def find_logs(aws: Resources, group: str) -> Mapping[str, Any] | None:
    """Describe a log group; None when there is none of that name."""
    answer = aws.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": group}, f"log group {group}")
    found: list[Mapping[str, Any]] = answer["logGroups"]  # in the order of their names: the group itself comes first
    return next((one for one in found if one["logGroupName"] == group), None)


def tags_of_logs(aws: Resources, group: str, found: Mapping[str, Any]) -> Mapping[str, str]:
    """The tags of a log group.

    Args:
        aws: makes the calls.
        group: its name.
        found: its description.
    """
    answer = aws.call("logs", "ListTagsForResource", {"resourceArn": _arn(found)}, f"log group {group}")
    return dict(answer.get("tags", {}))


def delete_logs(aws: Resources, group: str) -> None:
    """Delete a log group."""
    aws.call("logs", "DeleteLogGroup", {"logGroupName": group}, f"log group {group}")


def _arn(found: Mapping[str, Any]) -> str:
    """As tagging takes it: DescribeLogGroups has ``:*`` at its end."""
    return str(found["arn"]).removesuffix(":*")
