"""``scones review``."""

from __future__ import annotations

import functools
import getpass
import webbrowser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import Classes, Json, On, Workspace, names
from scones_ml.errors import ConfigurationError

if TYPE_CHECKING:
    from scones_ml.ports import Backend, ObjectStore
    from scones_ml.review.queue import Queue, Review

__all__ = ["review"]

Source = Annotated[
    str | None,
    typer.Argument(help="s3://BUCKET/PREFIX of outcomes to review; what `scones run` wrote otherwise."),
]
Answers = Annotated[
    Path | None, typer.Option("--answers", help="File that answers are added to; WORKSPACE/reviews/answers.jsonl.")
]
Reviewer = Annotated[str | None, typer.Option("--reviewer", help="Who answers; your login name otherwise.")]
Model = Annotated[Path | None, typer.Option("--model", help="Class names come from it.")]
SecondOpinion = Annotated[
    bool, typer.Option("--second-opinion", help="Ask for what other reviewers have answered, too.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes any free one.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


def review(
    context: typer.Context,
    source: Source = None,
    answers: Answers = None,
    reviewer: Reviewer = None,
    classes: Classes = None,
    model: Model = None,
    second_opinion: SecondOpinion = False,
    port: Port = 0,
    open_page: Open = False,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Show doubtful pictures on a local web page, one by one, and keep what people say of them."""
    from scones_ml import backends
    from scones_ml.review.annotations import AnswerFile
    from scones_ml.review.queue import Review, read_queue

    on, bucket, prefixes = _outcomes(backends_of(context).backend(on, workspace), source, on)
    stores = backends.bucket_stores(workspace, on)
    newest = functools.partial(read_queue, stores(bucket), bucket, prefixes)
    with terminal.progress("review") as progress:
        queue = newest(progress=progress)
    file = AnswerFile(answers or workspace / "reviews" / "answers.jsonl")
    asked = Review(queue, file, reviewer or _login_name(), second_opinion)
    where = " and ".join(f"s3://{bucket}/{prefix}" for prefix in prefixes)
    _say_what_is_odd(queue, asked)
    standing = asked.standing()
    if standing.left or standing.conflicts:
        _serve(asked, _class_names(classes, model, queue), where, stores, newest, port, open_page)
    elif not json:
        answered = f": all {standing.total:,} have an answer" if standing.total else ""
        terminal.out.print(f"nothing to review in {where}{answered}")
        return
    _sum_up(asked, json)


def _outcomes(
    backend: Backend, source: str | None, on: Literal["local", "aws"]
) -> tuple[Literal["local", "aws"], str, tuple[str, ...]]:
    """Where they are, the bucket that holds them, and their keys' prefixes."""
    from scones_ml.review.queue import REVIEW_PREFIXES

    if source is None:
        return on, backend.buckets.output, REVIEW_PREFIXES
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not source.startswith("s3://") or not bucket:
        raise ConfigurationError(f"{source!r} is not of the form s3://BUCKET/PREFIX")
    here = on == "local" and bucket == backend.buckets.output
    return "local" if here else "aws", bucket, (prefix,) if prefix else REVIEW_PREFIXES


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as exc:
        raise ConfigurationError("nobody knows who you are: give --reviewer NAME") from exc


def _class_names(classes: str | None, model: Path | None, queue: Queue) -> tuple[str, ...]:
    from scones_ml.inference.model import read_card
    from scones_ml.review.queue import class_names

    given = tuple(dict.fromkeys(names(classes) or ()))
    known = given or (read_card(model).labels if model else class_names(queue.images))
    if len(known) < 2:
        raise ConfigurationError(f"--classes names {len(known)} class: a review needs at least two")
    return known


def _serve(
    asked: Review,
    classes: tuple[str, ...],
    where: str,
    stores: Callable[[str], ObjectStore],
    newest: Callable[..., Queue],
    port: int,
    open_page: bool,
) -> None:
    from scones_ml.inference.listening import listen
    from scones_ml.review.pages import ReviewPages
    from scones_ml.review.queue import Pictures
    from scones_ml.review.server import new_key, review_application, serve

    key = new_key()
    pages = ReviewPages(asked, classes, where)
    app = review_application(asked, pages, Pictures(stores), lambda: newest(known=asked.queue), key)
    listener = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/{key}/"
    try:
        terminal.say(f"{asked.standing().left:,} to review, the least sure first: open")
        terminal.say(url, style="bold")
        terminal.say("Ctrl-C ends it; every answer is saved at once")
        if open_page:
            webbrowser.open(url)
        serve(app, listener)
    except KeyboardInterrupt:
        terminal.say()


def _say_what_is_odd(queue: Queue, asked: Review) -> None:
    for line in queue.passed_over[:5]:
        terminal.say(f"passed over {line}")
    if len(queue.passed_over) > 5:
        terminal.say(f"passed over {len(queue.passed_over) - 5:,} more")
    if skipped := asked.answers.reviews().skipped:
        terminal.say(f"{asked.answers.path} holds {skipped:,} lines that are no answer: they are passed over")


def _sum_up(asked: Review, json: bool) -> None:
    standing = asked.standing()
    given = Counter(answer.label for answer in asked.given())
    if json:
        terminal.print_json(
            {
                "answers": str(asked.answers.path),
                "reviewer": asked.reviewer,
                "given": dict(given),
                "total": standing.total,
                "answered": standing.answered,
                "skipped": standing.skipped,
                "lost": [{"image": image.ref.uri, "reason": reason} for image, reason in asked.lost()],
                "left": standing.left,
                "conflicts": standing.conflicts,
            }
        )
        return
    parts = [f"{count:,} {label}" for label, count in sorted(given.items(), key=lambda item: (-item[1], item[0]))]
    if standing.skipped:
        parts.append(f"{standing.skipped:,} skipped")
    if standing.lost:
        parts.append(f"{standing.lost:,} without a picture")
    if standing.conflicts:
        parts.append(f"{standing.conflicts:,} in conflict")
    parts.append(f"{standing.left:,} left")
    answers = "1 answer" if given.total() == 1 else f"{given.total():,} answers"
    terminal.out.print(f"{answers} by {asked.reviewer}: {', '.join(parts)}; {asked.answers.path}")
    if given:
        terminal.say(f"next: scones stage DATA GROWN --answers {asked.answers.path}")
