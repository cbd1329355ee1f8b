"""A backbone that is ready to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scones_ml.errors import TrainingError
from scones_ml.inference.session import open_session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scones_ml.backbones.backbone import Backbone

__all__ = ["BackboneExtractor"]


class BackboneExtractor:
    """Features of images by a backbone, one image at a time; see :class:`scones_ml.backbones.features.Extractor`.

    Raises:
        ConfigurationError: ONNX Runtime cannot load the backbone.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._name = backbone.name
        self._session = open_session(backbone.graph, backbone.name, "choose another backbone")
        self.sha256, self.size = backbone.sha256, backbone.features

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images uint8 (N, S, S, 3) to vectors float32 (N, D).

        Raises:
            TrainingError: the backbone cannot be run.
        """
        try:
            (found,) = self._session.run(None, {"image": pixels})
        except Exception as exc:  # ONNX Runtime's own classes have no common base
            raise TrainingError(f"the backbone {self._name} cannot be run ({type(exc).__name__})") from exc
        return found  # type: ignore[no-any-return] # ONNX Runtime has no types
