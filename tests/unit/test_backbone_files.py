"""Backbones from ONNX files: what is read, how it is wrapped, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scones_ml.backbones import Backbone, load_onnx
from scones_ml.backbones.onnx_file import KEYS
from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.inference.graph import check_graph

SIZE = 16
PIXELS = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
STATED = {"mean": "0.485,0.456,0.406", "std": "0.229, 0.224, 0.225"}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
WEIGHTS = np.random.default_rng(2).normal(size=(5, 3, 1, 1)).astype(np.float32)
BATCH = "n"


def node(operator: str, inputs: Iterable[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), [output], **attributes)


def model(
    *nodes: onnx.NodeProto,
    shape: tuple[str | int, ...] = (BATCH, 3, SIZE, SIZE),
    kind: int = TensorProto.FLOAT,
    outputs: Iterable[str] = ("features",),
    more: Iterable[onnx.ValueInfoProto] = (),
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 18,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A network whose input is ``x``; five feature maps by one convolution are there as ``maps``."""
    held = {"weights": WEIGHTS} | dict(constants or {})
    made = helper.make_graph(
        [node("Conv", ["x", "weights"], "maps"), *nodes],
        "g",
        [helper.make_tensor_value_info("x", kind, shape), *more],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    found = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(found, dict(metadata or {}))
    return found


POOLED = (node("GlobalAveragePool", ["maps"], "pooled"), node("Flatten", ["pooled"], "features"))


def written(tmp_path: Path, made: onnx.ModelProto | bytes) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def answers(backbone: Backbone) -> np.ndarray:
    session = onnxruntime.InferenceSession(backbone.graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": PIXELS})
    return found


def maps(scale: float = 1 / 255, mean: np.ndarray | float = MEAN, std: np.ndarray | float = STD) -> np.ndarray:
    """What the convolution gives in plain numpy, (N, 16, 16, 5)."""
    return ((PIXELS * scale - mean) / std) @ WEIGHTS[:, :, 0, 0].T.astype(np.float64)


def nhwc(**more: object) -> onnx.ModelProto:
    made = model(*POOLED, shape=(BATCH, SIZE, SIZE, 3), **more)
    made.graph.node[0].input[0] = "turned"
    made.graph.node.insert(0, node("Transpose", ["x"], "turned", perm=[0, 3, 1, 2]))
    return made


def uint8() -> onnx.ModelProto:
    made = nhwc(kind=TensorProto.UINT8)
    made.graph.node[0].input[0] = "floats"
    made.graph.node.insert(0, node("Cast", ["x"], "floats", to=TensorProto.FLOAT))
    return made


def tokens() -> onnx.ModelProto:
    shape = {"shape": np.array([0, 5, -1])}
    return model(
        node("Reshape", ["maps", "shape"], "flat"),
        node("Transpose", ["flat"], "features", perm=[0, 2, 1]),
        constants=shape,
    )


def named() -> onnx.ModelProto:
    """A graph whose names are those that the wrapper uses."""
    made = model(node("GlobalAveragePool", ["maps"], "identity_4"), node("Flatten", ["identity_4"], "image"))
    made.graph.output[0].name = "image"
    made.graph.initializer[0].name = made.graph.node[0].input[1] = "constant_0"
    made.graph.input[0].name = made.graph.node[0].input[0] = "features"
    return made


def two_outputs() -> onnx.ModelProto:
    return model(*POOLED, outputs=("maps", "features"))


READ: Mapping[str, tuple[Callable[[], onnx.ModelProto], Mapping[str, str], Callable[[], np.ndarray]]] = {
    "channels first": (lambda: model(*POOLED), STATED, lambda: maps().mean((1, 2))),
    "channels last": (nhwc, STATED, lambda: maps().mean((1, 2))),
    "bytes": (uint8, {}, lambda: maps(1, 0, 1).mean((1, 2))),
    "not flattened": (lambda: model(outputs=["maps"]), STATED, lambda: maps().mean((1, 2))),
    "first token": (tokens, STATED, lambda: maps()[:, 0, 0]),
    "mean of tokens": (tokens, {**STATED, "pool": "mean"}, lambda: maps().mean((1, 2))),
    "one of two outputs": (two_outputs, {**STATED, "output": "features"}, lambda: maps().mean((1, 2))),
    "an older opset": (lambda: model(*POOLED, opset=11), STATED, lambda: maps().mean((1, 2))),
    "the same names": (named, STATED, lambda: maps().mean((1, 2))),
    "any size": (
        lambda: model(*POOLED, shape=(BATCH, 3, "h", "w")),
        {**STATED, "size": "16"},
        lambda: maps().mean((1, 2)),
    ),
    "any channels": (
        lambda: model(*POOLED, shape=(BATCH, "c", SIZE, SIZE)),
        {**STATED, "layout": "nchw"},
        lambda: maps().mean((1, 2)),
    ),
    "one scale for all": (
        lambda: model(*POOLED),
        {"scale": "0.0078125", "mean": "1", "std": "0.5"},
        lambda: maps(1 / 128, 1.0, 0.5).mean((1, 2)),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_gives_the_features_that_it_was_made_for(tmp_path: Path, name: str) -> None:
    """Whatever its layout, type, size and pooling, the wrapped graph takes uint8 images and gives (N, D)."""
    make, settings, expected = READ[name]
    backbone = load_onnx(written(tmp_path, make()), settings)
    found = answers(backbone)
    assert (backbone.name, backbone.input_size, backbone.features) == ("network", SIZE, 5)
    np.testing.assert_allclose(found, expected(), rtol=1e-4, atol=1e-5)
    check_graph(backbone.graph)
    assert load_onnx(tmp_path / "network.onnx", settings).sha256 == backbone.sha256


def test_metadata_says_what_settings_leave_open(tmp_path: Path) -> None:
    """Keys scones.* in the file's metadata count, other keys do not, and a setting comes before them."""
    said = {"scones.mean": "0.5", "scones.std": "0.5", "scones.name": "mine", "scones.licence": "MIT", "author": "x"}
    path = written(tmp_path, model(*POOLED, metadata=said))
    backbone = load_onnx(path, {"name": "yours"})
    assert (backbone.name, backbone.licence) == ("yours", "MIT")
    np.testing.assert_allclose(answers(backbone), maps(mean=0.5, std=0.5).mean((1, 2)), rtol=1e-4, atol=1e-5)


def integer(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, [1])


REFUSED: Mapping[str, tuple[Callable[[], onnx.ModelProto | bytes], Mapping[str, str], str]] = {
    "no ONNX": (lambda: b"\x89PNG\r\n", STATED, "is not an ONNX graph|holds field"),
    "empty": (lambda: b"", STATED, "is not an ONNX graph"),
    "other operators": (
        lambda: model(helper.make_node("Crash", ["maps"], ["features"], domain="com.evil")), STATED,
        r"needs operators of com\.evil",
    ),
    "two inputs": (lambda: model(*POOLED, more=[integer("ids")]), STATED, r"has 2 inputs \(x, ids\)"),
    "no image": (lambda: model(*POOLED, shape=(BATCH, 77)), STATED, r"takes no image: its input 'x' .* \(\?, 77\)"),
    "whole numbers": (lambda: model(*POOLED, kind=TensorProto.INT64), STATED, "takes no image"),
    "one image": (lambda: model(*POOLED, shape=(1, 3, SIZE, SIZE)), STATED, r"takes 1 image\(s\) at a time"),
    "one channel": (
        lambda: model(*POOLED, shape=(BATCH, 1, SIZE, SIZE)), {**STATED, "layout": "nchw"}, "takes no RGB image as nchw"
    ),
    "no layout": (lambda: model(*POOLED, shape=(BATCH, "c", "h", "w")), STATED, "set layout to nchw or nhwc"),
    "no size": (lambda: model(*POOLED, shape=(BATCH, 3, "h", "w")), STATED, "set size to a side in pixels"),
    "no square": (lambda: model(*POOLED, shape=(BATCH, 3, 16, 32)), STATED, "takes images of 16 and 32 pixels"),
    "another size": (lambda: model(*POOLED), {**STATED, "size": "32"}, "takes images of 16 and 32 pixels"),
    "huge": (lambda: model(*POOLED, shape=(BATCH, 3, 4096, 4096)), STATED, "squares of 16 to 1,024"),
    "half a pixel": (lambda: model(*POOLED, shape=(BATCH, 3, "h", "w")), {**STATED, "size": "16.5"}, "images of 16.5"),
    "no normalisation": (lambda: model(*POOLED), {}, "set mean and std"),
    "no deviation": (lambda: model(*POOLED), {"mean": "0", "std": "0"}, "scale or std that is not above 0"),
    "two means": (lambda: model(*POOLED), {"mean": "1,2", "std": "1"}, r"mean = '1,2': give 1 or 3 number\(s\)"),
    "endless mean": (lambda: model(*POOLED), {"mean": "inf", "std": "1"}, "mean = 'inf'"),
    "normalised twice": (uint8, STATED, "takes uint8 and normalises it itself: leave out mean and std"),
    "unknown setting": (lambda: model(*POOLED, metadata={"scones.meen": "1"}), STATED, "unknown setting 'meen'"),
    "forged name": (lambda: model(*POOLED), {**STATED, "name": "a\x1b[2J"}, "printable characters"),
    "unknown layout": (lambda: model(*POOLED), {**STATED, "layout": "hwc"}, "layout = 'hwc': give nchw or nhwc"),
    "several outputs": (two_outputs, STATED, "has several outputs: set output to one of maps, features"),
    "no such output": (two_outputs, {**STATED, "output": "y"}, "has no output 'y': set output to one of maps"),
    "one number": (
        lambda: model(node("ReduceMean", ["maps"], "features", keepdims=0)), STATED, r"gives features of shape \(\)"
    ),
    "whole features": (
        lambda: model(*POOLED[:1], node("Flatten", ["pooled"], "f"), node("Cast", ["f"], "features", to=7)), STATED,
        "gives int64|cannot be loaded",
    ),
    "fixed batch": (
        lambda: model(node("Reshape", ["maps", "one"], "features"), constants={"one": np.array([1, 1280])}), STATED,
        "cannot be run on 2 images of shape",
    ),
    "not a number": (
        lambda: model(*POOLED[:1], node("Flatten", ["pooled"], "f"), node("Div", ["f", "zero"], "features"),
                      constants={"zero": np.zeros(1, np.float32)}),
        STATED, "gives features that are not finite",
    ),
    "the same for all": (
        lambda: model(*POOLED[:1], node("Flatten", ["pooled"], "f"), node("Mul", ["f", "zero"], "features"),
                      constants={"zero": np.zeros(1, np.float32)}),
        STATED, "gives the same features for every image: choose another output or model",
    ),
    "random": (
        lambda: model(*POOLED[:1], node("Flatten", ["pooled"], "f"), node("RandomNormalLike", ["f"], "features")),
        STATED, "gives different features for the same images each time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_backbone_is_refused(tmp_path: Path, name: str) -> None:
    """What cannot be used is one line that names the file, the reason and, where there is one, the remedy."""
    make, settings, reason = REFUSED[name]
    path = written(tmp_path, make())
    with pytest.raises(ConfigurationError, match=f"the backbone .*{reason}") as caught:
        load_onnx(path, settings)
    assert str(caught.value).startswith(f"the backbone {path} ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and one that is too large are a line each."""
    (tmp_path / "large").touch()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(105_000_001)
    for name, reason in (("none", "No such file"), (".", "not a regular file|directory"), ("large", "is larger than")):
        with pytest.raises(SconesError, match=reason):
            load_onnx(tmp_path / name)


def test_the_page_names_every_setting() -> None:
    """docs/backbones.md describes what a file's metadata can say in the code's own words, and its scripts compile."""
    page = (Path(__file__).parents[2] / "docs/backbones.md").read_text()
    rows = dict(re.findall(r"^\| `scones\.(\w+)` \| (.+) \|$", page, re.MULTILINE))
    plain = {key: text.replace("`", "").removesuffix("; it is kept in model.json") for key, text in rows.items()}
    assert plain == KEYS
    scripts = re.findall(r"^```python\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(scripts) == 4
    for script in scripts:
        stated = set(re.findall(r'"scones\.(\w+)"', compile(script, "docs/backbones.md", "exec") and script))
        assert stated <= set(KEYS)
