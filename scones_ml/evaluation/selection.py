"""Which images to label next: those that a model doubts, and not twenty of a kind.

An image stands at its features, or at its thumbnail where a model has none, drawn towards the origin the surer the
model is of it. One image after the other is taken that lies farthest from the origin and from all that were taken
before (farthest-first traversal, Gonzalez 1985): certain images lie at the origin and are not asked for, and of
doubtful ones that look alike one is enough. It is the idea of `BADGE <https://arxiv.org/abs/1906.03671>`_ (Ash et al.
2020) without chance, for any model that returns probabilities. On photographs BADGE itself, the margin between the
two best classes, and distances to what is labelled already are worth the same within 0.7 points
(``benchmarks/fewer_labels.py --photographs`` simulates this one).
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
    """Choose the images whose labels would help most.

    Args:
        probabilities: (N, K) of each image; what a model says of images that are unlike its training images counts as
            any other answer, or foreign images would be asked for first.
        thumbnails: (N, ...) of each image, in any unit: features, or ``grid_means(pixels, 8)``.
        count: how many; all when there are fewer.

    Returns:
        (min(N, count),) their rows, the most useful first; equal ones in the order of the rows.

    Raises:
        InferenceError: the probabilities are not probability vectors.
        DatasetError: as many thumbnails as images are needed.
    """
    doubt = 1.0 - confidences(restored(probabilities))
    # An ArrayLike may be a scalar, which has no length; thumbnails are none.
    looks = np.asarray(thumbnails, np.float32).reshape(len(thumbnails), -1)  # type: ignore[arg-type]
    if len(looks) != len(doubt):
        raise DatasetError(f"{len(looks)} thumbnails for {len(doubt)} images: one each is needed")
    points = (looks - looks.mean(axis=0)) * doubt[:, None].astype(np.float32)
    distance = np.square(points).sum(axis=1)
    chosen: list[int] = []
    for _ in range(min(count, len(points))):
        row = int(distance.argmax())
        chosen.append(row)
        distance = np.minimum(distance, np.square(points - points[row]).sum(axis=1))
        distance[chosen] = -1.0  # below the 0 of their copies: no row is chosen twice
    return np.array(chosen, np.int64)
