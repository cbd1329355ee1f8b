"""Image classification whose confidence can be relied on, on this machine and on AWS.

Everything here is loaded when it is first used, so that importing the package costs nothing::

    from scones_ml import load_model

    model = load_model(".scones/demo/model")
    print(model.predict("photo.jpg"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scones_ml.inference.model import ModelCard
    from scones_ml.inference.prediction import Model, Prediction, load_model

__version__ = "0.2.0"

__all__ = [
    "Model",
    "ModelCard",
    "Prediction",
    "__version__",
    "load_model",
]

_HOMES = {
    "Model": "inference.prediction",
    "ModelCard": "inference.model",
    "Prediction": "inference.prediction",
    "load_model": "inference.prediction",
}
"""Modules that define the names above."""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
