"""Reads what starts executions: events about objects in S3, in the envelopes that AWS's services put around them.

Whoever sent it, an event is read record by record: a record that cannot be read is refused by itself, and the others
are read. Depth, size and number of records are bounded, so that no event costs more than its bytes.
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
_SEQUENCER: Final = re.compile(r"[0-9A-Fa-f]{1,39}")  # 16 or 18 digits; an execution's name holds 80 characters
_CREATED: Final = "Object Created"
# EventBridge's reasons for it; its other events have another reason, or none.
_REASONS: Final = ("PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload")


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that was created in S3, as an event says.

    Attributes:
        ref: the object, at the version that was created.
        size: in bytes; None where the event does not say.
        sequencer: hexadecimal; of two events about one key, the later one's is greater once the shorter one is
            padded with zeros on its right; None where the event does not say.
    """

    ref: ImageRef
    size: int | None = None
    sequencer: str | None = None

    @property
    def name(self) -> str | None:
        """The name of the execution that this creation starts; None where it has to be a new one each time.

        Every copy of an event has the same name, so that a duplicate starts nothing. An object that is written again
        has another one: its version id tells, or its sequencer. Its etag does not, which is the same for the same
        bytes: an image that was deleted before it could be read, and dropped, may come back.
        """
        if self.ref.version_id is not None:
            return self.ref.image_id
        if self.sequencer is not None and _SEQUENCER.fullmatch(self.sequencer):
            return f"{self.ref.image_id}-{self.sequencer.lower()}"
        return None


@dataclass(frozen=True, slots=True)
class StartEvent:
    """What an event says, record by record, each group in the event's order.

    Attributes:
        created: the objects that were created.
        skipped: what happened otherwise, as S3 names it: ``"ObjectRemoved:Delete"``, ``"Object Deleted"``,
            ``"s3:TestEvent"``.
        refused: why the other records cannot be read, a line each.
    """

    created: tuple[CreatedObject, ...]
    skipped: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message of an SQS batch.

    Attributes:
        message_id: by which its failure is reported; empty where the record has no id that SQS could have given.
        record: the whole record, for :func:`start_event`.
    """

    message_id: str
    record: object


@dataclass(frozen=True, slots=True)
class _Skipped:
    name: str


def start_event(event: object) -> StartEvent:
    """Read an event that starts executions, and everything in it.

    Known shapes: ``{s3_bucket, s3_key}``; S3 notifications; EventBridge's ``Object Created``; ``{bucket, key}`` and
    similar names, as an input transformer makes them; lists of these, as EventBridge Pipes sends them; all of them in
    SNS, SQS, ``body`` and ``Payload``, up to three around each other; a message of SQS may come by an event bus, as
    Pipes puts it there. Keys of S3 notifications are form-encoded and decoded here, once; all others are taken as they
    are.

    Returns:
        What was created, skipped and refused. Nothing is raised, whatever the event is.
    """
    found = list(_found(event, envelopes=0))
    return StartEvent(
        created=tuple(item for item in found if isinstance(item, CreatedObject)),
        skipped=tuple(item.name for item in found if isinstance(item, _Skipped)),
        refused=tuple(str(item) for item in found if isinstance(item, EventError)),
    )


def image_refs(event: object) -> tuple[ImageRef, ...]:
    """Read every object whose creation an event tells of, in any shape of :func:`start_event`.

    Returns:
        References in the event's order; none for what creates no object: deletions, tags, ``s3:TestEvent``.

    Raises:
        EventError: a record cannot be read, or no known shape fits.
    """
    return tuple(created.ref for created in _readable(event).created)


def image_ref(event: object) -> ImageRef:
    """Read the one object that a start event names.

    Raises:
        EventError: no known shape fits, or the event names none or several.
    """
    found = _readable(event)
    if len(found.created) == 1:
        return found.created[0].ref
    if found.skipped and not found.created:
        raise EventError(f"the event ({found.skipped[0]}) creates no object: start executions for {_CREATED!r} alone")
    raise EventError(f"the event names {len(found.created)} images where one is expected: start one execution for each")


def queued(event: object) -> tuple[QueuedMessage, ...] | None:
    """The messages of an SQS batch, from Lambda's event source mapping or as a list from EventBridge Pipes.

    Returns:
        One for each record, also for a broken one; None when the event is no such batch.
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
    """All that an event holds, in order; an error stands in the place of a record that cannot be read.

    Args:
        event: the event, or what an envelope or a list of it holds.
        envelopes: how many are around it.
        lists: how many of these are directly around it; Pipes makes two, when it hands on messages' bodies alone.
    """
    try:
        if envelopes > _MOST_ENVELOPES:
            raise EventError(f"the event has more than {_MOST_ENVELOPES} envelopes (SNS, SQS, body, Payload) around it")
        document = _document(event)
        records = document if isinstance(document, list) else document.get("Records")
        if isinstance(records, list):
            if lists == _MOST_LISTS:
                raise EventError(f"the event has more than {_MOST_LISTS} lists directly in each other")
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
    except Exception as exc:  # whatever a record brings about, it is refused alone
        yield EventError(f"{type(exc).__name__}: {exc}")


def _document(event: object) -> Mapping[str, object] | list[object]:
    if isinstance(event, str):
        if len(event) > MESSAGE_BYTES:
            raise EventError(
                f"a message of {len(event)} characters: SNS, SQS and EventBridge take {MESSAGE_BYTES} bytes"
            )
        event = parse_text(event, "body")
    if not isinstance(event, Mapping | list):
        raise EventError(f"the event holds a JSON {type(event).__name__} where an object is expected")
    return event


def _content(event: Mapping[str, object]) -> object:
    """What an envelope holds; None where the event is none, or is empty."""
    if "Sns" in event:  # as Lambda gets it
        return dig(event, "Sns", "Message")
    if event.get("Type") == "Notification" and "Message" in event:  # as a queue gets it, unless delivery is raw
        return event["Message"]
    if _is_message(event):
        return event.get("body")
    if _is_message(event.get("detail")):  # as Pipes puts it on an event bus
        return dig(event, "detail", "body")
    if "s3_key" in event or "image_data" in event or service_event(event):  # an API's request has a body, too
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
    if "detail" not in event and flat.keys() >= {"bucket", "key"}:  # what else it has, it may have named as AWS does
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
            f"an image is named by {', '.join(ImageRef.model_fields)}"
        )
    return CreatedObject(validated(ImageRef, known))


def _notification(record: Mapping[str, object]) -> CreatedObject | _Skipped:
    name = record.get("eventName", "ObjectCreated")  # what is written by hand has none
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
    """Whether S3's name of an event is ``ObjectCreated`` of any kind, with or without its prefix."""
    return isinstance(name, str) and name.removeprefix("s3:").partition(":")[0] == "ObjectCreated"


def _skipped(name: object) -> _Skipped:
    if not isinstance(name, str):
        raise EventError(f"an S3 event: its name is a JSON {type(name).__name__} where a string is expected")
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
    """EventBridge's detail alone: its reason tells what happened; what is written by hand has neither id nor reason."""
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
    """What an input transformer makes: ``bucketName``, ``bucket_name`` and ``S3-Bucket-Name`` are one name.

    What is empty is left out: a transformer leaves ``""`` for what is not there.
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
"""What a transformer may have taken over of what happened, and whether that creates an object."""


def _created(
    name: str, *, bucket: object, key: object, version: object, etag: object, size: object, sequencer: object
) -> CreatedObject:
    fields = {"s3_bucket": bucket, "s3_key": key, "version_id": version, "etag": etag}
    return CreatedObject(
        ref=validated(ImageRef, fields, name),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        sequencer=sequencer if isinstance(sequencer, str) and sequencer else None,
    )
