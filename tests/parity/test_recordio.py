"""RecordIO against MXNet's own writer and reader."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from scones_ml.dataset.recordio import (
    LabelledImage,
    pack,
    read_at,
    read_index,
    read_records,
    unpack,
    write_record,
)

mxnet = pytest.importorskip("mxnet", reason="needs mxnet: make parity-recordio")
pytestmark = pytest.mark.filterwarnings("ignore")

MAGIC = struct.pack("<I", 0xCED7230A)
RECORDS = 2_000


def adversarial(count: int, seed: int = 0) -> list[bytes]:
    """Payloads full of magic words, whole and in pieces, at every alignment."""
    draw = random.Random(seed)
    pieces = [MAGIC, MAGIC[:1], MAGIC[:3], MAGIC[1:], b"", b"\0", b"abc", b"abcd"]
    return [b"".join(draw.choices(pieces, k=draw.randrange(0, 24))) for _ in range(count)]


def test_files_are_byte_identical(tmp_path: Path) -> None:
    """2,000 adversarial records give the same .rec and .idx files, byte for byte."""
    records = adversarial(RECORDS)
    theirs = mxnet.recordio.MXIndexedRecordIO(str(tmp_path / "theirs.idx"), str(tmp_path / "theirs.rec"), "w")
    with (tmp_path / "ours.rec").open("wb") as ours, (tmp_path / "ours.idx").open("w") as index:
        for key, record in enumerate(records):
            theirs.write_idx(key, record)
            index.write(f"{key}\t{ours.tell()}\n")
            write_record(ours, record)
    theirs.close()
    assert (tmp_path / "ours.rec").read_bytes() == (tmp_path / "theirs.rec").read_bytes()
    assert (tmp_path / "ours.idx").read_bytes() == (tmp_path / "theirs.idx").read_bytes()


def test_each_reads_the_other_s_files(tmp_path: Path) -> None:
    """MXNet reads what we write, in order and by key, and we read what MXNet writes."""
    records = adversarial(RECORDS, seed=1)
    with (tmp_path / "ours.rec").open("wb") as ours, (tmp_path / "ours.idx").open("w") as lines:
        for key, record in enumerate(records):
            lines.write(f"{key}\t{ours.tell()}\n")
            write_record(ours, record)
    reader = mxnet.recordio.MXIndexedRecordIO(str(tmp_path / "ours.idx"), str(tmp_path / "ours.rec"), "r")
    assert [reader.read() for _ in records] == records
    assert [reader.read_idx(key) for key in range(len(records))] == records
    reader.close()
    theirs = mxnet.recordio.MXIndexedRecordIO(str(tmp_path / "theirs.idx"), str(tmp_path / "theirs.rec"), "w")
    for key, record in enumerate(records):
        theirs.write_idx(key, record)
    theirs.close()
    with (tmp_path / "theirs.rec").open("rb") as file:
        assert list(read_records(file)) == records
        index = read_index(tmp_path / "theirs.idx")
        assert [read_at(file, index[key]) for key in range(len(records))] == records


@pytest.mark.parametrize("labels", [(3.0,), (1.0, 0.0, 1.0)])
def test_payloads_are_byte_identical(labels: tuple[float, ...]) -> None:
    """Headers with one label and with several are packed and read alike."""
    header = mxnet.recordio.IRHeader(0, labels[0] if len(labels) == 1 else list(labels), 7, 9)
    theirs = mxnet.recordio.pack(header, b"\x89PNG")
    assert pack(LabelledImage(labels, 7, b"\x89PNG", 9)) == theirs
    assert unpack(theirs) == LabelledImage(labels, 7, b"\x89PNG", 9)
