"""RecordIO: whatever is written is read, and broken files say where."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset.recordio import (
    LabelledImage,
    pack,
    read_at,
    read_heads,
    read_index,
    read_records,
    unpack,
    write_record,
    write_split,
)
from scones_ml.errors import DatasetError, ImageTooLargeError

MAGIC = struct.pack("<I", 0xCED7230A)

pieces = st.one_of(st.just(MAGIC), st.just(MAGIC[:3]), st.just(MAGIC[2:]), st.binary(max_size=9))
payloads = st.lists(pieces, max_size=12).map(b"".join)
float32 = st.floats(width=32, allow_nan=False)


def written(*records: bytes) -> bytes:
    file = io.BytesIO()
    for record in records:
        write_record(file, record)
    return file.getvalue()


@given(st.lists(payloads, max_size=6))
def test_what_is_written_is_read(records: list[bytes]) -> None:
    """Payloads full of magic words, aligned or not, come back byte for byte, and every part is aligned."""
    data = written(*records)
    assert list(read_records(io.BytesIO(data))) == records
    assert len(data) % 4 == 0


@given(st.lists(payloads, min_size=1, max_size=6))
def test_offsets_lead_to_records(records: list[bytes]) -> None:
    """The sum of the bytes written so far is the next record's offset."""
    file, offsets = io.BytesIO(), []
    for record in records:
        offsets.append(file.tell())
        assert write_record(file, record) == file.tell() - offsets[-1]
    assert [read_at(file, offset) for offset in reversed(offsets)] == records[::-1]


@given(payloads)
def test_no_aligned_magic_word_is_left_inside(payload: bytes) -> None:
    """A reader that scans for aligned magic words finds the starts of parts only."""
    data = written(payload)
    starts, position = [], 0
    while position < len(data):
        starts.append(position)
        length = struct.unpack_from("<I", data, position + 4)[0] & ((1 << 29) - 1)
        position += 8 + length + -length % 4
    scanned = [at for at in range(0, len(data), 4) if data[at : at + 4] == MAGIC]
    assert scanned == starts


def test_the_format_byte_by_byte() -> None:
    """A whole record, and one that is split in three, have the documented bytes."""
    assert written(b"abcde") == MAGIC + struct.pack("<I", 5) + b"abcde\0\0\0"
    first, middle, last = (flag << 29 for flag in (1, 2, 3))
    assert written(b"abcd" + MAGIC + MAGIC + b"e") == b"".join(
        [
            MAGIC + struct.pack("<I", first | 4) + b"abcd",
            MAGIC + struct.pack("<I", middle),
            MAGIC + struct.pack("<I", last | 1) + b"e\0\0\0",
        ]
    )


@given(st.lists(float32, min_size=0, max_size=4), st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_labels_and_ids_travel(labels: list[float], key: int, picture: bytes) -> None:
    """Any number of float32 labels, any u64 id and any bytes survive; no label at all reads as 0."""
    image = LabelledImage(tuple(labels), key, picture, key ^ 1)
    expected = image if labels else LabelledImage((0.0,), key, picture, key ^ 1)
    assert unpack(pack(image)) == expected


def test_a_single_label_is_in_the_header() -> None:
    """Flag 0 and the label itself for one label; the count and zero for several."""
    assert pack(LabelledImage((3.0,), 7, b"png")) == struct.pack("<IfQQ", 0, 3.0, 7, 0) + b"png"
    assert pack(LabelledImage((1.0, 0.0), 7, b"png")) == struct.pack("<IfQQ2f", 2, 0.0, 7, 0, 1.0, 0.0) + b"png"


@given(payloads, st.data())
def test_a_file_cut_short_says_so(payload: bytes, data: st.DataObject) -> None:
    """A file that ends within a record is an error, never a shorter record."""
    whole = written(b"first", payload + b"x")
    start = len(written(b"first"))
    end = data.draw(st.integers(start + 1, len(whole) - 4))
    reader = read_records(io.BytesIO(whole[:end]))
    assert next(reader) == b"first"
    with pytest.raises(DatasetError, match="cut short at byte"):
        next(reader)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" * 3, "not RecordIO at byte 0"),
        (MAGIC + struct.pack("<I", 3 << 29), "not RecordIO at byte 0"),
        (MAGIC + struct.pack("<I", 7 << 29), "not RecordIO at byte 0"),
        (MAGIC + struct.pack("<I", 1 << 29) + MAGIC + struct.pack("<I", 0), "not RecordIO at byte 8"),
        (MAGIC + struct.pack("<I", 1 << 29), "cut short at byte 8"),
        (MAGIC + struct.pack("<I", 9), "cut short at byte 0"),
    ],
)
def test_what_is_no_recordio(data: bytes, message: str) -> None:
    """Something else, or parts in an impossible order, is named with its offset."""
    with pytest.raises(DatasetError, match=message):
        list(read_records(io.BytesIO(data)))


def test_payloads_that_cannot_be() -> None:
    """A payload that is shorter than its header, or than its labels, is refused; so is an id beyond u64."""
    with pytest.raises(DatasetError, match="shorter than its header"):
        unpack(b"short")
    with pytest.raises(DatasetError, match="cannot hold the 2 labels"):
        unpack(struct.pack("<IfQQ", 2, 0.0, 0, 0) + b"1234567")
    with pytest.raises(DatasetError, match="record -1 cannot be written"):
        pack(LabelledImage((0.0,), -1, b""))
    with pytest.raises(DatasetError, match="cannot be written"):
        pack(LabelledImage((1e39,), 1, b""))


def test_a_split_as_recordio(tmp_path: Path) -> None:
    """A staged split becomes .rec and .idx: every image with its label, found by the index, the same each time."""
    noise = np.random.default_rng(0)
    for name in ("bicycle", "motorcycle"):
        (tmp_path / "source" / name).mkdir(parents=True)
        for number in range(10):
            pixels = noise.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "source" / name / f"{number}.png")
    data = dataset.stage(tmp_path / "source", tmp_path / "data", image_size=8).dataset
    assert write_split(data, "train", tmp_path / "train.rec") == len(data.split("train"))
    index = read_index(tmp_path / "train.idx")
    assert list(index) == list(range(len(data.split("train"))))
    with (tmp_path / "train.rec").open("rb") as file:
        for key, record in enumerate(data.split("train")):
            image = unpack(read_at(file, index[key]))
            assert (image.labels, image.id) == ((float(record.label),), key)
            assert image.image == (data.root / record.path).read_bytes()
    first = (tmp_path / "train.rec").read_bytes()
    write_split(data, "train", tmp_path / "train.rec")
    assert (tmp_path / "train.rec").read_bytes() == first


images = st.builds(LabelledImage, st.lists(float32, min_size=1, max_size=3).map(tuple), st.integers(0, 9), payloads)


@given(st.lists(images, max_size=6))
def test_heads_say_what_records_hold(records: list[LabelledImage]) -> None:
    """Offset, labels, id and size are read without the images, also where magic words split a record."""
    file = io.BytesIO(written(*map(pack, records)))
    heads = list(read_heads(file))
    assert [(head.labels, head.id, head.size) for head in heads] == [
        (len(record.labels), record.id, len(record.image)) for record in records
    ]
    assert [head.label for head in heads if head.labels == 1] == [r.labels[0] for r in records if len(r.labels) == 1]
    assert [unpack(read_at(file, head.offset)) for head in heads] == records


def packed(root: Path, split: str, *records: LabelledImage) -> Path:
    (root / f"{split}.rec").write_bytes(written(*map(pack, records)))
    return root / f"{split}.rec"


def drawn(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_recordio_file_is_a_source(tmp_path: Path) -> None:
    """train.rec and test.rec beside it are staged like images in folders; a list beside them names the images."""
    packed(tmp_path, "Test", *(LabelledImage((float(n % 2),), n, drawn(100 + n)) for n in range(4)))
    rec = packed(tmp_path, "Train", *(LabelledImage((float(n % 2),), n, drawn(n)) for n in range(12)))
    (tmp_path / "Train.lst").write_text("".join(f"{n}\t{n % 2}\tbike_{n}.png\n" for n in range(12)))
    result = dataset.stage(rec, tmp_path / "out", classes=["bike", "moto"], image_size=8)
    assert result.dataset.counts()["test"] == {"bike": 2, "moto": 2}
    assert len(result.dataset.records) == 16
    names = {record.path.rsplit("/", 1)[1] for record in result.dataset.records}
    assert names == {*(f"bike_{n}.png" for n in range(12)), *(f"{n:08d}.png" for n in range(4))}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (pack(LabelledImage((0.0, 1.0), 7, b"")), "record 7 at byte 0 has 2 labels instead of one"),
        (pack(LabelledImage((0.5,), 7, b"")), "label 0.5 is not a whole number from 0 up"),
        (pack(LabelledImage((float("nan"),), 7, b"")), "label nan is not"),
        (pack(LabelledImage((-1.0,), 7, b"")), "label -1 is not"),
        (pack(LabelledImage((3e38,), 7, b"")), r"label 3e\+38 is not"),
        (b"short", "record at byte 0 has 5 bytes, less than its header of 24"),
        (struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0), "cannot hold the 4,294,967,295 labels"),
    ],
)
def test_records_that_are_no_images_of_a_class(record: bytes, message: str, tmp_path: Path) -> None:
    """Several labels, labels that are none, and records too short are refused by name."""
    (tmp_path / "a.rec").write_bytes(written(record))
    with pytest.raises(DatasetError, match=message):
        dataset.RecordFile(tmp_path / "a.rec").classes()


def test_a_recordio_file_cut_short(tmp_path: Path) -> None:
    """A file that ends within its last record is refused before anything is read."""
    whole = written(pack(LabelledImage((0.0,), 1, b"x" * 40)), pack(LabelledImage((1.0,), 2, b"y" * 40)))
    (tmp_path / "a.rec").write_bytes(whole[:-8])
    with pytest.raises(DatasetError, match=r"a\.rec is cut short at byte 72: copy or write it again"):
        dataset.RecordFile(tmp_path / "a.rec").classes()


def test_a_record_beyond_the_caps(tmp_path: Path) -> None:
    """An image larger than the policy allows is a problem with its name; it is not read."""
    big = written(pack(LabelledImage((0.0,), 5, b"\xff\xd8\xff" + bytes(80_000_000))))
    (tmp_path / "a.rec").write_bytes(big)
    source = dataset.RecordFile(tmp_path / "a.rec")
    (found,) = source.listing(("0",)).candidates
    assert found.name == "a/00000005"
    with pytest.raises(ImageTooLargeError, match="80,000,003 bytes exceed"):
        found.read()


def test_a_data_set_as_recordio(tmp_path: Path) -> None:
    """A staged data set gets one file for each split, stays what it is, and is a source in this form, too."""
    data = dataset.stage(dataset.Synthetic(per_class=20, size=32), tmp_path / "data").dataset
    files = dataset.write_recordio(data)
    assert [file.name for file in files] == [f"{split}.rec" for split in dataset.SPLITS]
    assert dataset.load(data.root) == data
    again = dataset.stage(files[0], tmp_path / "again", classes=data.classes).dataset
    assert again.hash == data.hash


def test_a_split_that_cannot_be_written(tmp_path: Path) -> None:
    """An image that is gone is named, and no file is left; an empty split is refused."""
    record = dataset.Record("train/a/1.png", 0, "a", "train", "0" * 64)
    data = dataset.Dataset(tmp_path, ("a", "b"), (record,), "0" * 64, 0, 8)
    with pytest.raises(DatasetError, match=r"cannot write .*train\.rec: .*1\.png No such file"):
        write_split(data, "train", tmp_path / "train.rec")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetError, match="has no test images"):
        write_split(data, "test", tmp_path / "test.rec")


def test_a_broken_index(tmp_path: Path) -> None:
    """A line that is no key and offset is shown with its number; an offset at the end holds no record."""
    (tmp_path / "a.idx").write_text("0\t0\n1 8\n")
    with pytest.raises(DatasetError, match=r"a\.idx line 2 is not a key, a tab and an offset: '1 8'"):
        read_index(tmp_path / "a.idx")
    with pytest.raises(DatasetError, match="no record at byte 0"):
        read_at(io.BytesIO(b""), 0)


@pytest.mark.parametrize("offset", [-1, 28, 2**63, 10**30])
def test_an_index_that_leads_out_of_the_file(offset: int) -> None:
    """An offset before the file or beyond its end is refused, however large it is."""
    with pytest.raises(DatasetError, match=f"no record at byte {offset}, the file ends at byte 28"):
        read_at(io.BytesIO(written(bytes(20))), offset)
