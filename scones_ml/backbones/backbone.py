"""A backbone: a pretrained network without its last layer, as one ONNX graph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Backbone"]


@dataclass(frozen=True)
class Backbone:
    """A pretrained network that turns images into features.

    Attributes:
        name: what messages and model.json call it.
        licence: of its weights, an SPDX identifier; empty where it is not known.
        graph: an ONNX model, input ``image`` uint8 (N, S, S, 3), output ``features`` float32 (N, D). To add a head, go
            on with :meth:`scones_ml.inference.graph_writer.GraphWriter.after`.
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
        """The backbone's identity: sha256 of its graph, 64 hex digits."""
        return hashlib.sha256(self.graph).hexdigest()
