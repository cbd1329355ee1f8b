"""Recorded events of AWS's services and of the course project's functions, as files of this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote_plus

from scones_ml.errors import EventError
from scones_ml.events import ImageRef

__all__ = ["recorded_event", "recorded_events"]

_FOLDER = files(__package__) / "events"
_SUFFIX = ".json"
_ARN = "arn:aws:s3:::"


def recorded_events(prefix: str = "") -> tuple[str, ...]:
    """The names of the recorded events that begin with ``prefix``, in order.

    ``start_`` events start a workflow, ``serialized_`` and ``classified_`` are passed between functions, ``batch_`` is
    an SQS batch with good and bad messages, ``skipped_`` are S3 events that create no object, ``refused_`` are events
    of other services.
    """
    names = (entry.name.removesuffix(_SUFFIX) for entry in _FOLDER.iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(sorted(name for name in names if name.startswith(prefix)))


def recorded_event(name: str, about: ImageRef | None = None) -> dict[str, object]:
    """One recorded event, as a function receives it.

    Args:
        name: one of :func:`recorded_events`.
        about: the object to use instead of the recorded one; its key is encoded as by the event's source.

    Raises:
        EventError: the event does not exist.
    """
    file = _FOLDER / f"{name}{_SUFFIX}"
    if not file.is_file():
        raise EventError(f"there is no recorded event {name!r}: choose from {', '.join(recorded_events())}")
    event: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    if about is not None:
        told = _about(event, about)
        assert isinstance(told, dict)  # noqa: S101 - as it went in
        event = told
    return event


def _about(value: object, ref: ImageRef) -> object:
    """The event with another object, also inside JSON strings."""
    if isinstance(value, list):
        return [_about(item, ref) for item in value]
    if isinstance(value, str):
        return _text_about(value, ref)
    if not isinstance(value, dict):
        return value
    told = {key: _about(item, ref) for key, item in value.items()}
    if "s3_key" in told:
        told |= {"s3_bucket": ref.s3_bucket, "s3_key": ref.s3_key}
    if "bucketName" in told:
        told |= {"bucketName": ref.s3_bucket, "key": ref.s3_key}
    if "s3Key" in told:
        told["s3Key"] = quote_plus(ref.s3_key)
    if isinstance(told.get("bucket"), str):
        told = _object(told | {"bucket": ref.s3_bucket}, ref, _FLAT)
    if told.get("Event") == "s3:TestEvent":
        told["Bucket"] = ref.s3_bucket
    if isinstance(bucket := told.get("bucket"), dict) and isinstance(held := told.get("object"), dict):
        told["bucket"] = bucket | {"name": ref.s3_bucket}
        told["object"] = _object(held, ref, _NOTIFICATION if "s3SchemaVersion" in told else _EVENTBRIDGE)
    return told


def _text_about(text: str, ref: ImageRef) -> str:
    if text.startswith(_ARN):
        return f"{_ARN}{ref.s3_bucket}"
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return json.dumps(_about(document, ref)) if isinstance(document, dict) else text


@dataclass(frozen=True)
class _Spelling:
    """A service's field for an object's version, and whether it form-encodes keys."""

    version: str
    etag: str
    encodes: bool = False


_NOTIFICATION = _Spelling("versionId", "eTag", encodes=True)
_EVENTBRIDGE = _Spelling("version-id", "etag")
_FLAT = _Spelling("versionId", "etag")


def _object(held: Mapping[str, object], ref: ImageRef, spelling: _Spelling) -> dict[str, object]:
    """The fields of an object with another key and version; events without etag (tags, deletions) get none."""
    told = {key: value for key, value in held.items() if key not in (spelling.version, spelling.etag)}
    told["key"] = quote_plus(ref.s3_key) if spelling.encodes else ref.s3_key
    told |= {spelling.version: ref.version_id} if ref.version_id else {}
    return told | ({spelling.etag: ref.etag} if ref.etag and spelling.etag in held else {})
