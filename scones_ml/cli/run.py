"""``scones run``: classify images one by one, in bulk, or as a load test."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scones_ml.cli import terminal
from scones_ml.cli.context import backends_of
from scones_ml.cli.no_threshold import warn_of_no_threshold
from scones_ml.cli.options import DryRun, EndpointName, Json, On, Seed, TimeToLive, Workspace, new_run, seconds
from scones_ml.cli.plans import show_plans
from scones_ml.errors import ConfigurationError, SconesError
from scones_ml.ports import Endpoint
from scones_ml.settings import check_threshold
from scones_ml.wording import counted

if TYPE_CHECKING:
    from scones_ml.lifecycle import ImageFile
    from scones_ml.lifecycle.load_test import LoadReport
    from scones_ml.ports import Backend, BulkResult, ImageResult

__all__ = ["run"]

Paths = Annotated[list[str], typer.Argument(help="Images or folders of images.", show_default=False)]
Model = Annotated[Path | None, typer.Option("--model", help="Load this model instead of calling an endpoint.")]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Minimum confidence to accept, above 0 and at most 1 (default: the model's)."),
]
Bulk = Annotated[
    bool,
    typer.Option("--bulk", help="Process a whole folder or s3://BUCKET/PREFIX in batches; resumes where it stopped."),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=0.01, help="Load test: send randomly chosen images at this rate per second."),
]
Duration = Annotated[str, typer.Option("--duration", help="Duration of the load test: 30s, 5m, 1h.")]


def run(
    context: typer.Context,
    paths: Paths,
    model: Model = None,
    endpoint: EndpointName = None,
    threshold: Threshold = None,
    bulk: Bulk = False,
    rate: Rate = None,
    duration: Duration = "10s",
    seed: Seed = 0,
    ttl: TimeToLive = None,
    on: On = "local",
    dry_run: DryRun = False,
    json: Json = False,
    workspace: Workspace = Path(".scones"),
) -> None:
    """Classify images through the workflow and show each outcome."""
    if threshold is not None:
        check_threshold(threshold, "--threshold")
    if bulk and rate:
        raise ConfigurationError("--bulk and --rate are mutually exclusive: give one of them")
    length = seconds(duration, "--duration")
    if on == "aws" and (model or endpoint or threshold):
        raise ConfigurationError(
            "--model, --endpoint and --threshold are for this machine: on AWS the stack sets the model and "
            "the threshold; deploy others (docs/deploy.md)"
        )
    backends = backends_of(context)
    backend = (backends.planner if dry_run else backends.backend)(on, workspace, new_run(ttl))
    if dry_run:
        from scones_ml import lifecycle

        show_plans([lifecycle.plan_run(backend, inputs=not bulk)], json)
        if on == "aws":
            terminal.say(
                f"the stack writes outcomes to s3://{backend.buckets.output}/, which is deleted with the stack"
            )
        return
    if bulk:
        if len(paths) != 1:
            raise ConfigurationError(f"--bulk takes one folder or s3://bucket/prefix, not {len(paths)}")
        _in_bulk(backend, paths[0], model, threshold, json)
        return
    chosen = None if on == "aws" else model or _endpoint(backend, endpoint)
    _check(chosen, threshold)
    with _kept(backend, chosen) as classifier:
        if rate:
            _as_load(backend, paths, classifier, threshold, rate, length, seed, json)
            return
        _one_by_one(backend, paths, classifier, threshold, json)


@contextmanager
def _kept(backend: Backend, chosen: Endpoint | Path | None) -> Iterator[Endpoint | Path | None]:
    """Keep the classifier in use from the first image sent to the last one classified."""
    name = chosen.name if isinstance(chosen, Endpoint) else None
    with backend.using(name):
        # An endpoint may have been replaced, or have gone, before it was kept.
        yield _endpoint(backend, name) if name else chosen


def _check(classifier: Endpoint | Path | None, threshold: float | None) -> None:
    """Check the model and its threshold before any image is sent."""
    from scones_ml import lifecycle
    from scones_ml.inference.shared import shared_model

    if classifier is None:
        return
    lifecycle.workflow_model(classifier, threshold)
    if isinstance(classifier, Path):
        shared_model(classifier)
    if threshold is None:
        warn_of_no_threshold(classifier)


def _one_by_one(
    backend: Backend, paths: Sequence[str], classifier: Endpoint | Path | None, threshold: float | None, json: bool
) -> None:
    from scones_ml import lifecycle

    files = _files(paths)
    order = {f"{backend.buckets.uploads}{file.key}": number for number, file in enumerate(files)}
    results: list[ImageResult] = []
    fault: SconesError | None = None
    with terminal.progress("run") as progress:
        try:
            for result in lifecycle.run_files(backend, files, classifier, threshold):
                results.append(result)
                progress(len(results), len(files))
        except SconesError as exc:
            fault = exc
    if fault and not results:
        raise fault
    results.sort(key=lambda result: order[result.image.s3_key])  # executions end in any order
    if json:
        terminal.print_json([_document(result) for result in results])
    else:
        _show(backend, results, classifier)
    _reconcile(backend, files, results, fault)


def _show(backend: Backend, results: Sequence[ImageResult], classifier: Endpoint | Path | None) -> None:
    rows = [
        (
            result.image.s3_key.removeprefix(backend.buckets.uploads),
            result.label or "",
            "" if result.confidence is None else f"{result.confidence:.3f}",
            result.outcome or "failed",
            result.reason or "",
        )
        for result in results
    ]
    terminal.print_table(("image", "label", "confidence", "outcome", ""), rows, right=("confidence",))
    counts: Counter[str] = Counter(result.outcome or "failed" for result in results)
    terminal.say(_counted(counts))
    _say_review(counts, backend, classifier)
    failed = next((result for result in results if result.outcome is None and result.execution), None)
    if failed:
        terminal.say(f"run a failed one again here, with its own history: `scones asl redrive {failed.execution}`")


def _reconcile(
    backend: Backend, files: Sequence[ImageFile], results: Sequence[ImageResult], fault: SconesError | None
) -> None:
    """Reconcile the results with the requested files.

    Raises:
        WorkflowError: images failed or have no result; the first are named.
        SconesError: the error that ended the run.
    """
    from scones_ml.errors import WorkflowError
    from scones_ml.ports import failures_in_words

    uploads = backend.buckets.uploads
    found = {result.image.s3_key.removeprefix(uploads): result for result in results}
    failed = {
        file.key: str(found[file.key].reason) if file.key in found else "it has no result"
        for file in files
        if file.key not in found or found[file.key].outcome is None
    }
    unsent = dict.fromkeys((file.key for file in files if file.key not in found), "not sent")
    if fault:
        if unsent:
            terminal.say(failures_in_words(unsent, len(unsent), len(files)))
        raise fault
    if failed:
        raise WorkflowError(failures_in_words(failed, len(failed), len(files)))


def _in_bulk(backend: Backend, source: str, model: Path | None, threshold: float | None, json: bool) -> None:
    from scones_ml import lifecycle
    from scones_ml.errors import WorkflowError
    from scones_ml.ports import failures_in_words

    if model and threshold is None:
        warn_of_no_threshold(model)
    with terminal.progress("bulk", "images") as progress:
        result = lifecycle.bulk(backend, source, model, threshold, progress)
    if json:
        terminal.print_json(dataclasses.asdict(result))
    else:
        _show_bulk(backend, result, model)
    if failed := result.outcomes.get("failed"):
        raise WorkflowError(failures_in_words(result.failed, failed, result.images))


def _show_bulk(backend: Backend, result: BulkResult, model: Path | None) -> None:
    terminal.out.print(result.results)
    fresh = result.images - result.finished_before
    if result.outcomes:
        unlike = f"; {result.unlike:,} unlike the training images" if result.unlike else ""
        terminal.say(f"{_counted(result.outcomes)}{unlike}")
    terminal.say(
        f"{counted(fresh, 'image')} in {result.seconds:.1f} s, {fresh / result.seconds:,.0f} a second; "
        f"{result.finished_before:,} were finished before"
    )
    _say_review(result.outcomes, backend, model)


def _as_load(
    backend: Backend,
    paths: Sequence[str],
    classifier: Endpoint | Path | None,
    threshold: float | None,
    rate: float,
    seconds: float,
    seed: int,
    json: bool,
) -> None:
    from scones_ml import lifecycle
    from scones_ml.errors import WorkflowError
    from scones_ml.lifecycle.load_test import LoadRequest, run_load
    from scones_ml.ports import failures_in_words

    files = _files(paths)
    refs, unsent = lifecycle.upload_files(backend, files)
    reasons = {result.image.s3_key.removeprefix(backend.buckets.uploads): result for result in unsent}
    failed = {key: str(result.reason) for key, result in reasons.items() if result.outcome is None}
    if len(failed) < len(unsent):
        terminal.say(f"{counted(len(unsent) - len(failed), 'file')} left out: run without --rate to see why")
    if failed and not refs:
        raise WorkflowError(failures_in_words(failed, len(failed), len(files)))
    request = LoadRequest(refs, classifier, rate, seconds, threshold, seed)
    with terminal.progress("load", "images") as progress:
        report = run_load(backend, request, progress)
    if json:
        terminal.print_json(dataclasses.asdict(report))
    else:
        _show_load(report)
    if failed:
        raise WorkflowError(failures_in_words(failed, len(failed), len(files)))
    if count := report.outcomes.get("failed"):
        raise WorkflowError(
            f"{count:,} of {report.images:,} executions failed: run the images without --rate to see why"
        )


def _show_load(report: LoadReport) -> None:
    rows = [("throughput", f"{report.per_second:.1f}", "images a second")]
    rows += [
        (f"latency {name}", f"{value:.1f}", "ms from arrival to outcome") for name, value in report.latency_ms.items()
    ]
    terminal.print_table(("figure", "value", ""), rows, right=("value",))
    terminal.say(f"{counted(report.images, 'image')} in {report.seconds:.1f} s: {_counted(report.outcomes)}")


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda item: -item[1]))


def _say_review(outcomes: Mapping[str, int], backend: Backend, classifier: Endpoint | Path | None) -> None:
    """Print the review command, with the model where no endpoint runs."""
    if outcomes.get("review"):
        given = ("--model", classifier) if isinstance(classifier, Path) else ()
        on_aws = ("--on", "aws") if backend.place_name != "local" else ()
        terminal.say_next(("review", *given, *on_aws))


def _endpoint(backend: Backend, name: str | None) -> Endpoint:
    from scones_ml import lifecycle

    endpoint = lifecycle.choose_endpoint(backend.deployer.endpoints(), name)
    if endpoint is None:
        raise ConfigurationError("no endpoint is running: start one with `scones deploy MODEL`, or give --model MODEL")
    return endpoint


def _files(paths: Sequence[str]) -> list[ImageFile]:
    from scones_ml.lifecycle import ImageFile
    from scones_ml.local.files import image_files

    return [ImageFile(key, file) for key, file in image_files(paths).items()]


def _document(result: ImageResult) -> dict[str, object]:
    document = dataclasses.asdict(result)
    document["image"] = result.image.to_event() | {"image_id": result.image.image_id}
    return document
