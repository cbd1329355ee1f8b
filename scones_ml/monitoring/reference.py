"""The reference for monitoring: predictions and images of a split not used for training, as histograms.

Stored as a JSON file of some kilobytes: counts by cell of the fixed grids, without images, names or single labels.
Drift is measured against it, and the accuracy estimate is corrected by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scones_ml import strict_json
from scones_ml.bounded import read_at_most
from scones_ml.errors import ConfigurationError, InvalidImageError
from scones_ml.evaluation.arrays import IntArray, as_labels, as_probabilities, confidences
from scones_ml.formats import FORMAT, newer_format
from scones_ml.monitoring.grids import CELLS, CONFIDENCE, IMAGE_GRIDS, histogram
from scones_ml.monitoring.image_figures import measure
from scones_ml.settings import Fit, ImagePolicy

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Reference", "make_reference", "read_reference", "write_reference"]

_LONGEST = 10_000_000  # bytes; one has some kilobytes
_REMEDY = "make one with --model MODEL --data DATA --save-reference"
Counts = dict[Annotated[int, Field(ge=0, lt=CELLS)], Annotated[int, Field(gt=0, le=2**53)]]


class Reference(BaseModel):
    """A split that the model was not trained on, as histograms.

    Attributes:
        format: format of the file, see ``scones_ml.formats``.
        labels: class names in the order of the probabilities.
        threshold: minimum confidence to accept, in (0, 1]; None if there is none.
        image_size: side of the model's square input, in pixels.
        fit: how images are made square, see :class:`scones_ml.images.ImagePolicy`; None for a model of policy 1.
        images: number of images.
        predicted: number of images predicted as each class.
        confidence: number of images by cell of their confidence.
        right: number of images with a right prediction, likewise.
        pictures: number of images by cell of brightness, contrast, sharpness and size.
        model_sha256: hash of ``model.onnx``; empty if unknown.
        dataset_hash: hash of the data set; empty if unknown.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    labels: tuple[str, ...] = Field(min_length=2)
    threshold: float | None = Field(default=None, gt=0.0, le=1.0)
    image_size: int = Field(ge=3, le=4_096)
    fit: Fit | None = None
    images: int = Field(gt=0)
    predicted: tuple[Annotated[int, Field(ge=0)], ...]
    confidence: Counts
    right: Counts
    pictures: dict[str, Counts]
    model_sha256: str = ""
    dataset_hash: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Reference:
        if len(self.predicted) != len(self.labels):
            raise ValueError(f"{len(self.labels)} classes, but counts of {len(self.predicted)}")
        counted = (sum(self.predicted), sum(self.confidence.values()))
        if counted != (self.images, self.images):
            raise ValueError(f"{self.images} images, but {counted[0]} predictions and {counted[1]} confidences")
        if set(self.pictures) != set(IMAGE_GRIDS):
            raise ValueError(f"the image figures must be {', '.join(IMAGE_GRIDS)}")
        if any(count > self.confidence.get(cell, 0) for cell, count in self.right.items()):
            raise ValueError("more right predictions than predictions")
        return self

    def histogram(self, name: str) -> IntArray:
        """The (512,) counts of ``"confidence"``, ``"right"`` or an image figure."""
        counts = np.zeros(CELLS, np.int64)
        named: dict[str, dict[int, int]] = {"confidence": self.confidence, "right": self.right}
        found = (named | dict(self.pictures)).get(name, {})
        counts[list(found)] = list(found.values())
        return counts


def make_reference(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: Sequence[str],
    files: Iterable[bytes],
    *,
    image_size: int,
    fit: Fit | None = None,
    threshold: float | None = None,
    model_sha256: str = "",
    dataset_hash: str = "",
) -> Reference:
    """Make a reference from a split that the model was not trained on.

    Args:
        probabilities: (N, K) probabilities from the model.
        labels: (N,) true labels as class indices.
        classes: K class names.
        files: bytes of the images' files, in any order.
        image_size: side of the model's square input, in pixels.
        fit: how images are made square; None for a model of policy 1.
        threshold: minimum confidence to accept.
        model_sha256: identity of the model.
        dataset_hash: identity of the data set.

    Raises:
        InferenceError: a row is not a probability vector.
        DatasetError: the labels do not match the probabilities.
        InvalidImageError: an image cannot be read.
    """
    matrix = as_probabilities(probabilities)
    answers = matrix.argmax(axis=1)
    cells = CONFIDENCE.cells(confidences(matrix))
    measured = measure(files, ImagePolicy().of_model(image_size, fit))
    if np.isnan(measured).any():
        raise InvalidImageError(f"{int(np.isnan(measured[:, 0]).sum())} images of the reference cannot be read")
    return Reference(
        labels=tuple(classes),
        threshold=threshold,
        image_size=image_size,
        fit=fit,
        images=len(matrix),
        predicted=tuple(np.bincount(answers, minlength=matrix.shape[1]).tolist()),
        confidence=_sparse(histogram(cells)),
        right=_sparse(histogram(cells[answers == as_labels(labels, *matrix.shape)])),
        pictures={
            name: _sparse(histogram(grid.cells(column)))
            for (name, grid), column in zip(IMAGE_GRIDS.items(), measured.T, strict=True)
        },
        model_sha256=model_sha256,
        dataset_hash=dataset_hash,
    )


def read_reference(path: Path) -> Reference:
    """Read a stored reference.

    Raises:
        ConfigurationError: the file does not exist, is not a reference, or has a newer format.
    """
    try:
        fields = strict_json.parse(read_at_most(path, _LONGEST))
        if isinstance(fields, dict) and (refusal := newer_format(str(path), fields)):
            raise ConfigurationError(refusal)
        return Reference.model_validate(fields)
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no reference {path}: {_REMEDY} {path}") from exc
    except OSError as exc:
        raise ConfigurationError(f"the reference {path} cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where + ': ' if where else ''}{first['msg']}"
        raise ConfigurationError(f"{path} is not a reference: {reason}; {_REMEDY} {path}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{path} is not a reference: it {exc}; {_REMEDY} {path}") from exc


def write_reference(reference: Reference, path: Path) -> None:
    """Store a reference as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference.model_dump_json() + "\n", encoding="utf-8")


def _sparse(counts: IntArray) -> dict[int, int]:
    return {int(cell): int(counts[cell]) for cell in np.flatnonzero(counts)}
