"""Objects in S3: upload, search, proof of ownership, and deletion with all versions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from scones_ml.aws.errors import ERRORS
from scones_ml.aws.marks import mark
from scones_ml.aws.resources import Resources
from scones_ml.errors import ConfigurationError, ImageNotFoundError, SconesError, TransientServiceError
from scones_ml.events import parse_uri
from scones_ml.plans import Change
from scones_ml.ports import ObjectStore

__all__ = [
    "current_keys",
    "delete_bucket",
    "delete_objects",
    "empty_bucket",
    "has_objects",
    "is_stored",
    "ours_since",
    "store_package",
]

_Version = Mapping[str, Any]


def is_stored(store: ObjectStore, change: Change) -> bool:
    """Whether a plan's object exists; its name contains the hash of its content."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))


def has_objects(resources: Resources, uri: str, ending: str = "") -> bool:
    """Whether any object exists; deleted or replaced versions do not count.

    Args:
        resources: resources of the account.
        uri: ``s3://bucket/key`` of one object; ``s3://bucket/prefix/`` of all below it; ``s3://bucket/`` of all.
        ending: suffix of the keys that count.
    """
    return any(key.endswith(ending) for key in current_keys(resources, uri))


def current_keys(resources: Resources, uri: str) -> Iterator[str]:
    """Keys of the existing objects, without deleted or replaced versions.

    Args:
        resources: resources of the account.
        uri: as for :func:`has_objects`.
    """
    yield from (one["Key"] for page in _pages(resources, uri) for one in page if "ETag" in one and one["IsLatest"])


def ours_since(resources: Resources, uri: str) -> datetime | None:
    """When we first wrote an object, or the marker of a prefix; None when it is not ours or does not exist.

    An object is ours when its newest version has our mark, even if it was deleted since: in a versioned bucket that
    only adds a delete marker.

    Args:
        resources: resources of the account.
        uri: ``s3://bucket/key`` of one object, or ``s3://bucket/prefix/``; a whole bucket is never ours.
    """
    bucket, key = parse_uri(uri)
    since: datetime | None = None
    for version in _of_key(resources, bucket, key) if key else ():
        if not _bears_mark(resources, bucket, version):
            break
        since = version["LastModified"]
    return since


def delete_objects(resources: Resources, uri: str, since: datetime) -> None:
    """Delete every version of one object, or of all objects below a prefix, its marker last.

    Versions from before it was ours are kept, so that they can be restored.

    Args:
        resources: resources of the account.
        uri: as for :func:`has_objects`.
        since: result of :func:`ours_since`.

    Raises:
        ConfigurationError: permission is missing, or a version may not be deleted.
        TransientServiceError: throttled or unreachable.
    """
    _, key = parse_uri(uri)

    def goes(one: _Version) -> bool:
        return bool(one["LastModified"] >= since or ("ETag" in one and one["IsLatest"]))

    if key.endswith("/"):
        _delete(resources, uri, lambda one: one["Key"] != key and goes(one))
    _delete(resources, uri, lambda one: one["Key"] == key and goes(one))


def empty_bucket(resources: Resources, bucket: str) -> None:
    """Delete every version of every object of a bucket.

    Raises:
        ConfigurationError: permission is missing, or a version may not be deleted.
        TransientServiceError: throttled or unreachable.
    """
    _delete(resources, f"s3://{bucket}/", lambda _: True)


def delete_bucket(resources: Resources, bucket: str) -> None:
    """Delete a bucket with every version of every object; errors as :func:`empty_bucket`."""
    empty_bucket(resources, bucket)
    resources.call("s3", "DeleteBucket", {"Bucket": bucket}, f"s3://{bucket}")


def _delete(resources: Resources, uri: str, chosen: Callable[[_Version], bool]) -> None:
    """Delete the given versions; one that may not be deleted is reported after all others were deleted."""
    bucket, _ = parse_uri(uri)
    errors: list[Mapping[str, Any]] = []
    listed: list[_Version] = []
    for page in itertools.chain(_pages(resources, uri), [[]]):  # the next page is fetched while its marker still exists
        versions = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed if chosen(one)]
        listed = page
        if versions:
            request = {
                "Bucket": bucket,
                "Delete": {"Objects": versions, "Quiet": True},
            }  # lists errors only
            errors += resources.call("s3", "DeleteObjects", request, uri).get("Errors", ())
    if errors:
        raise _refused(bucket, errors)


def _refused(bucket: str, errors: Sequence[Mapping[str, Any]]) -> SconesError:
    """The error of versions that were not deleted; permanent errors first, so that no retry is in vain."""
    kinds = [ERRORS.get(str(error.get("Code")), ConfigurationError) for error in errors]
    kind, first = min(zip(kinds, errors, strict=True), key=lambda pair: pair[0] is TransientServiceError)
    code = str(first.get("Code", ""))
    more = f", and {len(errors) - 1:,} more versions" if len(errors) > 1 else ""
    return kind(f"s3://{bucket}/{first.get('Key')}: {code}: {first.get('Message')}{more}", code=code)


def _of_key(resources: Resources, bucket: str, key: str) -> Iterator[_Version]:
    """Versions of one key, newest first, without delete markers; the key is listed before longer keys that start with
    it.
    """
    for page in _pages(resources, f"s3://{bucket}/{key}"):
        for version in page:
            if version["Key"] == key and "ETag" in version:
                yield version
        if any(version["Key"] != key for version in page):
            return


def _bears_mark(resources: Resources, bucket: str, version: _Version) -> bool:
    key = str(version["Key"])
    request = {"Bucket": bucket, "Key": key}
    if not version["IsLatest"]:  # naming a version needs a separate permission
        request["VersionId"] = str(version["VersionId"])
    try:
        metadata = resources.call("s3", "HeadObject", request, f"s3://{bucket}/{key}")["Metadata"]
    except ImageNotFoundError:
        return False
    return bool(mark(bucket, key).items() <= metadata.items())


def _pages(resources: Resources, uri: str) -> Iterator[list[_Version]]:
    """Pages of versions and delete markers, at most 1,000 each; deletions meanwhile do not matter."""
    bucket, prefix = parse_uri(uri)
    request: dict[str, object] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        try:
            answer = resources.call("s3", "ListObjectVersions", request, uri)
        except ConfigurationError as exc:
            if exc.code == "NoSuchBucket":
                return
            raise
        yield [
            item
            for item in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))
            if not prefix or prefix.endswith("/") or item["Key"] == prefix
        ]
        if not answer.get("IsTruncated"):
            return
        request |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer["NextVersionIdMarker"]}
