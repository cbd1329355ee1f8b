"""What is fuzzed: for each reader of foreign files its seeds, how they are changed, and how they are read."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tarfile
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import onnx
import torch
from mutations import as_json, mutated, mutated_json, mutated_lines, mutated_png

from scones_ml import captures, events, images
from scones_ml.backbones import load_onnx
from scones_ml.backbones.torch_file import read_tensors
from scones_ml.dataset import recordio
from scones_ml.dataset.archives import Cifar100
from scones_ml.dataset.opening import open_source
from scones_ml.errors import SconesError
from scones_ml.events.starts import queued
from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.inference.model import load_classifier, read_card
from scones_ml.testing import image_kinds, recorded_event, recorded_events

__all__ = ["TARGETS", "Target", "target"]

_SCRATCH = tempfile.TemporaryDirectory(prefix="scones-fuzz-")

Change = Callable[[bytes, Sequence[bytes], Random], bytes]


@dataclass(frozen=True)
class Target:
    """A reader of foreign data.

    Attributes:
        seeds: good inputs.
        change: makes another of one.
        read: reads it and returns what was said, our errors' texts; anything that it raises is a finding.
    """

    seeds: tuple[bytes, ...]
    change: Change
    read: Callable[[bytes], str]


def _bytes(tokens: Sequence[bytes], data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    return mutated(data, others, tokens, random)


def _json(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if value is None or random.random() < 0.2:
        return mutated(data, others, (b"null", b"1e999", b"\\ud800", b"\\u0000", b"[" * 5000), random)
    return as_json(mutated_json(value, random), random)


def _lines(tokens: Sequence[bytes], data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    if random.random() < 0.3:
        return mutated(data, others, tokens, random)
    return mutated_lines(data, others, tokens, random)


def _images() -> Target:
    kinds = [kind for kind in image_kinds() if not kind.name.startswith(("exif/tag-", "cut/"))]
    seeds = [data for kind in kinds[::2] if "bomb" not in kind.name and len(data := kind.data) < 20_000]
    tokens = (
        b"\xff\xd8",
        b"\xff\xda",
        b"\xff\xc2",
        b"IDAT",
        b"PLTE",
        b"tRNS",
        b"acTL",
        b"Exif\0\0II*\0",
        b"ANMF",
        b"ipco",
    )

    def change(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
        if data.startswith(b"\x89PNG") and random.random() < 0.7:
            return mutated_png(data, others, tokens, random)
        return mutated(data, others, tokens, random)

    def read(data: bytes) -> str:
        policies = (images.ImagePolicy(max_pixels=1_000_000), images.ImagePolicy(max_pixels=1_000_000, version=1))
        return "".join(_said(partial(images.pixels, data, 32, policy)) for policy in policies)

    return Target(tuple(seeds), change, read)


def _events() -> Target:
    seeds = tuple(json.dumps(recorded_event(name)).encode() for name in recorded_events())

    def read(data: bytes) -> str:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):  # the runtime's own, before a handler is called
            return "no JSON"
        readers = (events.image_refs, events.start_event, queued)
        if isinstance(event, dict):
            readers += (events.image_batch, events.serialized_image, events.classified_image)
        return "".join(_said(partial(reader, event)) for reader in readers)

    return Target(seeds, _json, read)


def _said(call: Callable[[], object]) -> str:
    """Call it; our own errors are answers, each of them one line."""
    try:
        call()
    except SconesError as exc:
        return _checked(str(exc))
    return "read"


def _checked(text: str) -> str:
    """An error's text: one line that any terminal can show.

    Raises:
        AssertionError: it is not.
    """
    assert text, "an error without a word"
    assert text.isprintable(), f"control characters or several lines: {text!r}"
    assert " at 0x" not in text, f"a memory address: {text}"
    return text


def _captures() -> Target:
    with tempfile.TemporaryDirectory() as folder:
        writer, now = captures.CaptureWriter(Path(folder), "bikes"), datetime(2026, 1, 1, tzinfo=UTC)
        payloads = [
            captures.Payload("application/json", b"[0.25, 0.75]"),
            captures.Payload("text/csv", b"0.25,0.75"),
            captures.Payload("application/json", b'{"predictions": [[0.25, 0.75]]}'),
            captures.Payload("application/json", b'[{"label": "bicycle", "score": 0.75}]'),
        ]
        for number, payload in enumerate(payloads):
            sent = captures.Payload("image/png", b"\x89PNG")
            writer.write(captures.Capture(str(number), now, sent, payload, "id", ("latency_ms=1.5",)), now)
        lines = next(Path(folder).rglob("*.jsonl")).read_bytes()

    def read(data: bytes) -> str:
        said = ""
        for found in captures.parse_captures(io.BytesIO(data)):
            if isinstance(found, captures.Skipped):
                said += _checked(found.reason)
            else:
                found.latency_ms()
                found.model()
                said += "read" if found.probabilities() else "no answer"
        return said

    tokens = (b"null", b"1e999", b"-1e400", b"\\ud800", b'"encoding":"JSON"', b"[" * 5000, b"{" * 100, b"\xff")
    return Target((lines, *lines.splitlines()), partial(_lines, tokens), read)


def _manifests() -> Target:
    rows = [
        {"source-ref": "s3://photos/a.png", "bike": 0, "bike-metadata": {"class-name": "bicycle", "confidence": 0.9}},
        {"source-ref": "b.png", "bike": 1, "bike-metadata": {"class-name": "motorcycle", "human-annotated": "yes"}},
        {"source-ref": "c.png", "bike-metadata": {"failure-reason": "ClientError"}},
    ]
    own = [{"path": "train/bicycle/a.png", "class": "bicycle", "split": "test"}, {"path": "b.png", "label": 1}]
    seeds = (
        b"\n".join(json.dumps(row).encode() for row in rows),
        b"\n".join(json.dumps(row).encode() for row in own),
        b"0\t0\ta.png\n1\t1.000000\tb.png\n2\t1\tfolder/c.png\n",
        b'path,label\na.png,bicycle\n"b,b.png",motorcycle\n',
    )
    folder = Path(_SCRATCH.name)

    def read(data: bytes) -> str:
        path = folder / "manifest"
        path.write_bytes(data)
        return _said(partial(_listed, path))

    tokens = (
        b"\t",
        b"\n",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"1e999999999",
        b"1e400000",
        b"-0",
        b"NaN",
        b"..",
        b"\\",
        b"\xff",
        b'"',
    )
    return Target(seeds, partial(_lines, tokens), read)


def _listed(path: Path) -> None:
    source = open_source(path, seed=0, image_size=32)
    source.listing(source.classes())


def _recordio() -> Target:
    magic = b"\x0a\x23\xd7\xce"
    seeds = []
    for image in (b"", b"\x89PNG", b"abc" + magic + b"defg" + magic * 3, bytes(300)):
        for labels in ((1.0,), (0.0, 1.0), ()):
            file = io.BytesIO()
            recordio.write_record(file, recordio.pack(recordio.LabelledImage(labels, 7, image)))
            recordio.write_record(file, recordio.pack(recordio.LabelledImage((0.0,), 8, b"x")))
            seeds.append(file.getvalue())
    folder = Path(_SCRATCH.name)

    def read(data: bytes) -> str:
        said = _said(lambda: [recordio.unpack(payload) for payload in recordio.read_records(io.BytesIO(data))])
        said += _said(lambda: list(recordio.read_heads(io.BytesIO(data))))
        path = folder / "given.idx"
        path.write_bytes(data)
        return said + _said(partial(_indexed, path, data))

    return Target((*seeds, b"0\t0\n1\t28\n"), partial(_bytes, (magic, b"\t", b"\n", b"\xff\xff\xff\x1f")), read)


def _indexed(path: Path, data: bytes) -> None:
    for offset in list(recordio.read_index(path).values())[:10]:
        recordio.read_at(io.BytesIO(data), offset)


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _gzipped(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Mostly what is in the archive is changed, sometimes the archive."""
    if random.random() < 0.2:
        return mutated(gzip.compress(data, 1, mtime=0), (), (), random)
    tokens = (
        b"ustar",
        b"\x80\x02",
        b"cos\nsystem\n",
        b"(S'true'\ntR.",
        b"c__builtin__\neval\n",
        b"2",
        b"g",
        b"L",
        b"x",
    )
    return gzip.compress(mutated(data, others, tokens, random), 1, mtime=0)


def _archives() -> Target:
    names = {b"fine_label_names": [b"apple", b"bicycle"]}
    rows = {b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [0, 1], b"filenames": [b"a.png", b"b.png"]}
    python = {
        "cifar/meta": pickle.dumps(names, 3),
        "cifar/train": pickle.dumps(rows, 3),
        "cifar/test": pickle.dumps(rows, 3),
    }
    record = bytes([0, 1]) + bytes(3072)
    binary = {"cifar/train.bin": record, "cifar/test.bin": record, "cifar/fine_label_names.txt": b"apple\nbicycle\n"}
    folder = Path(_SCRATCH.name)

    def read(data: bytes) -> str:
        path = folder / "given.tar.gz"
        path.write_bytes(data)
        source = Cifar100(path, md5=hashlib.md5(data).hexdigest())  # its own, to get past the check
        return _said(lambda: [candidate.read() for candidate in source.listing(source.classes()).candidates])

    return Target((_tar(python), _tar(binary)), _gzipped, read)


def _cards() -> Target:
    card = {
        "format": 2,
        "labels": ["bicycle", "motorcycle"],
        "input_size": 32,
        "threshold": 0.9,
        "threshold_choice": {"precision": 0.95},
        "temperature": 1.2,
        "metrics": {"test": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}}},
        "dataset_hash": "0" * 64,
        "preset": "fast",
        "epochs": 3,
        "library_version": "0.2.0",
    }
    document = json.dumps(card).encode()
    folder = Path(_SCRATCH.name)

    def change(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
        if not data.startswith(b"{"):
            return _gzipped(data, others, random)
        changed = _json(data, others, random)
        return (
            changed
            if random.random() < 0.9
            else gzip.compress(_tar({"model.json": changed, "model.onnx": b"\x08\x09"}), 1)
        )

    def read(data: bytes) -> str:
        (folder / "model.json").write_bytes(data)
        (folder / "model.onnx").write_bytes(b"\x08\x09:\0")
        said = _said(partial(read_card, folder))
        path = folder / "model.tar.gz"
        path.write_bytes(data)
        return said + _said(partial(read_card, path)) + _said(partial(load_classifier, path))

    archive = _tar({"model.json": document, "model.onnx": b"\x08\x09:\0"})
    return Target((document, document, document, archive), change, read)


def _torch_files() -> Target:
    tensors = {"weight": torch.arange(24.0).reshape(2, 3, 4), "turned": torch.ones(2, 3).T, "count": torch.tensor(7)}
    file = io.BytesIO()
    torch.save(OrderedDict(tensors), file, _use_new_zipfile_serialization=False)

    def read(data: bytes) -> str:
        try:
            read_tensors(data)
        except ValueError as exc:
            return _checked(str(exc))
        return "read"

    tokens = (b"\x80\x02", b"cos\nsystem\n", b"ctorch\nFloatStorage\n", b"Q", b"R", b"b", b"\xff\xff\xff\x7f", b"2")
    return Target((file.getvalue(),), partial(_bytes, tokens), read)


def _backbones() -> Target:
    graph = GraphWriter("image", onnx.TensorProto.FLOAT, (3, 16, 16))
    x = graph.convolve("image", np.ones((2, 3, 1, 1), np.float32), np.ones(2, np.float32))
    graph.add("Flatten", graph.add("GlobalAveragePool", x), output="features")
    model = onnx.load_model_from_string(graph.serialise("features", 2))
    onnx.helper.set_model_props(model, {"scones.mean": "0.5", "scones.std": "0.5,0.5,0.5"})
    path = Path(_SCRATCH.name) / "backbone.onnx"

    def read(data: bytes) -> str:
        path.write_bytes(data)
        return _said(partial(load_onnx, path))

    tokens = (b"scones.size", b"scones.pool", b"\x0a\x05batch", b"\x08\xff\xff\xff\x7f", b"Constant", b"1e999")
    return Target((model.SerializeToString(),), partial(_bytes, tokens), read)


TARGETS: dict[str, Callable[[], Target]] = {
    "images": _images,
    "events": _events,
    "captures": _captures,
    "manifests": _manifests,
    "recordio": _recordio,
    "archives": _archives,
    "backbones": _backbones,
    "cards": _cards,
    "torch-files": _torch_files,
}


def target(name: str) -> Target:
    """A target by its name."""
    return TARGETS[name]()
