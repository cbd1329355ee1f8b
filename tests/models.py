"""Models for tests, built by hand instead of trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, ModelCard

SIZE = 8


def write_brightness_model(folder: Path, threshold: float | None = 0.9) -> Path:
    """Write a model whose P(motorcycle) is the sigmoid of the mean red, from -6 at black to +6 at full red."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = np.zeros((3, 2), np.float32)
    weights[0] = (-6 / 255, 6 / 255)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([3, -3], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    (folder / MODEL_GRAPH).write_bytes(model.SerializeToString())
    card = ModelCard(labels=("bicycle", "motorcycle"), input_size=SIZE, threshold=threshold)
    (folder / MODEL_CARD).write_text(card.model_dump_json())
    return folder
