"""Buckets: one for incoming images, one for outcomes and captures, so that no outcome starts an execution."""

from __future__ import annotations

from scones_ml.infrastructure.intrinsics import Value
from scones_ml.infrastructure.parameters import TemplateSettings

__all__ = ["BUCKETS", "CAPTURE_PREFIX", "UPLOAD_PREFIX", "resources"]

BUCKETS = ("InputBucket", "OutputBucket")
"""Logical names of the buckets."""

CAPTURE_PREFIX = "captures/"
"""Prefix of endpoints' data capture in the output bucket."""

UPLOAD_PREFIX = "runs/"
"""Prefix of images that commands upload to the input bucket and run themselves; the rule ignores it."""


def resources(settings: TemplateSettings) -> dict[str, Value]:
    """Both buckets: private, versioned, encrypted, with lifecycle rules.

    Their deletion policy is Delete, and CloudFormation refuses to delete a bucket that is not empty: nothing is lost by
    accident, and nothing is left once they are empty.
    """
    captures = _forget("ForgetCaptures", CAPTURE_PREFIX, settings.capture_days)
    uploads = _forget("ForgetUploads", UPLOAD_PREFIX, settings.upload_days)
    return {
        "InputBucket": _bucket(settings, [uploads], {"NotificationConfiguration": _EVENTS}),
        "OutputBucket": _bucket(settings, [captures], {}),
    }


_EVENTS: Value = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def _forget(name: str, prefix: str, days: int) -> Value:
    return {"Id": name, "Status": "Enabled", "Prefix": prefix, "ExpirationInDays": days}


def _bucket(settings: TemplateSettings, lifecycle: list[Value], properties: dict[str, Value]) -> Value:
    tidy: Value = {
        "Id": "TidyUp",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},  # they cost money, and no listing shows them
        "NoncurrentVersionExpiration": {"NoncurrentDays": settings.noncurrent_days},
    }
    return {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": [*lifecycle, tidy]},
            **properties,
        },
    }
