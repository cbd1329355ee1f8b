"""CIFAR-100 archives, made here in the published format: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scones_ml import dataset
from scones_ml.dataset.archives import CIFAR100_MD5, Cifar100
from scones_ml.dataset.pickles import load_arrays
from scones_ml.errors import DatasetError

NAMES = [f"class_{number:02d}" for number in range(100)]
NAMES[8], NAMES[48] = "bicycle", "motorcycle"
Member = tuple[tarfile.TarInfo, bytes]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Protocol 2 as Python 2 wrote it, which is how CIFAR-100 was made: byte strings as themselves."""

    def save_bytes(self, value: bytes) -> None:
        if len(value) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        else:
            self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    def save_text(self, value: str) -> None:
        self.save_bytes(value.encode("ascii"))

    dispatch = pickle._Pickler.dispatch | {bytes: save_bytes, str: save_text}  # type: ignore[attr-defined]


def python2(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def make_images(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072)).astype(np.uint8)


def labels(count: int) -> list[int]:
    return [(8, 48, 3)[row % 3] for row in range(count)]


def member(name: str, data: bytes = b"", **changes: Any) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry, data


def archive(path: Path, *members: Member) -> Cifar100:
    """An archive with these members, and its own checksum as the expected one."""
    with tarfile.open(path, "w:gz") as file:
        for entry, data in members:
            file.addfile(entry, io.BytesIO(data))
    return Cifar100(path, hashlib.md5(path.read_bytes()).hexdigest())


def side(count: int, seed: int, **changes: object) -> bytes:
    table = {
        b"filenames": [b"picture_s_%06d.png" % row for row in range(count)],
        b"batch_label": b"training batch 1 of 1",
        b"fine_labels": labels(count),
        b"coarse_labels": [0] * count,
        b"data": make_images(count, seed),
    }
    return python2(table | {name.encode(): value for name, value in changes.items()})


META = python2({b"fine_label_names": [name.encode() for name in NAMES], b"coarse_label_names": [b"vehicles_1"]})


def python_archive(path: Path, train: bytes | None = None, meta: bytes = META, *extra: Member) -> Cifar100:
    return archive(
        path,
        member("cifar-100-python/", type=tarfile.DIRTYPE),
        member("cifar-100-python/file.txt~", b"notes"),
        member("cifar-100-python/train", side(60, 1) if train is None else train),
        member("cifar-100-python/test", side(15, 2)),
        member("cifar-100-python/meta", meta),
        *extra,
    )


def records(count: int, seed: int) -> bytes:
    rows = zip(labels(count), make_images(count, seed), strict=True)
    return b"".join(bytes([0, label]) + pixels.tobytes() for label, pixels in rows)


def binary_archive(path: Path, train: bytes | None = None) -> Cifar100:
    return archive(
        path,
        member("cifar-100-binary/", type=tarfile.DIRTYPE),
        member("cifar-100-binary/train.bin", records(60, 1) if train is None else train),
        member("cifar-100-binary/test.bin", records(15, 2)),
        member("cifar-100-binary/fine_label_names.txt", "\n".join([*NAMES, ""]).encode()),
        member("cifar-100-binary/coarse_label_names.txt", b"vehicles_1\n"),
    )


MAKERS: dict[str, Callable[[Path], Cifar100]] = {"python": python_archive, "binary": binary_archive}


@pytest.mark.parametrize("form", MAKERS)
def test_images_come_out_as_they_went_in(form: str, tmp_path: Path) -> None:
    """Rows of 1,024 reds, greens and blues become images, with their fine label's name and their side."""
    source = MAKERS[form](tmp_path / "cifar.tar.gz")
    assert source.classes() == tuple(sorted(NAMES))
    listing = source.listing(("bicycle", "motorcycle"))
    assert len(listing.candidates) == 50
    tested = {candidate.class_name for candidate in listing.candidates if candidate.split == "test"}
    assert tested == {"bicycle", "motorcycle"}
    found = {candidate.name: candidate for candidate in listing.candidates}
    image = Image.open(io.BytesIO(found["train/motorcycle/00001.png"].read()))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
    assert np.array_equal(np.asarray(image).transpose(2, 0, 1).reshape(-1), make_images(60, 1)[1])


def test_both_archives_are_the_same_data_set(tmp_path: Path) -> None:
    """Staged by class names, the python and the binary archive give one data set: equal hash, test set untouched."""
    staged = [
        dataset.stage(make(tmp_path / f"{form}.tar.gz"), tmp_path / form, classes=["motorcycle", "bicycle"]).dataset
        for form, make in MAKERS.items()
    ]
    assert staged[0].hash == staged[1].hash
    assert staged[0].classes == ("motorcycle", "bicycle")
    assert staged[0].counts()["test"] == {"motorcycle": 5, "bicycle": 5}


def test_real_photographs_through_an_archive(tmp_path: Path, test_data: Path) -> None:
    """Photographs that are packed into the binary form are staged to the very pixels of their files."""
    files = sorted((test_data / "cifar100-vehicles" / "train").glob("*/*.png"))
    chosen = [file for file in files if file.parent.name in ("bicycle", "motorcycle")][::25]
    rows = b"".join(
        bytes([0, NAMES.index(file.parent.name)])
        + np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1).tobytes()
        for file in chosen
    )
    source = binary_archive(tmp_path / "cifar.tar.gz", rows)
    found = source.listing(("bicycle", "motorcycle")).candidates
    pixels = {np.asarray(Image.open(io.BytesIO(c.read()))).tobytes() for c in found if c.split != "test"}
    assert pixels == {np.asarray(Image.open(file).convert("RGB")).tobytes() for file in chosen}


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    """A class that CIFAR-100 does not have is answered with the nearest that it has."""
    with pytest.raises(DatasetError, match=r"no class 'motorcicle' .*did you mean 'motorcycle'"):
        dataset.stage(binary_archive(tmp_path / "a.tar.gz"), tmp_path / "out", classes=["bicycle", "motorcicle"])


def test_the_checksum_is_verified(tmp_path: Path) -> None:
    """Without a checksum given, only the two published archives are read; the message names what was found."""
    source = binary_archive(tmp_path / "cifar-100-binary.tar.gz")
    with pytest.raises(DatasetError, match=f"its MD5 is {source.md5}, not that of a CIFAR-100 archive"):
        Cifar100(source.path).classes()
    assert sorted(CIFAR100_MD5.values()) == ["03b5dce01913d631647c71ecec9e9cb8", "eb9058c3a382ffc7106e4002c42a8d85"]
    with pytest.raises(DatasetError, match="not 0000: download it again"):
        Cifar100(source.path, "0000").classes()
    with pytest.raises(DatasetError, match="No such file"):
        Cifar100(tmp_path / "gone.tar.gz").classes()


HARMFUL = {
    "upwards": (member("../evil.txt", b"x"), "a path outside"),
    "deep upwards": (member("cifar-100-python/../../evil.txt", b"x"), "a path outside"),
    "absolute": (member("/tmp/evil.txt", b"x"), "a path outside"),
    "symbolic link": (member("cifar-100-python/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
    "inner link": (member("cifar-100-python/test2", type=tarfile.SYMTYPE, linkname="test"), "a link"),
    "hard link": (member("cifar-100-python/hard", type=tarfile.LNKTYPE, linkname="../x"), "a link"),
    "device": (member("cifar-100-python/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "a device"),
    "block device": (member("cifar-100-python/sda", type=tarfile.BLKTYPE), "a device"),
    "pipe": (member("cifar-100-python/pipe", type=tarfile.FIFOTYPE), "a pipe"),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_harmful_members_are_refused(kind: str, tmp_path: Path) -> None:
    """An archive with a way out, a link, a device or a pipe is refused in one line, and nothing is written."""
    entry, message = HARMFUL[kind]
    source = python_archive(tmp_path / "cifar.tar.gz", None, META, entry)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match=message) as caught:
        dataset.stage(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert repr(entry[0].name) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


class Shell:
    """Pickled, it asks whoever reads it to run a command."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self._marker}",)


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    """A pickle that wants to run a command is refused by what it asks for; nothing runs, nothing is written."""
    marker = tmp_path / "marker"
    train = python2({b"data": Shell(marker)})
    source = python_archive(tmp_path / "cifar.tar.gz", train)
    with pytest.raises(DatasetError, match=r"cifar\.tar\.gz: train asks for posix\.system: only numpy arrays"):
        dataset.stage(source, tmp_path / "out")
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\ngetattr\n(S'1'\nS'upper'\ntR.",
        b"cnumpy.testing._private.utils\nrunstring\n(S'1'\nt.",
        b"cnumpy\ndtype\n(N(dS'__defaults__'\nNstb.",
        b"cnumpy\ndtype\n(dS'__name__'\nS'x'\nsb.",
        b"cnumpy\nndarray\n(dS'a'\nS'x'\nsb.",
        b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
        b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
        b"ccopyreg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
        b"cnumpy\nndarray.tofile\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"Pelsewhere\n.",
        b"\x82\x01.",
        b"cnumpy\nndarray\n((I1000000000000\nttR.",
        b"cnumpy\ndtype\n(S'O'\nI00\nI01\ntR.",
        b"cnumpy\ndtype\n(S'V99999999'\nI00\nI01\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"Nr\xff\xff\xff\x7f.",
        b"Np2147483647\n.",
        b"\x80\x05\x96\x00\x00\x00\x00\x08\x00\x00\x00.",
        b"\x80\x63.",
        b"",
        b"(((",
        b"not a pickle at all",
    ],
)
def test_no_other_program_runs(program: bytes) -> None:
    """Whatever opcode asks for a name, a call, a huge array or an outside object ends in one line."""
    with pytest.raises(DatasetError) as caught:
        load_arrays(program, "the pickle")
    assert "\n" not in str(caught.value)


def states(array: bytes, number: bytes) -> bytes:
    """A pickle of an array: the states of the array and of its dtype, as opcodes between a mark and a tuple."""
    made = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\1btR"
    return (
        b"\x80\3"
        + made
        + b"("
        + array.replace(b"DTYPE", b"cnumpy\ndtype\n(U\2u1I00\nI01\ntR(" + number + b"tb")
        + b"tb."
    )


NUMBER = b"I3\nU\1|NNNI-1\nI-1\nI0\n"


@pytest.mark.parametrize(
    ("array", "number"),
    [
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b"I3\nU\1|NNNI-1\nI-1\n"),
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b"I3\nU\1|U\1aNNI-1\nI-1\nI0\n"),
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b"I3\nX\1\0\0\0NNI-1\nI-1\nI0\n"),
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b"I3\nX\1\0\0\0|NI-1\nI-1\nI0\n"),
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b"I3\nN"),
        (b"I1\n(I2\ntDTYPEI00\nU\2ab", b""),
        (b"I1\n(I3\ntDTYPEI00\nU\2ab", NUMBER),
        (b"I1\n(I-2\ntDTYPEI00\nU\2ab", NUMBER),
        (b"I1\n(I4611686018427387904\nI4\ntDTYPEI00\nU\0", NUMBER),
        (b"I1\n(I2\ntDTYPEI00\nNI0\n", NUMBER),
        (b"I1\n(I2\ntDTYPEI00\n", NUMBER),
        (b"I1\nI2\nDTYPEI00\nU\2ab", NUMBER),
        (b"I1\n(I2\ntNI00\nU\2ab", NUMBER),
        (b"", NUMBER),
    ],
)
def test_states_that_numpy_would_crash_on(array: bytes, number: bytes) -> None:
    """An array that lies about its memory is refused, or what can be read of it is; the process goes on."""
    program = states(array, number)
    try:
        found = load_arrays(program, "it")
    except DatasetError as error:
        assert str(error).startswith("it is not a pickle of arrays")
    else:
        assert isinstance(found, np.ndarray)
        assert found.tobytes() == b"ab"


@given(st.data())
def test_no_broken_pickle_does_harm(data: st.DataObject) -> None:
    """A pickle with any of its bytes changed or cut is read, or refused in one line: nothing else happens."""
    program = bytearray(side(3, 1) if data.draw(st.booleans()) else META)
    changes = st.tuples(st.integers(0, len(program) - 1), st.integers(0, 255))
    for position, value in data.draw(st.lists(changes, min_size=1, max_size=4)):
        program[position] = value
    try:
        load_arrays(bytes(program[: data.draw(st.integers(1, len(program)))]), "it")
    except DatasetError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "value",
    [
        {b"a": [1, 2.5, None, True, (b"x", "text")], "n": {}},
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.array([], np.int64),
    ],
)
def test_arrays_and_plain_containers_are_read(value: Any) -> None:
    """Dicts, lists, tuples, text, numbers and arrays of numbers come back equal, from old and new pickles."""
    for data in (pickle.dumps(value, 4), pickle.dumps(value, 3)):
        found = load_arrays(data, "it")
        if isinstance(value, np.ndarray):
            assert isinstance(found, np.ndarray)
            assert found.dtype == value.dtype
            assert np.array_equal(found, value)
        else:
            assert found == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: python_archive(path, side(6, 1, data=make_images(5, 1))), "train does not hold 3072 bytes"),
        (lambda path: python_archive(path, side(6, 1, fine_labels=[100] * 6)), "outside the 100 classes"),
        (lambda path: python_archive(path, side(6, 1, fine_labels=[b"8"] * 6)), "does not hold"),
        (lambda path: python_archive(path, python2([1, 2])), "train is not a dictionary"),
        (lambda path: python_archive(path, None, python2({b"coarse": []})), "has no class names"),
        (lambda path: binary_archive(path, b"\0" * 3075), "3,075 bytes, not a whole number of records"),
        (lambda path: binary_archive(path, bytes([0, 200]) + b"\0" * 3072), "outside the 100 classes"),
        (lambda path: archive(path, member("photos/a.png", b"x")), "holds no fine_label_names.txt"),
    ],
)
def test_archives_that_are_something_else(make: Callable[[Path], Cifar100], message: str, tmp_path: Path) -> None:
    """Tables of the wrong shape, labels without a class and other archives are one clear line."""
    source = make(tmp_path / "a.tar.gz")
    with pytest.raises(DatasetError, match=message):
        source.listing(source.classes())


def test_an_archive_cut_short(tmp_path: Path) -> None:
    """Half an archive, checksum or not, is no archive."""
    whole = binary_archive(tmp_path / "whole.tar.gz").path.read_bytes()
    half = tmp_path / "half.tar.gz"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"half\.tar\.gz is not a complete \.tar\.gz archive"):
        Cifar100(half, hashlib.md5(half.read_bytes()).hexdigest()).classes()


def test_a_bomb_is_refused_by_what_it_announces(tmp_path: Path) -> None:
    """A member that announces more than a gigabyte is refused before it is unpacked."""
    path = tmp_path / "bomb.tar.gz"
    entry = tarfile.TarInfo("cifar-100-python/train")
    entry.size = 1 << 40
    with tarfile.open(path, "w:gz") as file:
        file.addfile(entry)
    with pytest.raises(DatasetError, match="unpacks to more than"):
        Cifar100(path, hashlib.md5(path.read_bytes()).hexdigest()).classes()
