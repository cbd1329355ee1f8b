"""Choice of the images to label next, by features if the model has a backbone, by thumbnails otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scones_ml.errors import DatasetError, ImageError
from scones_ml.events import ImageRef
from scones_ml.inference.model import OnnxClassifier, load_classifier
from scones_ml.lifecycle.features import model_parts
from scones_ml.ports import CONCURRENT_REQUESTS, ObjectStore, Progress, no_progress
from scones_ml.settings import ImagePolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scones_ml.backbones import Backbone

    _Look = Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.floating]]]

__all__ = ["LabelCandidate", "label_next"]

_AT_A_TIME = 256  # images in memory
_CELLS = 8  # side of the thumbnails that are compared


@dataclass(frozen=True, slots=True)
class LabelCandidate:
    """An image whose label would help training.

    Attributes:
        image: the object, in the version that was read.
        label: the predicted label.
        confidence: the label's probability in [0, 1].
    """

    image: ImageRef
    label: str
    confidence: float


def label_next(
    model: Path,
    store: ObjectStore,
    images: Sequence[ImageRef],
    count: int,
    progress: Progress = no_progress,
) -> tuple[LabelCandidate, ...]:
    """Choose the images whose labels would help training most, see :func:`scones_ml.evaluation.choose_to_label`.

    Args:
        model: a model's folder or ``model.tar.gz``; it may differ from the one that sent the images to review.
        store: store of the images.
        images: images to choose from; unreadable ones are skipped.
        count: number of images to choose.
        progress: called for each image.

    Returns:
        The most useful first; the same images in any order give the same choice.

    Raises:
        ConfigurationError: ``model`` is not a model.
        DatasetError: none of the images can be read.
    """
    import numpy as np

    from scones_ml.evaluation import choose_to_label

    classifier = load_classifier(model)
    look = _looks(model, classifier)
    # Sorted, since the choice depends on the order.
    ordered = sorted(images, key=lambda ref: (ref.uri, ref.version_id or "", ref.etag or ""))
    seen: list[ImageRef] = []
    answers: list[npt.NDArray[np.float32]] = []
    looks: list[npt.NDArray[np.floating]] = []
    for start in range(0, len(ordered), _AT_A_TIME):
        with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
            read = list(pool.map(partial(_pixels, classifier, store), ordered[start : start + _AT_A_TIME]))
        found = [(ref, pixels) for ref, pixels in zip(ordered[start:], read, strict=False) if pixels is not None]
        if found:
            seen += [ref for ref, _ in found]
            probabilities, vectors = look(np.stack([pixels for _, pixels in found]))
            answers.append(probabilities)
            looks.append(vectors)
        progress(min(start + _AT_A_TIME, len(ordered)), len(ordered))
    if not seen:
        raise DatasetError(f"none of {len(ordered):,} images can be read as an image: there is nothing to choose from")
    probabilities = np.concatenate(answers)
    return tuple(
        LabelCandidate(seen[row], classifier.labels[int(probabilities[row].argmax())], float(probabilities[row].max()))
        for row in choose_to_label(probabilities, np.concatenate(looks), count)
    )


def _looks(model: Path, classifier: OnnxClassifier) -> _Look:
    """Function from images (N, S, S, 3) to their probabilities and the vectors to compare."""
    from scones_ml.evaluation import grid_means

    parts = model_parts(model)
    if parts is None:
        return lambda pixels: (classifier.predict_batch(pixels), grid_means(pixels, _CELLS))
    return _by_features(*parts)


def _by_features(backbone: Backbone, head: bytes) -> _Look:
    import numpy as np

    from scones_ml.backbones.extractor import BackboneExtractor
    from scones_ml.backbones.inside import FEATURES
    from scones_ml.inference.session import open_session

    extractor = BackboneExtractor(backbone)
    session = open_session(head, "the model's head", "train the model again")

    def look(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.floating]]:
        vectors = np.concatenate([extractor.features(image[None]) for image in pixels])
        (probabilities,) = session.run(None, {FEATURES: vectors})
        return probabilities, vectors.astype(np.float16)  # all images' features are in memory

    return look


def _pixels(classifier: OnnxClassifier, store: ObjectStore, ref: ImageRef) -> npt.NDArray[np.uint8] | None:
    policy = ImagePolicy()
    try:
        return classifier.prepare(store.read(ref, policy.max_bytes).data, policy)
    except ImageError:
        return None
