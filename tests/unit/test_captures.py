"""SageMaker data capture: reader and writer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_answers_in_csv_and_in_batches_of_one_are_read() -> None:
    """A line of CSV and a JSON list within a list give the same numbers as a plain list."""
    assert capture(answer=b"0.75,0.25\n").probabilities() == (0.75, 0.25)
    assert capture(answer=b"[[0.75, 0.25]]").probabilities() == (0.75, 0.25)


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
        ({"data": "x", "encoding": "GZIP"}, "there is no encoding 'GZIP'"),
        ({"data": "%%%", "encoding": "BASE64"}, "base64"),
        ({"data": 7, "encoding": "BASE64"}, "not a capture record"),
        ({"encoding": "JSON"}, "it has no 'data'"),
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
    with pytest.raises(ConfigurationError, match="s3://b/captures/: no object store was given"):
        read_captures("s3://b/captures/")


def test_captures_join_their_object_by_inference_id(tmp_path: Path) -> None:
    """The InferenceId of a request leads to the image's bucket, key and version."""
    store = DirectoryObjectStore(tmp_path)
    etag = store.write("in", "a/1.png", b"picture", "image/png")
    wanted = ImageRef(s3_bucket="in", s3_key="a/1.png", etag=etag)
    assert objects_by_inference_id(store, "in", "a/")[wanted.image_id] == wanted
