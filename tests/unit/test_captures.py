"""SageMaker data capture: reader and writer."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scones_ml import captures
from scones_ml.captures import (
    Capture,
    CaptureWriter,
    Payload,
    Skipped,
    capture_key,
    objects_by_inference_id,
    parse_captures,
    read_captures,
)
from scones_ml.errors import ConfigurationError
from scones_ml.events import ImageRef
from scones_ml.local.store import DirectoryObjectStore

NOW = datetime(2026, 11, 23, 9, 5, 7, 42_000, tzinfo=UTC)


def capture(data: bytes = b"\x89PNG", answer: bytes = b"[0.75, 0.25]", inference_id: str | None = "id-1") -> Capture:
    return Capture(
        "e1", NOW.replace(microsecond=0), Payload("image/png", data), Payload("application/json", answer), inference_id
    )


def read(path: Path) -> list[Capture | Skipped]:
    return list(read_captures(path))


def test_real_captures_are_read_whole(test_data: Path) -> None:
    """All 23 records of the 13 real files are read, also where a file holds more than one."""
    files = sorted((test_data / "captured").glob("*.jsonl"))
    rows = [row for file in files for row in read(file)]
    assert (len(files), len(rows)) == (13, 23)
    for row in rows:
        assert isinstance(row, Capture)
        assert row.input.data.startswith(b"\x89PNG")
        probabilities = row.probabilities()
        assert probabilities is not None
        assert sum(probabilities) == pytest.approx(1, abs=1e-3)


def test_what_is_written_has_the_keys_of_real_captures(test_data: Path, tmp_path: Path) -> None:
    """A record of ours has the fields, the order and the encodings of a real one."""
    real = json.loads(next((test_data / "captured").glob("*.jsonl")).read_text().splitlines()[0])
    ours = json.loads(CaptureWriter(tmp_path, "bikes").write(capture(inference_id=None), NOW).read_text())

    def shape(node: object) -> object:
        return {key: shape(value) for key, value in node.items()} if isinstance(node, dict) else type(node)

    assert shape(ours) == shape(real)
    assert json.dumps(shape(ours), default=str) == json.dumps(shape(real), default=str)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.text(max_size=50), st.one_of(st.none(), st.text(max_size=60)))
def test_records_round_trip(tmp_path: Path, data: bytes, answer: str, inference_id: str | None) -> None:
    """Whatever bytes and text a request held, they come back from its record."""
    written = capture(data, answer.encode(errors="ignore"), inference_id)
    path = CaptureWriter(tmp_path, "bikes").write(written, NOW)
    assert read(path)[-1] == written


def test_what_took_a_files_place_is_left_alone(tmp_path: Path) -> None:
    """A link is not followed and a pipe not waited for: the record is refused, and written once there is room again."""
    writer, elsewhere = CaptureWriter(tmp_path / "captures", "bikes"), tmp_path / "elsewhere"
    file = writer.write(capture(), NOW)
    for put in (lambda: file.symlink_to(elsewhere), lambda: os.mkfifo(file), file.mkdir):
        file.unlink()
        put()
        with pytest.raises(OSError, match=re.escape(file.name)):
            writer.write(capture(), NOW)
        file.rmdir() if file.is_dir() else file.unlink()
        assert len(read(writer.write(capture(), NOW))) == 1
    assert not elsewhere.exists()


def test_files_are_named_and_rotated_by_the_hour(tmp_path: Path) -> None:
    """Records of one hour share a file named after the first; the next hour starts another."""
    writer = CaptureWriter(tmp_path, "bikes")
    first = writer.write(capture(), NOW)
    assert first.relative_to(tmp_path).as_posix().startswith("bikes/AllTraffic/2026/11/23/09/05-07-042-")
    assert writer.write(capture(), NOW.replace(minute=59)) == first
    assert writer.write(capture(), NOW.replace(hour=10)) != first
    assert len(read(first)) == 2


def test_two_files_never_share_a_name() -> None:
    """The UUID keeps files of the same millisecond apart."""
    assert capture_key("bikes", NOW) != capture_key("bikes", NOW)


def test_broken_lines_are_reported() -> None:
    """A cut-off last line, a record without its answer and a foreign one are skipped with number and reason."""
    sides = {
        "endpointInput": {"data": "aGk=", "encoding": "BASE64"},
        "endpointOutput": {"data": "[1]", "encoding": "JSON"},
    }
    metadata = {"eventId": "e", "inferenceTime": "2024-10-15T14:05:12Z"}
    good = json.dumps({"captureData": sides, "eventMetadata": metadata})
    rows = list(parse_captures([good, "", good[:80], '{"captureData": {}, "eventMetadata": {}}', "[]"]))
    assert isinstance(rows[0], Capture)
    skipped = [row for row in rows if isinstance(row, Skipped)]
    assert [row.line for row in skipped] == [3, 4, 5]
    assert all(row.reason for row in skipped)


def test_answers_that_are_no_numbers_give_none() -> None:
    """A text answer has no probabilities."""
    assert capture(answer=b"not json").probabilities() is None
    assert capture(answer=b'{"a": 1}').probabilities() is None
    assert capture(answer=b"[true, false]").probabilities() is None
    assert capture(answer=b"\xff\xfe\x00").probabilities() is None
    assert capture().probabilities() == (0.75, 0.25)


def test_answers_of_every_form_are_read() -> None:
    """An answer that names its classes is put into the order of the labels, and is None without them."""
    assert capture(answer=b"0.75,0.25\n").probabilities() == (0.75, 0.25)
    assert capture(answer=b'{"predictions": [[0.75, 0.25]]}').probabilities(("a", "b")) == (0.75, 0.25)
    named = capture(answer=b'[{"label": "b", "score": 0.75}, {"label": "a", "score": 0.25}]')
    assert named.probabilities(("a", "b")) == (0.25, 0.75)
    assert named.probabilities() is None
    assert named.probabilities(("a", "c")) is None


def record(**changes: object) -> dict[str, object]:
    """A record as real endpoints write it, with parts replaced."""
    return {
        "captureData": {
            "endpointInput": {
                "observedContentType": "image/png",
                "mode": "INPUT",
                "data": "iVBORw==",
                "encoding": "BASE64",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": "[0.75, 0.25]",
                "encoding": "JSON",
            },
            **changes,
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": "2024-10-15T14:05:12Z"},
        "eventVersion": "0",
    }


def only(document: object) -> Capture | Skipped:
    (row,) = parse_captures([json.dumps(document) + "\n"])
    return row


def test_every_encoding_of_the_service_is_read() -> None:
    """JSON and CSV sides are text, BASE64 sides are bytes; content types nobody knows are kept as they are."""
    for encoding, text, data in [("JSON", "[1]", b"[1]"), ("CSV", "0.5,0.5", b"0.5,0.5"), ("BASE64", "WzFd", b"[1]")]:
        side = {"observedContentType": "application/x-mystery; v=2", "data": text, "encoding": encoding}
        row = only(record(endpointOutput=side))
        assert isinstance(row, Capture)
        assert row.output == Payload("application/x-mystery; v=2", data)


def test_records_of_answers_alone_are_read() -> None:
    """Where the endpoint captures output only, the input is empty and the answer is there."""
    document = record()
    document["captureData"] = {"endpointOutput": document["captureData"]["endpointOutput"]}  # type: ignore[index]
    row = only(document)
    assert isinstance(row, Capture)
    assert (row.input, row.probabilities()) == (Payload("", b""), (0.75, 0.25))


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        ({"data": "x", "encoding": "GZIP"}, "unknown encoding 'GZIP'"),
        ({"data": "%%%", "encoding": "BASE64"}, "base64"),
        ({"data": 7, "encoding": "BASE64"}, "not a capture record"),
        ({"encoding": "JSON"}, "the field 'data' is missing"),
    ],
)
def test_unreadable_sides_are_reported(side: dict[str, object], reason: str) -> None:
    """A side in an unknown encoding, broken base64, or without data gives a reason, not a traceback."""
    row = only(record(endpointOutput=side))
    assert isinstance(row, Skipped)
    assert reason in row.reason


def test_a_cut_off_last_line_is_said_to_be_one(tmp_path: Path) -> None:
    """Of a file that was cut while it was written all whole records are read, and the rest is named with its file."""
    path = tmp_path / "a.jsonl"
    line = json.dumps(record()) + "\n"
    path.write_text(line * 3 + line[:100])
    rows = read(path)
    assert [type(row) for row in rows] == [Capture, Capture, Capture, Skipped]
    assert rows[-1] == Skipped(4, "cut off after 100 characters", str(path))


def test_hostile_lines_do_not_stop_the_reader() -> None:
    """Deeply nested JSON, binary rubbish and lone surrogates are skipped, one by one."""
    rows = list(
        parse_captures(
            [
                b"[" * 100_000 + b"\n",
                b"\x00\xff\xfe\n",
                json.dumps(record(endpointOutput={"data": "\ud800", "encoding": "JSON"})),
            ]
        )
    )
    assert [type(row) for row in rows] == [Skipped, Skipped, Skipped]


def test_lines_end_at_the_line_feed_alone(tmp_path: Path) -> None:
    """A byte order mark, CRLF, blank lines and U+2028 within a text break no record, in a file and in a store."""
    document = record(
        endpointOutput={"data": "[0.75,\u20280.25]", "encoding": "JSON", "observedContentType": "\x85\x1c"}
    )
    line = json.dumps(document, ensure_ascii=False)
    data = f"\ufeff{line}\r\n\r\n  \n\ufeff\n{line}".encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    store = DirectoryObjectStore(tmp_path / "store")
    store.write("b", "a.jsonl", data, "application/jsonl")
    for rows in (read(path), list(read_captures("s3://b/", store)), list(parse_captures(data.decode().split("\n")))):
        assert [type(row) for row in rows] == [Capture, Capture]


def test_base64_with_line_breaks_is_read() -> None:
    """BASE64 in lines of 76 characters, as MIME has it, gives the same bytes."""
    data = bytes(range(256))
    row = only(record(endpointInput={"data": base64.encodebytes(data).decode(), "encoding": "BASE64"}))
    assert isinstance(row, Capture)
    assert row.input == Payload("", data)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"eventId": "e", "inferenceTime": 1728999912}, "the field 'inferenceTime' is missing"),
        ({"eventId": "e", "inferenceTime": "yesterday"}, "yesterday"),
        ({"eventId": "e", "inferenceTime": "0001-01-01T00:00:00+23:59"}, "date value out of range"),
        ({"eventId": {}, "inferenceTime": "2024-10-15T14:05:12Z"}, "the field 'eventId' is missing"),
        ([], "the field 'eventMetadata' is missing"),
    ],
)
def test_odd_metadata_are_reported(metadata: object, reason: str) -> None:
    """A time that is none, or of no calendar, and metadata of another type are skipped with the reason."""
    row = only(record() | {"eventMetadata": metadata})
    assert isinstance(row, Skipped)
    assert reason in row.reason


def test_a_line_of_any_length_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line beyond the longest that a record can have only the start is held, and the next one is read."""
    monkeypatch.setattr(captures, "_LONGEST_LINE", 1_000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"[" * 5_500 + b"\n" + json.dumps(record()).encode() + b"\n")
    rows = read(path)
    assert rows[0] == Skipped(1, "cut off after 1,000 characters", str(path))
    assert isinstance(rows[1], Capture)
    assert len(rows) == 2


def test_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    """A link to nothing is skipped with its reason and the others are read; a device is refused before it is read."""
    CaptureWriter(tmp_path, "bikes").write(capture(), NOW)
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    rows = read(tmp_path)
    assert [row.reason for row in rows if isinstance(row, Skipped)] == [
        "cannot be read: No such file or directory",
        "cannot be read: Too many levels of symbolic links",
    ]
    assert sum(isinstance(row, Capture) for row in rows) == 1
    with pytest.raises(ConfigurationError, match="/dev/zero is a device"):
        read_captures("/dev/zero")


def test_an_object_that_is_gone_is_reported(tmp_path: Path) -> None:
    """An object that was deleted after it was listed is skipped, and the others are read."""
    store = DirectoryObjectStore(tmp_path)
    for name in "ab":
        store.write("b", f"{name}.jsonl", json.dumps(record()).encode(), "application/jsonl")
    rows = read_captures("s3://b/", store)
    store.delete("b", "a.jsonl")
    assert [type(row) for row in rows] == [Skipped, Capture]


def test_what_is_not_the_text_that_it_says_travels_as_bytes(tmp_path: Path) -> None:
    """A request that says JSON and holds other bytes is written, and comes back as it was."""
    odd = replace(capture(), input=Payload("application/json", b"\xff\x00"))
    assert read(CaptureWriter(tmp_path, "bikes").write(odd, NOW)) == [odd]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_records_are_read_or_skipped(data: st.DataObject) -> None:
    """Whatever a few bytes of a record are changed to, it is a capture or is skipped with a reason."""
    line = bytearray(json.dumps(record()).encode())
    for place in data.draw(st.lists(st.integers(0, len(line) - 1), min_size=1, max_size=8)):
        line[place] = data.draw(st.sampled_from(b'{}[]",:0e-NI\\u\x00\xff\n '))
    for row in parse_captures(io.BytesIO(bytes(line))):
        if isinstance(row, Capture):
            row.probabilities(("a", "b"))
            row.latency_ms()
        else:
            assert row.reason


def test_times_without_a_zone_are_utc() -> None:
    """SageMaker's times are UTC; one that does not say so is read as such."""
    document = record()
    document["eventMetadata"] = {"eventId": "e", "inferenceTime": "2024-10-15T14:05:12"}
    row = only(document)
    assert isinstance(row, Capture)
    assert row.inference_time == datetime(2024, 10, 15, 14, 5, 12, tzinfo=UTC)


def test_the_latency_travels_as_a_custom_attribute(tmp_path: Path) -> None:
    """What the container says of its time is written, read back and None where it said nothing."""
    timed = Capture("e", NOW.replace(microsecond=0), Payload("", b""), Payload("", b""), None, ("latency_ms=12.5",))
    (row,) = read(CaptureWriter(tmp_path, "bikes").write(timed, NOW))
    assert row == timed
    assert isinstance(row, Capture)
    assert (row.latency_ms(), capture().latency_ms()) == (12.5, None)


def test_paths_that_hold_no_captures_are_named(tmp_path: Path) -> None:
    """A missing path and a folder without capture files are one clear line each."""
    with pytest.raises(ConfigurationError, match=r"there is no file or folder .*nowhere"):
        read_captures(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="holds no capture files"):
        read_captures(tmp_path)


def test_captures_are_read_from_a_store(tmp_path: Path) -> None:
    """Objects under a prefix are read as files are, broken lines named by their URI; other objects are left alone."""
    store = DirectoryObjectStore(tmp_path)
    line = json.dumps(record()) + "\n"
    store.write("b", "captures/x/1.jsonl", (line * 2 + "{").encode(), "application/jsonl")
    store.write("b", "captures/x/2.jsonl", line.encode(), "application/jsonl")
    store.write("b", "captures/x/notes.txt", b"no capture", "text/plain")
    rows = list(read_captures("s3://b/captures/", store))
    assert sum(isinstance(row, Capture) for row in rows) == 3
    assert [row.file for row in rows if isinstance(row, Skipped)] == ["s3://b/captures/x/1.jsonl"]
    with pytest.raises(ConfigurationError, match="s3://b/other holds no capture files"):
        read_captures("s3://b/other", store)
    with pytest.raises(ConfigurationError, match="s3://b/captures/: pass an object store"):
        read_captures("s3://b/captures/")


def test_captures_join_their_object_by_inference_id(tmp_path: Path) -> None:
    """The InferenceId of a request leads to the image's bucket, key and version."""
    store = DirectoryObjectStore(tmp_path)
    etag = store.write("in", "a/1.png", b"picture", "image/png")
    wanted = ImageRef(s3_bucket="in", s3_key="a/1.png", etag=etag)
    assert objects_by_inference_id(store, "in", "a/")[wanted.image_id] == wanted


@pytest.mark.parametrize(
    ("attributes", "model"),
    [
        ((), None),
        (("latency_ms=2.50", f"model=sha256:{'a' * 64}"), f"sha256:{'a' * 64}"),
        ((f"model=sha256:{'b' * 64}", f"model=sha256:{'a' * 64}"), f"sha256:{'a' * 64}"),
        (("model=EOS 90D", "latency_ms=2.50"), None),
        (("model=sha256:a",), None),
    ],
)
def test_a_record_says_which_model_answered(attributes: tuple[str, ...], model: str | None) -> None:
    """The container's word is the last one; what callers call a model is none of ours."""
    assert replace(capture(), custom_attributes=attributes).model() == model
