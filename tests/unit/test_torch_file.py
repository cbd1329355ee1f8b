"""Files in torch's first format, read without torch: sound ones to the bit, hostile ones refused."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.backbones.torch_file import read_tensors

START = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def saved(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """As torch before 1.6 saved a state dict."""
    file = io.BytesIO()
    torch.save(OrderedDict(tensors), file, _use_new_zipfile_serialization=False)
    return file.getvalue()


SOUND = {
    "weight": torch.arange(24.0).reshape(2, 3, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "part": torch.arange(10.0)[3:7:2],
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


class Storage(NamedTuple):
    key: str = "0"
    elements: object = 4
    kind: object = torch.FloatStorage
    view: object = None


class Tensor:
    """Pickles itself as a call of torch's function with these arguments."""

    def __init__(self, *arguments: object, function: Callable[..., object] = torch._utils._rebuild_tensor_v2) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


class Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        if not isinstance(value, Storage):
            return None
        return ("storage", value.kind, value.key, "cpu", value.elements, value.view)


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    Pickler(file, 2).dump(value)
    return file.getvalue()


def legacy(
    value: object,
    *,
    machine: object = MACHINE,
    keys: object = ("0",),
    storages: bytes = (4).to_bytes(8, "little") + bytes(16),
) -> bytes:
    """A file of this value; the other parts are sound unless they are given."""
    return START + pickled(machine) + pickled(value) + pickled(list(keys)) + storages


def of(*arguments: object) -> bytes:
    return legacy({"w": Tensor(*arguments)})


HOSTILE: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is not a file of torch's first format"),
    "newer format": (lambda: b"PK\x03\x04" * 100, "is not a file of torch's first format"),
    "cut off in the pickles": (lambda: saved(SOUND)[:400], "is cut short or broken|broken pickle"),
    "cut off in the storages": (lambda: saved(SOUND)[:-1], "is cut short or broken"),
    "something behind": (lambda: saved(SOUND) + b"x", "is cut short or broken"),
    "a command": (lambda: legacy({"w": Tensor("true", function=os.system)}), r"asks for posix\.system"),
    "a command of the machine": (
        lambda: legacy({}, machine=Tensor("true", function=os.system)), r"asks for posix\.system"
    ),
    "a forged name": (
        lambda: legacy({}).replace(b"}q\x00.", b"cos\nsys\x1b[2Jtem\n.", 2), r"asks for os\.sys\\x1b\[2Jtem"
    ),
    "another storage": (lambda: of(Storage(kind=torch.DoubleStorage), 0, (4,), (1,)), r"asks for torch\.DoubleStorage"),
    "a module": (lambda: legacy(torch.nn.Linear(1, 1)), "asks for torch"),
    "another byte order": (lambda: legacy({}, machine={"little_endian": False}), "of another byte order"),
    "no state dict": (lambda: legacy([1, 2]), "holds no state dict"),
    "no tensor": (lambda: legacy({"w": 1}), "holds 'w', which is not a tensor of a state dict"),
    "no name": (lambda: legacy({1: Tensor(Storage(), 0, (4,), (1,))}), "holds '1', which is not a tensor"),
    "huge tensor": (lambda: of(Storage(), 0, (10**12,), (0,)), "holds 'w', which is not a tensor"),
    "huge sides": (lambda: of(Storage(), 0, (2**62, 2**62, 0), (1, 1, 1)), "holds 'w', which is not a tensor"),
    "huge strides": (lambda: of(Storage(), 0, (2,), (2**39,)), "holds a tensor whose size differs from its header"),
    "behind its storage": (lambda: of(Storage(), 3, (2,), (1,)), "holds a tensor whose size differs from its header"),
    "backwards": (lambda: of(Storage(), 3, (2,), (-1,)), "holds 'w', which is not a tensor"),
    "before its storage": (lambda: of(Storage(), -1, (2,), (1,)), "holds 'w', which is not a tensor"),
    "half a side": (lambda: of(Storage(), 0, (1.5,), (1,)), "holds 'w', which is not a tensor"),
    "many sides": (lambda: of(Storage(), 0, (1,) * 9, (1,) * 9), "holds 'w', which is not a tensor"),
    "no strides": (lambda: of(Storage(), 0, (2,), ()), "holds 'w', which is not a tensor"),
    "huge storage": (lambda: of(Storage(elements=2**60), 0, (4,), (1,)), "storage whose size differs"),
    "storage of a truth": (lambda: of(Storage(elements=True), 0, (1,), (1,)), "broken pickle"),
    "view of a storage": (lambda: of(Storage(view=("0", 0, 4)), 0, (4,), (1,)), "broken pickle"),
    "no such storage": (lambda: of(Storage(key="1"), 0, (4,), (1,)), "storage whose size differs"),
    "no storages": (
        lambda: legacy({"w": Tensor(Storage(), 0, (4,), (1,))}, keys=(), storages=b""), "is cut short or broken"
    ),
    "keys that are no text": (lambda: legacy({}, keys=(1,)), "has no list of storages"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_anything_but_tensors_is_refused(name: str) -> None:
    """What is no whole state dict is a ValueError of one line; no name is looked up and nothing large is made."""
    make, reason = HOSTILE[name]
    with pytest.raises(ValueError, match=reason) as caught:
        read_tensors(make())
    assert str(caught.value).isprintable()


def test_sound_files_are_read_as_torch_reads_them() -> None:
    """Tensors of both types, turned, cut out of others, empty and without a side come out to the bit."""
    found = read_tensors(saved(SOUND))
    assert list(found) == list(SOUND)
    for name, tensor in SOUND.items():
        assert found[name].dtype == tensor.numpy().dtype
        assert found[name].shape == tuple(tensor.shape)
        assert np.array_equal(found[name], tensor.numpy())


def test_tensors_may_share_a_storage() -> None:
    """Two views of one storage are read from the same bytes."""
    whole = torch.arange(6.0)
    found = read_tensors(saved({"whole": whole, "end": whole[4:]}))
    assert np.shares_memory(found["whole"], found["end"])


@given(st.data())
def test_nothing_but_a_value_error_comes_of_any_bytes(data: st.DataObject) -> None:
    """Whatever a few bytes of a file are changed to, it is read or is a ValueError of one line."""
    changed = bytearray(saved(SOUND))
    for place in data.draw(st.lists(st.integers(len(START), len(changed) - 1), max_size=6)):
        changed[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        read_tensors(bytes(changed[: data.draw(st.integers(0, len(changed)))]))
