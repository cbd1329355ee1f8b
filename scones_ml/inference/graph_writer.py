"""ONNX graphs written node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GraphWriter"]

_OPSET, _IR_VERSION = 20, 9  # the first operator set with Gelu; ONNX Runtime 1.17 and newer read both


class GraphWriter:
    """Nodes and constants in the making; every method that adds one returns the name of its tensor.

    Args:
        name: of the input, one batch.
        kind: type of its elements, of ``onnx.TensorProto``.
        shape: of one of its items, without the batch.
    """

    def __init__(self, name: str, kind: int, shape: tuple[int, ...]) -> None:
        self._input = helper.make_tensor_value_info(name, kind, ["batch", *shape])
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._opset, self._ir_version = _OPSET, _IR_VERSION

    @classmethod
    def after(cls, graph: bytes) -> GraphWriter:
        """Go on from a graph of one input; its outputs become tensors that nodes can take."""
        model = onnx.load_model_from_string(graph)
        (image,) = model.graph.input
        writer = cls(image.name, image.type.tensor_type.elem_type, ())
        writer._input = image
        writer.include(model)
        return writer

    def include(self, model: onnx.ModelProto) -> None:
        """Add the nodes and constants of a model, whose names must be others; its operators' version becomes ours."""
        self._opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self._ir_version = max(self._ir_version, model.ir_version)
        self._nodes += model.graph.node
        self._constants += model.graph.initializer

    def keep_only(self, output: str, start: tuple[str, int] | None = None) -> GraphWriter:
        """Drop what one tensor does not need.

        Args:
            output: its name.
            start: a tensor that becomes the input, float32 (N, size), and its size; None leaves the input as it is.

        Returns:
            The same writer.
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
        """Add a node of one output; an input ``""`` is left out."""
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name], name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Add an array as it is."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def half(self, values: NDArray[np.floating]) -> str:
        """Add an array rounded to fp16 and widened to fp32 where it is loaded, which halves the file."""
        return self.add("Cast", self.constant(values.astype(np.float16)), to=TensorProto.FLOAT)

    def convolve(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], padding: int = 0) -> str:
        """Add a convolution of stride 1."""
        return self.add("Conv", x, self.constant(weight), self.constant(bias), pads=[padding] * 4)

    def slice(self, x: str, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> str:
        """Add a part of a tensor."""
        bounds = (starts, ends, axes, steps or [1] * len(axes))
        return self.add("Slice", x, *(self.constant(np.array(values, np.int64)) for values in bounds))

    def serialise(self, output: str, size: int) -> bytes:
        """The bytes of the model, the same for the same nodes.

        Args:
            output: the one tensor that it gives, float32 (N, size).
            size: see above.
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
