"""``scones label-next``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import EndpointName, Json, On, Workspace
from scones_ml.errors import ConfigurationError
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.events import ImageRef
    from scones_ml.ports import Backend
    from scones_ml.review.queue import Queue

__all__ = ["label_next"]

Count = Annotated[int, typer.Argument(min=1, help="Number of images to suggest.", show_default=False)]
Source = Annotated[
    str | None,
    typer.Argument(help="Folder or s3://BUCKET/PREFIX of images (default: those that `scones run` sent to review)."),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Model that ranks images by uncertainty (default: the running endpoint, else WORKSPACE/model)."
    ),
]
Answers = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        help="Review answers; images answered there are skipped (default: WORKSPACE/reviews/answers.jsonl).",
    ),
]


def label_next(
    context: typer.Context,
    count: Count,
    source: Source = None,
    model: Model = None,
    endpoint: EndpointName = None,
    answers: Answers = None,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Suggest the images to label next: uncertain and diverse ones."""
    from scones_ml.inference.model import read_card
    from scones_ml.lifecycle import label_next as choosing
    from scones_ml.review.annotations import AnnotationFile

    backend = backends_of(context).backend("local" if source else on, workspace)
    chosen = model or _own_model(backend, endpoint, workspace)
    others = 0
    if source is None:
        queue = _queued(backend).of(read_card(chosen).labels)
        images, others = [image.ref for image in queue.images], queue.others
    else:
        images = _listed(source, backend)
    file = AnnotationFile(answers or workspace / "reviews" / "answers.jsonl")
    answered = {answer.image_id for answer in file.read().of(read_card(chosen).labels).current}
    waiting = [image for image in images if image.image_id not in answered]
    if others:
        outcomes = counted(others, "outcome")
        terminal.say(f"{outcomes} of models with other classes left out: --model MODEL takes one model's")
    if not waiting:
        said = f" without an answer: {counted(len(images), 'image')} answered" if images else ""
        remedy = "give a folder of images, or s3://BUCKET/PREFIX" if source else "run some with `scones run`"
        raise ConfigurationError(f"there are no images in {source or 'the review queue'}{said}: {remedy}")
    with terminal.progress("look") as progress:
        wanted = choosing.label_next(chosen, backend.store, waiting, count, progress)
    if json:
        terminal.print_json(
            [
                dataclasses.asdict(found) | {"image": found.image.to_event(), "name": _name(found.image, source)}
                for found in wanted
            ]
        )
        return
    rows = [(_name(found.image, source), found.label, f"{found.confidence:.3f}") for found in wanted]
    terminal.print_table(("image", "label", "confidence"), rows, right=("confidence",))
    terminal.say(f"{len(wanted):,} of {counted(len(waiting), 'image')}, the most useful first")


def _name(image: ImageRef, source: str | None) -> str:
    """Path of a file or URI of an object."""
    return image.uri if source is None or source.startswith("s3://") else str(Path(source) / image.s3_key)


def _own_model(backend: Backend, endpoint: str | None, workspace: Path) -> Path:
    """Model of the running endpoint, else of the workspace.

    Raises:
        ConfigurationError: the endpoint does not say where its model is, and the workspace's is of other classes.
    """
    from scones_ml import lifecycle
    from scones_ml.inference.model import MODEL_CARD, read_card

    own = workspace / "model"
    if endpoint is None and backend.place_name != "local":
        return own
    served = lifecycle.choose_endpoint(
        backend.deployer.endpoints(), endpoint, lambda found: (found.labels, found.folder)
    )
    if served is None:
        return own
    if served.folder:
        return Path(served.folder)
    if (own / MODEL_CARD).is_file() and read_card(own).labels == served.labels:
        return own
    raise ConfigurationError(f"the endpoint {served.name} does not say where its model is: give --model MODEL")


def _queued(backend: Backend) -> Queue:
    from scones_ml.review.queue import read_queue

    with terminal.progress("queue") as progress:
        return read_queue(backend.store, backend.buckets.output, progress=progress)


def _listed(source: str, backend: Backend) -> list[ImageRef]:
    from scones_ml.events import ImageRef
    from scones_ml.events.readers import is_image_key
    from scones_ml.local.workspace import image_location

    bucket, prefix = image_location(source)
    return [
        ImageRef(s3_bucket=bucket, s3_key=found.key, etag=found.etag)
        for found in backend.store.list(bucket, prefix)
        if is_image_key(found.key)
    ]
