"""The pass over captures: what is counted, what is left out, what is joined."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from scones_ml.captures import Capture, Payload, Skipped, read_captures
from scones_ml.errors import ConfigurationError, InvalidImageError
from scones_ml.events import ImageRef
from scones_ml.monitoring import MonitorRequest, Reference, make_reference, monitor, read_reference, write_reference
from scones_ml.monitoring.image_figures import measure, measure_pixels
from scones_ml.monitoring.page import render_page
from scones_ml.monitoring.timeline import Timeline
from scones_ml.settings import ImagePolicy

START = datetime(2026, 11, 1, tzinfo=UTC)


def png(brightness: int = 128, side: int = 32, seed: int = 0) -> bytes:
    """A noisy grey image."""
    noise = np.random.default_rng(seed).normal(brightness, 30, (side, side, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def capture(answer: object = (0.25, 0.75), minutes: float = 0.0, image: bytes = b"", latency: str = "") -> Capture:
    return Capture(
        "e",
        START + timedelta(minutes=minutes),
        Payload("image/png", image),
        Payload("application/json", json.dumps(answer).encode()),
        f"id-{minutes}",
        (f"latency_ms={latency}",) if latency else (),
    )


def make(images: int = 80, brightness: int = 128) -> Reference:
    """A reference of a model that is 60 to 95 % sure, and as often right."""
    generator = np.random.default_rng(4)
    sure = generator.uniform(0.6, 0.95, images)
    answer = generator.integers(0, 2, images)
    labels = np.where(generator.random(images) < sure, answer, 1 - answer)
    probabilities = np.where(answer[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    pictures = [png(brightness + n % 20, seed=n) for n in range(images)]
    return make_reference(
        probabilities, labels, ("bicycle", "motorcycle"), pictures, image_size=32, threshold=0.8, dataset_hash="ab"
    )


def stream(count: int, brightness: int = 128) -> Iterator[Capture]:
    """Requests like the reference's, one a minute."""
    generator = np.random.default_rng(9)
    for n in range(count):
        sure = float(generator.uniform(0.6, 0.95))
        answer = (sure, 1 - sure) if generator.integers(2) else (1 - sure, sure)
        yield capture(answer, n, png(brightness + n % 20, seed=1000 + n))


def test_the_real_captures_are_counted_whole(test_data: Path) -> None:
    """All 23 real records, eight of them below the course's threshold of .93, over one year."""
    found = monitor(read_captures(test_data / "captured"), MonitorRequest(threshold=0.93))
    assert (found.records, found.skipped, found.answered, found.reviews) == (23, 0, 23, 8)
    assert [row.count for row in found.classes] == [10, 13]
    assert (found.first.year, found.last.year) == (2024, 2025)
    assert sum(span.records for span in found.spans) == 23
    assert len(found.spans) <= 60


def test_every_line_is_accounted_for() -> None:
    """Broken lines, earlier records, answers that are none and those of others are counted apart, with reasons."""
    rows: list[Capture | Skipped] = [
        capture(minutes=5),
        capture(minutes=6),
        Skipped(7, "cut off", "a.jsonl"),
        capture("no numbers", 7),
        capture([0.9, 0.9], 8),
        capture([float("nan"), 1.0], 8),
        capture([0.2, 0.3, 0.5], 9),
        capture(minutes=1),
    ]
    request = MonitorRequest(labels=("bicycle", "motorcycle"), since=START + timedelta(minutes=5))
    found = monitor(rows, request)
    assert (found.records, found.answered, found.skipped, found.earlier) == (5, 2, 1, 1)
    assert found.unanswered == {
        "the answer is not a list of numbers": 1,
        "the answer is not a probability vector": 2,
    }
    assert found.other_models == {"a model whose answer has 3 classes": 1}
    document = json.loads(json.dumps(found.to_json()))
    assert (document["records"], document["other_models"]) == (5, dict(found.other_models))
    assert document["skipped_lines"] == [{"line": 7, "reason": "cut off", "file": "a.jsonl"}]
    assert document["drift"] is None


def test_unlike_images_are_counted_and_never_pass() -> None:
    """Unlike images are counted with an interval and go to review at any threshold; drift is tested as usual."""
    rows = [capture([0.5 + 2**-15, 0.5 - 2**-15] if n % 4 == 0 else [0.1, 0.9], n, png(seed=n)) for n in range(40)]
    found = monitor(rows, MonitorRequest(reference=make(), threshold=0.3))
    assert (found.unlikes, found.reviews, found.answered) == (10, 10, 40)
    assert found.unlike.low < 0.25 == found.unlike.value < found.unlike.high
    document = json.loads(json.dumps(found.to_json()))
    assert document["unlike"] == {"count": 10, "share": found.unlike.to_json()}
    assert found.drift is not None
    assert {"confidence"} <= {figure.name for figure in found.drift.figures}
    assert "10 images (25.0\u00a0%; " in render_page(found, START)
    plain = monitor([capture([0.1, 0.9], n, png(seed=n)) for n in range(4)], MonitorRequest(threshold=0.3))
    assert (plain.unlikes, plain.reviews) == (0, 0)
    assert "unlike" not in render_page(plain, START)


def test_unlike_images_drift() -> None:
    """A stream that turns unlike the training images raises the alarm of the confidence."""
    rows = [*stream(400), *(capture([0.5, 0.5], 400 + n, png(128 + n % 20, seed=n)) for n in range(400))]
    found = monitor(rows, MonitorRequest(reference=make(400)))
    assert found.drift is not None
    assert "confidence" in {figure.name for figure in found.drift.figures if figure.first_alarm}


def test_review_rate_latency_and_classes() -> None:
    """Predictions below the threshold go to review; latency is reported if records contain it."""
    rows = [capture([1 - sure, sure], n, latency=str(10 + n)) for n, sure in enumerate((0.6, 0.7, 0.9, 0.95))]
    found = monitor([*rows, capture(minutes=9)], MonitorRequest(threshold=0.9))
    assert (found.reviews, found.answered) == (3, 5)
    assert found.labels == ("class 0", "class 1")
    assert found.latency is not None
    assert found.latency.count == 4
    assert found.latency.median == pytest.approx(11, rel=0.03)


def test_captures_are_joined_to_their_objects() -> None:
    """An InferenceId that is known names the image's object among the least sure answers."""
    ref = ImageRef(s3_bucket="in", s3_key="a.png", etag="e")
    row = Capture("e", START, Payload("", b""), Payload("", b"[0.5, 0.5]"), ref.image_id)
    found = monitor([row, capture()], MonitorRequest(objects={ref.image_id: ref}))
    assert found.joined == 1
    assert [entry.object for entry in found.doubtful] == ["s3://in/a.png", None]


@pytest.mark.parametrize(
    ("rows", "request_", "message"),
    [
        ([], MonitorRequest(), "the files are empty"),
        ([Skipped(1, "cut off", "a.jsonl")], MonitorRequest(), "a.jsonl:1: cut off"),
        ([capture("x")], MonitorRequest(), "none of 1 records has a usable answer"),
        ([capture([0.2, 0.3, 0.5])], MonitorRequest(labels=("a", "b")), "has 3 classes; expected are a, b"),
        ([capture()], MonitorRequest(since=START + timedelta(days=1)), "all 1 records are from before --since"),
        ([capture()], MonitorRequest(level=0.0), "false-alarm probability 0.0"),
    ],
)
def test_nothing_to_look_at_is_one_clear_line(
    rows: list[Capture | Skipped], request_: MonitorRequest, message: str
) -> None:
    """No record, no answer, other classes, nothing recent: each is named."""
    with pytest.raises(ConfigurationError, match=message.replace(".", r"\.")):
        monitor(rows, request_)


def test_a_reference_of_other_classes_is_refused() -> None:
    """Model and reference must know the same classes in the same order."""
    with pytest.raises(ConfigurationError, match="the reference has other classes: bicycle, motorcycle"):
        monitor([], MonitorRequest(labels=("motorcycle", "bicycle"), reference=make(20)))


def test_a_stream_like_the_reference_raises_no_alarm_and_a_darker_one_does() -> None:
    """From captured bytes to the alarm: brightness is named, threshold and labels come from the reference."""
    reference = make()
    calm = monitor(stream(400), MonitorRequest(reference=reference))
    assert calm.drift is not None
    assert not calm.drift.alarm
    assert calm.labels == ("bicycle", "motorcycle")
    assert calm.threshold == 0.8
    dark = monitor(stream(400, brightness=90), MonitorRequest(reference=reference))
    assert dark.drift is not None
    alarms = [figure.name for figure in dark.drift.figures if figure.first_alarm]
    assert "brightness" in alarms
    assert "confidence" not in alarms
    assert dark.accuracy is not None
    assert dark.accuracy.labels == 80


def test_broken_and_missing_images_do_not_stop_it() -> None:
    """Bytes that are no image are counted; records of answers alone have none to measure."""
    rows = [capture(minutes=1, image=b"\x89PNG rubbish"), capture(minutes=2), capture(minutes=3, image=png())]
    found = monitor(rows, MonitorRequest(reference=make(20)))
    assert found.drift is not None
    assert (found.drift.measured, found.drift.unreadable) == (2, 1)


def test_a_reference_is_kept_in_a_file(tmp_path: Path) -> None:
    """Written and read back it is the same, a few kilobytes, without an image in it."""
    reference, path = make(), tmp_path / "a" / "reference.json"
    write_reference(reference, path)
    assert read_reference(path) == reference
    assert path.stat().st_size < 20_000
    assert json.loads(path.read_text())["images"] == 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "two"}, "unknown format 'two'"),
        ({"images": 7}, "is not a reference: .*7 images"),
        ({"predicted": [1]}, "is not a reference: .*2 classes"),
        ({"right": {"500": 1}}, "is not a reference: .*more right predictions"),
        ({"pictures": {}}, "is not a reference: .*the image figures must be brightness"),
        ({"confidence": {"900": 80}}, "is not a reference: .*confidence"),
        ({"pictures": {"brightness": {"1": 10**300}}}, "is not a reference: .*pictures"),
        ({"image_size": 30_000}, "is not a reference: image_size"),
    ],
)
def test_a_broken_reference_is_one_clear_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Whatever is wrong with the file, the message names the file and the field."""
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(make().model_dump(mode="json") | change))
    with pytest.raises(ConfigurationError, match=rf"reference\.json:? {message}"):
        read_reference(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"images": 1e999}', '{"images": ' + "9" * 5_000 + "}", "\x00"]
)
def test_a_reference_that_is_no_json_says_the_remedy(tmp_path: Path, text: str) -> None:
    """A file that is no JSON is one line with the command that makes another; a device is not read."""
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"^{path} is not a reference: it .*--save-reference {path}$"):
        read_reference(path)
    with pytest.raises(ConfigurationError, match="/dev/zero is not a reference: it is not a regular file"):
        read_reference(Path("/dev/zero"))


def test_a_missing_reference_says_how_to_make_one(tmp_path: Path) -> None:
    """The remedy is the command that stores one."""
    with pytest.raises(ConfigurationError, match="--save-reference"):
        read_reference(tmp_path / "none.json")


def test_memory_does_not_grow_with_the_stream() -> None:
    """Four times the records take no more memory: nothing is kept for each."""

    def peak(count: int) -> int:
        tracemalloc.start()
        monitor(
            (capture([0.3, 0.7], minutes=n * 7, image=bytes(2000)) for n in range(count)),
            MonitorRequest(threshold=0.8),
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(300)
    assert peak(12_000) < 1.2 * peak(3000)


def test_spans_add_up_however_they_were_widened() -> None:
    """Answers of a second, a day and a decade, in any order: at most 60 spans, no answer lost."""
    generator = np.random.default_rng(0)
    timeline = Timeline(0.9)
    total = below = 0
    for size in (1.0, 86_400.0, 3e8):
        confidence = generator.uniform(0.5, 1.0, 500)
        timeline.add(START.timestamp() + generator.uniform(0, size, 500), confidence)
        total, below = total + 500, below + int((confidence < 0.9).sum())
        spans = timeline.spans()
        assert len(spans) <= 60
        assert sum(span.records for span in spans) == total
        assert sum(span.below or 0 for span in spans) == below
        assert all(one.end <= other.start for one, other in pairwise(spans))


def test_times_at_the_ends_of_the_calendar_are_taken() -> None:
    """Records of the years 1 and 9999 are odd, but no reason to stop."""
    rows = [
        Capture("e", time.replace(tzinfo=UTC), Payload("", b""), Payload("", b"[0.5, 0.5]"))
        for time in (datetime.min, datetime.max)
    ]
    found = monitor(rows, MonitorRequest())
    assert (found.first.year, found.last.year) == (1, 9999)


READING = ImagePolicy(image_size=32)


def test_images_are_measured_as_the_model_sees_them() -> None:
    """Darker, flatter, blurred and smaller images move their own figure the right way."""
    picture = Image.open(io.BytesIO(png(128, side=64)))

    def measured(image: Image.Image) -> tuple[float, float, float, float]:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        brightness, contrast, sharpness, size = measure([buffer.getvalue()], READING)[0]
        return brightness, contrast, sharpness, size

    plain = measured(picture)
    assert plain[3] == 32
    assert measured(picture.point(lambda value: value // 2))[0] == pytest.approx(plain[0] / 2, abs=1)
    assert measured(picture.filter(ImageFilter.GaussianBlur(3)))[2] < plain[2] / 4
    assert measured(picture.resize((16, 16)))[3] == 16
    assert measured(picture.resize((64, 8)))[3] == 16
    flat = np.full((32, 32, 3), 7, np.uint8)
    assert measure_pixels(flat[None])[0] == pytest.approx((7.0, 0.0, 0.0), abs=1e-3)
    assert np.isnan(measure([b"no image"], READING)).all()
    with pytest.raises(InvalidImageError, match="1 images of the reference"):
        make_reference([[0.5, 0.5]], [0], ("a", "b"), [b"no image"], image_size=32)


MODELS = tuple(f"sha256:{number:064x}" for number in range(12))


def answered(model: str | None, classes: int, minutes: float) -> Capture:
    """A record of a model that says itself, or does not."""
    said = () if model is None else (f"model={model}",)
    return replace(capture([1 / classes] * classes, minutes), custom_attributes=said)


@given(st.lists(st.tuples(st.sampled_from((None, *MODELS)), st.integers(2, 4)), min_size=1, max_size=60))
def test_models_are_told_apart_and_every_record_is_counted(stream: list[tuple[str | None, int]]) -> None:
    """Whatever models answered in whatever order, the last one's records are shown, and the others are counted."""
    rows = [answered(model, classes, minutes) for minutes, (model, classes) in enumerate(stream)]
    found = monitor(rows, MonitorRequest())
    model, classes = stream[-1]
    assert len(found.labels) == classes
    assert found.records == found.answered
    assert found.answered + sum(found.other_models.values()) == len(rows)
    if len(set(stream)) <= 4:
        assert found.answered == stream.count((model, classes))
    assert len(found.other_models) <= 21


@given(st.lists(st.sampled_from((None, *MODELS[:3])), min_size=1, max_size=40), st.booleans())
def test_a_models_own_records_and_those_that_say_none_count(stream: list[str | None], every: bool) -> None:
    """With a model named, records of another are left out, unless all are wanted; those that say none are taken."""
    rows = [answered(model, 2, minutes) for minutes, model in enumerate((*stream, None))]
    found = monitor(rows, MonitorRequest(("bicycle", "motorcycle"), model=MODELS[0], all_models=every))
    others = 0 if every else sum(model in MODELS[1:] for model in stream)
    assert (found.answered, sum(found.other_models.values())) == (len(rows) - others, others)


def test_nothing_of_the_model_is_one_clear_line() -> None:
    """Where every record is of another model, the message says so, which, and what helps."""
    rows = [answered(MODELS[1], 2, minute) for minute in range(3)]
    request = MonitorRequest(("bicycle", "motorcycle"), model=MODELS[0])
    with pytest.raises(ConfigurationError, match=rf"none of 3 records .* 3 are of {MODELS[1]}; expected .* or --all"):
        monitor(rows, request)


def test_the_size_of_normalised_images_raises_no_alarm() -> None:
    """The workflow's squares hide their sources' sizes and raise no alarm; the sizes of clients' files are compared."""

    def image(side: int, seed: int) -> bytes:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(png(seed=seed))).resize((side, side)).save(buffer, "PNG")
        return buffer.getvalue()

    sizes = np.random.default_rng(5).choice([24, 40], 300)
    reference = make_reference(
        [[0.9, 0.1]] * 300,
        [0] * 300,
        ("bicycle", "motorcycle"),
        [image(side, n) for n, side in enumerate(sizes)],
        image_size=32,
    )

    def alarm(sides: list[int]) -> bool:
        made = {side: image(side, 1) for side in set(sides)}
        rows = [capture((0.9, 0.1), n, made[side]) for n, side in enumerate(sides)]
        drift = monitor(rows, MonitorRequest(reference=reference)).drift
        assert drift is not None
        return {figure.name: figure.first_alarm for figure in drift.figures}["size"] is not None

    assert not alarm([32] * 300)
    assert alarm([24] * 300)
    assert alarm([40] * 300)
