"""Prediction in this process, without a workflow: the model of :func:`scones_ml.load_model`.

Internal: may change without notice.
"""

from __future__ import annotations

import itertools
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from scones_ml import images
from scones_ml.batches import decoded
from scones_ml.bounded import open_regular, size_of
from scones_ml.errors import (
    ConfigurationError,
    ImageError,
    ImageNotFoundError,
    InvalidImageError,
    MissingExtraError,
    UnreadableImageError,
)
from scones_ml.inference.model import ModelCard, OnnxClassifier, load_classifier
from scones_ml.ports import refuse_larger
from scones_ml.settings import ImagePolicy
from scones_ml.verdicts import judge, most_probable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

__all__ = ["ImageInput", "Model", "Prediction", "load_model"]

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Image | npt.NDArray[np.uint8]"
"""A file's path, an encoded image's bytes, a Pillow image, or pixels (H, W), (H, W, 3) or (H, W, 4)."""

_MOST_IMAGES, _MOST_PIXELS = 64, 2**24  # at a time, to bound memory for any input size
_INPUTS = "give a path, the file's bytes, a Pillow image or a uint8 array"


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """Prediction for one image.

    Attributes:
        label: the most probable class.
        confidence: its calibrated probability, in (0, 1].
        accepted: whether the confidence reaches the model's threshold; always False for a model without one, and for an
            image unlike the training images.
        probabilities: probability by label, in the model's order; read-only, with sum 1.
        reason: reason for not accepting, other than low confidence: ``"no threshold"`` or
            ``"unlike the training images"``.
    """

    label: str
    confidence: float
    accepted: bool
    probabilities: Mapping[str, float] = field(hash=False)
    reason: str | None = None

    def __repr__(self) -> str:
        shown = self.confidence if self.confidence == 1 else min(round(self.confidence, 4), 0.9999)
        reason = f", reason={self.reason!r}" if self.reason else ""
        return f"Prediction(label={self.label!r}, confidence={shown}, accepted={self.accepted}{reason})"

    def __reduce__(self) -> tuple[object, ...]:
        fields = (self.label, self.confidence, self.accepted, dict(self.probabilities), self.reason)
        return _restored, fields  # a read-only mapping cannot be pickled


class Model:
    """A trained model in this process, loaded by :func:`load_model`.

    Images are read with the model's image policy (:mod:`scones_ml.images`), so predictions equal those of the endpoint
    and the workflow. A model may be shared by threads.

    Attributes:
        path: folder or archive of the model.
        card: contents of ``model.json``: metrics, choice of the threshold, seed and so on.
    """

    def __init__(self, path: Path, classifier: OnnxClassifier) -> None:
        self.path = path
        self.card: ModelCard = classifier.card
        self._classifier = classifier
        self._policy = classifier.card.image_policy()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.card.labels

    @property
    def threshold(self) -> float | None:
        """Minimum confidence of accepted predictions, in (0, 1]; None without a threshold."""
        return self.card.threshold

    @property
    def input_size(self) -> int:
        """Side of the model's square input, in pixels."""
        return self.card.input_size

    def __repr__(self) -> str:
        labels = reprlib.repr(self.labels)
        return f"Model({str(self.path)!r}, labels={labels}, input_size={self.input_size}, threshold={self.threshold})"

    def predict(self, image: ImageInput) -> Prediction:
        """Classify one image.

        Args:
            image: a file's path; an encoded image's bytes (any format of :mod:`scones_ml.images`); a Pillow image of
                any mode but ``F`` and ``I``; or a uint8 array in 0..255 of shape (H, W) grey, (H, W, 3) RGB or
                (H, W, 4) RGBA. Transparency is composited on white.

        Raises:
            InvalidImageError: not an image, a broken one, or an array of the wrong type or shape.
            ImageTooLargeError: the image exceeds the image policy's limits.
            ImageNotFoundError: the file does not exist.
            UnreadableImageError: the file cannot be read.
            InferenceError: the model cannot be run.
        """
        return self._predictions([self._square(image)])[0]

    @overload
    def predict_many(
        self, images: Iterable[ImageInput], *, errors: Literal["raise"] = "raise"
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_many(
        self, images: Iterable[ImageInput], *, errors: Literal["return"]
    ) -> Iterator[Prediction | ImageError]: ...

    def predict_many(
        self, images: Iterable[ImageInput], *, errors: Literal["raise", "return"] = "raise"
    ) -> Iterator[Prediction | ImageError]:
        """Classify any number of images lazily, with up to 64 in memory at a time.

        Args:
            images: images as for :meth:`predict`; consumed lazily.
            errors: handling of an image that cannot be classified. ``"raise"`` raises, after the predictions of all
                images before it; ``"return"`` yields the error in its place, so that results match images.

        Yields:
            One result for each image, in order.

        Raises:
            ConfigurationError: ``images`` is a single image, or ``errors`` is invalid; raised at the call.
            ImageError: as :meth:`predict`, with ``errors="raise"``; the message gives the image.
            InferenceError: the model cannot be run.
        """
        if errors not in ("raise", "return"):
            raise ConfigurationError(f"errors={errors!r}: give 'raise' or 'return'")
        if _is_one_image(images):
            raise ConfigurationError("predict_many takes many images, not one: use predict, or pass a list of images")
        return self._stream(images, errors)

    def _stream(self, inputs: Iterable[ImageInput], errors: str) -> Iterator[Prediction | ImageError]:
        numbered, size = enumerate(inputs), max(1, min(_MOST_IMAGES, _MOST_PIXELS // self.input_size**2))
        with ThreadPoolExecutor(os.cpu_count() or 1, "images") as pool:
            while batch := list(itertools.islice(numbered, size)):
                found = list(pool.map(self._attempt, batch))
                answers = iter(self._predictions([one for one in found if not isinstance(one, ImageError)]))
                for one in found:
                    if isinstance(one, ImageError) and errors == "raise":
                        raise one
                    yield one if isinstance(one, ImageError) else next(answers)

    def _attempt(self, numbered: tuple[int, ImageInput]) -> npt.NDArray[np.uint8] | ImageError:
        number, image = numbered
        try:
            return self._square(image)
        except ImageError as exc:
            if isinstance(image, str | os.PathLike):
                return exc  # its message has the path
            named = type(exc)(f"image {number} (counted from 0): {exc}")
            named.__cause__ = exc
            return named

    def _square(self, image: ImageInput) -> npt.NDArray[np.uint8]:
        """Model input of an image, uint8 (S, S, 3)."""
        if isinstance(image, str | os.PathLike):
            name = os.fspath(image)
            data = _read(name, self._policy)
            try:
                return self._square(data)
            except ImageError as exc:
                raise type(exc)(f"{name}: {exc}") from exc
        if isinstance(image, bytes | bytearray | memoryview):
            return decoded(lambda: images.pixels(bytes(image), self.input_size, self._policy))
        return decoded(lambda: images.pixels_in_memory(_pillow(image), self.input_size, self._policy))

    def _predictions(self, squares: list[npt.NDArray[np.uint8]]) -> list[Prediction]:
        import numpy as np

        if not squares:
            return []
        return [self._prediction(tuple(row)) for row in self._classifier.predict_batch(np.stack(squares)).tolist()]

    def _prediction(self, probabilities: tuple[float, ...]) -> Prediction:
        label, confidence = most_probable(probabilities, self.labels)
        verdict = judge(confidence, probabilities, self.threshold)
        by_label = MappingProxyType(dict(zip(self.labels, probabilities, strict=True)))
        return Prediction(label, confidence, verdict.accepted, by_label, verdict.reason)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Load a trained model, to classify images in this process.

    Args:
        path: folder written by ``scones train``, or a ``model.tar.gz``.

    Raises:
        ConfigurationError: the model does not exist, or one of its files is missing or invalid.
        MissingExtraError: numpy or ONNX Runtime is not installed.
    """
    name = os.fspath(path)
    if "://" in name:
        raise ConfigurationError(f"the model {name} is not on this machine: download it and give the file's path")
    return Model(Path(name), load_classifier(name))


def _restored(
    label: str, confidence: float, accepted: bool, probabilities: dict[str, float], reason: str | None
) -> Prediction:
    return Prediction(label, confidence, accepted, MappingProxyType(probabilities), reason)


def _is_one_image(images: object) -> bool:
    """Whether the argument is a single image instead of an iterable of images."""
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or (
        len(shape) == 2 or (len(shape) == 3 and shape[-1] in (3, 4)) or hasattr(images, "getbands")
    )


def _read(name: str, policy: ImagePolicy) -> bytes:
    """Read a file's bytes, within the image policy's limit."""
    if "://" in name:
        raise InvalidImageError(f"{name} is not on this machine: download it, or pass its bytes")
    try:
        with open_regular(Path(name)) as file:
            refuse_larger(size_of(file), policy.max_bytes)
            return file.read(size_of(file))
    except ImageError as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    except FileNotFoundError as exc:
        raise ImageNotFoundError(f"there is no file {name}: give an image's path or bytes") from exc
    except IsADirectoryError as exc:
        raise UnreadableImageError(
            f"{name} is a folder: give one of its files, or all of them to predict_many"
        ) from exc
    except OSError as exc:
        raise UnreadableImageError(f"{name} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise UnreadableImageError(f"{name} {exc}: give an image file") from exc


def _pillow(image: object) -> Image:
    """Convert an array to a Pillow image, or return a Pillow image unchanged."""
    try:
        import numpy as np
        from PIL import Image
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray):
        raise InvalidImageError(f"a value of type {type(image).__name__} is not an image: {_INPUTS}")
    _check_array(image.dtype.name, image.shape)
    return Image.fromarray(np.ascontiguousarray(image))


def _check_array(dtype: str, shape: tuple[int, ...]) -> None:
    if dtype != "uint8":
        scale = "(255 * image).round()" if dtype.startswith("float") else "image"
        remedy = f"pass {scale}.astype('uint8')" + (" where its values lie in 0..1" if scale != "image" else "")
        raise InvalidImageError(f"an array of {dtype}: pixels are uint8 in 0..255; {remedy}")
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4)):
        return
    remedy = "give (H, W), (H, W, 3) or (H, W, 4)"
    if len(shape) == 4:
        remedy = "give many images to predict_many"
    elif len(shape) == 3 and shape[0] in (3, 4):
        remedy = "channels go last: image.transpose(1, 2, 0)"
    elif len(shape) == 3 and 1 in (shape[0], shape[2]):
        remedy = "give a grey image as (H, W): image.squeeze()"
    raise InvalidImageError(f"an array of shape {shape}: {remedy}")
