"""S3 as a client sees it, in memory: versions, conditions, deletions, and the times of all of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

Versioning = Literal["never", "enabled", "suspended"]


@dataclass
class Version:
    """One object version, or the marker of a deletion.

    Attributes:
        version_id: S3's; ``"null"`` where the bucket gives none.
        data: its bytes; None for the marker.
        modified: when it was written.
    """

    version_id: str
    data: bytes | None
    modified: float

    @property
    def etag(self) -> str:
        return hashlib.md5(self.data or b"", usedforsecurity=False).hexdigest()


class Bucket:
    """One bucket, strongly consistent as S3 is."""

    def __init__(self, versioning: Versioning, clock: Callable[[], float]) -> None:
        self.versioning, self._clock = versioning, clock
        self._versions: dict[str, list[Version]] = {}
        self._written = 0

    def put(self, key: str, data: bytes | None) -> Version:
        """Write an object, or with None the marker that stands for its deletion."""
        self._written += 1
        kept = self._versions.setdefault(key, [])
        if self.versioning == "enabled":
            version_id = f"v{self._written}"
        else:
            version_id = "null"
            kept[:] = [version for version in kept if version.version_id != "null"]
        kept.append(Version(version_id, data, self._clock()))
        return kept[-1]

    def delete(self, key: str, version_id: str | None = None) -> None:
        """Delete an object, or one version of it for good."""
        kept = self._versions.get(key, [])
        if version_id is not None:
            kept[:] = [version for version in kept if version.version_id != version_id]
        elif self.versioning == "never":
            kept.clear()
        elif kept:
            self.put(key, None)

    def current(self, key: str) -> Version | None:
        """The version that a reader without a version id gets."""
        kept = self._versions.get(key)
        return kept[-1] if kept and kept[-1].data is not None else None

    def version(self, key: str, version_id: str) -> Version | None:
        """One version by its id, overwritten or not."""
        kept = self._versions.get(key, [])
        return next(
            (version for version in kept if version.version_id == version_id and version.data is not None), None
        )

    def text(self, key: str) -> str:
        """What the current version says."""
        found = self.current(key)
        return ((found and found.data) or b"").decode()

    def listing(self) -> list[str]:
        """The keys that a listing shows."""
        return sorted(key for key in self._versions if self.current(key) is not None)


class S3Client:
    """The calls of boto3's S3 client that we make.

    Args:
        buckets: by their names.
        call: makes one call of an operation on a key; here faults are injected.
    """

    def __init__(self, buckets: dict[str, Bucket], call: Callable[[str, str, Callable[[], Any]], Any]) -> None:
        self._buckets, self._call = buckets, call

    def get_object(
        self, *, Bucket: str, Key: str, VersionId: str | None = None, IfMatch: str | None = None
    ) -> dict[str, Any]:
        return self._call("GetObject", f"{Bucket}/{Key}", lambda: self._get(Bucket, Key, VersionId, IfMatch))

    def _get(self, bucket: str, key: str, version_id: str | None, etag: str | None) -> dict[str, Any]:
        held = self._buckets[bucket]
        found = held.current(key) if version_id is None else held.version(key, version_id)
        if found is None:
            raise refusal("GetObject", "NoSuchKey" if version_id is None else "NoSuchVersion", 404)
        if etag not in (None, found.etag):
            raise refusal("GetObject", "PreconditionFailed", 412)
        shown = {} if held.versioning == "never" else {"VersionId": found.version_id}
        assert found.data is not None
        return shown | {
            "Body": io.BytesIO(found.data),
            "ContentLength": len(found.data),
            "ETag": f'"{found.etag}"',
            "LastModified": _moment(found.modified),
        }

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_about: object) -> dict[str, Any]:
        def put() -> dict[str, Any]:
            return {"ETag": f'"{self._buckets[Bucket].put(Key, Body).etag}"'}

        return self._call("PutObject", f"{Bucket}/{Key}", put)

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return self._call("DeleteObject", f"{Bucket}/{Key}", lambda: self._buckets[Bucket].delete(Key) or {})

    def get_paginator(self, _operation: str) -> S3Client:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        yield self._call("ListObjectsV2", f"{Bucket}/{Prefix}", lambda: {"Contents": self._list(Bucket, Prefix)})

    def _list(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        held = self._buckets[bucket]
        found = [(key, held.current(key)) for key in held.listing() if key.startswith(prefix)]
        return [
            {"Key": key, "Size": len(one.data), "ETag": f'"{one.etag}"', "LastModified": _moment(one.modified)}
            for key, one in found
            if one is not None and one.data is not None
        ]


def refusal(operation: str, code: str, status: int) -> ClientError:
    """What botocore raises for an answer of AWS that is an error."""
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)  # type: ignore[arg-type]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
