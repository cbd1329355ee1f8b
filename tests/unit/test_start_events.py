"""What starts executions: envelopes in any nesting, what is skipped, what is refused, and hostile records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scones_ml import events, steps
from scones_ml.errors import EventError
from scones_ml.events import CreatedObject, ImageRef, StartEvent
from scones_ml.limits import MESSAGE_BYTES, QUEUE_BATCH_MESSAGES
from scones_ml.testing import recorded_event, recorded_events, sns_event, sns_message, sqs_event

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
HEX = st.text("0123456789abcdef", min_size=1, max_size=16)
CREATED = st.builds(
    CreatedObject,
    ref=st.builds(ImageRef, s3_bucket=st.just("photos"), s3_key=KEYS, version_id=st.none() | HEX, etag=HEX),
    size=st.integers(0, 2**40),
    sequencer=HEX,
)
GOOD = {"s3_bucket": "photos", "s3_key": "good.png"}


def notification(item: CreatedObject, name: str = "ObjectCreated:Put") -> dict[str, object]:
    """An object in S3's form."""
    ref = item.ref
    held = {"key": quote_plus(ref.s3_key), "eTag": ref.etag, "size": item.size, "sequencer": item.sequencer}
    held |= {"versionId": ref.version_id} if ref.version_id else {}
    record = {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": ref.s3_bucket}, "object": held}}
    return {"Records": [record]}


def detail(item: CreatedObject, reason: str = "PutObject") -> dict[str, object]:
    """The detail of EventBridge's event about an object."""
    ref = item.ref
    held = {"key": ref.s3_key, "etag": ref.etag, "size": item.size, "sequencer": item.sequencer}
    held |= {"version-id": ref.version_id} if ref.version_id else {}
    return {"bucket": {"name": ref.s3_bucket}, "object": held, "request-id": "N4N7GDK58NMKJ12R", "reason": reason}


def eventbridge(item: CreatedObject) -> dict[str, object]:
    """EventBridge's event about an object."""
    return {"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": detail(item)}


def flat(item: CreatedObject) -> dict[str, object]:
    """An object in the form of an input transformer, with empty strings for missing values."""
    ref, more = item.ref, {"etag": item.ref.etag, "size": item.size, "sequencer": item.sequencer, "time": "now"}
    return {"bucket_name": ref.s3_bucket, "objectKey": ref.s3_key, "version-id": ref.version_id or "", **more}


def on_a_bus(event: object) -> dict[str, object]:
    """As EventBridge Pipes puts a queue's message on an event bus."""
    (message,) = sqs_event(event)["Records"]  # type: ignore[misc]
    return {"version": "0", "source": "Pipe photos", "detail-type": "Event from aws:sqs", "detail": message}


RECORDS = (notification, eventbridge, detail, flat)
ENVELOPES: tuple[Callable[[Any], Any], ...] = (
    sns_event,
    sns_message,
    sqs_event,
    lambda event: sqs_event(event)["Records"],  # EventBridge Pipes
    on_a_bus,
    lambda event: {"statusCode": 200, "body": event},
    lambda event: {"Payload": json.dumps(event)},
)


@settings(deadline=None)
@given(
    items=st.lists(st.tuples(CREATED, st.sampled_from(RECORDS)), min_size=1, max_size=4),
    around=st.lists(st.sampled_from(ENVELOPES), max_size=3),
)
def test_any_three_envelopes_give_the_same_objects(items: list[Any], around: list[Callable[[Any], Any]]) -> None:
    """Whatever stands around records of any kind, up to three times, the same objects come out in the same order."""
    event: Any = [spell(item) for item, spell in items]
    for envelope in around:
        event = envelope(event)
    assert events.start_event(event) == StartEvent(tuple(item for item, _ in items), (), ())
    assert events.image_refs(event) == tuple(item.ref for item, _ in items)


@settings(deadline=None)
@given(around=st.lists(st.sampled_from(ENVELOPES), min_size=4, max_size=12))
def test_more_than_three_envelopes_are_refused(around: list[Callable[[Any], Any]]) -> None:
    """The fourth envelope and any further one are a refusal in one line, however many there are."""
    event: Any = GOOD
    for envelope in around[:6]:  # texts in texts double their backslashes
        event = envelope(event)
    with pytest.raises(EventError, match="more than 3 nested envelopes"):
        events.image_refs(event)


@pytest.mark.parametrize("name", recorded_events("skipped_"))
def test_what_creates_no_object_is_skipped(name: str) -> None:
    """Deletions, expirations, tags, restores, replications and tests start nothing, and are counted by their names."""
    begun: list[CreatedObject] = []
    started = steps.start_image_classification(recorded_event(name), begun.append)
    assert (begun, started.images, started.failures) == ([], 0, {})
    assert sum(started.skipped.values()) == 1
    assert events.image_refs(recorded_event(name)) == ()
    with pytest.raises(EventError, match=f"the event \\({next(iter(started.skipped))}\\) creates no object"):
        events.image_ref(recorded_event(name))


@pytest.mark.parametrize(
    ("name", "created"),
    [
        ("ObjectCreated:Put", True),
        ("ObjectCreated:CompleteMultipartUpload", True),
        ("s3:ObjectCreated:Copy", True),
        ("ObjectCreated", True),
        ("ObjectCreatedNot:Put", False),
        ("objectremoved:Delete", False),
        ("Replication:OperationReplicatedAfterThreshold", False),
        ("ObjectRestore:Post", False),
        ("", False),
    ],
)
def test_only_creation_counts(name: str, created: bool) -> None:
    """Of S3's names, ``ObjectCreated`` alone starts anything; of the others, the key is not even looked at."""
    item = CreatedObject(ImageRef(s3_bucket="photos", s3_key="a.png"))
    event = notification(item, name)
    assert len(events.start_event(event).created) == created
    flat_one = flat(item) | {"eventName": name or "ObjectTagging:Put"}
    assert len(events.start_event(flat_one).created) == created
    if not created:
        event["Records"][0]["s3"] = None  # type: ignore[index]
        assert events.start_event(event) == StartEvent((), (name,), ())


@pytest.mark.parametrize(
    "happened",
    [
        {"detail-type": "Object Deleted"},
        {"detailType": "Object Restore Completed", "source": "aws.s3"},
        {"reason": "Lifecycle Expiration"},
        {"detail_type": "Object Created", "reason": "DeleteObject"},
        {"deletion-type": "Delete Marker Created"},
    ],
)
def test_a_transformer_may_say_what_happened(happened: dict[str, str]) -> None:
    """Under whichever name AWS gives it, a deletion that a transformer took over starts nothing; a creation does."""
    found = events.start_event({"bucket": "photos", "key": "a.png", **happened})
    assert (len(found.created), len(found.skipped), found.refused) == (0, 1, ())
    created = {"detail-type": "Object Created", "reason": "CopyObject", "deletion-type": ""}
    assert events.image_refs({"bucket": "photos", "key": "a.png", **created}) == (
        ImageRef(s3_bucket="photos", s3_key="a.png"),
    )


@pytest.mark.parametrize("prefix", ["", "object-", "s3-", "s3Object"])
def test_a_transformer_may_spell_names_as_it_likes(prefix: str) -> None:
    """Version and etag count however they are named: else another version might be read than was created."""
    told = {f"{prefix}key": "a.png", f"{prefix}versionId": "7", f"{prefix}etag": "e", f"{prefix}size": 1}
    (created,) = events.start_event({"Bucket-Name": "photos", **told}).created
    assert created == CreatedObject(ImageRef(s3_bucket="photos", s3_key="a.png", version_id="7", etag="e"), 1)


def test_an_empty_version_names_no_execution() -> None:
    """Where a bucket has no versions a transformer leaves them empty: an object that is written again starts again."""
    (created,) = events.start_event({**GOOD, "version_id": "", "etag": '""'}).created
    assert created == CreatedObject(ImageRef(**GOOD))
    assert created.name is None


def test_a_bare_detail_is_told_by_its_reason() -> None:
    """Where a rule passes the detail alone, its reason says whether the object was created."""
    item = CreatedObject(ImageRef(s3_bucket="photos", s3_key="a.png"))
    assert events.start_event(detail(item, "CompleteMultipartUpload")).created
    assert events.start_event(detail(item, "Lifecycle Expiration")).skipped == ("Lifecycle Expiration",)
    assert events.start_event({k: v for k, v in detail(item).items() if k != "reason"}).skipped == ("without a reason",)


@pytest.mark.parametrize("name", recorded_events("refused_"))
def test_other_services_are_refused_by_name(name: str) -> None:
    """What comes from elsewhere is one line that says what it is and what is read; it starts nothing."""
    begun: list[CreatedObject] = []
    with pytest.raises(EventError, match=r"^an? [A-Zs].* is not supported: send an S3 notification, ") as caught:
        steps.start_image_classification([recorded_event(name)], begun.append)
    told = name.removeprefix("refused_").removeprefix("sns_").removeprefix("sqs_")
    word = {"function_url": "function URL", "cloudtrail": "via CloudTrail", "confirmation": "SNS subscription"}
    assert word.get(told, told.split("_")[0]).lower() in str(caught.value).lower()
    assert begun == []
    assert "\n" not in str(caught.value)


ENVELOPE_FIELDS = ("Records", "body", "Payload", "Sns", "Message", "Type", "messageId", "eventSource", "source")
OBJECT_FIELDS = ("s3", "detail", "eventName", "detail-type", "bucket", "object", "key", "name", "s3_bucket", "s3_key")
FIELDS = st.sampled_from([*ENVELOPE_FIELDS, *OBJECT_FIELDS, "Event", "reason", "versionId", "version-id", "etag"])
VALUES = st.sampled_from(["aws:sqs", "aws:s3", "aws.s3", "Notification", "ObjectCreated:Put", "Object Created", "%ff"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(document=JSON)
def test_no_document_raises_anything_else(document: object) -> None:
    """Any JSON is read, or refused by our own error in one line: in a batch, it is that message's failure alone."""
    try:
        events.image_refs(document)
    except EventError as exc:
        assert str(exc).isprintable()
    begun: list[CreatedObject] = []
    started = steps.start_image_classification(sqs_event(document, GOOD), begun.append)
    assert begun[-1] == CreatedObject(ImageRef(**GOOD))
    assert set(started.failures) <= {"00000000-0000-4000-8000-000000000001"}


@settings(max_examples=100, deadline=None)
@given(record=JSON, place=st.integers(0, 2))
def test_one_poisoned_record_leaves_the_others(record: object, place: int) -> None:
    """Any JSON as a record of a batch leaves the other messages started and deleted, or the whole batch comes again."""
    begun: list[CreatedObject] = []
    batch: Any = sqs_event(GOOD, GOOD)
    batch["Records"].insert(place, record)
    started = steps.start_image_classification(batch, begun.append)
    assert begun.count(CreatedObject(ImageRef(**GOOD))) >= 2
    assert not {item["messageId"] for item in sqs_event(1, 2)["Records"]} & set(started.failures)  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [None, True, 7, [], {}, "", "7", "null", '"text"', "[" * 5_000, '{"body":' * 5_000])
def test_a_body_of_any_kind_is_its_message_s_failure(body: object) -> None:
    """Numbers, nothing, and documents thousands of levels deep are named by their message; the others start."""
    batch: Any = sqs_event(GOOD, GOOD)
    batch["Records"][0]["body"] = body
    begun: list[CreatedObject] = []
    started = steps.start_image_classification(batch, begun.append)
    assert begun == [CreatedObject(ImageRef(**GOOD))]
    assert list(started.failures) == ([] if body == [] else ["00000000-0000-4000-8000-000000000001"])


@pytest.mark.parametrize("message_id", [None, "", ["m"], {"a": 1}, 7, "m" * 101, "a\nb", "\ud800"])
def test_a_failure_without_an_id_brings_the_batch_again(message_id: object) -> None:
    """What cannot be named is an empty identifier: Lambda then sends the whole batch again, and nothing is lost."""
    batch: Any = sqs_event("not JSON", GOOD)
    batch["Records"][0]["messageId"] = message_id
    begun: list[CreatedObject] = []
    started = steps.start_image_classification(batch, begun.append)
    assert begun == [CreatedObject(ImageRef(**GOOD))]
    assert started.to_event() == {"batchItemFailures": [{"itemIdentifier": ""}]}
    batch["Records"][0]["body"] = json.dumps(GOOD)  # what succeeds needs no name
    assert steps.start_image_classification(batch, begun.append).to_event() == {"batchItemFailures": []}


def test_messages_of_one_id_are_all_read() -> None:
    """Two messages that bear the same id are both started; the failure of one is reported once."""
    batch: Any = sqs_event(GOOD, "not JSON", GOOD)
    for record in batch["Records"]:
        record["messageId"] = "same"
    begun: list[CreatedObject] = []
    started = steps.start_image_classification(batch, begun.append)
    assert (len(begun), started.images, list(started.failures)) == (2, 2, ["same"])


@pytest.mark.parametrize("error", [ValueError("odd"), RecursionError(), MemoryError(), EventError("ours")])
def test_whatever_starting_raises_is_one_message_s_failure(error: Exception) -> None:
    """An image whose execution cannot be started, for any reason, brings its message again and no other."""
    begun: list[str] = []

    def start(image: CreatedObject) -> None:
        if image.ref.s3_key == "bad.png":
            raise error
        begun.append(image.ref.s3_key)

    both = [GOOD | {"s3_key": "bad.png"}, GOOD]
    started = steps.start_image_classification(sqs_event(both, GOOD), start)
    assert (begun, started.images) == (["good.png", "good.png"], 2)
    assert list(started.failures.values()) == [f"{type(error).__name__}: {error}"]
    with pytest.raises(type(error)):
        steps.start_image_classification(both, start)
    assert begun == ["good.png"] * 3


def test_a_list_of_pipes_is_answered_message_by_message() -> None:
    """EventBridge Pipes sends a queue's messages as a list, and reads the same partial answer."""
    records = sqs_event("not JSON", GOOD)["Records"]
    begun: list[CreatedObject] = []
    answer = steps.start_image_classification(records, begun.append).to_event()
    assert answer == {"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000001"}]}
    assert begun == [CreatedObject(ImageRef(**GOOD))]


@pytest.mark.parametrize("name", ["start_s3_notification", "start_eventbridge", "start_sqs_sns"])
def test_size_and_sequencer_are_kept(name: str) -> None:
    """Beside the object and its version, its size and S3's order of events are there for who needs them."""
    (found,) = events.start_event(recorded_event(name)).created
    assert found.size == 2346
    assert found.sequencer in ("0055AED6DCD90281E5", "617f08299329d189")


@pytest.mark.parametrize("key", ["%ff.png", "a%c3.png", "%ed%a0%80"])
def test_a_key_that_is_no_utf_8_is_refused(key: str) -> None:
    """S3's keys are UTF-8: what decodes to something else is refused, and no other key is taken for it."""
    event = {"Records": [{"s3": {"bucket": {"name": "photos"}, "object": {"key": key}}}]}
    with pytest.raises(EventError, match="is not form-encoded UTF-8"):
        events.image_refs(event)


NONSENSE = {
    "brackets": "[" * MESSAGE_BYTES,
    "objects": "[" + "{}," * (MESSAGE_BYTES // 3 - 2) + "{}]",
    "escaped quotes": '["' + '\\"' * (MESSAGE_BYTES // 2 - 4) + '\n"]',
    "bad escape": '["' + '\\"' * (MESSAGE_BYTES // 2 - 4) + '\\q"]',
    "digits": "1" * MESSAGE_BYTES,
    "keys": json.dumps(dict.fromkeys(map(str, range(80_000)))),
    "key": json.dumps({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "%ff" * 340_000}}}]}),
    "too long": " " * (MESSAGE_BYTES + 1),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_megabyte_of_nonsense_costs_little(kind: str) -> None:
    """The largest message that SQS takes is refused within a fraction of a second, in a short line."""
    began = time.process_time()
    (reason,) = events.start_event(sqs_event(NONSENSE[kind])).refused
    assert time.process_time() - began < 2
    assert len(reason) < 500


@pytest.mark.parametrize("depth", [4, 100, 900])
def test_lists_in_lists_come_to_an_end(depth: int) -> None:
    """However deep an event is that a caller hands over parsed, it is refused in one line."""
    for wrap in (lambda event: [event], lambda event: {"Records": [event]}, lambda event: {"body": event}):
        event: Any = GOOD
        for _ in range(depth):
            event = wrap(event)
        with pytest.raises(EventError, match="the event has more than"):
            events.image_refs(event)
        with pytest.raises(EventError):
            events.classified_image({"body": {"x": event}})


def test_more_records_than_a_batch_holds_are_refused() -> None:
    """An event of more records than any service sends is refused unread."""
    with pytest.raises(EventError, match=f"has 10001 records: a batch has at most {QUEUE_BATCH_MESSAGES}"):
        events.image_refs([GOOD] * (QUEUE_BATCH_MESSAGES + 1))
