"""One model, one image, one answer: what :func:`scones_ml.load_model` returns, for code that needs no workflow.

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
from scones_ml.inference.model import ModelCard, OnnxClassifier
from scones_ml.inference.model import load_model as load_classifier
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

_MOST_IMAGES, _MOST_PIXELS = 64, 2**24  # at a time: what is held of a stream is bounded, whatever the model's size
_INPUTS = "give a path, the file's bytes, a Pillow image or a uint8 array"


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """A model's answer to one image.

    Attributes:
        label: the most probable class.
        confidence: its calibrated probability, in (0, 1].
        accepted: whether the confidence reaches the model's threshold; never so for a model without one, nor for an
            image that is unlike the training images.
        probabilities: of every label, in the model's order; read-only, they sum to 1.
        reason: why it is not accepted, where that is not its confidence: ``"no threshold"`` or
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
    """A trained model in this process, made by :func:`load_model`.

    Every image is read by the policy that the model was trained by (:mod:`scones_ml.images`), so that an answer is the
    same as the endpoint's and the workflow's. Any number of threads may share one model.

    Attributes:
        path: the folder or archive that it was loaded from.
        card: what ``model.json`` says: metrics, how the threshold was chosen, seed and so on.
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
        """Least confidence that is accepted, in (0, 1]; None where none could keep its promise."""
        return self.card.threshold

    @property
    def input_size(self) -> int:
        """Side of the square that the model sees of each image, in pixels."""
        return self.card.input_size

    def __repr__(self) -> str:
        labels = reprlib.repr(self.labels)
        return f"Model({str(self.path)!r}, labels={labels}, input_size={self.input_size}, threshold={self.threshold})"

    def predict(self, image: ImageInput) -> Prediction:
        """Classify one image.

        Args:
            image: a file's path; an encoded image's bytes (any format of :mod:`scones_ml.images`); a Pillow image of
                any mode but ``F`` and ``I``; or a uint8 array in 0..255 of shape (H, W) grey, (H, W, 3) RGB or
                (H, W, 4) RGBA. Transparency is laid over white.

        Raises:
            InvalidImageError: not an image, a broken one, or an array of another type or shape.
            ImageTooLargeError: beyond the image policy's caps.
            ImageNotFoundError: there is no such file.
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
        """Classify any number of images, up to 64 at a time; no more of them are held in memory.

        Args:
            images: each as for :meth:`predict`; taken as predictions are asked for.
            errors: of an image that cannot be classified. ``"raise"`` raises, after the predictions of all images
                before it; ``"return"`` yields the error in its place, so that images and results stay in step.

        Yields:
            One result for each image, in order.

        Raises:
            ConfigurationError: ``images`` is one image, or ``errors`` is neither of the two; at the call.
            ImageError: as :meth:`predict`, with ``errors="raise"``; it names the image.
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
                return exc  # which names its path
            named = type(exc)(f"image {number} (counted from 0): {exc}")
            named.__cause__ = exc
            return named

    def _square(self, image: ImageInput) -> npt.NDArray[np.uint8]:
        """What the model sees of an image, uint8 (S, S, 3)."""
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
        path: the folder that ``scones train`` wrote, or a ``model.tar.gz``.

    Raises:
        ConfigurationError: there is no model, or one of its two files is missing or wrong; the message names it.
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
    """Whether someone forgot the list: all of these can be iterated over, and give no images."""
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or (
        len(shape) == 2 or (len(shape) == 3 and shape[-1] in (3, 4)) or hasattr(images, "getbands")
    )


def _read(name: str, policy: ImagePolicy) -> bytes:
    """A file's bytes; what is larger than an image may be is not read."""
    if "://" in name:
        raise InvalidImageError(f"{name} is not on this machine: download it, or pass its bytes")
    try:
        with open_regular(Path(name)) as file:
            refuse_larger(size_of(file), policy.max_bytes)
            return file.read(size_of(file))
    except ImageError as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    except FileNotFoundError as exc:
        raise ImageNotFoundError(f"there is no file {name}: give the path of an image, or its bytes") from exc
    except IsADirectoryError as exc:
        raise UnreadableImageError(
            f"{name} is a folder: give one of its files, or all of them to predict_many"
        ) from exc
    except OSError as exc:
        raise UnreadableImageError(f"{name} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise UnreadableImageError(f"{name} {exc}: give an image file") from exc


def _pillow(image: object) -> Image:
    """A Pillow image, or an array as one."""
    try:
        import numpy as np
        from PIL import Image
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "onnx") from exc
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray):
        raise InvalidImageError(f"a value of type {type(image).__name__} is no image: {_INPUTS}")
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
