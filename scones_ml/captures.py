"""SageMaker data capture: a record type, readers and a writer.

A capture file is JSON Lines, named ``ENDPOINT/AllTraffic/YYYY/MM/DD/HH/MM-SS-mmm-<uuid4>.jsonl`` by the UTC time of its
first record, with one or more records. The format is that of SageMaker endpoints (event version 0).
Readers are generators with one line in memory at a time (from an object store: one file).

The names in ``__all__`` are public.
"""

from __future__ import annotations

import base64
import errno
import io
import json
import math
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from scones_ml import strict_json
from scones_ml.answers import read_probabilities
from scones_ml.errors import ConfigurationError, ImageNotFoundError
from scones_ml.events import ImageRef, parse_uri
from scones_ml.limits import ENDPOINT_REQUEST_BYTES
from scones_ml.ports import ObjectStore
from scones_ml.printable import printable

__all__ = [
    "Capture",
    "CaptureWriter",
    "NotCaptured",
    "Payload",
    "Skipped",
    "capture_key",
    "objects_by_inference_id",
    "parse_captures",
    "read_captures",
]

_TEXT_TYPES = {"application/json": "JSON", "text/csv": "CSV"}
_SUFFIX = ".jsonl"
_BLANK: Final = ("", "\ufeff", b"", b"\xef\xbb\xbf")
_LONGEST_LINE = 2 * 2 * ENDPOINT_REQUEST_BYTES * 4 // 3
"""Maximum bytes of a line: request and response in base64, and as much again for JSON escapes."""
_BUFFER = 2**18  # bytes; lines are long
_LATENCY = "latency_ms="
_MODEL = re.compile(r"model=(sha256:[0-9a-f]{64})")  # callers may send another attribute "model", such as a camera's
_NOT_CAPTURED = "notCaptured"


@dataclass(frozen=True, slots=True)
class Payload:
    """One side of a captured request.

    Attributes:
        content_type: content type, as sent.
        data: bytes, as sent.
    """

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """One captured request.

    Attributes:
        event_id: SageMaker's id, a UUID.
        inference_time: time in UTC, to the second.
        input: the request; empty if only responses are captured.
        output: the response.
        inference_id: the caller's id (our image_id); None if none was sent.
        custom_attributes: attributes from client and container, ``"name=value"`` each.
    """

    event_id: str
    inference_time: datetime
    input: Payload
    output: Payload
    inference_id: str | None = None
    custom_attributes: tuple[str, ...] = ()

    def probabilities(self, labels: Sequence[str] | None = None) -> tuple[float, ...] | None:
        """Parse the response as probabilities, in any form of ``scones_ml.answers``; None if it is in none.

        Args:
            labels: class names in the requested order, needed for responses with class names in another order.
        """
        try:
            return read_probabilities(self.output.data, labels)
        except ValueError:
            return None

    def model(self) -> str | None:
        """Model of the response, ``"sha256:..."`` of its graph; None if not recorded."""
        said = (match[1] for one in reversed(self.custom_attributes) if (match := _MODEL.fullmatch(one)))
        return next(said, None)  # the container's attribute comes last

    def latency_ms(self) -> float | None:
        """Duration of the inference, from the custom attribute ``latency_ms``; None if not recorded."""
        for attribute in self.custom_attributes:
            if attribute.startswith(_LATENCY):
                try:
                    latency = float(attribute.removeprefix(_LATENCY))
                except ValueError:
                    return None
                return latency if math.isfinite(latency) else None
        return None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that is not a capture record.

    Attributes:
        line: line number, from 1; 0 if the whole file cannot be read.
        reason: reason why it cannot be read.
        file: path or URI of the file; empty if unknown.
    """

    line: int
    reason: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class NotCaptured:
    """A line with the count of requests whose capture failed; readers report it as skipped.

    Attributes:
        requests: number of requests.
        since: time of the first, UTC.
        until: time of the last, UTC.
        reason: the system's error message for the last.
    """

    requests: int
    since: datetime
    until: datetime
    reason: str

    def __str__(self) -> str:
        what = "1 request was" if self.requests == 1 else f"{self.requests:,} requests were"
        return f"{what} not captured from {_seconds(self.since)} to {_seconds(self.until)}: {printable(self.reason)}"


def read_captures(source: str | Path, store: ObjectStore | None = None) -> Iterator[Capture | Skipped]:
    """Read data capture, oldest first; broken lines are reported as skipped.

    Args:
        source: a file, a folder of ``.jsonl`` files at any depth, or ``s3://bucket/prefix`` of such objects.
        store: object store of ``s3://`` URIs.

    Raises:
        ConfigurationError: the path does not exist, holds no capture file, or cannot be read, or no store was passed;
            raised before the first record.
        TransientServiceError: the store throttled the request or timed out.
    """
    text = str(source)
    if not text.startswith("s3://"):
        return _read_files(_files(Path(source)))
    if store is None:
        raise ConfigurationError(f"{text}: pass an object store to read it from")
    bucket, prefix = parse_uri(text)
    found = (item.key for item in store.list(bucket, prefix) if item.key.endswith(_SUFFIX))
    first = next(found, None)
    if first is None:
        raise ConfigurationError(f"{text} holds no capture files (*{_SUFFIX})")
    return _read_objects(store, (ImageRef(s3_bucket=bucket, s3_key=key) for key in chain([first], found)))


def parse_captures(lines: Iterable[str | bytes], file: str = "") -> Iterator[Capture | Skipped]:
    """Parse the records of one capture file, lazily.

    Args:
        lines: lines of the file.
        file: path or URI of the file, for skipped lines.
    """
    for number, line in enumerate(lines, 1):
        if line.strip() in _BLANK:
            continue
        try:
            record = strict_json.parse(line)
        except ValueError as exc:
            whole = line[-1:] in ("\n", b"\n")
            yield Skipped(number, f"the line {exc}" if whole else f"cut off after {len(line):,} characters", file)
            continue
        try:
            lost = _not_captured(record)
            yield _parse(record) if lost is None else Skipped(number, str(lost), file)
        except (ValueError, OverflowError) as exc:
            yield Skipped(number, f"not a capture record: {exc}", file)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        # Names are times: oldest first, as listed by S3.
        files = sorted(file for file in path.rglob(f"*{_SUFFIX}") if not file.is_dir())
        if not files:
            raise ConfigurationError(f"the folder {path} holds no capture files (*{_SUFFIX})")
        return files
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {path}")
    if path.is_char_device() or path.is_block_device():  # it may never end
        raise ConfigurationError(f"{path} is a device: give capture files or a folder of them")
    return [path]


def _read_files(files: Iterable[Path]) -> Iterator[Capture | Skipped]:
    for path in files:
        try:
            with path.open("rb", buffering=_BUFFER) as file:
                yield from parse_captures(_bounded(file), str(path))
        except OSError as exc:
            yield Skipped(0, f"cannot be read: {exc.strerror or exc}", str(path))


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a file; a line that is too long is truncated, and reported as cut off."""
    while line := file.readline(_LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(_LONGEST_LINE)


def _read_objects(store: ObjectStore, refs: Iterable[ImageRef]) -> Iterator[Capture | Skipped]:
    for ref in refs:
        try:
            data = store.read(ref).data
        except ImageNotFoundError:
            yield Skipped(0, "deleted since it was listed", ref.uri)
            continue
        yield from parse_captures(io.BytesIO(data), ref.uri)


def objects_by_inference_id(store: ObjectStore, bucket: str, prefix: str = "") -> Mapping[str, ImageRef]:
    """Images of a bucket by the InferenceId of their requests, to join captures with objects.

    Ids are computed from current etags. For objects in versioned buckets use the outcomes (``outcomes/*/ID.json``).
    """
    refs = (ImageRef(s3_bucket=bucket, s3_key=item.key, etag=item.etag) for item in store.list(bucket, prefix))
    return {ref.image_id: ref for ref in refs}


def capture_key(endpoint: str, time: datetime) -> str:
    """Key of a new capture file below the capture prefix, as in SageMaker."""
    time = time.astimezone(UTC)
    return f"{endpoint}/AllTraffic/{time:%Y/%m/%d/%H/%M-%S}-{time.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"


class CaptureWriter:
    """Writer of records to files below a folder, with a new file every hour of UTC.

    A record is handed to the system when ``write`` returns; one that does not fit on the disk leaves no part.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._file = Path()
        self._hour = ""

    def write(self, capture: Capture, now: datetime) -> Path:
        """Append one record, and return the path of the file.

        Args:
            capture: the record.
            now: current time, for the name of a new file.

        Raises:
            OSError: the record could not be written.
        """
        return self._append(_line(capture), now)

    def write_not_captured(self, lost: NotCaptured, now: datetime) -> Path:
        """Append a count of requests whose capture failed; see :meth:`write`."""
        fields = {"requests": lost.requests, "since": _seconds(lost.since), "until": _seconds(lost.until)}
        return self._append(json.dumps({_NOT_CAPTURED: fields | {"reason": lost.reason}}) + "\n", now)

    def _append(self, line: str, now: datetime) -> Path:
        hour = f"{now.astimezone(UTC):%Y/%m/%d/%H}"
        if hour != self._hour:
            self._file, self._hour = self._folder / capture_key(self._endpoint, now), hour
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # A link in the file's place is not followed, a pipe not waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self._file, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, f"{self._file} is not a file")
            _write_whole(file, line.encode())
        finally:
            os.close(file)
        return self._file


def _write_whole(file: int, data: bytes) -> None:
    """Append data to an open file completely, or not at all."""
    size = os.fstat(file).st_size
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _parse(record: object) -> Capture:
    data, metadata = _object(record, "captureData"), _object(record, "eventMetadata")
    time = datetime.fromisoformat(_text(metadata, "inferenceTime"))
    inference_id = metadata.get("inferenceId")
    answers_only = not data.get("endpointInput")
    return Capture(
        event_id=_text(metadata, "eventId"),
        inference_time=time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC),
        input=Payload("", b"") if answers_only else _payload(_object(data, "endpointInput")),
        output=_payload(_object(data, "endpointOutput")),
        inference_id=None if inference_id is None else str(inference_id),
        custom_attributes=_attributes(metadata.get("customAttributes")),
    )


def _not_captured(record: object) -> NotCaptured | None:
    if not isinstance(record, dict) or _NOT_CAPTURED not in record:
        return None
    fields = _object(record, _NOT_CAPTURED)
    since, until = (datetime.fromisoformat(_text(fields, name)) for name in ("since", "until"))
    return NotCaptured(int(str(fields.get("requests"))), since, until, _text(fields, "reason"))


def _seconds(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _object(fields: object, name: str) -> Mapping[str, object]:
    found = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"the field {name!r} is missing")
    return found


def _text(fields: Mapping[str, object], name: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str):
        raise ValueError(f"the field {name!r} is missing")
    return found


def _attributes(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else tuple(str(value).split(","))


def _payload(side: Mapping[str, object]) -> Payload:
    text, encoding = _text(side, "data"), _text(side, "encoding")
    if encoding == "BASE64":
        data = base64.b64decode("".join(text.split()), validate=True)  # without MIME line breaks
    elif encoding in ("JSON", "CSV"):
        data = text.encode()
    else:
        raise ValueError(f"unknown encoding {encoding!a:.40}")
    return Payload(str(side.get("observedContentType") or ""), data)


def _line(capture: Capture) -> str:
    metadata: dict[str, object] = {"eventId": capture.event_id}
    if capture.custom_attributes:
        metadata["customAttributes"] = list(capture.custom_attributes)
    if capture.inference_id is not None:
        metadata["inferenceId"] = capture.inference_id
    metadata["inferenceTime"] = _seconds(capture.inference_time)
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
    try:
        data, encoding = payload.data.decode(), _TEXT_TYPES[kind]
    except (KeyError, UnicodeDecodeError):  # the content type may be wrong
        data, encoding = base64.b64encode(payload.data).decode(), "BASE64"
    return {"observedContentType": payload.content_type, "mode": mode, "data": data, "encoding": encoding}
