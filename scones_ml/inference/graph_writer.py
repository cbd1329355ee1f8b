"""Writer of ONNX graphs, node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GraphWriter"]

_OPSET, _IR_VERSION = 20, 9  # the first operator set with Gelu; supported by ONNX Runtime 1.17 and newer


class GraphWriter:
    """Builder of an ONNX graph; every method that adds a node or constant returns the name of its tensor.

    Args:
        name: name of the input, one batch.
        kind: its element type, of ``onnx.TensorProto``.
        shape: shape of an item, without the batch.
    """

    def __init__(self, name: str, kind: int, shape: tuple[int, ...]) -> None:
        self._input = helper.make_tensor_value_info(name, kind, ["batch", *shape])
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._opset, self._ir_version = _OPSET, _IR_VERSION

    @classmethod
    def after(cls, graph: bytes) -> GraphWriter:
        """Continue a graph with one input; its outputs become tensors for further nodes."""
        model = onnx.load_model_from_string(graph)
        (image,) = model.graph.input
        writer = cls(image.name, image.type.tensor_type.elem_type, ())
        writer._input = image
        writer.include(model)
        return writer

    def include(self, model: onnx.ModelProto) -> None:
        """Add the nodes and constants of a model with distinct names, and adopt its operator version."""
        self._opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self._ir_version = max(self._ir_version, model.ir_version)
        self._nodes += model.graph.node
        self._constants += model.graph.initializer

    def keep_only(self, output: str, start: tuple[str, int] | None = None) -> GraphWriter:
        """Remove nodes and constants that one tensor does not need.

        Args:
            output: name of the tensor.
            start: name and size of a tensor that becomes the input, float32 (N, size); None keeps the input.

        Returns:
            The writer itself.
        """
        makers = {name: node for node in self._nodes for name in node.output}
        needed, waiting = set[str](), [output]
        kept = set[int]()
        while waiting:
            name = waiting.pop()
            if name in needed:
                continue
            needed.add(name)
            if name in makers and (start is None or name != start[0]):
                kept.add(id(makers[name]))
                waiting += makers[name].input
        if start:
            self._input = helper.make_tensor_value_info(start[0], TensorProto.FLOAT, ["batch", start[1]])
        self._nodes = [node for node in self._nodes if id(node) in kept]
        self._constants = [constant for constant in self._constants if constant.name in needed]
        return self

    def add(
        self, operator: str, *inputs: str, output: str | None = None, **attributes: int | float | str | list[int]
    ) -> str:
        """Add a node with one output; an input ``""`` is omitted."""
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Add an array as a constant."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def half(self, values: NDArray[np.floating]) -> str:
        """Add an array rounded to fp16, widened to fp32 on loading, which halves the file."""
        return self.add("Cast", self.constant(values.astype(np.float16)), to=TensorProto.FLOAT)

    def convolve(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], padding: int = 0) -> str:
        """Add a convolution with stride 1."""
        return self.add("Conv", x, self.constant(weight), self.constant(bias), pads=[padding] * 4)

    def slice(self, x: str, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> str:
        """Add a slice of a tensor."""
        bounds = (starts, ends, axes, steps or [1] * len(axes))
        return self.add("Slice", x, *(self.constant(np.array(values, np.int64)) for values in bounds))

    def serialise(self, output: str, size: int) -> bytes:
        """Serialise the model, deterministically.

        Args:
            output: the output tensor, float32 (N, size).
            size: its second dimension.
        """
        graph = helper.make_graph(
            self._nodes,
            "scones_ml",
            [self._input],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", self._opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self._ir_version, producer_name="scones_ml")
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised
