"""Data passed between states: frozen models that reject unknown fields, and the identity of an image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scones_ml.errors import ConfigurationError

__all__ = [
    "FAILED",
    "PLACES",
    "RESULT",
    "UNDECIDED",
    "ClassifiedImage",
    "FilteredImage",
    "ImageBatch",
    "ImageOutcome",
    "ImageRef",
    "Outcome",
    "SerializedImage",
    "classes_id",
    "image_id",
    "object_uri",
    "parse_object_uri",
    "parse_uri",
]

RESULT: Final = ".jsonl"
FAILED: Final = ".failed.jsonl"
"""Suffixes of a batch's result keys: complete, and incomplete, which a later run repeats."""

UNDECIDED: Final = ("dropped", "failed")
"""Outcomes that are not final: a read error may be corrected, and a deleted object may come back."""

PLACES: Final = ("accepted", "review", "quarantined")
"""Places of outcomes, ``outcomes/PLACE/IMAGE_ID.json``; of several for one version, the latest is valid."""

Outcome = Literal["accepted", "review", "quarantined", "dropped"]
"""The outcome of an image."""
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


def image_id(bucket: str, key: str, version: str | None) -> str:
    """The id of one version of one object: the first 40 hex digits of SHA-256 over bucket, key and version id or etag.

    It is used as the endpoint's InferenceId, as the name of executions that we start, and in the outcome's key.
    """
    # 160 bits: no collisions, and short enough for an InferenceId (64 characters) and an execution's name (80).
    return hashlib.sha256(json.dumps([bucket, key, version]).encode()).hexdigest()[:40]


def classes_id(labels: Sequence[str]) -> str:
    """The id of a list of classes: the first 16 hex digits of SHA-256 over the class names, in order."""
    return hashlib.sha256(json.dumps(list(labels)).encode()).hexdigest()[:16]


def object_uri(bucket: str, key: str) -> str:
    """``s3://bucket/key``; the file's path if the bucket is the absolute path of a local folder."""
    return f"{bucket}/{key}" if bucket.startswith("/") else f"s3://{bucket}/{key}"


def parse_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key, or prefix, of ``s3://bucket/key``.

    Args:
        uri: the URI.
        what: the option, variable or field that contains it, for messages.

    Returns:
        The bucket's name, and the key or prefix, which is empty if the URI names only a bucket.

    Raises:
        ConfigurationError: it is not an S3 URI, or has no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} is not s3://bucket/prefix")
    return bucket, key


def parse_object_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; like :func:`parse_uri`, but the key is required.

    Raises:
        ConfigurationError: it is not an S3 URI, or has no bucket or no key.
    """
    bucket, key = parse_uri(uri, what)
    if not key:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} has no key: give s3://bucket/key")
    return bucket, key


def _version_id(text: str | None) -> str | None:
    return None if text in ("", "null") else text


def _etag(text: str | None) -> str | None:
    return text.strip('"') or None if text else None


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_event(self) -> dict[str, object]:
        """The JSON object that a handler returns; absent fields are omitted."""
        return self.model_dump(mode="json", exclude_none=True)


class ImageRef(_Wire):
    """One version of an object in S3.

    Attributes:
        s3_bucket: the bucket's name, or the absolute path of a local folder that is used as a bucket.
        s3_key: the object's key, decoded; at most 1,024 bytes; never a path.
        version_id: S3's version id in a versioned bucket. An empty one and ``null``, which all objects have while
            versioning is suspended, do not identify a version and are dropped; the etag is used instead.
        etag: S3's entity tag without quotes; an empty one is dropped.
    """

    s3_bucket: str = Field(min_length=1)
    s3_key: str = Field(min_length=1)
    version_id: Annotated[str | None, AfterValidator(_version_id)] = None
    etag: Annotated[str | None, AfterValidator(_etag)] = None

    @property
    def uri(self) -> str:
        """See :func:`object_uri`."""
        return object_uri(self.s3_bucket, self.s3_key)

    @property
    def image_id(self) -> str:
        """The identity of this object version, 40 hex digits (see :func:`image_id`)."""
        return image_id(self.s3_bucket, self.s3_key, self.version_id or self.etag)


class SerializedImage(_Wire):
    """An image for the classifier.

    Attributes:
        image_id: identity of the object version, 40 hex digits.
        image_data: the normalised image as base64 PNG; empty if it is too large for a state, in which case the next
            state reads the object (a claim check).
    """

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    image_data: str

    @property
    def ref(self) -> ImageRef:
        """The object that contains the image."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class ClassifiedImage(_Wire):
    """The prediction for one image, without the image data.

    Attributes:
        inferences: one probability per class, in the model's order of labels, each in [0, 1].
        label: the most probable class.
        confidence: its probability, in [0, 1].
        model: id of the model, ``"sha256:..."`` of its graph or ``"endpoint:NAME"``; None in the course's events.
        classes: id of the model's classes, see :func:`classes_id`; None in events of the course and of version 0.1.
    """

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    inferences: tuple[Probability, ...] = Field(min_length=1)
    label: str
    confidence: Probability
    model: str | None = None
    classes: str | None = None

    @property
    def ref(self) -> ImageRef:
        """The object that contains the image."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class FilteredImage(ClassifiedImage):
    """A classified image with the decision to accept it or not.

    Attributes:
        threshold: the minimum confidence, in (0, 1]; 1.0 for a model without a threshold.
        accepted: whether it is accepted without review, see ``scones_ml.verdicts``.
        reason: why it is not accepted, if not for its confidence: the model has no threshold, or the image is unlike
            the training images.
    """

    threshold: float = Field(gt=0.0, le=1.0)
    accepted: bool
    reason: str | None = None


class ImageBatch(_Wire):
    """A batch of images for one invocation.

    Attributes:
        images: the objects, in order.
        output_bucket: bucket for the results.
        run: name of the bulk run; results of one run are never computed twice.
    """

    model_config = ConfigDict(defer_build=True)  # on use: only one function needs it

    images: tuple[ImageRef, ...]
    output_bucket: str = Field(min_length=1)
    run: str = Field(min_length=1, pattern=r"^[\w.-]+$")

    @property
    def batch_id(self) -> str:
        """The id of these object versions: the first 40 hex digits of SHA-256 over their (key, etag) pairs."""
        pairs = [[ref.s3_key, ref.etag] for ref in self.images]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:40]

    @property
    def result_key(self) -> str:
        """``bulk/RUN/BATCH_ID.jsonl``: the same for the same images of a run."""
        return f"bulk/{self.run}/{self.batch_id}{RESULT}"

    @property
    def failed_key(self) -> str:
        """``bulk/RUN/BATCH_ID.failed.jsonl``: used in place of :attr:`result_key` if any outcome is not final."""
        return f"bulk/{self.run}/{self.batch_id}{FAILED}"


class ImageOutcome(_Wire):
    """The outcome of one image of a batch: a line of its results.

    Attributes:
        outcome: the outcome; ``failed`` if a fault outside the image prevented reading or classifying it, for which the
            workflow for single images fails.
        label: the most probable class; like confidence, inferences, threshold and accepted as in `FilteredImage`,
            if the image could be read.
        model: id of the model, as in `FilteredImage`.
        classes: id of the model's classes, as in `FilteredImage`.
        error: the error's class name, if the image could not be read.
        reason: the error's message; for an image that could be read as in `FilteredImage`.
    """

    model_config = ConfigDict(defer_build=True)  # on use: only one function needs it

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    outcome: Outcome | Literal["failed"]
    inferences: tuple[Probability, ...] | None = None
    label: str | None = None
    confidence: Probability | None = None
    threshold: float | None = None
    accepted: bool | None = None
    model: str | None = None
    classes: str | None = None
    error: str | None = None
    reason: str | None = None
