"""SageMaker data capture: reader and writer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scones_ml.captures import Capture, CaptureWriter, Payload, Skipped, capture_key, read_captures

NOW = datetime(2026, 11, 23, 9, 5, 7, 42_000, tzinfo=UTC)


def capture(data: bytes = b"\x89PNG", answer: bytes = b"[0.75, 0.25]", inference_id: str | None = "id-1") -> Capture:
    return Capture(
        "e1", NOW.replace(microsecond=0), Payload("image/png", data), Payload("application/json", answer), inference_id
    )


def read(path: Path) -> list[Capture | Skipped]:
    with path.open("rb") as lines:
        return list(read_captures(lines))


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
    rows = list(read_captures([good, "", good[:80], '{"captureData": {}, "eventMetadata": {}}', "[]"]))
    assert isinstance(rows[0], Capture)
    skipped = [row for row in rows if isinstance(row, Skipped)]
    assert [row.line for row in skipped] == [3, 4, 5]
    assert all(row.reason for row in skipped)


def test_answers_that_are_no_numbers_give_none() -> None:
    """A text answer has no probabilities."""
    assert capture(answer=b"not json").probabilities() is None
    assert capture(answer=b'{"a": 1}').probabilities() is None
    assert capture().probabilities() == (0.75, 0.25)
