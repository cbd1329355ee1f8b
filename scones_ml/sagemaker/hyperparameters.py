"""Typed hyperparameters of SageMaker's built-in Image Classification algorithm and of our own training.

Ranges, defaults and rules of the built-in algorithm are those of its documentation
(https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html). Values that AWS would refuse are refused here,
before anything is sent; values without effect, or of doubtful use, are listed by ``warnings``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from scones_ml.errors import ConfigurationError

__all__ = ["Hyperparameters", "ImageClassification", "ScriptMode"]

_PRETRAINED_LAYERS = (18, 34, 50, 101, 152, 200)  # for transfer learning (AWS: IC-Hyperparameter, num_layers)
_PRETRAINED_SHAPE = (3, 224, 224)  # the only one for pretrained models
_SMALL_SIDE = 64  # networks for large images reduce an image 32 times: below this little is left
_USED_BY = {
    "momentum": ("sgd", "nag"),
    "beta_1": ("adam",),
    "beta_2": ("adam",),
    "gamma": ("rmsprop",),
    "eps": ("adam", "rmsprop"),
}


def _numbers(value: object) -> object:
    """``"3,224,224"`` as a tuple; anything else as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


_Numbers = BeforeValidator(_numbers)
_Positive = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Flag = Annotated[Literal[0, 1], BeforeValidator(lambda value: int(value) if str(value) in ("0", "1") else value)]


class Hyperparameters(BaseModel):
    """Hyperparameters of a training job; frozen, unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Read hyperparameters from a mapping; numbers may be text.

        Raises:
            ConfigurationError: a name is unknown, a value out of range, or values are mutually exclusive.
        """
        try:
            return cls(**values)
        except ValidationError as exc:
            first = exc.errors()[0]
            name = ".".join(str(part) for part in first["loc"][:1])
            given = f"={first['input']!r}" if name in values else ""
            raise ConfigurationError(f"hyperparameter {name}{given}: {first['msg']}") from exc

    def to_request(self) -> dict[str, str]:
        """The HyperParameters of a request: the set values, as text."""
        given = self.model_dump(exclude_unset=True, exclude_none=True)
        return {self.request_name(name): self.request_value(value) for name, value in given.items()}

    def request_name(self, name: str) -> str:
        """The name of a hyperparameter in a request."""
        return name

    def request_value(self, value: object) -> str:
        """A value's text in a request."""
        return _text(value)

    def warnings(self) -> tuple[str, ...]:
        """Warnings about valid but probably unintended values, a line each."""
        return ()


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class ImageClassification(Hyperparameters):
    """Hyperparameters of SageMaker's built-in Image Classification (MXNet ResNets).

    Attributes:
        num_classes: number of classes.
        num_training_samples: number of training images.
        num_layers: depth; 18, 34, 50, 101, 152, 200 for large images and transfer learning, the others for small.
        image_shape: channels, height and width of the network's input; every image must be at least that large.
        resize: shorter side in pixels that images are resized to first; larger than height and width.
        epochs: passes over the training images.
        mini_batch_size: images a step, over all GPUs of one instance.
        optimizer: optimization algorithm.
        learning_rate: initial learning rate, 0 to 1.
        momentum: momentum of sgd and nag, 0 to 1.
        weight_decay: 0 to 1.
        beta_1: parameter of adam, 0 to 1.
        beta_2: parameter of adam, 0 to 1.
        eps: parameter of adam and rmsprop, 0 to 1.
        gamma: parameter of rmsprop, 0 to 1.
        lr_scheduler_factor: factor of the learning rate at each of ``lr_scheduler_step``, 0 to 1.
        lr_scheduler_step: epochs at which the learning rate changes.
        augmentation_type: augmentation of training images; None for none.
        use_pretrained_model: 1 starts from weights learned on ImageNet.
        multi_label: 1 allows several classes an image.
        use_weighted_loss: 1 weighs classes by how rare they are; with multi_label only.
        early_stopping: whether training stops when validation accuracy no longer improves.
        early_stopping_min_epochs: minimum epochs before early stopping.
        early_stopping_patience: epochs to wait without improvement.
        early_stopping_tolerance: least relative improvement that counts, 0 to 1.
        checkpoint_frequency: epochs between saved models, at most ``epochs``; None keeps only the best epoch.
        precision_dtype: data type of the weights.
        top_k: report top-k accuracy, too; above 1.
        kv_store: synchronization of weights between instances.
    """

    num_classes: _Positive
    num_training_samples: _Positive
    num_layers: Annotated[
        Literal[18, 20, 32, 34, 44, 50, 56, 101, 110, 152, 200],
        BeforeValidator(lambda value: int(value) if str(value).isdigit() else value),
    ] = 152
    image_shape: Annotated[tuple[_Positive, _Positive, _Positive], _Numbers] = _PRETRAINED_SHAPE
    resize: _Positive | None = None
    epochs: _Positive = 30
    mini_batch_size: _Positive = 32
    optimizer: Literal["sgd", "adam", "rmsprop", "nag"] = "sgd"
    learning_rate: _Share = 0.1
    momentum: _Share = 0.9
    weight_decay: _Share = 0.0001
    beta_1: _Share = 0.9
    beta_2: _Share = 0.999
    eps: _Share = 1e-8
    gamma: _Share = 0.9
    lr_scheduler_factor: _Share = 0.1
    lr_scheduler_step: Annotated[tuple[_Positive, ...], _Numbers] | None = None
    augmentation_type: Literal["crop", "crop_color", "crop_color_transform"] | None = None
    use_pretrained_model: _Flag = 0
    multi_label: _Flag = 0
    use_weighted_loss: _Flag = 0
    early_stopping: bool = False
    early_stopping_min_epochs: _Positive = 10
    early_stopping_patience: _Positive = 5
    early_stopping_tolerance: _Share = 0.0
    checkpoint_frequency: _Positive | None = None
    precision_dtype: Literal["float32", "float16"] = "float32"
    top_k: Annotated[int, Field(ge=2)] | None = None
    kv_store: Literal["dist_sync", "dist_async"] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        _, height, width = self.image_shape
        if self.use_pretrained_model and self.num_layers not in _PRETRAINED_LAYERS:
            layers = ", ".join(map(str, _PRETRAINED_LAYERS))
            raise ConfigurationError(
                f"hyperparameter num_layers={self.num_layers}: there is no pretrained model of that depth, "
                f"choose one of {layers}, or use_pretrained_model=0"
            )
        if self.use_pretrained_model and self.image_shape != _PRETRAINED_SHAPE:
            raise ConfigurationError(
                f"hyperparameter image_shape={_text(self.image_shape)}: pretrained models take 3,224,224 only"
            )
        if self.resize is not None and self.resize <= max(height, width):
            raise ConfigurationError(
                f"hyperparameter resize={self.resize}: must be larger than both sides of image_shape "
                f"{_text(self.image_shape)}"
            )
        if self.use_weighted_loss and not self.multi_label:
            raise ConfigurationError("hyperparameter use_weighted_loss=1: works with multi_label=1 only")
        if self.checkpoint_frequency and self.checkpoint_frequency > self.epochs:
            raise ConfigurationError(
                f"hyperparameter checkpoint_frequency={self.checkpoint_frequency}: more than the {self.epochs} epochs"
            )
        if self.num_classes < 2:
            raise ConfigurationError("hyperparameter num_classes=1: telling classes apart needs at least two")
        steps = self.lr_scheduler_step or ()
        if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise ConfigurationError(f"hyperparameter lr_scheduler_step={_text(steps)}: epochs must increase")
        return self

    def warnings(self) -> tuple[str, ...]:
        """Warnings about valid but probably unintended values, a line each."""
        found = [
            f"{name} has no effect with optimizer={self.optimizer}"
            for name, optimizers in _USED_BY.items()
            if name in self.model_fields_set and self.optimizer not in optimizers
        ]
        stopping = sorted(name for name in self.model_fields_set if name.startswith("early_stopping_"))
        if stopping and not self.early_stopping:
            found.append(f"{', '.join(stopping)}: no effect without early_stopping=True")
        if "lr_scheduler_factor" in self.model_fields_set and not self.lr_scheduler_step:
            found.append("lr_scheduler_factor has no effect without lr_scheduler_step")
        if self.lr_scheduler_step and self.lr_scheduler_step[-1] >= self.epochs:
            found.append(f"lr_scheduler_step={_text(self.lr_scheduler_step)} goes past the {self.epochs} epochs")
        if self.num_layers in _PRETRAINED_LAYERS and max(self.image_shape[1:]) < _SMALL_SIDE:
            found.append(f"num_layers={self.num_layers} is meant for images larger than {_text(self.image_shape)}")
        if self.mini_batch_size > self.num_training_samples:
            found.append(f"mini_batch_size={self.mini_batch_size} is more than num_training_samples")
        if self.top_k and self.top_k >= self.num_classes:
            found.append(f"top_k={self.top_k} of {self.num_classes} classes is always right")
        return tuple(found)


class ScriptMode(Hyperparameters):
    """Hyperparameters of ``python -m scones_ml.training`` in AWS's PyTorch container.

    Attributes:
        source: ``s3://`` URI of the archive from ``scones_ml.sagemaker.training_source.pack``.
        recipe: how it learns; ``"auto"`` leaves it to the images, as it did when the machine was chosen by them.
        fit: what makes the model's square of an image.
        backbone: an ONNX file in the place of the recipe ``head``'s own backbone, below the source's folder.
        cache: folder that holds the recipe ``head``'s own backbone, below the source's folder.
        preset: preset of the recipe ``scratch``.
        epochs: passes over the training images; None for the preset's number.
        seed: random seed.
        threads: CPU threads; None for 1.
        target_precision: target share of right predictions among the accepted, between 0 and 1.
        device: ``"auto"`` uses a GPU if there is one.
    """

    source: Annotated[str, Field(pattern=r"^s3://[^/]+/.+\.tar\.gz$")]
    recipe: Literal["auto", "head", "scratch"] = "scratch"
    fit: Literal["crop", "pad", "stretch"] = "crop"
    backbone: str | None = None
    cache: str | None = None
    preset: Literal["fast", "best"] = "fast"
    epochs: _Positive | None = None
    seed: int = 0
    threads: _Positive | None = None
    target_precision: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def to_request(self) -> dict[str, str]:
        """The HyperParameters of a request; the container's toolkit parses each as JSON and passes it as an option."""
        given = self.model_dump(exclude={"source"}, exclude_none=True)
        values = {self.request_name(name): value for name, value in given.items()}
        values |= {"sagemaker_program": "train.py", "sagemaker_submit_directory": self.source}
        return {name: self.request_value(value) for name, value in values.items()}

    def request_name(self, name: str) -> str:
        """The name of a hyperparameter in a request: the option without leading dashes."""
        return name.replace("_", "-")

    def request_value(self, value: object) -> str:
        """A value's text in a request: JSON."""
        return json.dumps(value)
