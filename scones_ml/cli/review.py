"""``scones review``."""

from __future__ import annotations

import functools
import getpass
import webbrowser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import Classes, EndpointName, Json, On, Workspace, names
from scones_ml.errors import ConfigurationError
from scones_ml.wording import counted, listed

if TYPE_CHECKING:
    from scones_ml.ports import Backend, ObjectStore
    from scones_ml.review.pages import ReviewPages
    from scones_ml.review.queue import Queue
    from scones_ml.review.session import ReviewSession

__all__ = ["review"]

Source = Annotated[
    str | None,
    typer.Argument(help="s3://BUCKET/PREFIX of outcomes to review (default: those that `scones run` wrote)."),
]
Answers = Annotated[
    Path | None, typer.Option("--answers", help="File to append answers to (default: WORKSPACE/reviews/answers.jsonl).")
]
Reviewer = Annotated[str | None, typer.Option("--reviewer", help="Reviewer's name (default: your login name).")]
Model = Annotated[
    Path | None, typer.Option("--model", help="Model that gives the class names (default: the running endpoint's).")
]
SecondOpinion = Annotated[
    bool, typer.Option("--second-opinion", help="Also show images that other reviewers have answered.")
]
HideGuess = Annotated[bool, typer.Option("--hide-guess", help="Show the model's prediction only after the answer.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


def review(
    context: typer.Context,
    source: Source = None,
    answers: Answers = None,
    reviewer: Reviewer = None,
    classes: Classes = None,
    model: Model = None,
    endpoint: EndpointName = None,
    second_opinion: SecondOpinion = False,
    hide_guess: HideGuess = False,
    port: Port = 0,
    open_page: Open = False,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Review low-confidence images on a local web page and save the answers."""
    from scones_ml.plans import mark_workspace
    from scones_ml.review.annotations import AnnotationFile
    from scones_ml.review.queue import read_queue
    from scones_ml.review.session import ReviewSession

    backend = backends_of(context).backend(on, workspace)
    bucket, prefixes = _outcomes(source, backend)
    here = on == "aws" or bucket == backend.buckets.output  # elsewhere, what outcomes name is of S3 too
    store = (backend if here else backends_of(context).backend("aws", workspace)).store
    newest = functools.partial(read_queue, store, bucket, prefixes)
    # Reviewers of a bucket on AWS may be allowed to read that, and nothing else.
    asks = endpoint is not None or (bucket == backend.buckets.output and backend.place_name == "local")
    choices = _given_classes(classes, model) or (_served_classes(backend, endpoint) if asks else None)
    with terminal.progress("review") as progress:
        queue = newest(progress=progress)
    file = AnnotationFile(answers or workspace / "reviews" / "answers.jsonl")
    asked = ReviewSession(
        queue.of(choices) if choices and not classes else queue, file, reviewer or _login_name(), second_opinion
    )
    if choices is None and asked.needed:
        choices = _told_by(queue, workspace)
        asked.renew(queue.of(choices))
    where = listed(f"s3://{bucket}/{prefix}" for prefix in prefixes)
    _say_what_is_odd(asked)
    done = asked.progress()
    if choices and asked.needed:
        from scones_ml.review.pages import ReviewPages

        if answers is None:
            mark_workspace(workspace)
        pages = ReviewPages(asked, choices, where, not hide_guess)
        _serve(asked, pages, store, newest, port, open_page)
    elif not json:
        answered = f": all {done.total:,} have an answer" if done.total else ""
        terminal.out.print(f"nothing to review in {where}{answered}")
        return
    _sum_up(asked, json)


def _outcomes(source: str | None, backend: Backend) -> tuple[str, tuple[str, ...]]:
    """Bucket and key prefixes of the outcomes."""
    from scones_ml.events import parse_uri
    from scones_ml.review.queue import REVIEW_PREFIXES

    if source is None:
        return backend.buckets.output, REVIEW_PREFIXES
    bucket, prefix = parse_uri(source)
    return bucket, (prefix,) if prefix else REVIEW_PREFIXES


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as exc:
        raise ConfigurationError("your login name is unknown: give --reviewer NAME") from exc


def _given_classes(classes: str | None, model: Path | None) -> tuple[str, ...] | None:
    """Classes given by the options; None when they give none."""
    from scones_ml.inference.model import read_card

    if classes is not None:
        given = tuple(dict.fromkeys(names(classes) or ()))
        if len(given) < 2:
            raise ConfigurationError(
                f"--classes names {counted(len(given), 'class', 'classes')}: a review needs at least two"
            )
        return given
    return read_card(model).labels if model else None


def _served_classes(backend: Backend, endpoint: str | None) -> tuple[str, ...] | None:
    """Classes of the running endpoint; None without one."""
    from scones_ml import lifecycle

    found = lifecycle.choose_endpoint(backend.deployer.endpoints(), endpoint, lambda running: running.labels)
    return (found.labels or None) if found else None


def _told_by(queue: Queue, workspace: Path) -> tuple[str, ...]:
    """Classes of the workspace's model if it produced some of these outcomes, else those in the queue."""
    from scones_ml.inference.model import MODEL_CARD, read_card
    from scones_ml.review.queue import class_names

    own = workspace / "model"
    if (own / MODEL_CARD).is_file() and queue.of(labels := read_card(own).labels).images:
        return labels
    return class_names(queue.images)


def _serve(
    asked: ReviewSession,
    pages: ReviewPages,
    store: ObjectStore,
    newest: Callable[..., Queue],
    port: int,
    open_page: bool,
) -> None:
    from scones_ml.inference.listening import listen
    from scones_ml.review.server import new_key, review_application, serve
    from scones_ml.review.session import ImagePreviews

    key = new_key()
    app = review_application(asked, pages, ImagePreviews(store), lambda: newest(known=asked.queue), key)
    listener = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/{key}/"
    try:
        terminal.say(f"{asked.progress().left:,} to review, lowest confidence first: open")
        terminal.say(url, style="bold")
        terminal.say("Ctrl-C ends it; every answer is saved at once")
        if open_page:
            webbrowser.open(url)
        serve(app, listener)
    except KeyboardInterrupt:
        terminal.say()


def _say_what_is_odd(asked: ReviewSession) -> None:
    queue = asked.queue
    if queue.others:
        terminal.say(
            f"{counted(queue.others, 'outcome')} of models with other classes left out: "
            "--model MODEL shows one model's, --classes a,b everything"
        )
    for line in queue.passed_over[:5]:
        terminal.say(f"skipped {line}")
    if len(queue.passed_over) > 5:
        terminal.say(f"skipped {len(queue.passed_over) - 5:,} more")
    if skipped := asked.file.read().skipped:
        terminal.say(f"{asked.file.path} has {counted(skipped, 'line')} without an answer: skipped")


def _sum_up(asked: ReviewSession, json: bool) -> None:
    done = asked.progress()
    given = Counter(answer.label for answer in asked.given())
    if json:
        terminal.print_json(
            {
                "answers": str(asked.file.path),
                "reviewer": asked.reviewer,
                "given": dict(given),
                "total": done.total,
                "answered": done.answered,
                "skipped": done.skipped,
                "lost": [{"image": image.ref.uri, "reason": reason} for image, reason in asked.lost()],
                "left": done.left,
                "conflicts": done.conflicts,
                "of_other_classes": asked.queue.others,
            }
        )
        return
    parts = [f"{count:,} {label}" for label, count in sorted(given.items(), key=lambda item: (-item[1], item[0]))]
    if done.skipped:
        parts.append(f"{done.skipped:,} skipped")
    if done.lost:
        parts.append(f"{done.lost:,} without an image")
    if done.conflicts:
        parts.append(f"{done.conflicts:,} in conflict")
    parts.append(f"{done.left:,} left")
    answers = counted(given.total(), "answer")
    terminal.out.print(f"{answers} by {asked.reviewer}: {', '.join(parts)}; {asked.file.path}")
    if given:
        terminal.say_next(("stage", "DATA", "EXTENDED", "--answers", asked.file.path))
