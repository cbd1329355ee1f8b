"""The life cycle as functions with plain arguments: what ``import scones_ml`` offers beside ``load_model``.

They do what the commands of the same names do, by the same functions, and leave what they make in the same workspace:
``scones status`` lists it, ``scones cleanup`` removes it.

Internal: may change without notice.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from scones_ml import backends, dataset, lifecycle
from scones_ml.dataset.staging import StageResult
from scones_ml.displays import aligned, escaped, fragment, table
from scones_ml.errors import ConfigurationError
from scones_ml.events import parse_uri
from scones_ml.inference.prediction import Model, load_model
from scones_ml.lifecycle.staging import source_of, upload_staged
from scones_ml.local.files import image_files
from scones_ml.ports import Endpoint, ImageResult, Progress, Recipe, Steps, TrainingRequest, no_progress, no_steps
from scones_ml.settings import Fit, check_threshold
from scones_ml.wording import counted, either, listed

if TYPE_CHECKING:
    from scones_ml.evaluation import Evaluation
    from scones_ml.ports import Backend

__all__ = ["RunResults", "evaluate", "run", "stage", "train"]

_WORKSPACE: Final = ".scones"
_MOST_LINES: Final = 20


class RunResults(tuple[ImageResult, ...]):
    """What became of each image of a run: a tuple of results, in the order of the images."""

    __slots__ = ()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many images went where, ``failed`` for those without a place; the most frequent first."""
        return dict(Counter(one.outcome or "failed" for one in self).most_common())

    def __repr__(self) -> str:
        return f"RunResults({self._title()})"

    def __str__(self) -> str:
        more = [f"and {len(self) - _MOST_LINES:,} more"] if len(self) > _MOST_LINES else []
        rows = [_columns(), *map(_cells, self[:_MOST_LINES])]
        return "\n".join([self._title(), *([aligned(rows, [2])] if self else []), *more])

    def _repr_html_(self) -> str:
        return fragment(f'<p class="title">{escaped(self._title())}</p>', table(_columns(), map(_cells, self), [2]))

    def _title(self) -> str:
        outcomes = listed(f"{count:,} {name}" for name, count in self.outcomes.items())
        return f"{counted(len(self), 'image')}{': ' if self else ''}{outcomes}"


def stage(
    source: str | os.PathLike[str] | dataset.Source,
    destination: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    per_class: int = 300,
    answers: str | os.PathLike[str] | None = None,
    label_attribute: str | None = None,
    group_by: str | None = None,
    seed: int = 0,
    workspace: str | os.PathLike[str] = _WORKSPACE,
    progress: bool | Progress = True,
) -> StageResult:
    """Check, split and hash images into a data set.

    Args:
        source: a folder of class folders, a manifest, a RecordIO file, an archive or its URL, reviewers' answers,
            ``s3://bucket/prefix``, ``"synthetic"`` for drawn images, or a :class:`scones_ml.dataset.Source`.
        destination: the folder to make, or ``s3://bucket/prefix``; an earlier data set there is replaced.
        classes: class names in the order of their labels; all of them, sorted, when None.
        image_size: the shorter side of larger images is reduced to this, 8 to 4,096 pixels; None takes 224 for
            photographs and 32 for thumbnails.
        per_class: how many synthetic images are drawn of each class.
        answers: what ``scones review`` wrote; it extends ``source``, a staged data set.
        label_attribute: the field of a manifest that holds the labels, where there are several.
        group_by: a manifest's column, or a pattern in file names, whose images stay in one split.
        seed: random seed; decides the splits.
        workspace: folder of the record of what was made.
        progress: True shows a bar on a terminal, False nothing; a function is called with (done, total).

    Raises:
        DatasetError: the source or the destination cannot be used.
    """
    if isinstance(classes, str):
        raise ConfigurationError(f"classes={classes!r} is one text: give a list, one name each")
    name, space = os.fspath(destination), Path(workspace)
    remote = name.startswith("s3://")
    folder = space / "staged" / "/".join(parse_uri(name)) if remote else Path(name)
    backend = backends.backend("local", space)
    from_s3 = isinstance(source, str) and source.startswith("s3://")
    store = backends.s3_store() if remote or from_s3 else None
    if source == "synthetic":
        source = dataset.Synthetic(per_class=per_class, seed=seed, size=image_size or dataset.Synthetic.size)
    origin = source_of(source, Path(answers) if answers else None, backend.store)
    with _telling("stage", progress) as (shown, _), lifecycle.recording(backend, lifecycle.plan_stage(folder)):
        result = dataset.stage(
            origin,
            folder,
            classes=classes,
            seed=seed,
            image_size=image_size,
            progress=shown,
            store=store,
            downloads=space / "downloads",
            label_attribute=label_attribute,
            group_by=group_by,
            workspace=space,
        )
    if remote and store:
        with _telling("upload", progress) as (shown, _):
            upload_staged(backend, result.dataset, name, store, backends.region(), shown)
    return result


def train(
    data: StageResult | dataset.Dataset | str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    recipe: Recipe = "auto",
    fit: Fit = "crop",
    backbone: str | os.PathLike[str] | None = None,
    preset: Literal["fast", "best"] | None = None,
    epochs: int | None = None,
    target_precision: float = 0.95,
    init: str | os.PathLike[str] | None = None,
    seed: int = 0,
    threads: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    on: Literal["local", "aws"] = "local",
    instance_type: str | None = None,
    spot: bool = False,
    max_hours: float = 1.0,
    workspace: str | os.PathLike[str] = _WORKSPACE,
    progress: bool | Progress = True,
) -> Model:
    """Train a classifier and choose its threshold; neither looks at the test split.

    Args:
        data: a staged data set, or its folder.
        model: the folder to write the model to; ``WORKSPACE/model`` when None. A model there is replaced.
        recipe: ``"head"`` puts a classifier on a pretrained backbone, ``"scratch"`` trains a small network (extra
            ``train``), ``"auto"`` takes what suits the images.
        fit: how an image becomes a square: its middle, all of it on white, or out of proportion.
        backbone: an ONNX file instead of the built-in backbone of the recipe ``head``.
        preset: of the recipe ``scratch``; ``"fast"`` when None.
        epochs: of the recipe ``scratch``: passes over the images.
        target_precision: what the threshold promises of accepted answers, in (0, 1).
        init: a model to go on from.
        seed: random seed.
        threads: CPU threads; the same seed and threads give the same model.
        device: where the network trains.
        on: ``"local"`` for a process of this machine, ``"aws"`` for a SageMaker training job.
        instance_type: on AWS; None takes one that suits the recipe.
        spot: on AWS: whether to use spare capacity.
        max_hours: on AWS: the job is stopped after so many hours.
        workspace: folder for what is left behind.
        progress: as for :func:`stage`.

    Returns:
        The model, loaded; its ``card`` says how good it is.

    Raises:
        DatasetError: ``data`` is not a staged data set.
        TrainingError: the training did not finish.
        ConfigurationError: arguments that do not go together.
    """
    if on == "local" and (instance_type or spot):
        raise ConfigurationError("instance_type and spot are for jobs on AWS: add on='aws'")
    space = Path(workspace)
    request = TrainingRequest(
        data=_folder(data),
        model=Path(model) if model else space / "model",
        recipe=recipe,
        fit=fit,
        backbone=Path(backbone) if backbone else None,
        cache=space / "cache",
        preset=preset or "fast",
        seed=seed,
        threads=threads,
        epochs=epochs,
        target_precision=target_precision,
        device=device,
        init=Path(init) if init else None,
        instance_type=instance_type,
        spot=spot,
        max_seconds=round(3_600 * max_hours),
    )
    choice = lifecycle.recipe_of(request)
    if choice.recipe == "head" and (preset or epochs):
        raise ConfigurationError("preset and epochs are of the recipe scratch: leave them out, or add recipe='scratch'")
    backend = backends.backend(on, space)
    with _telling("train", progress, "images" if choice.recipe == "head" else "") as (shown, say):
        card = lifecycle.train(backend, request, shown, say)
        say(str(card.threshold_choice.get("reason", "")))
    return load_model(request.model)


def evaluate(
    model: Model | str | os.PathLike[str],
    data: StageResult | dataset.Dataset | str | os.PathLike[str],
    *,
    split: dataset.Split = "test",
    progress: bool | Progress = True,
) -> Evaluation:
    """Compare a model's answers with the truth, each figure with its 95 % interval.

    Args:
        model: a model, or its folder or ``model.tar.gz``.
        data: a staged data set, or its folder.
        split: whose images; figures on those that the model was trained on flatter it.
        progress: as for :func:`stage`.

    Raises:
        ConfigurationError: ``model`` is not a model, or there is no such split.
        DatasetError: ``data`` is not a staged data set, has other classes than the model, or the split is empty.
    """
    if split not in dataset.SPLITS:
        raise ConfigurationError(f"there is no split {split!r}: choose {either(dataset.SPLITS)}")
    with _telling("evaluate", progress) as (shown, _):
        predictions = lifecycle.predict(_path(model), _folder(data), split, shown)
    return lifecycle.evaluate(predictions)


def run(
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: Model | str | os.PathLike[str] | None = None,
    *,
    endpoint: str | None = None,
    threshold: float | None = None,
    on: Literal["local", "aws"] = "local",
    workspace: str | os.PathLike[str] = _WORKSPACE,
    progress: bool | Progress = True,
) -> RunResults:
    """Send images through the state machine, one execution each.

    Args:
        images: files, or folders of them.
        model: loaded into this process; None asks an endpoint, and on AWS the model that the stack was deployed with.
        endpoint: which endpoint of this machine, when several run.
        threshold: least confidence to accept, in (0, 1]; the model's own when None.
        on: ``"local"``, or ``"aws"`` for the deployed state machine.
        workspace: folder for what is left behind.
        progress: as for :func:`stage`.

    Returns:
        One result for each image, in order. A broken image, or one whose execution failed, is a result too.

    Raises:
        InvalidImageError: there is no such file, or a folder holds none.
        ConfigurationError: no model or endpoint, or the system's own fault ended the run.
    """
    if threshold is not None:
        check_threshold(threshold, "threshold")
    if on == "aws" and (model or endpoint or threshold):
        raise ConfigurationError(
            "model, endpoint and threshold are for this machine: on AWS the stack's functions hold them"
        )
    paths = [images] if isinstance(images, str | os.PathLike) else list(images)
    files = [lifecycle.ImageFile(key, path) for key, path in image_files(paths).items()]
    backend = backends.backend(on, Path(workspace))
    found: list[ImageResult] = []
    with _classifying(backend, on, model, endpoint) as classifier, _telling("run", progress) as (shown, _):
        for result in lifecycle.run_files(backend, files, classifier, threshold):
            found.append(result)
            shown(len(found), len(files))
    order = {f"{backend.buckets.uploads}{file.key}": place for place, file in enumerate(files)}
    return RunResults(sorted(found, key=lambda one: order[one.image.s3_key]))


@contextmanager
def _classifying(
    backend: Backend, on: Literal["local", "aws"], model: Model | str | os.PathLike[str] | None, endpoint: str | None
) -> Iterator[Endpoint | Path | None]:
    """What classifies, kept from the first image to the last; a broken model is told before any image is sent."""
    if on == "aws" or model:
        with backend.using():
            yield None if model is None else (model if isinstance(model, Model) else load_model(model)).path
        return
    chosen = lifecycle.choose_endpoint(backend.deployer.endpoints(), endpoint)
    if chosen is None:
        raise ConfigurationError("no endpoint is running: pass a model, or start one with `scones deploy MODEL`")
    with backend.using(chosen.name):  # it may have been replaced, or have gone, before it was kept
        yield lifecycle.choose_endpoint(backend.deployer.endpoints(), chosen.name)


@contextmanager
def _telling(what: str, wanted: bool | Progress, unit: str = "") -> Iterator[tuple[Progress, Steps]]:
    """Where progress goes: to the caller's function, to a bar on a terminal, or nowhere."""
    if callable(wanted):
        yield wanted, no_steps
        return
    if wanted and sys.stderr and sys.stderr.isatty():
        try:
            from scones_ml.cli import screen, terminal  # noqa: F401 - screen is what draws
        except ModuleNotFoundError:  # the extra cli is not installed
            pass
        else:
            with terminal.progress(what, unit) as shown:
                yield shown, terminal.say
            return
    yield no_progress, no_steps


def _folder(data: StageResult | dataset.Dataset | str | os.PathLike[str]) -> Path:
    if isinstance(data, StageResult):
        return data.dataset.root
    return data.root if isinstance(data, dataset.Dataset) else Path(data)


def _path(model: Model | str | os.PathLike[str]) -> Path:
    return model.path if isinstance(model, Model) else Path(model)


def _columns() -> Sequence[str]:
    return ("image", "label", "confidence", "outcome", "reason")


def _cells(one: ImageResult) -> Sequence[str]:
    confidence = "" if one.confidence is None else f"{one.confidence:.3f}"
    return (one.image.s3_key, one.label or "", confidence, one.outcome or "failed", one.reason or "")
