"""The trainer, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from scones_ml.errors import ConfigurationError
from scones_ml.ports.progress import Progress, Steps, no_progress, no_steps
from scones_ml.settings import Fit
from scones_ml.wording import either, share_hint

if TYPE_CHECKING:  # Lambda functions carry the ports, but neither plans nor the ledger
    from scones_ml.plans import Plan

__all__ = ["Recipe", "RecipeChoice", "Trainer", "TrainingRequest", "choose_recipe"]

Recipe = Literal["auto", "head", "scratch"]
"""How to learn: ``head`` puts a classifier on a pretrained backbone, ``scratch`` trains a small network."""

_PRESETS: Final = ("fast", "best")
_DEVICES: Final = ("auto", "cpu", "cuda")
_PHOTOGRAPH_SIDE: Final = 64  # pixels, as staging has it


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """Which recipe, and why.

    Attributes:
        recipe: the one that is taken.
        reason: in a few words.
    """

    recipe: Literal["head", "scratch"]
    reason: str


def choose_recipe(wanted: Recipe, side: int, image_size: int, *, init: bool = False) -> RecipeChoice:
    """The recipe for a data set.

    Args:
        wanted: what was asked for; ``"auto"`` leaves it to the images.
        side: the median of the shorter sides of the staged images, in pixels.
        image_size: side of the square that the model will see, in pixels.
        init: whether there is a model to go on from.

    Raises:
        ConfigurationError: ``"head"``, and a model to go on from.
    """
    if wanted == "head" and init:
        raise ConfigurationError("--init goes on from a network that was trained from scratch: add --recipe scratch")
    if wanted != "auto":
        return RecipeChoice(wanted, "asked for")
    if init:
        return RecipeChoice("scratch", "it goes on from a network that was trained from scratch")
    if side >= _PHOTOGRAPH_SIDE:
        return RecipeChoice("head", f"photographs, {side} pixels on the shorter side as staged")
    if image_size > _PHOTOGRAPH_SIDE:
        return RecipeChoice("head", f"thumbnails of {side} pixels, enlarged to {image_size}")
    return RecipeChoice("scratch", f"thumbnails, {side} pixels on the shorter side")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training job.

    Attributes:
        data: the staged data set's folder.
        model: the folder that the model is written to.
        recipe: ``"auto"`` leaves it to the images, see :func:`choose_recipe`.
        fit: what makes the model's square of an image, where the data set was staged by image policy 2.
        backbone: an ONNX file in the place of the recipe ``head``'s own backbone.
        cache: a folder that keeps the backbone and what it made of images, for later trainings; None keeps nothing.
        preset: of the recipe ``scratch``, ``"fast"`` or ``"best"``.
        seed: of everything random.
        threads: CPU threads; None leaves it to the preset.
        epochs: passes over the training images; None leaves it to the preset.
        target_precision: what the threshold promises of accepted answers, in (0, 1).
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        init: folder or ``model.tar.gz`` of a model to go on from; from scratch when None.
        instance_type: of the machine on AWS; None takes one that suits the recipe, with a small GPU for ``scratch``.
        spot: whether AWS may use spare capacity, which costs less and may be taken back: the job then goes on from
            its last checkpoint when there is capacity again.
        max_seconds: after so much training AWS stops the job.

    Raises:
        ConfigurationError: a value that no training takes; before anything is started.
    """

    data: Path
    model: Path
    recipe: Recipe = "auto"
    fit: Fit = "crop"
    backbone: Path | None = None
    cache: Path | None = None
    preset: str = "fast"
    seed: int = 0
    threads: int | None = None
    epochs: int | None = None
    target_precision: float = 0.95
    device: str = "auto"
    init: Path | None = None
    instance_type: str | None = None
    spot: bool = False
    max_seconds: int = 3_600

    def __post_init__(self) -> None:
        for name, value, known in (
            ("recipe", self.recipe, get_args(Recipe)),
            ("fit", self.fit, get_args(Fit)),
            ("preset", self.preset, _PRESETS),
            ("device", self.device, _DEVICES),
        ):
            if value not in known:
                raise ConfigurationError(f"there is no {name} {value!r}: choose {either(known)}")
        for name, count in (("epochs", self.epochs), ("threads", self.threads), ("max_seconds", self.max_seconds)):
            if count is not None and count < 1:
                raise ConfigurationError(f"{name} is {count}: give 1 or more, or leave it out")
        if not 0.0 < self.target_precision < 1.0:
            hint = share_hint(self.target_precision) or "give a share between 0 and 1"
            raise ConfigurationError(f"target_precision is {self.target_precision}: {hint}")


class Trainer(Protocol):
    """Runs training jobs."""

    def plan(self, request: TrainingRequest) -> Plan:
        """What :meth:`train` is going to make; nothing is made, and no credentials are needed."""
        ...

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Make every change of the plan, each recorded, and write the model to ``request.model``.

        Args:
            request: what to train.
            progress: counts what is uploaded, where it is, and then epochs.
            steps: told what goes on, and on AWS each line of the job's log.

        Raises:
            TrainingError: the job did not finish; the message holds its last words.
        """
        ...

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Follow a job that was started before to its end, and write its model to a folder.

        Args:
            job: its name.
            model: the folder.
            progress: counts epochs.
            steps: told each line of its log.

        Raises:
            ConfigurationError: there is no such job.
            TrainingError: it did not finish; the message holds its last words.
        """
        ...
