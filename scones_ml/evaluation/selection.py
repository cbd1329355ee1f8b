"""Selection of images to label next: uncertain and diverse.

Each image is a point: its features, or its thumbnail if the model has no features, scaled by the model's uncertainty.
Images are chosen one after another, each farthest from the origin and from all chosen before (farthest-first traversal,
Gonzalez 1985): certain images are near the origin and not chosen, and of similar uncertain images one is chosen. This
is a deterministic variant of `BADGE <https://arxiv.org/abs/1906.03671>`_ (Ash et al. 2020) for any model that returns
probabilities. On photographs BADGE itself, the margin between the two best classes, and distances to labelled images
are equal within 0.7 points (``benchmarks/fewer_labels.py --photographs`` simulates this one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scones_ml.errors import DatasetError
from scones_ml.evaluation.arrays import confidences
from scones_ml.evaluation.unlike import restored

if TYPE_CHECKING:
    import numpy.typing as npt

    from scones_ml.evaluation.arrays import IntArray

__all__ = ["choose_to_label"]


def choose_to_label(probabilities: npt.ArrayLike, thumbnails: npt.ArrayLike, count: int) -> IntArray:
    """Choose the images whose labels would help training most.

    Args:
        probabilities: (N, K) probabilities of the images; those of images unlike the training images count as any
            other, since foreign images would be chosen first otherwise.
        thumbnails: (N, ...) of the images, in any unit: features, or ``grid_means(pixels, 8)``.
        count: number of images to choose; all if there are fewer.

    Returns:
        (min(N, count),) row indices, most useful first; equal ones in row order.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: the number of thumbnails differs from the images.
    """
    doubt = 1.0 - confidences(restored(probabilities))
    # An ArrayLike may be a scalar, which has no length.
    looks = np.asarray(thumbnails, np.float32).reshape(len(thumbnails), -1)  # type: ignore[arg-type]
    if len(looks) != len(doubt):
        raise DatasetError(f"{len(looks)} thumbnails for {len(doubt)} images: pass one for each")
    points = (looks - looks.mean(axis=0)) * doubt[:, None].astype(np.float32)
    distance = np.square(points).sum(axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(points))):
        row = int(distance.argmax())
        chosen.append(row)
        distance = np.minimum(distance, np.square(points - points[row]).sum(axis=1))
        distance[chosen] = -1.0  # below the 0 of duplicates, so that no row is chosen twice
    return np.array(chosen, np.int64)
