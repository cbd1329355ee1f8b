"""What travels between the states: frozen models that refuse unknown fields, and the identity of an image."""

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
"""How keys of a batch's results end: of one that is decided, and of one that is not: a later run does it again."""

UNDECIDED: Final = ("dropped", "failed")
"""Outcomes that decide nothing: what could not be read may be mended, and an object that is gone may come back."""

PLACES: Final = ("accepted", "review", "quarantined")
"""Where outcomes are, ``outcomes/PLACE/IMAGE_ID.json``: a version is in one of them; of two the later counts."""

Outcome = Literal["accepted", "review", "quarantined", "dropped"]
"""What became of an image."""
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


def image_id(bucket: str, key: str, version: str | None) -> str:
    """Name one version of one object: the first 40 hex digits of sha256 over bucket, key and version id or etag.

    It is the endpoint's InferenceId, the execution's name where we start it, and the outcome's key.
    """
    # 160 bits: no collisions, and short enough for an InferenceId (64 characters) and an execution's name (80).
    return hashlib.sha256(json.dumps([bucket, key, version]).encode()).hexdigest()[:40]


def classes_id(labels: Sequence[str]) -> str:
    """Name what a model tells apart: the first 16 hex digits of sha256 over its class names, in their order."""
    return hashlib.sha256(json.dumps(list(labels)).encode()).hexdigest()[:16]


def object_uri(bucket: str, key: str) -> str:
    """``s3://bucket/key``; the file's path where the bucket is a folder of this machine, named by its own path."""
    return f"{bucket}/{key}" if bucket.startswith("/") else f"s3://{bucket}/{key}"


def parse_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key, or prefix, of ``s3://bucket/key``.

    Args:
        uri: the URI.
        what: the option, variable or field that holds it, for the message.

    Returns:
        The bucket's name, and all after its slash: empty for a bucket alone.

    Raises:
        ConfigurationError: not an S3 URI, or it names no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} is not s3://bucket/prefix")
    return bucket, key


def parse_object_uri(uri: str, what: str = "") -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``, as :func:`parse_uri`, where a bucket alone will not do.

    Raises:
        ConfigurationError: not an S3 URI, or it names no bucket or no key.
    """
    bucket, key = parse_uri(uri, what)
    if not key:
        raise ConfigurationError(f"{what and f'{what}: '}{uri!r} names a bucket alone: give s3://bucket/key")
    return bucket, key


def _version_id(text: str | None) -> str | None:
    return None if text in ("", "null") else text


def _etag(text: str | None) -> str | None:
    return text.strip('"') or None if text else None


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_event(self) -> dict[str, object]:
        """The JSON object that a handler returns; absent fields are left out."""
        return self.model_dump(mode="json", exclude_none=True)


class ImageRef(_Wire):
    """One object in S3, at the version that the event spoke of.

    Attributes:
        s3_bucket: the bucket's name; the absolute path of a folder of this machine, where that stands for a bucket.
        s3_key: the object's key, decoded; at most 1,024 bytes; never a path.
        version_id: S3's version id, where the bucket is versioned. ``null``, which is each object's where versioning is
            suspended, and an empty one tell no version from another: they are left out, and the etag does.
        etag: S3's entity tag; quotes around it are taken off, and an empty one is left out.
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
    """An image on its way to the classifier.

    Attributes:
        image_id: identity of the object version, 40 hex digits.
        image_data: the normalised image as base64 PNG; empty when it is too large for a state, and the next state
            reads the object itself (a claim check).
    """

    s3_bucket: str
    s3_key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: str
    image_data: str

    @property
    def ref(self) -> ImageRef:
        """The object that the image was read from."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class ClassifiedImage(_Wire):
    """What the classifier said of one image; the image itself is dropped here.

    Attributes:
        inferences: one probability per class, in the model's order of labels, each in [0, 1].
        label: the most probable class.
        confidence: its probability, in [0, 1].
        model: which model said it, ``"sha256:..."`` of its graph or ``"endpoint:NAME"``; None in the course's events.
        classes: which classes it tells apart, see :func:`classes_id`; None in the course's events and those of 0.1.
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
        """The object that the image was read from."""
        return ImageRef(s3_bucket=self.s3_bucket, s3_key=self.s3_key, version_id=self.version_id, etag=self.etag)


class FilteredImage(ClassifiedImage):
    """A classified image with the verdict on its confidence.

    Attributes:
        threshold: the least confidence that is accepted, in (0, 1]; 1.0 for a model without one.
        accepted: whether it passes on its own, see ``scones_ml.verdicts``.
        reason: why it does not, where that is not its confidence: the model has no threshold, or the image is unlike
            the training images.
    """

    threshold: float = Field(gt=0.0, le=1.0)
    accepted: bool
    reason: str | None = None


class ImageBatch(_Wire):
    """Images that one invocation classifies.

    Attributes:
        images: the objects, in order.
        output_bucket: where the results go.
        run: names the bulk run; results of one run are never computed twice.
    """

    model_config = ConfigDict(defer_build=True)  # one function alone needs it

    images: tuple[ImageRef, ...]
    output_bucket: str = Field(min_length=1)
    run: str = Field(min_length=1, pattern=r"^[\w.-]+$")

    @property
    def batch_id(self) -> str:
        """The identity of these object versions, the first 40 hex digits of sha256 over their (key, etag) pairs."""
        pairs = [[ref.s3_key, ref.etag] for ref in self.images]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:40]

    @property
    def result_key(self) -> str:
        """``bulk/RUN/BATCH_ID.jsonl``: the same images of a run always write the same object."""
        return f"bulk/{self.run}/{self.batch_id}{RESULT}"

    @property
    def failed_key(self) -> str:
        """``bulk/RUN/BATCH_ID.failed.jsonl``: in place of :attr:`result_key`, where any of them is undecided."""
        return f"bulk/{self.run}/{self.batch_id}{FAILED}"


class ImageOutcome(_Wire):
    """What became of one image of a batch: a line of its results.

    Attributes:
        outcome: where it goes; ``failed`` when it could not be read or classified for a reason outside of it,
            where one by itself is an execution that fails.
        label: the most probable class; with confidence, inferences, threshold and accepted as in `FilteredImage`,
            where the image could be read.
        model: which model said it, as in `FilteredImage`.
        classes: which classes it tells apart, as in `FilteredImage`.
        error: the error's class name, where it could not.
        reason: its message; of an image that could be read as in `FilteredImage`.
    """

    model_config = ConfigDict(defer_build=True)  # one function alone needs it

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
