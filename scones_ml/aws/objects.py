"""Objects in S3 as plans have them: stored, looked for, and deleted with all their versions."""

from __future__ import annotations

from collections.abc import Iterator

from scones_ml.aws.resources import Resources
from scones_ml.errors import ConfigurationError
from scones_ml.events import parse_uri
from scones_ml.plans import Change
from scones_ml.ports import ObjectStore

__all__ = ["delete_objects", "has_objects", "is_stored", "store_package"]


def is_stored(store: ObjectStore, change: Change) -> bool:
    """Whether a plan's object is there; its name says what it holds."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))


def has_objects(resources: Resources, uri: str) -> bool:
    """Whether anything is there, older versions and delete markers included.

    Args:
        resources: of the account.
        uri: ``s3://bucket/key`` of one object; ``s3://bucket/prefix/`` of all below it; ``s3://bucket/`` of all.
    """
    return next(_versions(resources, uri), None) is not None


def delete_objects(resources: Resources, uri: str) -> None:
    """Delete every version of one object, or of all objects below a prefix.

    Args:
        resources: of the account.
        uri: as for :func:`has_objects`.

    Raises:
        ConfigurationError: no permission, or a version that may not be deleted.
        TransientServiceError: throttled or out of reach.
    """
    bucket, _ = parse_uri(uri)
    for versions in _versions(resources, uri):
        request = {"Bucket": bucket, "Delete": {"Objects": versions, "Quiet": True}}  # the answer names errors only
        answer = resources.call("s3", "DeleteObjects", request, uri)
        for error in answer.get("Errors", ()):
            code = str(error.get("Code", ""))
            raise ConfigurationError(f"s3://{bucket}/{error.get('Key')}: {code}: {error.get('Message')}", code=code)


def _versions(resources: Resources, uri: str) -> Iterator[list[dict[str, str]]]:
    """Versions and delete markers, at most 1,000 at a time; what was deleted meanwhile is not missed."""
    bucket, prefix = parse_uri(uri)
    request: dict[str, object] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        try:
            answer = resources.call("s3", "ListObjectVersions", request, uri)
        except ConfigurationError as exc:
            if exc.code == "NoSuchBucket":
                return
            raise
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))
            if not prefix or prefix.endswith("/") or item["Key"] == prefix
        ]
        if found:
            yield found
        if not answer.get("IsTruncated"):
            return
        request |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer["NextVersionIdMarker"]}
