"""Port of the trainer, and its requests."""

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
"""What is trained: ``head`` puts a classifier on a pretrained backbone, ``scratch`` trains a small network."""

_PRESETS: Final = ("fast", "best")
_DEVICES: Final = ("auto", "cpu", "cuda")
_PHOTOGRAPH_SIDE: Final = 64  # pixels, as staging has it


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """A recipe and the reason for it.

    Attributes:
        recipe: the recipe to train.
        reason: a short explanation.
    """

    recipe: Literal["head", "scratch"]
    reason: str


def choose_recipe(wanted: Recipe, side: int, image_size: int, *, init: bool = False) -> RecipeChoice:
    """Choose the recipe for a data set.

    Args:
        wanted: the requested recipe; ``"auto"`` to choose by the images' size.
        side: median shorter side of the staged images, in pixels.
        image_size: side of the model's input square, in pixels.
        init: whether training starts from a given model.

    Raises:
        ConfigurationError: ``"head"`` with ``init``.
    """
    if wanted == "head" and init:
        raise ConfigurationError("--init needs a network that was trained from scratch: add --recipe scratch")
    if wanted != "auto":
        return RecipeChoice(wanted, "asked for")
    if init:
        return RecipeChoice("scratch", "training starts from a network that was trained from scratch")
    if side >= _PHOTOGRAPH_SIDE:
        return RecipeChoice("head", f"photographs, {side} pixels on the shorter side as staged")
    if image_size > _PHOTOGRAPH_SIDE:
        return RecipeChoice("head", f"thumbnails of {side} pixels, enlarged to {image_size}")
    return RecipeChoice("scratch", f"thumbnails, {side} pixels on the shorter side")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training job.

    Attributes:
        data: folder of the staged data set.
        model: folder that the model is written to.
        recipe: ``"auto"`` to choose by the images, see :func:`choose_recipe`.
        fit: how an image becomes the model's square; only for a data set staged by image policy 2.
        backbone: an ONNX file to use in place of the default backbone of the recipe ``head``.
        cache: folder that keeps the backbone and its features for later trainings; None to keep nothing.
        preset: ``"fast"`` or ``"best"``, for the recipe ``scratch``.
        seed: random seed.
        threads: CPU threads; None for the preset's number.
        epochs: passes over the training images; None for the preset's number.
        target_precision: target share of right predictions among the accepted, in (0, 1).
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        init: folder or ``model.tar.gz`` of a model to start from; None to start from scratch.
        instance_type: AWS instance type; None for one that suits the recipe, with a small GPU for ``scratch``.
        spot: whether AWS may use spare capacity, which is cheaper and can be interrupted: the job then resumes from its
            last checkpoint.
        max_seconds: training time after which AWS stops the job.

    Raises:
        ConfigurationError: a value is invalid; raised before anything is started.
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
        """List the changes that :meth:`train` would make; needs no credentials and changes nothing."""
        ...

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Make and record every change of the plan, and write the model to ``request.model``.

        Args:
            request: what to train.
            progress: called for uploaded files, where there are any, then for epochs.
            steps: called with each step and, on AWS, each line of the job's log.

        Raises:
            TrainingError: the job did not finish; the message ends with its last log line.
        """
        ...

    def attach(self, job: str, model: Path, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        """Follow a running job to its end, and write its model to a folder.

        Args:
            job: name of the job.
            model: folder that the model is written to.
            progress: called for each epoch.
            steps: called with each line of its log.

        Raises:
            ConfigurationError: there is no such job.
            TrainingError: it did not finish; the message ends with its last log line.
        """
        ...
