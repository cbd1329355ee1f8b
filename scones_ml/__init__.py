"""Image classification whose confidence can be relied on, on this machine and on AWS.

Classify one image::

    from scones_ml import load_model

    model = load_model(".scones/demo/model")
    print(model.predict("photo.jpg"))

The life cycle, with functions that correspond to the commands of the same names::

    import scones_ml

    data = scones_ml.stage("photos", "data")
    model = scones_ml.train(data)
    print(scones_ml.evaluate(model, data))
    print(scones_ml.run("new_photos", model))

Modules are imported on first use, so that importing the package is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scones_ml.dataset import Dataset, StageResult
    from scones_ml.evaluation import Evaluation
    from scones_ml.front_door import RunResults, evaluate, run, stage, train
    from scones_ml.inference.model import ModelCard
    from scones_ml.inference.prediction import ImageInput, Model, Prediction, load_model
    from scones_ml.ports import ImageResult

__version__ = "0.2.0"
"""The version of this package."""

__all__ = [
    "Dataset",
    "Evaluation",
    "ImageInput",
    "ImageResult",
    "Model",
    "ModelCard",
    "Prediction",
    "RunResults",
    "StageResult",
    "__version__",
    "evaluate",
    "load_model",
    "run",
    "stage",
    "train",
]

_HOMES = {
    "Dataset": "dataset",
    "Evaluation": "evaluation",
    "ImageInput": "inference.prediction",
    "ImageResult": "ports",
    "Model": "inference.prediction",
    "ModelCard": "inference.model",
    "Prediction": "inference.prediction",
    "RunResults": "front_door",
    "StageResult": "dataset",
    "evaluate": "front_door",
    "load_model": "inference.prediction",
    "run": "front_door",
    "stage": "front_door",
    "train": "front_door",
}
"""Modules that define the names above."""


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
