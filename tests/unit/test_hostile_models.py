"""Models from strangers: refused with a reason, for at most 500 MB and 5 seconds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from scones_ml.errors import ConfigurationError
from scones_ml.inference.archive import root_files
from scones_ml.inference.graph import check_graph
from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, load_archive, load_classifier, read_card

CARD = {"labels": ["a", "b"], "input_size": 8, "threshold": 0.9}
MEASURED = """
import json, sys, time
from pathlib import Path
import numpy, onnxruntime
from scones_ml.errors import SconesError
from scones_ml.inference.model import load_classifier

def peak():
    return next(int(line.split()[1]) / 1000 for line in open("/proc/self/status") if line.startswith("VmHWM"))

for path in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")
    before, started = peak(), time.process_time()
    try:
        model = load_classifier(path)
        if not path.endswith("laborious"):
            model.predict_batch(numpy.zeros((1, 8, 8, 3), numpy.uint8))
        said = ""
    except SconesError as exc:
        said = f"{type(exc).__name__}: {exc}"
    print(json.dumps([path, said, peak() - before, time.process_time() - started]))
"""


def node(operator: str, inputs: Iterable[str], *outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def tensor(name: str, values: object, kind: str = "<f4") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def graph(
    *more: onnx.NodeProto,
    tensors: Iterable[onnx.TensorProto] = (),
    shape: tuple[str | int, ...] = ("n", 8, 8, 3),
    kind: int = TensorProto.UINT8,
    classes: int = 2,
    added: str = "zero",
) -> onnx.ModelProto:
    """A sound classifier, but for what is added: the logits take what the nodes give as ``extra``."""
    nodes = [
        *more,
        node("Cast", ["image"], "float", to=TensorProto.FLOAT),
        node("ReduceMean", ["float", "axes"], "mean", keepdims=0),
        node("MatMul", ["mean", "weights"], "scaled"),
        node("Add", ["scaled", added], "logits"),
        node("Softmax", ["logits"], "probabilities", axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        [
            tensor("axes", [1, 2], "<i8"),
            tensor("weights", np.zeros((3, classes))),
            tensor("zero", [0.0]),
            *tensors,
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def outside() -> onnx.ModelProto:
    """Weights in another file, by a path relative to wherever the process runs."""
    model = graph()
    weights = model.graph.initializer[1]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    return model


def endless() -> onnx.ModelProto:
    """A loop that never ends."""
    body = helper.make_graph(
        [node("Identity", ["go"], "on"), node("Identity", ["carried"], "next")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
    )
    return graph(
        node("Loop", ["", "yes", "zero"], "extra", body=body), tensors=[tensor("yes", True, "?")], added="extra"
    )


def with_function() -> onnx.ModelProto:
    """A function of its own."""
    model = graph()
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [node("Identity", ["x"], "y")], opset))
    return model


def with_sparse() -> onnx.ModelProto:
    """A sparse tensor, which a few bytes make as large as they say."""
    model = graph()
    places = helper.make_tensor("", TensorProto.INT64, [1], [0])
    value = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(value, places, [10**12]))
    return model


def oversized() -> onnx.ModelProto:
    """A tensor that says more than it holds."""
    model = graph()
    model.graph.initializer[1].dims[0] = 10**11
    return model


def broadcast() -> onnx.ModelProto:
    """Three short vectors whose sum has a thousand million elements."""
    parts = [tensor(f"v{axis}", np.zeros([1000 if at == axis else 1 for at in range(3)])) for axis in range(3)]
    sums = [node("Add", ["v0", "v1"], "plane"), node("Add", ["plane", "v2"], "cube")]
    return graph(*sums, node("ReduceMax", ["cube"], "extra", keepdims=0), tensors=parts, added="extra")


def generated() -> onnx.ModelProto:
    """Four terabytes of ones."""
    ones = node("ConstantOfShape", ["size"], "ones", value=tensor("", [1.0]))
    size = tensor("size", [10**12], "<i8")
    return graph(ones, node("ReduceMax", ["ones"], "extra", keepdims=0), tensors=[size], added="extra")


def laborious() -> onnx.ModelProto:
    """Constants that would be multiplied for minutes while the graph is loaded; nothing needs them."""
    return multiplied(tensor("m0", np.zeros((1500, 1500))))


def laborious_halves() -> onnx.ModelProto:
    """The same behind a Cast that may be folded."""
    return multiplied(half("half", (1500, 1500)), widened("half", "m0"))


def multiplied(weights: onnx.TensorProto, *before: onnx.NodeProto) -> onnx.ModelProto:
    products = [node("MatMul", [f"m{step}", "m0"], f"m{step + 1}") for step in range(300)]
    last = node("ReduceMax", ["m300"], "large", keepdims=0)
    sum_ = node("Mul", ["large", "zero"], "extra")
    return graph(*before, *products, last, sum_, tensors=[weights], added="extra")


def half(name: str, shape: int | tuple[int, ...]) -> onnx.TensorProto:
    return tensor(name, np.zeros(shape), "<f2")


def widened(weight: str, to: str) -> onnx.NodeProto:
    return node("Cast", [weight], to, to=TensorProto.FLOAT)


def grown(operator: str, *inputs: str) -> onnx.ModelProto:
    """A weight of two bytes in fp16 that is widened, then grown to terabytes."""
    nodes = [
        widened("half", "wide"),
        node(operator, inputs, "grown"),
        node("ReduceMax", ["grown"], "extra", keepdims=0),
    ]
    return graph(*nodes, tensors=[half("half", 1), tensor("size", [10**12], "<i8")], added="extra")


def sized_by_halves() -> onnx.ModelProto:
    """Weights in fp16 that are widened and say how large a tensor is to be."""
    nodes = [
        widened("half", "wide"),
        node("Cast", ["wide"], "size", to=TensorProto.INT64),
        node("ConstantOfShape", ["size"], "zeros"),
        node("ReduceMax", ["zeros"], "extra", keepdims=0),
    ]
    return graph(*nodes, tensors=[tensor("half", [60_000, 60_000, 60_000], "<f2")], added="extra")


def with_halves(elements: int, *more: onnx.NodeProto) -> onnx.ModelProto:
    """Weights in fp16 that are widened once, and used with every image."""
    nodes = [
        widened("half", "wide"),
        node("ReduceMin", ["float"], "least", keepdims=0),
        node("Mul", ["wide", "least"], "product"),
        node("ReduceMax", ["product"], "extra", keepdims=0),
    ]
    return graph(*nodes, *more, tensors=[half("half", elements)], added="extra")


def cast_often() -> onnx.ModelProto:
    """Weights in fp16 that are widened a hundred times."""
    more = [node("Mul", [f"wide{step}", "least"], f"product{step}") for step in range(100)]
    return with_halves(1_000_000, *(widened("half", f"wide{step}") for step in range(100)), *more)


def cast_on_and_on() -> onnx.ModelProto:
    """Weights in fp16 that are widened and rounded in turn, three hundred times."""
    kinds = (TensorProto.FLOAT, TensorProto.INT64)
    casts = [node("Cast", [f"c{step}"], f"c{step + 1}", to=kinds[step % 2]) for step in range(301)]
    last = node("ReduceMax", ["c301"], "extra", keepdims=0)
    return graph(*casts, last, tensors=[half("c0", 1_000_000)], added="extra")


def crowded() -> bytes:
    """Nodes of two bytes each, of which a reader makes objects of hundreds."""
    nodes = b"\x0a\x00" * 1_000_000
    length = len(nodes)
    varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14 & 0x7F | 0x80, length >> 21])
    return b"\x08\x09" + b"\x3a" + varint + nodes


GRAPHS: Mapping[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "external data": (outside, "holds weights in another file"),
    "loop": (endless, r"holds a graph within a node \(If, Loop, Scan\)"),
    "function": (with_function, "holds functions of its own"),
    "operator of others": (
        lambda: graph(node("Crash", ["zero"], "extra", domain="com.evil"), added="extra"),
        r"needs operators of com\.evil: only ONNX's own are allowed",
    ),
    "sparse tensor": (with_sparse, "holds sparse tensors"),
    "oversized tensor": (oversized, "holds a tensor whose size differs from its header"),
    "crowded": (crowded, "holds more than 200,000 fields"),
    "long text": (lambda: helper.make_model(graph().graph, doc_string="x" * 16_000_000), "holds more than 16,000,000"),
    "cut off": (lambda: graph().SerializeToString()[:-30], "is not an ONNX graph, or cut short"),
    "no graph": (lambda: b"\x89PNG\r\n\x1a\n" * 1_000, "is not an ONNX graph|holds field"),
    "empty": (lambda: b"", "cannot be loaded"),
    "unknown operator": (lambda: graph(node("NoSuch", ["zero"], "extra"), added="extra"), "cannot be loaded"),
    "broadcast": (broadcast, "InferenceError: .* cannot be run"),
    "generated": (generated, "InferenceError: .* cannot be run"),
    "name of no text": (
        lambda: graph().SerializeToString().replace(b"logits", b"log\xffts"),
        "holds a text that is not UTF-8",
    ),
    "tiled halves": (lambda: grown("Tile", "wide", "size"), "InferenceError: .* cannot be run"),
    "expanded halves": (lambda: grown("Expand", "wide", "size"), "InferenceError: .* cannot be run"),
    "sized by halves": (sized_by_halves, "InferenceError: .* cannot be run"),
    "many halves": (lambda: with_halves(25_000_001), "holds more than 25,000,000 weights in fp16"),
    "float images": (
        lambda: graph(kind=TensorProto.FLOAT),
        r"takes float \(N, 8, 8, 3\), not uint8 \(N, 8, 8, 3\) as model\.json says",
    ),
    "larger images": (lambda: graph(shape=("n", 9, 9, 3)), r"takes uint8 \(N, 9, 9, 3\), not uint8 \(N, 8, 8, 3\)"),
    "one image": (lambda: graph(shape=(1, 8, 8, 3)), r"takes uint8 \(1, 8, 8, 3\)"),
    "three classes": (lambda: graph(classes=3), r"gives float \(N, 3\), not float \(N, 2\)"),
    "not a number": (
        lambda: graph(tensors=[tensor("nan", [np.nan])], added="nan"),
        "InferenceError: .* returns no finite probability for each label",
    ),
}


def entry(name: str, size: int = 0, kind: bytes = b"0", link: str = "") -> bytes:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made.tobuf(tarfile.GNU_FORMAT)


def zipped(*parts: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(map(packer.compress, parts)) + packer.flush()


def whole(name: str, data: bytes) -> bytes:
    return entry(name, len(data)) + data + bytes(-len(data) % 512)


MEGABYTE = bytes(1_000_000)
SOUND = (whole(MODEL_GRAPH, graph().SerializeToString()), whole(MODEL_CARD, json.dumps(CARD).encode()), bytes(1024))
ARCHIVES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "card of 2 GB": (
        lambda: zipped(entry(MODEL_CARD, 2_000_000_000), *[MEGABYTE] * 50),
        r"holds a model\.json of 2,000,000,000 bytes, more than the 4,000,000 allowed: give a model's folder",
    ),
    "card of 2^80 bytes": (lambda: zipped(entry(MODEL_CARD, 2**80)), "holds a model.json of "),
    "large file before": (
        lambda: zipped(entry("x", 450_000_000), *[MEGABYTE] * 450, *SOUND),
        "decompresses to more than 400,000,000 bytes",
    ),
    "long header": (
        lambda: zipped(entry("x", 450_000_000, b"x"), *[MEGABYTE] * 450, *SOUND),
        "decompresses to more than 400,000,000 bytes",
    ),
    "many files": (lambda: zipped(*[entry(f"{n}") for n in range(20_000)], *SOUND), "holds more than 10,000 files"),
    "long name in gzip": (lambda: b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 50_000_000, "is not a complete tar archive"),
    "link": (
        lambda: zipped(entry(MODEL_CARD, 0, b"2", "/etc/passwd"), *SOUND),
        "holds 'model.json', which is not a regular",
    ),
    "link to itself": (
        lambda: zipped(entry(MODEL_CARD, 0, b"1", MODEL_CARD)),
        "holds 'model.json', which is not a regular",
    ),
    "device": (lambda: zipped(entry(MODEL_CARD, 0, b"3")), "holds 'model.json', which is not a regular file"),
    "sparse": (lambda: zipped(entry(MODEL_CARD, 10, b"S"), *SOUND), "holds a sparse file"),
    "twice": (lambda: zipped(*SOUND[:2], *SOUND), "holds model.json twice"),
    "cut off": (lambda: zipped(*SOUND)[:-400], "is not a complete tar"),
    "broken": (lambda: b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 600, "is not a complete tar.gz archive"),
    "no archive": (lambda: b"PK\x03\x04" * 500, "is not a tar archive"),
    "empty": (lambda: b"", "is not a complete tar archive"),
    "another's": (lambda: zipped(whole("saved_model.pb", b"x"), bytes(1024)), "holds no model.json"),
}
CARDS: Mapping[str, tuple[str, str]] = {
    "large side": (json.dumps(CARD | {"input_size": 30_000}), "input_size: .*4096"),
    "huge side": (json.dumps(CARD | {"input_size": 10**300}), "input_size"),
    "one name": (json.dumps(CARD | {"labels": ["a", "a"]}), "labels: .*'a' occurs twice"),
    "no name": (json.dumps(CARD | {"labels": ["a", " "]}), "labels: .*' ' is not 1 to 200"),
    "forged name": (
        json.dumps(CARD | {"labels": ["a", "b\n\u001b[2J"]}),
        r"labels: .*'b\\\\n\\\\x1b\[2J' is not 1 to 200",
    ),
    "long name": (json.dumps(CARD | {"labels": ["a", "b" * 201]}), "labels: .* is not 1 to 200"),
    "half a character": (json.dumps(CARD | {"labels": ["a", "\ud800"]}), "holds half a character"),
    "many names": (json.dumps(CARD | {"labels": [*map(str, range(10_001))]}), "labels: .*10000"),
    "endless temperature": ('{"labels": ["a", "b"], "input_size": 8, "temperature": 1e999}', "holds the number 1e999"),
    "no threshold": ('{"labels": ["a", "b"], "input_size": 8, "threshold": NaN}', "holds NaN"),
    "deep": ("[" * 1_000_000, "is nested deeper than 100 levels"),
    "twice": ('{"labels": ["a", "b"], "labels": ["b", "a"], "input_size": 8}', "names the field 'labels' twice"),
    "large": (" " * 4_000_001, "is larger than 4,000,000 bytes"),
}


def write(folder: Path, card: str, model: onnx.ModelProto | bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / MODEL_CARD).write_text(card)
    (folder / MODEL_GRAPH).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float, float]]:
    """What a process says of each model, the megabytes and the seconds of CPU that it took."""
    root = tmp_path_factory.mktemp("models")
    for name, (make, _) in GRAPHS.items():
        write(root / "graph" / name, json.dumps(CARD), make())
    for name, (card, _) in CARDS.items():
        write(root / "card" / name, card, graph())
    (root / "archive").mkdir()
    for name, (pack, _) in ARCHIVES.items():
        (root / "archive" / name).write_bytes(pack())
    for name, make in LET_IN.items():
        write(root / name, json.dumps(CARD), make())
    paths = [str(path) for path in (*root.glob("*/*"), *(root / name for name in LET_IN)) if path.suffix == ""]
    paths = [path for path in paths if Path(path).name not in (MODEL_CARD, MODEL_GRAPH)]
    done = subprocess.run([sys.executable, "-c", MEASURED, *paths], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    rows = map(json.loads, done.stdout.splitlines())
    return {str(Path(path).relative_to(root)): (said, peak, seconds) for path, said, peak, seconds in rows}


def heavy() -> onnx.ModelProto:
    """The heaviest that is let in."""
    weights = tensor("heavy", np.zeros(27_000_000))
    return graph(node("ReduceMax", ["heavy"], "extra", keepdims=0), tensors=[weights], added="extra")


LET_IN: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "heavy": heavy,
    "heavy halves": lambda: with_halves(25_000_000),
    "cast often": cast_often,
    "cast on and on": cast_on_and_on,
    "laborious": laborious,
    "halves, laborious": laborious_halves,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_a_classifier_does_not_need_is_refused(
    costs: dict[str, tuple[str, float, float]], name: str
) -> None:
    """A hostile or unfit graph is one line that names the file, before it takes 500 MB or 5 seconds."""
    assert_refused(costs[f"graph/{name}"], rf"graph/{name}/model\.onnx {GRAPHS[name][1]}|{GRAPHS[name][1]}")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_no_classifier_is_refused(costs: dict[str, tuple[str, float, float]], name: str) -> None:
    """A hostile or unfit card is one line that names file and field."""
    assert_refused(costs[f"card/{name}"], CARDS[name][1])


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_holds_no_model_is_refused(costs: dict[str, tuple[str, float, float]], name: str) -> None:
    """A bomb, a link or half an archive is one line; no more of it is inflated than a model can have."""
    assert_refused(costs[f"archive/{name}"], ARCHIVES[name][1])


def assert_refused(cost: tuple[str, float, float], reason: str) -> None:
    said, peak, seconds = cost
    assert re.search(reason, said), said
    assert said.isprintable()
    assert peak < 500
    assert seconds < 5


@pytest.mark.parametrize("name", LET_IN)
def test_the_heaviest_models_that_are_let_in_are_bounded(costs: dict[str, tuple[str, float, float]], name: str) -> None:
    """A graph of 108 MB is loaded within the bounds; while one is loaded nothing is computed but wider weights."""
    said, peak, seconds = costs[name]
    assert (said, seconds < 5) == ("", True)
    assert peak < 500


FOLDED: Mapping[str, tuple[Callable[[], onnx.ModelProto], bool]] = {
    "weights in fp32": (graph, False),
    "weights in fp16": (lambda: with_halves(1), True),
    "widened twice": (cast_often, False),
    "widened to doubles": (lambda: with_halves(1, node("Cast", ["half"], "double", to=TensorProto.DOUBLE)), False),
    "another constant": (lambda: with_halves(1, node("Add", ["zero", "zero"], "sum")), False),
    "a constant behind the Cast": (lambda: with_halves(1, node("Neg", ["wide"], "sum")), False),
    "a constant from a shape": (lambda: with_halves(1, node("Shape", ["float"], "s"), node("Neg", ["s"], "n")), False),
    "a shape alone": (lambda: with_halves(1, node("Shape", ["float"], "s")), True),
    "a constant before its inputs": (
        lambda: with_halves(1, node("Neg", ["s"], "n"), node("Shape", ["float"], "s")),
        False,
    ),
    "an operator without inputs": (lambda: with_halves(1, node("RandomUniform", [], "r", shape=[10**12])), False),
    "an operator that becomes a graph": (lambda: with_halves(1, node("AffineGrid", ["float", "zero"], "g")), False),
}


@pytest.mark.parametrize("name", FOLDED)
def test_constants_are_folded_where_nothing_but_wider_weights_comes_of_it(name: str) -> None:
    """A graph may be folded if each weight in fp16 has one Cast to fp32 and no other node is constant."""
    make, expected = FOLDED[name]
    assert check_graph(make().SerializeToString()) is expected


@pytest.mark.parametrize("kind", ["device", "pipe", "loop", "dangling"])
def test_files_that_never_end_are_refused(tmp_path: Path, kind: str) -> None:
    """A device, a pipe that nobody writes to, a link to itself or to nothing is refused as archive, card and graph."""

    def place(path: Path) -> None:
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to({"device": "/dev/zero", "loop": path, "dangling": "nowhere"}[kind])

    place(tmp_path / "archive")
    with pytest.raises(ConfigurationError, match=f"the model {tmp_path}/archive"):
        load_classifier(tmp_path / "archive")
    for name in (MODEL_CARD, MODEL_GRAPH):
        model = write(tmp_path / f"with {name}", json.dumps(CARD), graph())
        (model / name).unlink()
        place(model / name)
        with pytest.raises(ConfigurationError, match=f"the model {model}.* {name}|the model {model} cannot be read"):
            load_classifier(model)


def test_sound_models_are_read_however_they_are_packed(tmp_path: Path) -> None:
    """A folder and archives of every format of tar, compressed or not, with folders in them, give the same model."""
    folder = write(tmp_path / "model", json.dumps(CARD), graph())
    expected = load_classifier(folder).sha256
    for format_ in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for mode in ("w", "w:gz"):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode, format=format_, pax_headers={"comment": "x"}) as file:
                file.add(folder, ".")
                file.add(folder / MODEL_CARD, "code/" + "long/" * 40 + MODEL_CARD)
            (tmp_path / "model.tar.gz").write_bytes(buffer.getvalue())
            assert load_classifier(tmp_path / "model.tar.gz").sha256 == expected
            assert load_archive(buffer.getvalue(), "s3://b/model.tar.gz").sha256 == expected
            assert read_card(tmp_path / "model.tar.gz").labels == ("a", "b")


@given(st.data())
def test_nothing_but_a_value_error_comes_of_any_bytes(data: st.DataObject) -> None:
    """Whatever a few bytes of a graph or an archive are changed to, it passes or is a ValueError of one line."""
    for sound, check in (
        (graph().SerializeToString(), check_graph),
        (b"".join(SOUND), lambda changed: root_files(io.BytesIO(changed), lambda _: 10_000)),
        (zipped(*SOUND), lambda changed: root_files(io.BytesIO(changed), lambda _: 10_000)),
    ):
        changed = bytearray(sound)
        for place in data.draw(st.lists(st.integers(0, len(sound) - 1), max_size=6)):
            changed[place] = data.draw(st.integers(0, 255))
        with contextlib.suppress(ValueError):
            check(bytes(changed[: data.draw(st.integers(0, len(sound)))]))


def test_a_batch_is_answered_in_parts_of_bounded_size(tmp_path: Path) -> None:
    """More images than are run at a time give the answers that they give one by one; none of no image."""
    model = load_classifier(write(tmp_path / "model", json.dumps(CARD), graph()))
    pixels = np.random.default_rng(0).integers(0, 256, (2_500, 8, 8, 3), np.uint8)
    answers = model.predict_batch(pixels)
    assert answers.shape == (2_500, 2)
    assert np.array_equal(
        answers[[0, 1_500, 2_499]], np.concatenate([model.predict_batch(pixels[n : n + 1]) for n in (0, 1_500, 2_499)])
    )
    assert model.predict_batch(pixels[:0]).shape == (0, 2)
