"""Feature extraction with a loaded backbone."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from scones_ml.errors import TrainingError
from scones_ml.inference.session import open_session

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    from scones_ml.backbones.backbone import Backbone

__all__ = ["BackboneExtractor"]


class BackboneExtractor:
    """Feature extractor with a backbone, loaded on first use.

    Args:
        backbone: the network.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self.sha256, self.size = backbone.sha256, backbone.features

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return open_session(self._backbone.graph, self._backbone.name, "choose another backbone")

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute feature vectors float32 (N, D) of images uint8 (N, S, S, 3).

        Raises:
            ConfigurationError: ONNX Runtime cannot load the backbone.
            TrainingError: the backbone cannot be run.
        """
        session = self._session
        try:
            (found,) = session.run(None, {"image": pixels})
        except Exception as exc:  # ONNX Runtime's own classes have no common base
            raise TrainingError(f"the backbone {self._backbone.name} cannot be run ({type(exc).__name__})") from exc
        return found  # type: ignore[no-any-return] # ONNX Runtime has no types
