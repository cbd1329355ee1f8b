"""Event-driven image classification, on AWS and on a laptop.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scones_ml.events import ClassifiedImage, FilteredImage, ImageRef, SerializedImage
    from scones_ml.inference.model import ModelCard, OnnxClassifier, load_model
    from scones_ml.steps import classify_image_data, filter_low_confidence, serialize_image_data

__version__ = "0.2.0"

__all__ = [
    "ClassifiedImage",
    "FilteredImage",
    "ImageRef",
    "ModelCard",
    "OnnxClassifier",
    "SerializedImage",
    "__version__",
    "classify_image_data",
    "filter_low_confidence",
    "load_model",
    "serialize_image_data",
]

_HOMES = ("events", "steps", "inference.model")
"""Modules that hold the names above, the one that takes longest to import last."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{home}" for home in _HOMES)):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
