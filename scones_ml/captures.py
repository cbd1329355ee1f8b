"""SageMaker data capture: one row type, a reader and a writer.

A capture file is JSON Lines, named ``ENDPOINT/AllTraffic/YYYY/MM/DD/HH/MM-SS-mmm-<uuid4>.jsonl`` by the UTC time of its
first record; one file holds one record or many. The format is that of real endpoints' files (event version 0).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Capture", "CaptureWriter", "Payload", "Skipped", "capture_key", "read_captures"]

_JSON_TYPES = ("application/json", "text/csv")


@dataclass(frozen=True, slots=True)
class Payload:
    """One side of a captured request.

    Attributes:
        content_type: as the client or the model said it.
        data: the bytes that went over the wire.
    """

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """One captured request.

    Attributes:
        event_id: SageMaker's own id, a UUID.
        inference_time: UTC, to the second.
        input: what was sent.
        output: what the model answered.
        inference_id: the caller's id (our image_id); None when none was sent.
    """

    event_id: str
    inference_time: datetime
    input: Payload
    output: Payload
    inference_id: str | None = None

    def probabilities(self) -> tuple[float, ...] | None:
        """The answer as numbers, or None when it is not a JSON list of numbers."""
        try:
            answer = json.loads(self.output.data)
        except ValueError:
            return None
        if isinstance(answer, list) and all(isinstance(p, int | float) for p in answer):
            return tuple(float(p) for p in answer)
        return None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that is not a capture record.

    Attributes:
        line: its number in the file, from 1.
        reason: why it cannot be read.
    """

    line: int
    reason: str


def read_captures(lines: Iterable[str | bytes]) -> Iterator[Capture | Skipped]:
    """Read the records of one capture file, one by one; broken lines are reported, never dropped in silence."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _parse(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            yield Skipped(number, f"{type(exc).__name__}: {exc}")


def capture_key(endpoint: str, time: datetime) -> str:
    """Name a new capture file as SageMaker does, below the capture prefix."""
    time = time.astimezone(UTC)
    return f"{endpoint}/AllTraffic/{time:%Y/%m/%d/%H/%M-%S}-{time.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"


class CaptureWriter:
    """Appends records to files below a folder; a new file starts with every hour of UTC.

    Each record is one write in append mode and is on its way to the disk when ``write`` returns.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._file = Path()
        self._hour = ""

    def write(self, capture: Capture, now: datetime) -> Path:
        """Append one record.

        Args:
            capture: the record.
            now: names the file, if a new one is needed.

        Returns:
            The file it went to.
        """
        hour = f"{now.astimezone(UTC):%Y/%m/%d/%H}"
        if hour != self._hour:
            self._file, self._hour = self._folder / capture_key(self._endpoint, now), hour
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(_line(capture))
        return self._file


def _parse(record: dict[str, dict[str, dict[str, str]]]) -> Capture:
    data, metadata = record["captureData"], record["eventMetadata"]
    time = str(metadata["inferenceTime"])
    inference_id = metadata.get("inferenceId")
    return Capture(
        event_id=str(metadata["eventId"]),
        inference_time=datetime.fromisoformat(time),
        input=_payload(data["endpointInput"]),
        output=_payload(data["endpointOutput"]),
        inference_id=None if inference_id is None else str(inference_id),
    )


def _payload(side: dict[str, str]) -> Payload:
    text = side["data"]
    data = base64.b64decode(text, validate=True) if side["encoding"] == "BASE64" else text.encode()
    return Payload(side.get("observedContentType", ""), data)


def _line(capture: Capture) -> str:
    metadata = {"eventId": capture.event_id}
    if capture.inference_id is not None:
        metadata["inferenceId"] = capture.inference_id
    metadata["inferenceTime"] = f"{capture.inference_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    record = {
        "captureData": {
            "endpointInput": _side(capture.input, "INPUT"),
            "endpointOutput": _side(capture.output, "OUTPUT"),
        },
        "eventMetadata": metadata,
        "eventVersion": "0",
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def _side(payload: Payload, mode: str) -> dict[str, str]:
    kind = payload.content_type.partition(";")[0]
    if kind in _JSON_TYPES:
        data, encoding = payload.data.decode(), "JSON" if kind == "application/json" else "CSV"
    else:
        data, encoding = base64.b64encode(payload.data).decode(), "BASE64"
    return {"observedContentType": payload.content_type, "mode": mode, "data": data, "encoding": encoding}
