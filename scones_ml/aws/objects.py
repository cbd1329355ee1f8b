"""Objects in S3 as plans have them: stored, looked for, told to be ours, and deleted with all their versions."""

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
    """Whether a plan's object is there; its name says what it holds."""
    bucket, key = str(change.request["Bucket"]), str(change.request["Key"])
    return any(item.key == key for item in store.list(bucket, key))


def store_package(store: ObjectStore, change: Change) -> None:
    """Upload a plan's object."""
    request = change.request
    store.write(str(request["Bucket"]), str(request["Key"]), change.content, str(request["ContentType"]))


def has_objects(resources: Resources, uri: str, ending: str = "") -> bool:
    """Whether any object is there; what was deleted or replaced in a bucket with versions does not count.

    Args:
        resources: of the account.
        uri: ``s3://bucket/key`` of one object; ``s3://bucket/prefix/`` of all below it; ``s3://bucket/`` of all.
        ending: of the keys that count.
    """
    return any(key.endswith(ending) for key in current_keys(resources, uri))


def current_keys(resources: Resources, uri: str) -> Iterator[str]:
    """The keys of what is there, but for what was deleted or replaced in a bucket with versions.

    Args:
        resources: of the account.
        uri: as for :func:`has_objects`.
    """
    yield from (one["Key"] for page in _pages(resources, uri) for one in page if "ETag" in one and one["IsLatest"])


def ours_since(resources: Resources, uri: str) -> datetime | None:
    """When we wrote an object, or the mark of a prefix, first; None when it is not ours, or not there.

    It is ours when its newest version bears our mark, be it that it was deleted since: in a bucket with versions that
    deletes nothing.

    Args:
        resources: of the account.
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
    """Delete every version of one object, or of all objects below a prefix; what marks it goes last.

    What had been deleted or replaced before it was ours stays: it can still be brought back.

    Args:
        resources: of the account.
        uri: as for :func:`has_objects`.
        since: as :func:`ours_since` has it.

    Raises:
        ConfigurationError: no permission, or a version that may not be deleted.
        TransientServiceError: throttled or out of reach.
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
        ConfigurationError: no permission, or a version that may not be deleted.
        TransientServiceError: throttled or out of reach.
    """
    _delete(resources, f"s3://{bucket}/", lambda _: True)


def delete_bucket(resources: Resources, bucket: str) -> None:
    """Delete a bucket with every version of every object; errors as :func:`empty_bucket`."""
    empty_bucket(resources, bucket)
    resources.call("s3", "DeleteBucket", {"Bucket": bucket}, f"s3://{bucket}")


def _delete(resources: Resources, uri: str, chosen: Callable[[_Version], bool]) -> None:
    """Delete the versions that are chosen; one that may not be deleted keeps no other from it, and is named last."""
    bucket, _ = parse_uri(uri)
    errors: list[Mapping[str, Any]] = []
    listed: list[_Version] = []
    for page in itertools.chain(_pages(resources, uri), [[]]):  # the next page is asked for while its marker is there
        versions = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed if chosen(one)]
        listed = page
        if versions:
            request = {"Bucket": bucket, "Delete": {"Objects": versions, "Quiet": True}}  # the answer names errors only
            errors += resources.call("s3", "DeleteObjects", request, uri).get("Errors", ())
    if errors:
        raise _refused(bucket, errors)


def _refused(bucket: str, errors: Sequence[Mapping[str, Any]]) -> SconesError:
    """What is refused for good comes first: nothing is tried again in vain."""
    kinds = [ERRORS.get(str(error.get("Code")), ConfigurationError) for error in errors]
    kind, first = min(zip(kinds, errors, strict=True), key=lambda pair: pair[0] is TransientServiceError)
    code = str(first.get("Code", ""))
    more = f", and {len(errors) - 1:,} more versions" if len(errors) > 1 else ""
    return kind(f"s3://{bucket}/{first.get('Key')}: {code}: {first.get('Message')}{more}", code=code)


def _of_key(resources: Resources, bucket: str, key: str) -> Iterator[_Version]:
    """The versions of one key, newest first, without delete markers; a key comes before those that go on from it."""
    for page in _pages(resources, f"s3://{bucket}/{key}"):
        for version in page:
            if version["Key"] == key and "ETag" in version:
                yield version
        if any(version["Key"] != key for version in page):
            return


def _bears_mark(resources: Resources, bucket: str, version: _Version) -> bool:
    key = str(version["Key"])
    request = {"Bucket": bucket, "Key": key}
    if not version["IsLatest"]:  # to name a version takes a permission of its own
        request["VersionId"] = str(version["VersionId"])
    try:
        metadata = resources.call("s3", "HeadObject", request, f"s3://{bucket}/{key}")["Metadata"]
    except ImageNotFoundError:
        return False
    return bool(mark(bucket, key).items() <= metadata.items())


def _pages(resources: Resources, uri: str) -> Iterator[list[_Version]]:
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
        yield [
            item
            for item in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))
            if not prefix or prefix.endswith("/") or item["Key"] == prefix
        ]
        if not answer.get("IsTruncated"):
            return
        request |= {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer["NextVersionIdMarker"]}
