"""``scones monitor``."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.options import EndpointName, Html, Json, On, Workspace
from scones_ml.errors import ConfigurationError
from scones_ml.settings import check_threshold
from scones_ml.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scones_ml.events import ImageRef
    from scones_ml.monitoring import Monitoring, Reference
    from scones_ml.monitoring.page import ReferenceImage
    from scones_ml.ports import Endpoint

__all__ = ["monitor"]

_ALARM = 3  # exit code; 1 is an error, 2 wrong usage
_AGE = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        help="Capture files, folders or s3://BUCKET/PREFIX (default: captures of all endpoints).",
        show_default=False,
    ),
]
Since = Annotated[
    str | None, typer.Option("--since", help="Ignore older captures: 2026-11-01, 2026-11-01T08:00, 7d, 12h or 30m.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Model that gives class names and threshold (default: the running endpoint's)."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="The model's staged data set; the reference is its calibration split, or its test split where the "
        "model learned from all others.",
    ),
]
ReferenceFile = Annotated[Path | None, typer.Option("--reference", help="Stored reference to compare with.")]
SaveReference = Annotated[
    Path | None, typer.Option("--save-reference", help="Save the reference computed from --model and --data.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="Minimum confidence to accept, above 0 and at most 1 (default: the model's or the reference's).",
    ),
]
FalseAlarms = Annotated[float, typer.Option("--false-alarms", help="Maximum lifetime false-alarm probability.")]
FailOnDrift = Annotated[bool, typer.Option("--fail-on-drift", help="Exit with code 3 on an alarm.")]
AllModels = Annotated[bool, typer.Option("--all", help="Include predictions of other models with the same classes.")]
Answers = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        help='Review answers, for "none of these" (default: WORKSPACE/reviews/answers.jsonl).',
    ),
]
Objects = Annotated[
    str | None, typer.Option("--objects", help="s3://BUCKET/PREFIX of the images, to map predictions to objects.")
]


def monitor(
    context: typer.Context,
    paths: Paths = None,
    since: Since = None,
    model: ModelOption = None,
    endpoint: EndpointName = None,
    all_models: AllModels = False,
    data: Data = None,
    reference: ReferenceFile = None,
    save_reference: SaveReference = None,
    threshold: Threshold = None,
    false_alarms: FalseAlarms = 0.01,
    fail_on_drift: FailOnDrift = False,
    objects: Objects = None,
    answers: Answers = None,
    html: Html = None,
    on: On = "local",
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Monitor captured requests: volume, classes, confidence, reviews, drift and estimated accuracy."""
    from scones_ml import backends

    if threshold is not None:
        check_threshold(threshold, "--threshold")
    needed = model is None and reference is None
    served = _endpoint(context, on, workspace, endpoint, paths) if needed or endpoint else None
    if served and endpoint and not paths:
        sources = [served.captures]
    else:
        sources = paths or [backends_of(context).backend(on, workspace).captures]
    rows = chain.from_iterable([backends.capture_records(source) for source in sources])
    facts = _facts(model, served if needed else None)
    from scones_ml import monitoring  # and numpy: a source that is not there is told before

    normal = _reference(model, data, reference)
    if save_reference:
        if normal is None:
            raise ConfigurationError("--save-reference needs what to store: give --model and --data")
        monitoring.write_reference(normal, save_reference)
    if fail_on_drift and normal is None:
        raise ConfigurationError("--fail-on-drift needs a reference: give --reference, or --model and --data")
    found = monitoring.monitor(
        rows,
        monitoring.MonitorRequest(
            labels=facts.labels if facts else None,
            threshold=threshold or (facts.threshold if facts else None),
            reference=normal,
            since=_moment(since, datetime.now(UTC)) if since else None,
            level=false_alarms,
            objects=_objects(objects) if objects else None,
            model=facts.model if facts else None,
            all_models=all_models,
            none_of_these=_none_of_these(answers, workspace, normal.labels if normal else facts and facts.labels),
        ),
    )
    if html:
        then = _reference_images(model, data) if model and data and found.drift and found.drift.alarm else ()
        _write_page(found, html, then)
    if json:
        terminal.print_json(found.to_json())
    else:
        _show(found)
        if served and needed:
            terminal.say(f"classes and threshold of the endpoint {served.name}")
        if facts is None and normal is None:
            terminal.say("classes are shown by number, without a threshold: --model gives names and threshold")
        elif found.threshold is None:
            terminal.say("the model has no threshold: every image goes to review")
    if fail_on_drift and found.drift and found.drift.alarm:
        raise typer.Exit(_ALARM)


class _Facts(NamedTuple):
    """A model's classes, threshold and name in captures."""

    labels: tuple[str, ...]
    threshold: float | None
    model: str | None


def _facts(model: Path | None, served: Endpoint | None) -> _Facts | None:
    from scones_ml.inference.model import model_identity, read_card

    if model:
        card = read_card(model)
        return _Facts(card.labels, card.threshold, model_identity(model))
    return _Facts(served.labels, served.threshold, served.model) if served else None


def _endpoint(
    context: typer.Context, on: str, workspace: Path, name: str | None, paths: list[str] | None
) -> Endpoint | None:
    """Endpoint whose captures are read, or that writes to the given paths."""
    from scones_ml import lifecycle

    if on == "aws" and paths and name is None:
        return None
    backend = backends_of(context).backend(on, workspace)

    def writes_there(endpoint: Endpoint) -> bool:
        places = [(Path(path).resolve(), Path(endpoint.captures).resolve()) for path in paths or ()]
        return not paths or any(given.is_relative_to(own) or own.is_relative_to(given) for given, own in places)

    try:
        running = backend.deployer.endpoints()
    except ConfigurationError as exc:
        if on == "local" or name is not None:
            raise
        terminal.say(f"the endpoints cannot be listed: {exc}")  # who may read captures may read no more
        return None
    return lifecycle.choose_endpoint(
        running, name, lambda found: (found.model, found.labels, found.threshold), writes_there
    )


def _objects(uri: str) -> Mapping[str, ImageRef]:
    from scones_ml import backends, captures
    from scones_ml.events import parse_uri

    return captures.objects_by_inference_id(backends.object_store(), *parse_uri(uri, "--objects"))


def _reference(model: Path | None, data: Path | None, stored: Path | None) -> Reference | None:
    if stored and data:
        raise ConfigurationError("--reference and --data both name what is normal: give one of them")
    if stored:
        from scones_ml.monitoring import read_reference

        return read_reference(stored)
    if data is None:
        return None
    if model is None:
        raise ConfigurationError("--data needs --model: the reference is made of a model's answers")
    return _make_reference(model, data)


def _make_reference(model: Path, data: Path) -> Reference:
    from scones_ml import dataset, lifecycle
    from scones_ml.inference.model import load_classifier
    from scones_ml.monitoring import make_reference

    staged, classifier = dataset.load(data), load_classifier(model)
    split = lifecycle.unseen_split(classifier.card)
    with terminal.progress("reference") as progress:
        answers = lifecycle.predict(model, data, split, progress)
    return make_reference(
        answers.probabilities,
        answers.labels,
        answers.classes,
        ((staged.root / record.path).read_bytes() for record in staged.split(split)),
        image_size=classifier.card.input_size,
        fit=classifier.card.fit,
        threshold=answers.threshold,
        model_sha256=classifier.sha256,
        dataset_hash=staged.hash,
    )


def _none_of_these(answers: Path | None, workspace: Path, labels: tuple[str, ...] | None) -> Mapping[str, bool] | None:
    """Reviewed images by their id: whether all who answered say that they show none of the classes."""
    from scones_ml.review.annotations import NONE_OF_THESE, read_annotations

    path = answers or workspace / "reviews" / "answers.jsonl"
    if answers is None and not path.exists():
        return None
    said = read_annotations(path)
    verdicts = (said.of(labels) if labels else said).verdicts
    return {verdict.image_id: verdict.label == NONE_OF_THESE for verdict in verdicts if verdict.label is not None}


def _reference_images(model: Path, data: Path) -> list[ReferenceImage]:
    """Five images of the split that the reference was made of, always the same."""
    from scones_ml import dataset, lifecycle
    from scones_ml.inference.model import read_card
    from scones_ml.monitoring.page import ReferenceImage

    staged = dataset.load(data)
    records = staged.split(lifecycle.unseen_split(read_card(model)))
    drawn = random.Random(0).sample(records, min(5, len(records)))  # noqa: S311, examples
    return [ReferenceImage(one.path, one.class_name, (staged.root / one.path).read_bytes()) for one in drawn]


def _write_page(found: Monitoring, path: Path, then: Sequence[ReferenceImage]) -> None:
    from scones_ml.monitoring.page import render_page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(found, datetime.now(UTC), then), encoding="utf-8")
    terminal.say(f"the page is {path}")


def _moment(text: str, now: datetime) -> datetime:
    """Parse a date, a time (UTC by default) or an age."""
    age = _AGE.fullmatch(text)
    try:
        if age:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise ConfigurationError(f"--since {text!r}: give a date, a time or an age, like 2026-11-01 or 7d") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(found: Monitoring) -> None:
    rows = [("records", f"{found.records:,}", "", f"{found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC")]
    rows += [
        (
            f"predicted {row.label}",
            *terminal.figure(row.share),
            f"{row.count:,} of {counted(found.answered, 'prediction')}",
        )
        for row in found.classes
    ]
    low, _, median, _, high = found.confidence
    rows.append(("median confidence", f"{median:.1%}", "", f"nine of ten from {low:.1%} to {high:.1%}"))
    if found.review:
        note = f"{found.reviews:,} below the threshold of {found.threshold:g}"
        rows.append(("review rate", *terminal.figure(found.review), note))
    if found.unlikes:
        rows.append(("unlike", *terminal.figure(found.unlike), f"{found.unlikes:,} unlike the training images"))
    if found.out_of_scope_share:
        note = f"{found.out_of_scope:,} of {found.reviewed:,} reviewed images show none of the classes"
        rows.append(("out of scope", *terminal.figure(found.out_of_scope_share), note))
    if found.latency:
        note = f"95 % within {found.latency.q95:.0f} ms, of {counted(found.latency.count, 'record')}"
        rows.append(("median latency", f"{found.latency.median:.0f} ms", "", note))
    for name, estimate in (("accuracy, estimated", found.accuracy), ("accuracy if accepted", found.accepted_accuracy)):
        if estimate:
            note = (
                f"from {counted(estimate.labels, 'calibration label')}"
                if estimate.labels
                else "from the mean confidence"
            )
            rows.append((name, *terminal.figure(estimate.estimate), note))
    if found.joined is not None:
        rows.append(("objects known", f"{found.joined:,}", "", f"of {counted(found.answered, 'prediction')}"))
    terminal.print_table(("figure", "value", "95 % interval", ""), rows, right=("value",))
    _show_drift(found)
    _say_what_is_missing(found)


def _show_drift(found: Monitoring) -> None:
    if found.drift is None:
        terminal.say("no drift tests without a reference: give --reference, or --model and --data")
        return
    from scones_ml.monitoring.results import evidence_in_words

    terminal.out.print()
    rows = [
        (
            figure.name,
            _number(figure.reference),
            _number(figure.recent),
            evidence_in_words(figure.evidence),
            f"{figure.needed:,.0f}",
            f"alarm since {figure.first_alarm.time:%Y-%m-%d %H:%M}, record {figure.first_alarm.record:,}"
            if figure.first_alarm
            else "",
        )
        for figure in found.drift.figures
    ]
    columns = ("figure", "reference", "recent", "evidence", "alarm at", "")
    terminal.print_table(columns, rows, right=columns[1:5])
    level = f"{100 * found.drift.level:.3g} %"
    finding = "drift" if found.drift.alarm else "no alarm"
    terminal.say(f"{finding}; if the stream never changes, the probability of any alarm is at most {level}")


def _say_what_is_missing(found: Monitoring) -> None:
    if found.accuracy:
        terminal.say(f"accuracy is {found.accuracy.caveat}")
    if others := sum(found.other_models.values()):
        terminal.say(
            f"{counted(others, 'record')} of another model left out: choose one with --model MODEL, "
            "or all of the same classes with --all"
        )
    for reason, count in found.unanswered.items():
        terminal.say(f"{counted(count, 'record')} without a usable answer: {reason}")
    for line in found.skipped_lines[:5]:
        terminal.say(f"skipped {line.file}:{line.line}: {line.reason}")
    if found.skipped > 5:
        terminal.say(f"skipped {counted(found.skipped - 5, 'more line')}")
    if found.earlier:
        terminal.say(f"{counted(found.earlier, 'record')} older than --since")


def _number(value: float | None) -> str:
    from scones_ml.monitoring.results import number_in_words

    return "" if value is None else number_in_words(value)
