"""From a trained network to one ONNX graph that holds everything between decoded pixels and probabilities.

The graph is written node by node: the network is small and fixed, so this is explicit, takes milliseconds, needs
onnx alone and folds what can be folded. Normalisation goes into the whitening convolution (which has no padding, so
this is exact), batch norms into the convolutions before them (their scale is positive, so it may pass the max-pool),
the temperature into the last layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scones_ml.training.network import LOGIT_SCALE
from scones_ml.training.tta import SHIFT_WEIGHTS, SHIFTS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from scones_ml.training.fit import Fitted
    from scones_ml.training.network import Stage

__all__ = ["to_onnx"]

_OPSET, _IR_VERSION = 20, 9  # the first operator set with Gelu; ONNX Runtime 1.17 and newer read both
_INT64_MIN = -(2**63)  # the end of a Slice backwards that takes index 0, too; -1 would mean the last


def to_onnx(fitted: Fitted, size: int, temperature: float = 1.0) -> bytes:
    """Write a classifier as ONNX.

    Args:
        fitted: the trained network.
        size: side S of the images, in pixels.
        temperature: what the logits are divided by, above 0.

    Returns:
        A serialised model: input ``image`` uint8 (N, S, S, 3), output ``probabilities`` float32 (N, K).
    """
    graph = _Graph()
    network = fitted.network
    x = graph.add("Cast", "image", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])  # (N, 3, S, S)
    x = _views(graph, x, size)  # (6N, 3, S, S)
    x = graph.add("Gelu", graph.convolve(x, *_whitening(fitted)))
    for stage in network.stages:
        x = _stage(graph, x, cast("Stage", stage))
    x = graph.add("ReduceMax", x, graph.constant(np.array([2, 3])), keepdims=0)  # (6N, 128)
    head = _array(network.head.weight).T * (LOGIT_SCALE / temperature)
    x = graph.add("MatMul", x, graph.constant(head.astype(np.float32)))  # (6N, K)
    x = graph.add("Reshape", x, graph.constant(np.array([2 * len(SHIFTS), -1, head.shape[1]])))  # (6, N, K)
    weights = np.array(SHIFT_WEIGHTS * 2, np.float32).reshape(-1, 1, 1) / 2
    x = graph.add("Mul", x, graph.constant(weights))
    x = graph.add("ReduceSum", x, graph.constant(np.array([0])), keepdims=0)  # (N, K)
    graph.add("Softmax", x, output="probabilities", axis=1)
    return graph.serialise(size, head.shape[1])


def _views(graph: _Graph, x: str, size: int) -> str:
    """The six views of every image, one after another along the batch; see ``views.averaged_logits``."""
    padded = graph.add("Pad", x, graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect")
    shifted = [
        graph.slice(padded, starts=[1 + dy, 1 + dx], ends=[1 + dy + size, 1 + dx + size], axes=[2, 3])
        for dy, dx in SHIFTS
    ]
    mirrored = [graph.slice(view, starts=[-1], ends=[_INT64_MIN], axes=[3], steps=[-1]) for view in shifted]
    return graph.add("Concat", *shifted, *mirrored, axis=0)


def _whitening(fitted: Fitted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first convolution's weight and bias for pixels of 0..255 instead of normalised ones."""
    mean, deviation = (_array(values).reshape(1, 3, 1, 1) for values in (fitted.mean, fitted.deviation))
    weight = _array(fitted.network.whiten.weight) / deviation
    bias = _array(fitted.network.whiten.bias) - (weight * mean).sum((1, 2, 3))
    return weight.astype(np.float32), bias.astype(np.float32)


def _stage(graph: _Graph, x: str, stage: Stage) -> str:
    x = graph.convolve(x, *_folded(stage.conv1, stage.norm1), padding=1)
    x = graph.add("Gelu", graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    return graph.add("Gelu", graph.convolve(x, *_folded(stage.conv2, stage.norm2), padding=1))


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A convolution's weight and bias with the batch norm after it folded in."""
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    weight = _array(conv.weight) * scale[:, None, None, None]
    bias = _array(norm.bias) - _array(norm.running_mean) * scale
    return weight.astype(np.float32), bias.astype(np.float32)


def _array(tensor: Tensor | None) -> NDArray[np.float64]:
    if tensor is None:
        raise TypeError("every convolution and norm that is exported has this parameter")
    return tensor.detach().double().cpu().numpy()


class _Graph:
    """Nodes and constants in the making; every method returns the name of the tensor that it added."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: int | str | list[int]) -> str:
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolve(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], padding: int = 0) -> str:
        return self.add("Conv", x, self.constant(weight), self.constant(bias), pads=[padding] * 4)

    def slice(self, x: str, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> str:
        bounds = (starts, ends, axes, steps or [1] * len(axes))
        return self.add("Slice", x, *(self.constant(np.array(values, np.int64)) for values in bounds))

    def serialise(self, size: int, classes: int) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            "scones_ml",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="scones_ml")
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised
