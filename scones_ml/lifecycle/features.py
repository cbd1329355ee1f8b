"""A data set's features, from the cache that training keeps: whoever is first computes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml import dataset
from scones_ml.ports import Progress, choose_recipe, no_progress
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    from scones_ml.backbones.features import Features

__all__ = ["has_photographs", "staged_features"]


def has_photographs(data: dataset.Dataset) -> bool:
    """Whether a data set is one that is learned on features unless told otherwise.

    Raises:
        DatasetError: a file is gone, or no staged image.
    """
    return choose_recipe("auto", dataset.typical_side(data), data.image_size, init=False).recipe == "head"


def staged_features(
    data: dataset.Dataset, workspace: Path, *, threads: int | None = None, progress: Progress = no_progress
) -> Features:
    """The features of all images of a data set, in the order of its records, as the recipe ``head`` takes them.

    Args:
        data: the data set.
        workspace: its cache keeps them.
        threads: images at a time; one when None.
        progress: counts the images that the cache does not know.

    Raises:
        DatasetError: an image is gone or broken.
        ConfigurationError: the backbone does not take images of this size.
        MissingExtraError: the backbone's weights are not installed.
    """
    from scones_ml.backbones import efficientnet_lite0
    from scones_ml.backbones.extractor import BackboneExtractor
    from scones_ml.backbones.features import extract

    cache = workspace / "cache"
    policy = ImagePolicy().of_model(data.image_size, None if data.policy == 1 else "crop")
    extractor = BackboneExtractor(efficientnet_lite0(data.image_size, cache))
    return extract(extractor, data, data.records, policy, cache, threads=threads or 1, progress=progress)
