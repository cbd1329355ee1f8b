"""Models: a folder or a ``model.tar.gz`` with ``model.onnx`` and ``model.json``.

``model.onnx`` takes uint8 images (N, S, S, 3) and returns calibrated probabilities float32 (N, K), including
normalisation, temperature and softmax. ``model.json`` is the :class:`ModelCard`. Training adds ``weights.npz`` for
fine-tuning (:mod:`scones_ml.training.weights`), or ``answers.npz`` for choosing another threshold
(:mod:`scones_ml.inference.out_of_fold`); neither is used in serving.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from scones_ml import images, strict_json
from scones_ml.bounded import open_regular, read_at_most
from scones_ml.errors import ConfigurationError, InferenceError
from scones_ml.formats import FORMAT, newer_format
from scones_ml.inference.archive import root_files
from scones_ml.inference.session import open_session
from scones_ml.printable import printable
from scones_ml.settings import Fit, ImagePolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnxruntime

__all__ = [
    "MODEL_ANSWERS",
    "MODEL_CARD",
    "MODEL_GRAPH",
    "MODEL_WEIGHTS",
    "ModelCard",
    "OnnxClassifier",
    "load_archive",
    "load_classifier",
    "model_identity",
    "read_card",
    "read_file",
    "write_card",
]

MODEL_GRAPH = "model.onnx"
MODEL_CARD = "model.json"
MODEL_WEIGHTS = "weights.npz"
MODEL_ANSWERS = "answers.npz"

_MOST_BYTES: Final = {
    MODEL_GRAPH: 110_000_000,
    MODEL_CARD: 4_000_000,
    MODEL_WEIGHTS: 220_000_000,
    MODEL_ANSWERS: 220_000_000,
}
_LONGEST_SIDE, _MOST_LABELS, _LONGEST_LABEL = 4_096, 10_000, 200
_PIXELS_AT_A_TIME: Final = 2**16  # 64 images of 32 x 32; a network may need 5 kB a pixel


class ModelCard(BaseModel):
    """Description and provenance of a model; the contents of ``model.json``.

    Unknown fields are kept, so that a card that is read and written again loses none.

    Attributes:
        format: file format, see ``scones_ml.formats``; always written as the newest.
        labels: class names in the order of the probabilities.
        input_size: side of the model's square input, in pixels.
        policy: image policy of the training images, 1 or 2, see :mod:`scones_ml.images`, used for all images; 1 if
            missing from the card.
        fit: how images become square with policy 2; None with policy 1.
        threshold: minimum confidence of accepted predictions, in (0, 1]; None if no threshold keeps the guarantee.
        threshold_choice: how the threshold was chosen, with its guarantee.
        temperature: divisor of the logits, already included in ``model.onnx``.
        metrics: figures with their intervals, by split.
        counts: number of images by split and class of the data set; empty if missing from the card.
        larger: number of images larger than the model's input.
        trained_on: splits whose images it was trained on; more than ``train`` if cross-fitted, see
            ``scones_ml.heads.cross_fitting``.
        dataset_hash: sha256 of the data set, 64 hex digits.
        recipe: ``"head"`` on a pretrained backbone, or ``"scratch"``, as for all models of earlier versions.
        recipe_reason: reason of the recipe, in a few words.
        backbone: name, licence and sha256 of the pretrained network; empty without one.
        preset: preset of the recipe ``scratch``.
        epochs: passes over the training images.
        seed: random seed.
        threads: CPU threads; the same seed and threads give the same model.
        base_model: sha256 of the base model's ``model.onnx``, 64 hex digits; empty without one. ``started_from`` in
            format 1.
        library_version: version of scones_ml.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    labels: tuple[str, ...] = Field(min_length=2, max_length=_MOST_LABELS)
    input_size: int = Field(gt=0, le=_LONGEST_SIDE)
    policy: Literal[1, 2] = 1
    fit: Fit | None = None
    threshold: float | None = Field(default=None, gt=0.0, le=1.0)
    threshold_choice: dict[str, object] = {}
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    metrics: dict[str, object] = {}
    counts: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = {}
    larger: int = Field(default=0, ge=0)
    trained_on: tuple[Literal["train", "validation", "calibration"], ...] = ("train",)
    dataset_hash: str = ""
    recipe: Literal["head", "scratch"] = "scratch"
    recipe_reason: str = ""
    backbone: dict[str, str] = {}
    preset: str = ""
    epochs: int = Field(default=0, ge=0)
    seed: int = 0
    threads: int = Field(default=1, ge=1)
    base_model: str = Field(default="", validation_alias=AliasChoices("base_model", "started_from"))
    library_version: str = ""

    @field_validator("format")
    @classmethod
    def _is_written_in_the_newest(cls, _: int) -> int:
        return FORMAT

    @field_validator("labels")
    @classmethod
    def _are_names(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if not label.strip() or len(label) > _LONGEST_LABEL or printable(label) != label:
                raise ValueError(
                    f"the label {printable(label[:40])!r} is not 1 to {_LONGEST_LABEL} printable characters"
                )
        if len(set(labels)) < len(labels):
            (label, _), *_ = Counter(labels).most_common(1)
            raise ValueError(f"the label {label!r} occurs twice")
        return labels

    @model_validator(mode="after")
    def _policy_and_fit_agree(self) -> ModelCard:
        if (self.policy == 2) != (self.fit is not None):
            raise ValueError(f"policy {self.policy} and fit {self.fit!r} do not match")
        return self

    @property
    def cross_fitted(self) -> bool:
        """Whether the model was trained on the calibration split, too."""
        return "calibration" in self.trained_on

    def image_policy(self, caps: ImagePolicy | None = None) -> ImagePolicy:
        """The model's image policy with these limits; None for the default limits."""
        return (caps or ImagePolicy()).of_model(self.input_size, self.fit)


class OnnxClassifier:
    """A model loaded in this process.

    Args:
        graph: bytes of ``model.onnx``.
        card: the model card.
        policy: limits for images; None for the defaults.
        name: name of the model for messages: its folder or archive.

    Attributes:
        card: the model card.
        sha256: sha256 of ``model.onnx``, 64 hex digits.
        file_bytes: size of ``model.onnx``.

    Raises:
        ConfigurationError: the graph has parts that a classifier does not need, cannot be loaded by ONNX Runtime, or
            does not match the card.
    """

    def __init__(self, graph: bytes, card: ModelCard, *, policy: ImagePolicy | None = None, name: str = "") -> None:
        self.card = card
        self.sha256 = hashlib.sha256(graph).hexdigest()
        self.file_bytes = len(graph)
        self._policy = card.image_policy(policy)
        self._name = f"{name}/{MODEL_GRAPH}" if name else MODEL_GRAPH
        self._session = open_session(graph, self._name, "train the model again")
        _check_fit(self._session, card, self._name)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.card.labels

    @property
    def model(self) -> str:
        """``"sha256:..."`` of ``model.onnx``."""
        return f"sha256:{self.sha256}"

    def predict(self, image: bytes, *, image_id: str = "") -> tuple[float, ...]:  # noqa: ARG002
        """Classify one encoded image.

        Args:
            image: contents of an image file.
            image_id: unused; part of the Classifier port.

        Returns:
            One probability per label.

        Raises:
            InvalidImageError: the data is not an image, or the image is broken.
            ImageTooLargeError: the image exceeds the policy's limits.
        """
        square = images.pixels(image, self.card.input_size, self._policy)
        return tuple(float(p) for p in self.predict_batch(square[None])[0])

    def prepare(self, data: bytes, policy: ImagePolicy) -> npt.NDArray[np.uint8]:
        """See :meth:`scones_ml.steps.BatchClassifier.prepare`; the policy's limits apply, the rest is the card's."""
        if self.card.policy == 1:  # first reduced to the functions' size, as in the workflow
            return images.normalised_pixels(data, self.card.input_size, replace(policy, version=1))
        return images.pixels(data, self.card.input_size, self.card.image_policy(policy))

    def predict_many(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        image_ids: Sequence[str],  # noqa: ARG002
    ) -> Sequence[tuple[float, ...]]:
        """See :meth:`scones_ml.steps.BatchClassifier.predict_many`."""
        import numpy as np

        return [tuple(row) for row in self.predict_batch(np.stack(images)).tolist()]

    def predict_batch(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Classify decoded images.

        Args:
            pixels: uint8 (N, S, S, 3) with S the card's ``input_size``.

        Returns:
            float32 (N, K); rows are probabilities.

        Raises:
            InferenceError: the graph cannot be run, exceeds the memory limit, or returns invalid output.
        """
        import numpy as np

        at_a_time = max(1, _PIXELS_AT_A_TIME // self.card.input_size**2)
        starts = range(0, max(1, len(pixels)), at_a_time)
        answers = [self._answer(pixels[start : start + at_a_time]) for start in starts]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def _answer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        import numpy as np

        try:
            (found,) = self._session.run(None, {self._session.get_inputs()[0].name: pixels})
        except Exception as exc:  # ONNX Runtime's own classes have no common base
            raise InferenceError(f"{self._name} cannot be run ({type(exc).__name__}): train the model again") from exc
        if found.shape != (len(pixels), len(self.labels)) or not np.isfinite(found).all():
            raise InferenceError(f"{self._name} returns no finite probability for each label: train the model again")
        return found  # type: ignore[no-any-return] # ONNX Runtime has no types


def load_classifier(path: str | Path) -> OnnxClassifier:
    """Load a model from its folder or ``model.tar.gz``.

    Raises:
        ConfigurationError: the model does not exist, or one of its files is missing or invalid.
    """
    card = read_card(path)  # first, since it is small and fails fast
    return OnnxClassifier(read_file(Path(path), MODEL_GRAPH), card, name=str(path))


def load_archive(archive: bytes, name: str) -> OnnxClassifier:
    """Load a model from the bytes of a ``model.tar.gz``, in memory.

    Args:
        archive: bytes of the archive.
        name: name of the model for messages.

    Raises:
        ConfigurationError: the data is not an archive, or one of its files is missing or invalid.
    """
    graph, card = (_member(io.BytesIO(archive), file, name) for file in (MODEL_GRAPH, MODEL_CARD))
    return OnnxClassifier(graph, _card(card, name), name=name)


def read_card(path: str | Path) -> ModelCard:
    """Read a model's card without loading the model.

    Raises:
        ConfigurationError: as :func:`load_classifier`.
    """
    path = Path(path)
    return _card(read_file(path, MODEL_CARD), str(path))


def model_identity(path: str | Path) -> str:
    """Identity of a model in responses, ``"sha256:..."`` of its graph, without loading it.

    Raises:
        ConfigurationError: the model does not exist, or has no graph.
    """
    return f"sha256:{hashlib.sha256(read_file(Path(path), MODEL_GRAPH)).hexdigest()}"


def write_card(path: str | Path, card: ModelCard) -> None:
    """Replace the card of a model folder atomically.

    Raises:
        ConfigurationError: the folder does not exist, or the model is an archive.
    """
    target = Path(path) / MODEL_CARD
    if not target.is_file():
        what = "is an archive: unpack it into a folder" if Path(path).is_file() else "holds no model: train one"
        raise ConfigurationError(f"the model {path} {what}")
    temporary = target.with_suffix(".new")
    temporary.write_text(card.model_dump_json(indent=2), encoding="utf-8")
    temporary.replace(target)


def _card(document: bytes, name: str) -> ModelCard:
    file = f"{name}/{MODEL_CARD}"
    try:
        fields = strict_json.parse(document)
    except ValueError as exc:
        raise ConfigurationError(f"{file} {exc}; train the model again") from exc
    if isinstance(fields, dict) and (refusal := newer_format(file, fields)):
        raise ConfigurationError(refusal)
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or MODEL_CARD
        raise ConfigurationError(f"{file}: {where}: {first['msg']}; train the model again") from exc


def read_file(path: Path, name: str) -> bytes:
    """Read one file of a model, from its folder or ``model.tar.gz``.

    Raises:
        ConfigurationError: the model or the file does not exist, or the file is too large.
    """
    try:
        if path.is_dir():
            return read_at_most(path / name, _MOST_BYTES[name])
        with open_regular(path) as archive:
            return _member(archive, name, str(path))
    except FileNotFoundError as exc:
        what = f"holds no {name}" if path.exists() else "does not exist"
        if (path / "dataset.json").is_file():
            remedy = f"it is a data set, train on it with `scones train {shlex.quote(str(path))}`"
        else:
            remedy = "train one with `scones train DATA`"
        raise ConfigurationError(f"the model {path} {what}: {remedy}") from exc
    except OSError as exc:
        raise ConfigurationError(f"the model {path} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"the model {path}: {name} {exc}; train the model again") from exc


def _member(archive: IO[bytes], name: str, model: str) -> bytes:
    """Read one file of an archive, without extracting it."""
    try:
        found = root_files(archive, lambda file: _MOST_BYTES[name] if file == name else 0)
    except ValueError as exc:
        raise ConfigurationError(f"the model {model} {exc}: give a model's folder or its model.tar.gz") from exc
    if name not in found:
        raise ConfigurationError(f"the model {model} holds no {name}: train one with `scones train DATA`")
    return found[name]


def _check_fit(session: onnxruntime.InferenceSession, card: ModelCard, name: str) -> None:
    """Check that the graph's input and output match the card."""
    size, classes = card.input_size, len(card.labels)
    for what, values, expected in (
        ("takes", session.get_inputs(), f"uint8 (N, {size}, {size}, 3)"),
        ("gives", session.get_outputs(), f"float (N, {classes})"),
    ):
        found = ", ".join(_described(value) for value in values[:4])
        if found != expected:
            raise ConfigurationError(
                f"{name} {what} {printable(found)[:200]}, not {expected} as {MODEL_CARD} says; train the model again"
            )


def _described(value: onnxruntime.NodeArg) -> str:
    """Type and shape as text, with N for a batch of any size."""
    first, *rest = value.shape or [""]
    batch = first if isinstance(first, int) else "N"
    return f"{value.type.removeprefix('tensor(').removesuffix(')')} ({', '.join(map(str, [batch, *rest]))})"
