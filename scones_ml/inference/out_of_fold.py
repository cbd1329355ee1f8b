"""Out-of-fold predictions of a cross-fitted model on its training images: ``answers.npz``.

Such a model was trained on every image that could be used to choose its threshold. So training stores these
predictions, as plain numpy arrays: a threshold can be chosen again without training, and reading them runs no code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.inference.model import MODEL_ANSWERS, MODEL_GRAPH, read_card, read_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OutOfFold", "read_out_of_fold", "to_answers"]

_DIGEST: Final = 32  # bytes of a sha256


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions.

    Attributes:
        images: J digests, the sha256 of each image's staged file, 64 hex digits.
        labels: int64 (J,), training labels.
        folds: int64 (J,), fold of each image, two or more in all.
        probabilities: float32 (J, K), as served by the model; nearly uniform for images unlike the training images.
    """

    images: tuple[str, ...]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def to_answers(answers: OutOfFold, graph: bytes) -> bytes:
    """Contents of ``answers.npz``; deterministic.

    Args:
        answers: the predictions.
        graph: bytes of the model's ``model.onnx``, whose digest is stored.
    """
    import numpy as np

    from scones_ml.npz import write_arrays

    digests = np.frombuffer(bytes.fromhex("".join(answers.images)), np.uint8)
    return write_arrays(
        {
            "model": np.frombuffer(hashlib.sha256(graph).digest(), np.uint8),
            "images": digests.reshape(-1, _DIGEST),
            "labels": answers.labels.astype("<i8"),
            "folds": answers.folds.astype("<i8"),
            "probabilities": answers.probabilities.astype("<f4"),
        }
    )


def read_out_of_fold(model: str | Path) -> OutOfFold:
    """Read the out-of-fold predictions of a cross-fitted model.

    Args:
        model: model folder or ``model.tar.gz``.

    Raises:
        ConfigurationError: the path is not a model, or its predictions are missing, broken, or another model's.
    """
    from scones_ml.npz import BROKEN, read_arrays

    path = Path(model)
    card, graph = read_card(path), read_file(path, MODEL_GRAPH)
    try:
        return _checked(read_arrays(read_file(path, MODEL_ANSWERS)), graph, len(card.labels))
    except (SconesError, *BROKEN) as exc:
        raise ConfigurationError(
            f"{model} was trained on all images but the test images, and its out-of-fold predictions, {MODEL_ANSWERS}, "
            "are missing or another model's: train it again"
        ) from exc


def _checked(arrays: dict[str, NDArray[np.generic]], graph: bytes, classes: int) -> OutOfFold:
    import numpy as np

    from scones_ml.evaluation.arrays import as_labels, as_probabilities

    found = as_probabilities(arrays["probabilities"])
    labels, folds = (
        as_labels(arrays["labels"], len(found), classes),
        as_labels(arrays["folds"], len(found), len(found)),
    )
    images = arrays["images"]
    if arrays["model"].tobytes() != hashlib.sha256(graph).digest() or found.shape[1] != classes:
        raise ValueError("another model's predictions")
    if images.shape != (len(found), _DIGEST) or images.dtype != np.uint8 or len(np.unique(folds)) < 2:
        raise ValueError("arrays of different lengths")
    return OutOfFold(tuple(row.tobytes().hex() for row in images), labels, folds, found.astype(np.float32))
