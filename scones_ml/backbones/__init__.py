"""Backbones: pretrained networks that turn images into features.

Internal: may change without notice.
"""

from __future__ import annotations

from pathlib import Path

from scones_ml.backbones import lite0
from scones_ml.backbones.backbone import Backbone
from scones_ml.backbones.cache import cached
from scones_ml.backbones.onnx_file import load_onnx
from scones_ml.errors import ConfigurationError

__all__ = ["Backbone", "efficientnet_lite0", "load_onnx"]

_VERSION = 2  # of the graph written by lite0; cached files of other versions are ignored


def efficientnet_lite0(size: int = 224, cache: Path | None = None) -> Backbone:
    """EfficientNet-Lite0 without its last layer: 1,472 features, 7 MB.

    Args:
        size: side of the input images, from 64 to 448 pixels.
        cache: folder for the graph, which is written once; None builds it each time, in about half a second.

    Raises:
        ConfigurationError: the size is unsupported, or the installed weights are damaged.
        MissingExtraError: the weights or onnx are not installed (and the graph is not in the cache).
    """
    if size not in lite0.SIZES:
        raise ConfigurationError(
            f"{lite0.NAME} takes images of {lite0.SIZES[0]} to {lite0.SIZES[-1]} pixels, not {size}: "
            "stage the data set with another --image-size, such as 224"
        )
    graph = cached(cache, f"{lite0.NAME}-{size}-v{_VERSION}", lambda: lite0.to_onnx(lite0.read_weights(), size))
    return Backbone(lite0.NAME, lite0.LICENCE, graph, size, lite0.FEATURES)
