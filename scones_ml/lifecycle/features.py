"""Features of a data set, computed once and kept in training's cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import dataset
from scones_ml.dataset.resolution import typical_side
from scones_ml.inference.model import MODEL_GRAPH, read_card, read_file
from scones_ml.ports import Progress, choose_recipe, no_progress
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from scones_ml.backbones import Backbone
    from scones_ml.backbones.features import Features

__all__ = ["has_photographs", "model_features", "model_parts", "staged_features"]


def has_photographs(data: dataset.Dataset) -> bool:
    """Whether a data set is by default learned on features.

    Raises:
        DatasetError: a file is gone, or is not a staged image.
    """
    return choose_recipe("auto", typical_side(data), data.image_size, init=False).recipe == "head"


def staged_features(
    data: dataset.Dataset, workspace: Path, *, threads: int | None = None, progress: Progress = no_progress
) -> Features:
    """Features of all images of a data set for the recipe ``head``, in the order of its records.

    Args:
        data: the data set.
        workspace: workspace of the cache.
        threads: concurrent images; None for one.
        progress: called for images that are not in the cache.

    Raises:
        DatasetError: an image is gone or broken.
        ConfigurationError: the backbone does not accept images of this size.
        MissingExtraError: the backbone's weights are not installed.
    """
    from scones_ml.backbones import efficientnet_lite0

    cache = workspace / "cache"
    policy = ImagePolicy().of_model(data.image_size, None if data.policy == 1 else "crop")
    return _features(efficientnet_lite0(data.image_size, cache), data, policy, cache, threads or 1, progress)


def model_features(
    model: Path, data: dataset.Dataset, workspace: Path, progress: Progress = no_progress
) -> Features | None:
    """Features of all images of a data set by a model's own backbone, in the order of its records.

    Args:
        model: the model's folder or ``model.tar.gz``.
        data: the data set.
        workspace: workspace of the cache, which training shares.
        progress: called for images that are not in the cache.

    Returns:
        The features; None when the model has no backbone.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: an image is gone or broken.
        MissingExtraError: onnx is not installed.
    """
    parts = model_parts(model)
    if parts is None:
        return None
    return _features(parts[0], data, read_card(model).image_policy(), workspace / "cache", 1, progress)


def model_parts(model: Path) -> tuple[Backbone, bytes] | None:
    """Split a model into backbone and head, see :func:`scones_ml.backbones.inside.taken_apart`.

    Raises:
        ConfigurationError: ``model`` is not a model.
        MissingExtraError: onnx is not installed.
    """
    from scones_ml.backbones.inside import taken_apart

    card = read_card(model)
    if card.recipe != "head":
        return None
    return taken_apart(
        read_file(model, MODEL_GRAPH), card.backbone.get("name", "backbone"), card.backbone.get("licence", "")
    )


def _features(
    backbone: Backbone, data: dataset.Dataset, policy: ImagePolicy, cache: Path, threads: int, progress: Progress
) -> Features:
    from scones_ml.backbones.extractor import BackboneExtractor
    from scones_ml.backbones.features import extract

    return extract(BackboneExtractor(backbone), data, data.records, policy, cache, threads=threads, progress=progress)
