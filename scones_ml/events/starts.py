"""Readers of start events: events about objects in S3, in the envelopes of AWS's services.

Events are read record by record: a record that cannot be read is rejected on its own, and the others are read. Depth,
size and number of records are limited, so that the cost of an event is proportional to its size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from scones_ml.errors import EventError
from scones_ml.events.documents import dig, field_names, parse_text, validated
from scones_ml.events.models import ImageRef
from scones_ml.events.refusals import refusal, service_event
from scones_ml.limits import MESSAGE_BYTES, QUEUE_BATCH_MESSAGES
from scones_ml.printable import printable

__all__ = ["CreatedObject", "QueuedMessage", "StartEvent", "image_ref", "image_refs", "queued", "start_event"]

_MOST_ENVELOPES: Final = 3
_MOST_LISTS: Final = 2
_ID_CHARACTERS: Final = 100  # SQS gives 36
_NAME_CHARACTERS: Final = 60
_SEQUENCER: Final = re.compile(r"[0-9A-Fa-f]{1,39}")  # 16 or 18 digits; an execution's name has at most 80 characters
_CREATED: Final = "Object Created"
# EventBridge's reasons for it; its other events have another reason, or none.
_REASONS: Final = ("PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload")


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that was created in S3, according to an event.

    Attributes:
        ref: the object, at the version that was created.
        size: in bytes; None if the event does not contain it.
        sequencer: hexadecimal; of two events for one key, the later one's is greater if the shorter one is padded
            with zeros on the right; None if the event does not contain it.
    """

    ref: ImageRef
    size: int | None = None
    sequencer: str | None = None

    @property
    def name(self) -> str | None:
        """The name of the execution to start for this creation; None if each start needs a new name.

        All copies of an event have the same name, so that a duplicate starts nothing. An object that is written again
        has another name, from its version id or its sequencer. The etag is not enough: it is the same for the same
        bytes, and an image that was deleted before it was read, and dropped, may come back.
        """
        if self.ref.version_id is not None:
            return self.ref.image_id
        if self.sequencer is not None and _SEQUENCER.fullmatch(self.sequencer):
            return f"{self.ref.image_id}-{self.sequencer.lower()}"
        return None


@dataclass(frozen=True, slots=True)
class StartEvent:
    """The records of an event, each group in the event's order.

    Attributes:
        created: the objects that were created.
        skipped: types of the other S3 events: ``"ObjectRemoved:Delete"``, ``"Object Deleted"``, ``"s3:TestEvent"``.
        refused: why the remaining records cannot be read, one line each.
    """

    created: tuple[CreatedObject, ...]
    skipped: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message of an SQS batch.

    Attributes:
        message_id: the id for reporting its failure; empty if the record has no valid SQS message id.
        record: the whole record, for :func:`start_event`.
    """

    message_id: str
    record: object


@dataclass(frozen=True, slots=True)
class _Skipped:
    name: str


def start_event(event: object) -> StartEvent:
    """Read a start event with all its records.

    Known formats: ``{s3_bucket, s3_key}``; S3 notifications; EventBridge's ``Object Created``; ``{bucket, key}`` and
    similar names, as an input transformer makes them; lists of these, as EventBridge Pipes sends them; all of them in
    up to three nested envelopes of SNS, SQS, ``body`` and ``Payload``; an SQS message may come through an event bus, as
    Pipes sends it. Keys of S3 notifications are form-encoded and are decoded here, once; other keys are used as they
    are.

    Returns:
        The records that were created, skipped and refused. Never raises an exception.
    """
    found = list(_found(event, envelopes=0))
    return StartEvent(
        created=tuple(item for item in found if isinstance(item, CreatedObject)),
        skipped=tuple(item.name for item in found if isinstance(item, _Skipped)),
        refused=tuple(str(item) for item in found if isinstance(item, EventError)),
    )


def image_refs(event: object) -> tuple[ImageRef, ...]:
    """Read the objects that were created according to an event, in any format of :func:`start_event`.

    Returns:
        References in the event's order; none for records that create no object: deletions, tags, ``s3:TestEvent``.

    Raises:
        EventError: a record cannot be read, or the format is unknown.
    """
    return tuple(created.ref for created in _readable(event).created)


def image_ref(event: object) -> ImageRef:
    """Read the one object that a start event names.

    Raises:
        EventError: the format is unknown, or the event names no object or several.
    """
    found = _readable(event)
    if len(found.created) == 1:
        return found.created[0].ref
    if found.skipped and not found.created:
        raise EventError(f"the event ({found.skipped[0]}) creates no object: start executions only for {_CREATED!r}")
    raise EventError(f"the event names {len(found.created)} images instead of one: start one execution for each")


def queued(event: object) -> tuple[QueuedMessage, ...] | None:
    """The messages of an SQS batch, from Lambda's event source mapping or as a list from EventBridge Pipes.

    Returns:
        One for each record, also for a broken one; None if the event is not an SQS batch.
    """
    records = event.get("Records") if isinstance(event, Mapping) else event
    if not isinstance(records, list) or not any(map(_is_message, records)):
        return None
    return tuple(QueuedMessage(_message_id(record), record) for record in records)


def _is_message(record: object) -> bool:
    return isinstance(record, Mapping) and (
        record.get("eventSource") == "aws:sqs" or ("messageId" in record and "body" in record)
    )


def _message_id(record: object) -> str:
    found = dig(record, "messageId")
    return found if isinstance(found, str) and found.isprintable() and len(found) <= _ID_CHARACTERS else ""


def _readable(event: object) -> StartEvent:
    found = start_event(event)
    if found.refused:
        raise EventError(found.refused[0])
    return found


def _found(event: object, envelopes: int, lists: int = 0) -> Iterator[CreatedObject | _Skipped | EventError]:
    """The records of an event, in order, with an error in place of a record that cannot be read.

    Args:
        event: the event, or the content of one of its envelopes or lists.
        envelopes: number of envelopes around it.
        lists: number of lists directly around it; Pipes makes two if it passes on only the messages' bodies.
    """
    try:
        if envelopes > _MOST_ENVELOPES:
            raise EventError(f"the event has more than {_MOST_ENVELOPES} nested envelopes (SNS, SQS, body, Payload)")
        document = _document(event)
        records = document if isinstance(document, list) else document.get("Records")
        if isinstance(records, list):
            if lists == _MOST_LISTS:
                raise EventError(f"the event has more than {_MOST_LISTS} directly nested lists")
            if len(records) > QUEUE_BATCH_MESSAGES:
                raise EventError(f"the event has {len(records)} records: a batch has at most {QUEUE_BATCH_MESSAGES}")
            for record in records:
                yield from _found(record, envelopes, lists + 1)
        elif isinstance(document, Mapping):
            content = _content(document)
            if content is None:
                yield _one(document)
            else:
                yield from _found(content, envelopes + 1)
    except EventError as exc:
        yield exc
    except Exception as exc:  # any fault rejects only this record
        yield EventError(f"{type(exc).__name__}: {exc}")


def _document(event: object) -> Mapping[str, object] | list[object]:
    if isinstance(event, str):
        if len(event) > MESSAGE_BYTES:
            raise EventError(
                f"a message has {len(event):,} characters: SNS, SQS and EventBridge allow {MESSAGE_BYTES:,} bytes"
            )
        event = parse_text(event, "body")
    if not isinstance(event, Mapping | list):
        raise EventError(f"the event contains a JSON {type(event).__name__} where an object is expected")
    return event


def _content(event: Mapping[str, object]) -> object:
    """The content of an envelope; None if the event is not an envelope, or is empty."""
    if "Sns" in event:  # as Lambda receives it
        return dig(event, "Sns", "Message")
    if event.get("Type") == "Notification" and "Message" in event:  # as a queue receives it, unless delivery is raw
        return event["Message"]
    if _is_message(event):
        return event.get("body")
    if _is_message(event.get("detail")):  # as Pipes sends it to an event bus
        return dig(event, "detail", "body")
    if "s3_key" in event or "image_data" in event or service_event(event):  # an API request also has a body
        return None
    return event.get("Payload", event.get("body"))


def _one(event: Mapping[str, object]) -> CreatedObject | _Skipped:
    if "s3_key" in event or "s3_bucket" in event:
        return _direct(event)
    if "s3" in event:
        return _notification(event)
    if event.get("Event") == "s3:TestEvent":
        return _Skipped("s3:TestEvent")
    flat = _flat_fields(event)
    if "detail" not in event and flat.keys() >= {"bucket", "key"}:  # its other fields may have AWS's names
        return _flat(flat)
    if "detail" in event or "detail-type" in event:
        return _eventbridge(event)
    if _is_detail(event):
        return _detail(event)
    raise EventError(refusal(event))


def _direct(event: Mapping[str, object]) -> CreatedObject:
    known = {k: v for k, v in event.items() if k in ImageRef.model_fields}
    unknown = set(event) - set(known) - {"image_data", "inferences", "image_id"}
    if unknown:
        raise EventError(
            f"unknown field {field_names(dict.fromkeys(unknown))}: "
            f"the fields of an image are {', '.join(ImageRef.model_fields)}"
        )
    return CreatedObject(validated(ImageRef, known))


def _notification(record: Mapping[str, object]) -> CreatedObject | _Skipped:
    name = record.get("eventName", "ObjectCreated")  # events written by hand have none
    if not _creates(name):
        return _skipped(name)
    held = dig(record, "s3", "object")
    return _created(
        "an S3 notification",
        bucket=dig(record, "s3", "bucket", "name"),
        key=_decoded(dig(held, "key")),
        version=dig(held, "versionId"),
        etag=dig(held, "eTag"),
        size=dig(held, "size"),
        sequencer=dig(held, "sequencer"),
    )


def _creates(name: object) -> bool:
    """Whether an S3 event's name is ``ObjectCreated`` of any kind, with or without its prefix."""
    return isinstance(name, str) and name.removeprefix("s3:").partition(":")[0] == "ObjectCreated"


def _skipped(name: object) -> _Skipped:
    if not isinstance(name, str):
        raise EventError(f"an S3 event: its name must be a string, but is of JSON type {type(name).__name__}")
    return _Skipped(printable(name[:_NAME_CHARACTERS]))


def _decoded(key: object) -> object:
    try:
        return unquote_plus(key, errors="strict") if isinstance(key, str) else key
    except UnicodeDecodeError as exc:
        raise EventError(f"an S3 notification: the key {key!a:.80} is not form-encoded UTF-8") from exc


def _eventbridge(event: Mapping[str, object]) -> CreatedObject | _Skipped:
    kind, detail = event.get("detail-type"), event.get("detail")
    if kind == _CREATED:
        return _object("EventBridge's 'Object Created'", detail)
    if kind is None and _is_detail(detail):
        return _detail(detail)
    ours = event.get("source") == "aws.s3" or _is_detail(detail)
    if isinstance(kind, str) and ours and not kind.endswith("via CloudTrail"):
        return _skipped(kind)
    raise EventError(refusal(event))


def _is_detail(event: object) -> bool:
    return isinstance(dig(event, "bucket"), Mapping) and isinstance(dig(event, "object"), Mapping)


def _detail(detail: object) -> CreatedObject | _Skipped:
    """Read the detail of an EventBridge event; one written by hand has neither id nor reason."""
    reason = dig(detail, "reason")
    if reason in _REASONS or (reason is None and dig(detail, "request-id") is None):
        return _object("EventBridge's detail", detail)
    return _skipped(reason or "without a reason")


def _object(name: str, detail: object) -> CreatedObject:
    held = dig(detail, "object")
    return _created(
        name,
        bucket=dig(detail, "bucket", "name"),
        key=dig(held, "key"),
        version=dig(held, "version-id"),
        etag=dig(held, "etag"),
        size=dig(held, "size"),
        sequencer=dig(held, "sequencer"),
    )


def _flat_fields(event: Mapping[str, object]) -> dict[str, object]:
    """Read the output of an input transformer: ``bucketName``, ``bucket_name`` and ``S3-Bucket-Name`` are one name.

    Empty values are ignored: a transformer writes ``""`` for a missing field.
    """
    spelled = {re.sub("[^a-z0-9]", "", str(name).lower()): value for name, value in event.items() if value != ""}
    short = {name.removeprefix("s3").removeprefix("object"): value for name, value in spelled.items()}
    return short | {"bucket": short["bucketname"]} if "bucketname" in short else short


def _flat(fields: Mapping[str, object]) -> CreatedObject | _Skipped:
    for field, created in _HAPPENED.items():
        if (happened := fields.get(field)) is not None and not created(happened):
            return _skipped(happened)
    return _created(
        "bucket and key",
        bucket=fields["bucket"],
        key=fields["key"],
        version=fields.get("versionid"),
        etag=fields.get("etag"),
        size=fields.get("size"),
        sequencer=fields.get("sequencer"),
    )


_HAPPENED: Final[Mapping[str, Callable[[object], bool]]] = {
    "eventname": lambda name: name == _CREATED or _creates(name),
    "detailtype": lambda name: name == _CREATED or _creates(name),
    "reason": lambda reason: reason in _REASONS,
    "deletiontype": lambda _: False,
}
"""The event's type, if the transformer kept it, and whether it creates an object."""


def _created(
    name: str, *, bucket: object, key: object, version: object, etag: object, size: object, sequencer: object
) -> CreatedObject:
    fields = {"s3_bucket": bucket, "s3_key": key, "version_id": version, "etag": etag}
    return CreatedObject(
        ref=validated(ImageRef, fields, name),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        sequencer=sequencer if isinstance(sequencer, str) and sequencer else None,
    )
