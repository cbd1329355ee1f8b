"""A pretrained network without its last layer, as one ONNX graph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Backbone"]


@dataclass(frozen=True)
class Backbone:
    """A pretrained network that turns images into features.

    Attributes:
        name: name for messages and model.json.
        licence: licence of its weights, an SPDX identifier; empty if unknown.
        graph: an ONNX model, input ``image`` uint8 (N, S, S, 3), output ``features`` float32 (N, D). To add a head, use
            :meth:`scones_ml.inference.graph_writer.GraphWriter.after`.
        input_size: S, in pixels.
        features: D.
    """

    name: str
    licence: str
    graph: bytes = field(repr=False)
    input_size: int
    features: int

    @cached_property
    def sha256(self) -> str:
        """Identity of the backbone: sha256 of its graph, 64 hex digits."""
        return hashlib.sha256(self.graph).hexdigest()
