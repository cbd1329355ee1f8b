"""What starts the workflow and what travels between its states."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scones_ml import events
from scones_ml.errors import ConfigurationError, EventError
from scones_ml.events import ClassifiedImage, ImageRef, SerializedImage
from scones_ml.testing import recorded_event, recorded_events

BUCKET, KEY = "scones-input", "test/bicycle_s_000513.png"
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@pytest.mark.parametrize(
    "name", ["start_direct", "start_course", "start_course_body", "start_eventbridge", "start_bucket_and_key"]
)
def test_start_events_name_the_image(name: str) -> None:
    """Direct, course and EventBridge events all name the same object."""
    ref = events.image_ref(recorded_event(name))
    assert (ref.s3_bucket, ref.s3_key) == (BUCKET, KEY)


def test_eventbridge_carries_the_version() -> None:
    """EventBridge's version id and etag are kept, so that a replaced object is noticed."""
    ref = events.image_ref(recorded_event("start_eventbridge"))
    assert ref.version_id == "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"
    assert ref.etag == "b1946ac92492d2347c6235b4d2611184"


@pytest.mark.parametrize("name", ["start_s3_notification", "start_sqs", "start_sns", "start_sqs_sns"])
def test_notification_keys_are_decoded_once(name: str) -> None:
    """S3 form-encodes keys in notifications, also inside SQS messages; they are decoded exactly once."""
    assert events.image_ref(recorded_event(name)).s3_key == "test/my photo+1.png"


@given(KEYS)
def test_every_key_survives_a_notification(key: str) -> None:
    """Whatever a key holds, form-encoding by S3 and decoding here give it back."""
    s3 = {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key)}}
    assert events.image_ref({"Records": [{"s3": s3}]}).s3_key == key


@given(KEYS)
def test_direct_and_eventbridge_keys_are_never_decoded(key: str) -> None:
    """A key that happens to look encoded (``a%20b+c``) is taken as it is."""
    assert events.image_ref({"s3_bucket": BUCKET, "s3_key": key}).s3_key == key
    event = {"detail": {"bucket": {"name": BUCKET}, "object": {"key": key}}}
    assert events.image_ref(event).s3_key == key


@given(KEYS)
def test_a_uri_gives_back_bucket_and_key(key: str) -> None:
    """Whatever a key holds, slashes in front included, the URI of an object gives back its bucket and its key."""
    uri = events.object_uri(BUCKET, key)
    assert events.parse_uri(uri) == events.parse_object_uri(uri) == (BUCKET, key)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/"])
def test_a_bucket_alone_is_a_prefix_and_no_object(uri: str) -> None:
    """A bucket without a key is the prefix of all that it holds, and refused where an object is needed."""
    assert events.parse_uri(uri) == ("bucket", "")
    with pytest.raises(ConfigurationError, match=f"^--model: '{uri}' has no key: give s3://bucket/key$"):
        events.parse_object_uri(uri, "--model")


@pytest.mark.parametrize("uri", ["", "bucket/key", "/tmp/photos", "s3:/bucket/key", "https://bucket/key", "s3:///key"])
def test_what_is_no_s3_uri_is_refused_by_name(uri: str) -> None:
    """Anything but ``s3://`` and a bucket is one line with the option that holds it, and the form that it needs."""
    with pytest.raises(ConfigurationError, match=f"^--objects: '{uri}' is not s3://bucket/prefix$"):
        events.parse_uri(uri, "--objects")
    with pytest.raises(ConfigurationError, match=f"^'{uri}' is not s3://bucket/prefix$"):
        events.parse_object_uri(uri)


def test_test_event_names_no_image() -> None:
    """The s3:TestEvent that S3 sends when a notification is set up is not work."""
    assert events.image_refs(recorded_event("start_s3_test")) == ()


def test_two_images_in_one_start_event_are_refused() -> None:
    """One execution handles one image: a batch of two says so."""
    record = recorded_event("start_s3_notification")["Records"]
    assert isinstance(record, list)
    with pytest.raises(EventError, match="names 2 images"):
        events.image_ref({"Records": record * 2})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({}, "names no image"),
        ({"s3_bucket": BUCKET}, "s3_key: Field required"),
        ({"s3_bucket": BUCKET, "s3_key": 7}, "s3_key: Input should be a valid string"),
        ({"s3_bucket": BUCKET, "s3_key": ""}, "s3_key: String should have at least 1 character"),
        ({"s3_bucket": BUCKET, "s3_key": KEY, "s3_kee": KEY}, "unknown field s3_kee"),
        ({"bucket": "b", "key": 7}, "bucket and key: s3_key: Input should be a valid string"),
        ({"bucket": "b"}, "names no image"),
        ({"body": "not json"}, "body is a string that is not JSON"),
        ({"body": "[1]"}, "JSON int where an object is expected"),
        ({"Records": [3]}, "JSON int where an object is expected"),
        ({"Records": [{"s3": {}}]}, "an S3 notification: s3_bucket: Input should be a valid string"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "an SQS message without a body is not supported"),
        ({"detail": {}}, "names no image"),
        ({"detail-type": "Object Created"}, "EventBridge's 'Object Created': s3_bucket"),
    ],
)
def test_wrong_start_events_are_named(event: Mapping[str, object], words: str) -> None:
    """A start event that fits no shape fails with one line that names the field."""
    with pytest.raises(EventError, match=words) as caught:
        events.image_ref(event)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", recorded_events("serialized_"))
def test_course_shapes_of_a_serialized_image(name: str) -> None:
    """Every shape in which the course hands an image on is read."""
    image = events.serialized_image(recorded_event(name))
    assert (image.s3_bucket, image.s3_key, image.image_data) == (BUCKET, KEY, "iVBORw0KGgo=")
    assert image.image_id == events.image_id(BUCKET, KEY, None)


@pytest.mark.parametrize("name", recorded_events("classified_"))
def test_course_shapes_of_a_classified_image(name: str) -> None:
    """Every shape in which the course hands inferences on is read, also as a string and without the object's name."""
    image = events.classified_image(recorded_event(name))
    assert image.inferences == (0.9678, 0.0322)
    assert (image.confidence, image.label) == (0.9678, "0")
    assert len(image.image_id) == 40


def test_own_events_round_trip() -> None:
    """What a step writes is what the next one reads."""
    ref = ImageRef(s3_bucket=BUCKET, s3_key=KEY, etag="abc")
    serialized = SerializedImage(**ref.model_dump(), image_id=ref.image_id, image_data="aGk=")
    assert events.serialized_image(serialized.to_event()) == serialized
    classified = ClassifiedImage(
        **ref.model_dump(), image_id=ref.image_id, inferences=(0.25, 0.75), label="motorcycle", confidence=0.75
    )
    assert events.classified_image(classified.to_event()) == classified


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.1, 1.1])
def test_inferences_outside_0_to_1_are_refused(number: float) -> None:
    """NaN, infinity and numbers outside 0..1 never reach the filter."""
    with pytest.raises(EventError, match="inferences"):
        events.classified_image({"s3_bucket": BUCKET, "s3_key": KEY, "inferences": [number, 0.5]})


@pytest.mark.parametrize("inferences", [None, [], "", "[", ["a", "b"], {"a": 1}])
def test_missing_inferences_are_refused(inferences: object) -> None:
    """An event without a list of numbers is an EventError."""
    with pytest.raises(EventError):
        events.classified_image({"s3_bucket": BUCKET, "s3_key": KEY, "inferences": inferences})


def test_models_are_frozen_and_strict() -> None:
    """Our own models refuse unknown fields and changes."""
    ref = ImageRef(s3_bucket=BUCKET, s3_key=KEY)
    with pytest.raises(ValidationError, match="frozen"):
        ref.s3_key = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        ImageRef(s3_bucket=BUCKET, s3_key=KEY, colour="red")  # type: ignore[call-arg]


@given(KEYS, KEYS, st.one_of(st.none(), KEYS))
def test_image_id_is_an_execution_name(bucket: str, key: str, version: str | None) -> None:
    """The identity is 40 hex digits, whatever the key: a valid execution name and InferenceId."""
    name = events.image_id(bucket, key, version)
    assert len(name) == 40
    assert set(name) <= set("0123456789abcdef")


@given(KEYS, KEYS)
def test_image_id_tells_versions_and_buckets_apart(first: str, second: str) -> None:
    """Bucket, key and version never run into each other."""
    ids = {
        events.image_id(first, second, None),
        events.image_id(first + second, "", None),
        events.image_id(first, "", second),
    }
    assert len(ids) == 3


def test_long_names_are_shortened_in_messages() -> None:
    """An event's keys may be of any length; the line that names them is not."""
    for event in ({"k" * 50_000: 1}, {"s3_bucket": "b", "s3_key": "k", "k" * 50_000: 1}):
        with pytest.raises(EventError, match="k" * 40) as caught:
            events.image_refs(event)
        assert len(str(caught.value)) < 400
