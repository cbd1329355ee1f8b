"""What a stack leaves when it goes: buckets and log groups, found by the tag that our template gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scones_ml.aws.resources import Resources

__all__ = ["Tagged", "tagged_buckets_and_logs"]

_KINDS = {"s3": "bucket", "logs": "log group"}


@dataclass(frozen=True, slots=True)
class Tagged:
    """Something that bears the tag ``scones:project``, whatever its value.

    Attributes:
        kind: ``"bucket"`` or ``"log group"``.
        name: its name.
        tags: all of them; AWS may know of tags for some hours when the thing itself is gone.
    """

    kind: str
    name: str
    tags: Mapping[str, str]


def tagged_buckets_and_logs(aws: Resources) -> Iterator[Tagged]:
    """All buckets and log groups of the region that bear our tag.

    Args:
        aws: makes the calls.

    Raises:
        ConfigurationError: no permission or no credentials.
        TransientServiceError: throttled or out of reach.
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
