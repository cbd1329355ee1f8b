"""Export of a trained network as one ONNX graph, from decoded pixels to calibrated probabilities.

The graph is written node by node: the network is small and fixed, so this is explicit, takes milliseconds and needs
onnx only. Normalisation is folded into the whitening convolution (exact, since its padding reflects the image), batch
norms into the preceding convolutions (their scale is positive and commutes with the max-pool), the temperature into the
last layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from onnx import TensorProto

from scones_ml.inference.graph_writer import GraphWriter
from scones_ml.training.network import LOGIT_SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from scones_ml.training.fit import Fitted
    from scones_ml.training.network import Stage

__all__ = ["to_onnx"]


def to_onnx(fitted: Fitted, size: int, temperature: float = 1.0) -> bytes:
    """Write a classifier as ONNX.

    Args:
        fitted: the trained network.
        size: side S of the input images, in pixels.
        temperature: divisor of the logits, above 0.

    Returns:
        A serialised model: input ``image`` uint8 (N, S, S, 3), output ``probabilities`` float32 (N, K).
    """
    graph = GraphWriter("image", TensorProto.UINT8, (size, size, 3))
    network = fitted.network
    x = graph.add("Cast", "image", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])  # (N, 3, S, S)
    x = graph.add("Pad", x, graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect")
    x = graph.add("Gelu", graph.convolve(x, *_whitening(fitted)))
    for stage in network.stages:
        x = _stage(graph, x, cast("Stage", stage))
    x = graph.add("ReduceMax", x, graph.constant(np.array([2, 3])), keepdims=0)  # (N, 128)
    head = _array(network.head.weight).T * (LOGIT_SCALE / temperature)
    x = graph.add("MatMul", x, graph.constant(head.astype(np.float32)))  # (N, K)
    graph.add("Softmax", x, output="probabilities", axis=1)
    return graph.serialise("probabilities", head.shape[1])


def _whitening(fitted: Fitted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of the first convolution for pixels of 0..255 instead of normalised ones."""
    mean, deviation = (_array(values).reshape(1, 3, 1, 1) for values in (fitted.mean, fitted.deviation))
    weight = _array(fitted.network.whiten.weight) / deviation
    bias = _array(fitted.network.whiten.bias) - (weight * mean).sum((1, 2, 3))
    return weight.astype(np.float32), bias.astype(np.float32)


def _stage(graph: GraphWriter, x: str, stage: Stage) -> str:
    x = graph.convolve(x, *_folded(stage.conv1, stage.norm1), padding=1)
    x = graph.add("Gelu", graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    return graph.add("Gelu", graph.convolve(x, *_folded(stage.conv2, stage.norm2), padding=1))


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of a convolution with its batch norm folded in."""
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    weight = _array(conv.weight) * scale[:, None, None, None]
    bias = _array(norm.bias) - _array(norm.running_mean) * scale
    return weight.astype(np.float32), bias.astype(np.float32)


def _array(tensor: Tensor | None) -> NDArray[np.float64]:
    if tensor is None:
        raise TypeError("every exported convolution and norm has this parameter")
    return tensor.detach().double().cpu().numpy()
