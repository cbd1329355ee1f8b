"""Separation of a ``model.onnx`` into backbone and head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scones_ml.backbones.backbone import Backbone
from scones_ml.errors import MissingExtraError

if TYPE_CHECKING:
    import onnx

__all__ = ["FEATURES", "taken_apart"]

FEATURES: Final = "features"
"""Name of a backbone's output tensor."""


def taken_apart(graph: bytes, name: str, licence: str = "") -> tuple[Backbone, bytes] | None:
    """Split a model into its backbone and its head.

    For models of this library the backbone is byte-identical to the original, so cached features remain valid.

    Args:
        graph: bytes of ``model.onnx``, already checked by loading.
        name: name of the backbone.
        licence: licence of its weights.

    Returns:
        The backbone, and the head as a graph with input ``features`` float32 (N, D); None if the model has no backbone.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx

        from scones_ml.inference.graph_writer import GraphWriter
    except ModuleNotFoundError as exc:
        raise MissingExtraError("onnx", "pretrained") from exc
    model = onnx.load_model_from_string(graph)
    size = _size(model)
    if size is None:
        return None
    (image,), (answer,) = model.graph.input, model.graph.output
    backbone = GraphWriter.after(graph).keep_only(FEATURES).serialise(FEATURES, size)
    classes = answer.type.tensor_type.shape.dim[1].dim_value
    head = GraphWriter.after(graph).keep_only(answer.name, start=(FEATURES, size)).serialise(answer.name, classes)
    side = image.type.tensor_type.shape.dim[1].dim_value
    return Backbone(name, licence, backbone, side, size), head


def _size(model: onnx.ModelProto) -> int | None:
    """Number of features; None if there is no such tensor."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    found = [value.type.tensor_type.shape.dim for value in inferred if value.name == FEATURES]
    return found[0][1].dim_value or None if found and len(found[0]) == 2 else None
