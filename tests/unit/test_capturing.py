"""Captures that cannot be written: answers go on, and what is missing is counted and said."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.captures import Capture, CaptureWriter, NotCaptured, Payload, Skipped, parse_captures, read_captures
from scones_ml.inference.capturing import CaptureOptions, Capturing
from scones_ml.inference.error_log import ErrorLog

NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
SENT, ANSWERED = Payload("image/png", b"\x89PNG"), Payload("application/json", b"[0.2, 0.8]")


@dataclass
class Lines(ErrorLog):
    """A log that is kept."""

    said: list[str] = field(default_factory=list)

    def say(self, kind: str, line: str) -> None:
        self.said.append(line)


class Disk(CaptureWriter):
    """A writer on a disk that may be full."""

    full = False

    def _append(self, line: str, now: datetime) -> Path:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super()._append(line, now)


class Clock:
    """A clock that goes on by a second each time that it is asked."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> datetime:
        self.seconds += 1
        return NOON + timedelta(seconds=self.seconds - 1)


def rows(folder: Path) -> list[Capture | Skipped]:
    return list(read_captures(folder))


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_every_request_is_kept_or_counted(tmp_path_factory: pytest.TempPathFactory, full: list[bool]) -> None:
    """Whenever the disk is full, captures and the counts of those that are missing make up all requests."""
    folder = tmp_path_factory.mktemp("captures")
    disk = Disk(folder, "bikes")
    capturing = Capturing(CaptureOptions(disk), Lines(), Clock())
    for disk.full in full:
        capturing.keep(SENT, ANSWERED, None, ())
    disk.full = False
    capturing.close()
    found = rows(folder)
    lost = [int(row.reason.split()[0]) for row in found if isinstance(row, Skipped)]
    assert sum(lost) == full.count(True)
    assert len(found) - len(lost) == full.count(False)


def test_the_count_is_said_once_there_is_room(tmp_path: Path) -> None:
    """The next record that can be written has the count before it, in the file and in the log."""
    disk, log = Disk(tmp_path, "bikes"), Lines()
    capturing = Capturing(CaptureOptions(disk), log, Clock())
    disk.full = True
    for _ in range(3):
        capturing.keep(SENT, ANSWERED, None, ())
    disk.full = False
    capturing.keep(SENT, ANSWERED, "order-7", ())
    said = "3 requests were not captured from 2026-11-28T12:00:00Z to 2026-11-28T12:00:02Z: No space left on device"
    missing, kept = rows(tmp_path)
    assert isinstance(missing, Skipped)
    assert isinstance(kept, Capture)
    assert (missing.reason, kept.inference_id) == (said, "order-7")
    assert log.said[-1] == f"{said}; requests are captured again"


def test_at_the_end_the_log_says_what_is_missing(tmp_path: Path) -> None:
    """A server that ends while there is still no room says how many requests it did not capture."""
    disk, log = Disk(tmp_path, "bikes"), Lines()
    disk.full = True
    capturing = Capturing(CaptureOptions(disk), log, Clock())
    capturing.keep(SENT, ANSWERED, None, ())
    capturing.close()
    assert log.said[-1].startswith("1 request was not captured from")


def test_a_record_that_does_not_fit_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk takes half a record, that half is taken back: the next record stands on a line of its own."""
    writer, real = CaptureWriter(tmp_path, "bikes"), os.write
    file = writer.write(Capture("1", NOON, SENT, ANSWERED), NOON)
    before = file.read_bytes()
    room = [10]

    def short(file: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space left"):
            writer.write(Capture("2", NOON, SENT, ANSWERED), NOON)
    assert file.read_bytes() == before
    writer.write(Capture("3", NOON, SENT, ANSWERED), NOON)
    assert [row.event_id for row in rows(tmp_path) if isinstance(row, Capture)] == ["1", "3"]


def test_a_folder_that_was_away_is_made_again(tmp_path: Path) -> None:
    """A writer whose folder could not be made, or was removed, goes on as soon as it can be."""
    folder = tmp_path / "captures"
    folder.write_text("a file where the folder should be")
    writer = CaptureWriter(folder, "bikes")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        writer.write(Capture("1", NOON, SENT, ANSWERED), NOON)
    folder.unlink()
    writer.write(Capture("2", NOON, SENT, ANSWERED), NOON)
    assert [row.event_id for row in rows(folder) if isinstance(row, Capture)] == ["2"]


@pytest.mark.parametrize(
    "fields",
    [{}, 7, {"requests": "many"}, {"requests": 1, "since": "x", "until": "y", "reason": "z"}],
)
def test_a_broken_count_is_a_broken_line(fields: object) -> None:
    """A count that cannot be read is one broken line, as any other."""
    (row,) = parse_captures([json.dumps({"notCaptured": fields})])
    assert isinstance(row, Skipped)
    assert row.reason.startswith("not a capture record")


def test_a_reason_cannot_forge_a_line() -> None:
    """The reason stands in one line of a terminal, whatever a file says it is."""
    assert "\n" not in str(NotCaptured(1, NOON, NOON, "full\nscones: all is well"))


def test_the_log_cannot_fill_a_disk(capfd: pytest.CaptureFixture[str]) -> None:
    """Of a thousand lines of one kind in a minute one is written, and the next one says how many were left out."""
    time = [0.0]
    log = ErrorLog(lambda: time[0])
    for _ in range(1_000):
        log.say("capture", "disk\nfull")
    log.say("other", "something else")
    time[0] = 61.0
    log.say("capture", "disk full")
    assert capfd.readouterr().err.splitlines() == [
        "scones: disk\\nfull",
        "scones: something else",
        "scones: disk full (999 more since the last such line)",
    ]


def test_the_log_cannot_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log on a full disk is no error."""

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    ErrorLog().say("capture", "disk full")
