"""ObjectStore on S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, cast

from scones_ml.aws import clients
from scones_ml.aws.errors import translated
from scones_ml.aws.marks import mark
from scones_ml.events import ImageRef
from scones_ml.ports import ObjectSummary, StoredObject, refuse_larger

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef

__all__ = ["S3ObjectStore"]


class S3ObjectStore:
    """Objects in S3.

    Args:
        client: an S3 client; None creates one from the environment (credentials, region, AWS_ENDPOINT_URL_S3), with
            timeouts below the Lambda's.
    """

    def __init__(self, client: S3Client | None = None) -> None:
        self._client = client or cast("S3Client", clients.client("s3", clients.DATA_PLANE))

    def read(self, ref: ImageRef, limit: int | None = None) -> StoredObject:
        """See :meth:`scones_ml.ports.ObjectStore.read`."""
        with _translated(ref.uri), self._opened(ref) as (found, answer):
            refuse_larger(answer["ContentLength"], limit)
            return StoredObject(found, answer["Body"].read())

    def version(self, ref: ImageRef) -> ImageRef:
        """See :meth:`scones_ml.ports.ObjectStore.version`; needs only the permission to read."""
        with _translated(ref.uri), self._opened(ref) as (found, _):
            return found

    @contextmanager
    def _opened(self, ref: ImageRef) -> Iterator[tuple[ImageRef, GetObjectOutputTypeDef]]:
        """The version that was found, and S3's response with an unread body."""
        wanted = {"VersionId": ref.version_id} if ref.version_id else {"IfMatch": ref.etag} if ref.etag else {}
        # The stubs type every parameter, and to them `wanted` could be any of these.
        answer = self._client.get_object(Bucket=ref.s3_bucket, Key=ref.s3_key, **wanted)  # type: ignore[arg-type]
        version = ref.version_id or answer.get("VersionId")
        etag = answer["ETag"].strip('"')
        with closing(answer["Body"]):
            yield ImageRef(s3_bucket=ref.s3_bucket, s3_key=ref.s3_key, version_id=version, etag=etag), answer

    def write(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """See :meth:`scones_ml.ports.ObjectStore.write`; the object gets our mark, by which clean-up recognizes it."""
        with _translated(f"s3://{bucket}/{key}"):
            answer = self._client.put_object(
                Bucket=bucket, Key=key, Body=data, ContentType=content_type, Metadata=mark(bucket, key)
            )
        return answer["ETag"].strip('"')

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectSummary]:
        """See :meth:`scones_ml.ports.ObjectStore.list`."""
        with _translated(f"s3://{bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    modified = item["LastModified"].timestamp()
                    yield ObjectSummary(item["Key"], item["Size"], item["ETag"].strip('"'), modified)

    def delete(self, bucket: str, key: str) -> None:
        """See :meth:`scones_ml.ports.ObjectStore.delete`."""
        with _translated(f"s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key)


def _translated(uri: str) -> AbstractContextManager[None]:
    """As :func:`translated`, with the caller's ARN, since S3 may deny access without naming the caller."""
    return translated(uri, clients.caller)
