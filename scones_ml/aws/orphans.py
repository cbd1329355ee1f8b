"""Buckets and log groups that a deleted stack leaves, found by our template's tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scones_ml.aws.resources import Resources

__all__ = ["Tagged", "tagged_buckets_and_logs"]

_KINDS = {"s3": "bucket", "logs": "log group"}


@dataclass(frozen=True, slots=True)
class Tagged:
    """A resource with the tag ``scones:project``, of any value.

    Attributes:
        kind: ``"bucket"`` or ``"log group"``.
        name: its name.
        tags: all its tags; AWS may report tags for some hours after a resource is gone.
    """

    kind: str
    name: str
    tags: Mapping[str, str]


def tagged_buckets_and_logs(aws: Resources) -> Iterator[Tagged]:
    """All buckets and log groups in the region with our tag.

    Args:
        aws: makes the calls.

    Raises:
        ConfigurationError: permission or credentials are missing.
        TransientServiceError: throttled or unreachable.
    """
    request: dict[str, object] = {
        "TagFilters": [{"Key": "scones:project"}],
        "ResourceTypeFilters": sorted(_KINDS),
    }
    while True:
        answer = aws.call("resourcegroupstaggingapi", "GetResources", request, "buckets and log groups by their tag")
        for one in answer["ResourceTagMappingList"]:
            _, _, service, _, _, *names = str(one["ResourceARN"]).removesuffix(":*").split(":")
            if service == "s3" or names[0] == "log-group":
                yield Tagged(_KINDS[service], names[-1], {tag["Key"]: tag["Value"] for tag in one["Tags"]})
        if not answer.get("PaginationToken"):
            return
        request["PaginationToken"] = answer["PaginationToken"]
