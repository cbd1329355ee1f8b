"""The life cycle as functions with plain arguments, available from ``import scones_ml`` next to ``load_model``.

They work like the commands of the same names and use the same workspace: ``scones status`` lists what they create,
``scones cleanup`` removes it.

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
    """Results of a run, as a tuple in the order of the images."""

    __slots__ = ()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of images by outcome, ``failed`` for those without one; the most frequent first."""
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
        source: a folder of class folders, a manifest, a RecordIO file, an archive or its URL, review answers,
            ``s3://bucket/prefix``, ``"synthetic"`` for drawn images, or a :class:`scones_ml.dataset.Source`.
        destination: folder to create, or ``s3://bucket/prefix``; an earlier data set there is replaced.
        classes: class names in the order of their labels; None for all, sorted.
        image_size: size that the shorter side of larger images is reduced to, 8 to 4,096 pixels; None for 224 with
            photographs and 32 with thumbnails.
        per_class: number of synthetic images for each class.
        answers: file of review answers from ``scones review``, which extend ``source``, a staged data set.
        label_attribute: a manifest's field with the labels, if there are several.
        group_by: a manifest's column, or a pattern in file names; images with the same value stay in one split.
        seed: random seed of the splits.
        workspace: folder of the ledger.
        progress: True for a bar on a terminal, False for none; a function is called with (done, total).

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
    if source == "synthetic" and not answers:
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
    """Train a classifier and choose its threshold, without the test split.

    Args:
        data: a staged data set, or its folder.
        model: folder to write the model to; None for ``WORKSPACE/model``. A model there is replaced.
        recipe: ``"head"`` puts a classifier on a pretrained backbone, ``"scratch"`` trains a small network (extra
            ``train``), ``"auto"`` chooses by the images.
        fit: how an image becomes the model's square: cropped, padded with white, or stretched.
        backbone: an ONNX file to use in place of the default backbone of the recipe ``head``.
        preset: for the recipe ``scratch``; None for ``"fast"``.
        epochs: for the recipe ``scratch``: passes over the images.
        target_precision: target share of right predictions among the accepted, in (0, 1).
        init: a model to start from.
        seed: random seed.
        threads: CPU threads; the same seed and threads give the same model.
        device: device to train on.
        on: ``"local"`` for a process on this machine, ``"aws"`` for a SageMaker training job.
        instance_type: AWS instance type; None for one that suits the recipe.
        spot: on AWS, whether to use spare capacity.
        max_hours: on AWS, hours after which the job is stopped.
        workspace: folder of the ledger and the cache.
        progress: as for :func:`stage`.

    Returns:
        The loaded model; its ``card`` has its figures.

    Raises:
        DatasetError: ``data`` is not a staged data set.
        TrainingError: the training did not finish.
        ConfigurationError: arguments are mutually exclusive or invalid.
    """
    if on == "local" and (instance_type or spot):
        raise ConfigurationError("instance_type and spot are only for AWS: add on='aws'")
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
        raise ConfigurationError(
            "preset and epochs are only for the recipe scratch: leave them out, or add recipe='scratch'"
        )
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
    """Evaluate a model's predictions, each figure with its 95 % interval.

    Args:
        model: a model, or its folder or ``model.tar.gz``.
        data: a staged data set, or its folder.
        split: split to evaluate on; figures on images that the model was trained on are too optimistic.
        progress: as for :func:`stage`.

    Raises:
        ConfigurationError: ``model`` is not a model, or there is no such split.
        DatasetError: ``data`` is not a staged data set, its classes differ from the model's, or the split is empty.
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
    """Run images through the state machine, one execution each.

    Args:
        images: files or folders.
        model: model to load into this process; None for an endpoint's or, on AWS, the stack's.
        endpoint: name of an endpoint on this machine, if several run.
        threshold: least confidence to accept, in (0, 1]; None for the model's.
        on: ``"local"``, or ``"aws"`` for the deployed state machine.
        workspace: folder of the ledger and the outcomes.
        progress: as for :func:`stage`.

    Returns:
        One result for each image, in order. A broken image, or one whose execution failed, is a result too.

    Raises:
        InvalidImageError: there is no such file, or a folder holds none.
        ConfigurationError: there is no model or endpoint, or a missing model or setting ended the run.
    """
    if threshold is not None:
        check_threshold(threshold, "threshold")
    if on == "aws" and (model or endpoint or threshold):
        raise ConfigurationError("model, endpoint and threshold are for this machine: on AWS the stack sets them")
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
    """The classifier, held in use during the run; a broken model is refused before any image is sent."""
    if on == "aws" or model:
        with backend.using():
            yield None if model is None else (model if isinstance(model, Model) else load_model(model)).path
        return
    chosen = lifecycle.choose_endpoint(backend.deployer.endpoints(), endpoint)
    if chosen is None:
        raise ConfigurationError("no endpoint is running: pass a model, or start one with `scones deploy MODEL`")
    with backend.using(chosen.name):  # it may have been replaced or removed before it was held
        yield lifecycle.choose_endpoint(backend.deployer.endpoints(), chosen.name)


@contextmanager
def _telling(what: str, wanted: bool | Progress, unit: str = "") -> Iterator[tuple[Progress, Steps]]:
    """Progress callbacks: the caller's function, a bar on a terminal, or none."""
    if callable(wanted):
        yield wanted, no_steps
        return
    if wanted and sys.stderr and sys.stderr.isatty():
        try:
            from scones_ml.cli import screen, terminal  # noqa: F401 - screen draws the bar
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
