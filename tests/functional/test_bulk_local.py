"""Bulk work on this machine: the emitted definition, batches, resuming, and the same answers as one by one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scones_ml import asl, backends, images, lifecycle, steps, workflows
from scones_ml.batches import json_lines
from scones_ml.errors import (
    ConfigurationError,
    ExecutionFailedError,
    ImageNotFoundError,
    InvalidImageError,
    TransientServiceError,
)
from scones_ml.events import ImageBatch, ImageOutcome, ImageRef
from scones_ml.inference import shared
from scones_ml.inference.model import OnnxClassifier, load_classifier
from scones_ml.local.bulk import LocalBulkRunner
from scones_ml.local.handlers import LambdaContext, load_handler
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.local.workspace import FolderObjectStore, WorkspaceObjectStore, image_location
from scones_ml.ports import BulkRequest, WorkflowModel
from scones_ml.settings import ImagePolicy
from scones_ml.workflows.batch_classification import ImageSource

LOSING_ALPHA = {("JPEG", "RGBA"), ("JPEG", "P")}
REDS = tuple(range(0, 256, 15))


def make_image(red: int, size: tuple[int, int] = (20, 20), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with good and bad files, and some that are no images."""
    folder = tmp_path / "my photos"
    (folder / "a#b").mkdir(parents=True)
    for red in REDS:
        (folder / "a#b" / f"red 100%+{red}.png").write_bytes(make_image(red))
    (folder / "tall.jpg").write_bytes(make_image(255, (9, 400), "JPEG"))
    (folder / "page.png").write_bytes(b"<html>")
    (folder / "cut.png").write_bytes(make_image(80)[:50])
    (folder / "train.lst").write_text("0\t1\ta.png\n")
    (folder / ".hidden.png").write_bytes(make_image(1))
    return folder


@pytest.fixture
def request_(photos: Path, tiny_model: Path) -> BulkRequest:
    return BulkRequest(str(photos), WorkflowModel(tiny_model, threshold=0.9, image_size=8))


@pytest.fixture
def store(tmp_path: Path) -> WorkspaceObjectStore:
    return WorkspaceObjectStore(tmp_path / "buckets", backends.s3_store)


@pytest.fixture
def runner(store: WorkspaceObjectStore) -> LocalBulkRunner:
    return LocalBulkRunner(store, batch_size=4)


def result_objects(store: WorkspaceObjectStore, prefix: str) -> dict[str, bytes]:
    """Key to bytes of what a run has written."""
    keys = [found.key for found in store.list("scones-output", prefix)]
    return {key: store.read(ImageRef(s3_bucket="scones-output", s3_key=key)).data for key in keys}


def outcomes(store: WorkspaceObjectStore, run: str) -> dict[str, ImageOutcome]:
    lines = b"".join(result_objects(store, f"bulk/{run}/").values()).splitlines()
    found = map(ImageOutcome.model_validate_json, lines)
    return {outcome.s3_key: outcome for outcome in found}


def test_every_image_has_one_outcome(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore
) -> None:
    """Good images are accepted or reviewed, broken ones quarantined with the reason; lists and hidden files are not."""
    seen: list[tuple[int, int]] = []
    result = runner.run(request_, lambda done, total: seen.append((done, total)))
    found = outcomes(store, result.run)
    assert set(found) == {"tall.jpg", "page.png", "cut.png", *(f"a#b/red 100%+{red}.png" for red in REDS)}
    assert result.images == len(found) == sum(result.outcomes.values()) == len(REDS) + 3
    assert result.outcomes["quarantined"] == 2
    assert (found["page.png"].error, found["tall.jpg"].outcome) == ("InvalidImageError", "accepted")
    assert found["a#b/red 100%+120.png"].outcome == "review"
    assert seen[0] == (0, result.images)
    assert seen[-1] == (result.images, result.images)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_one_object_per_batch_named_by_its_content(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore, tiny_model: Path
) -> None:
    """Each batch's object holds the step's own JSON Lines, byte for byte; its key is the hash of (key, etag) pairs."""
    assert request_.model is not None
    result, classifier = runner.run(request_), load_classifier(tiny_model)
    bucket, _ = image_location(request_.source)
    refs = [ImageRef(s3_bucket=bucket, s3_key=found.key, etag=found.etag) for found in store.list(bucket)]
    refs = [ref for ref in refs if not ref.s3_key.endswith(".lst")]
    facts = [bucket, "", classifier.sha256, request_.model.threshold]
    assert result.run == hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    expected = {}
    for start in range(0, len(refs), 4):
        batch = ImageBatch(images=tuple(refs[start : start + 4]), output_bucket="scones-output", run=result.run)
        policy = ImagePolicy(image_size=classifier.card.input_size)
        lines = json_lines(steps.classify_batch(batch.images, store.read, classifier, policy, 0.9, readers=1))
        expected[batch.result_key] = lines.encode()
    assert result_objects(store, f"bulk/{result.run}/") == expected


def test_the_result_writer_holds_counts_only(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore
) -> None:
    """What Step Functions itself writes names batches and counts, and no image."""
    result = runner.run(request_)
    files = result_objects(store, f"bulk-runs/{result.run}/")
    (manifest,) = [json.loads(data) for key, data in files.items() if key.endswith("/manifest.json")]
    assert manifest["DestinationBucket"] == "scones-output"
    (children,) = [json.loads(data) for key, data in files.items() if "/SUCCEEDED_" in key]
    reports = [json.loads(child["Output"]) for child in children]
    assert {key for report in reports for key in report} == {"batch_id", "result_key", "counts"}
    assert sum(sum(report["counts"].values()) for report in reports) == result.images


def test_a_second_run_does_what_is_new(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore, photos: Path, tiny_model: Path
) -> None:
    """Finished images are in no later batch; new and changed ones are."""
    first = runner.run(request_)
    written = result_objects(store, f"bulk/{first.run}/")
    second = runner.run(request_)
    assert (second.run, second.finished_before, second.outcomes) == (first.run, first.images, first.outcomes)
    assert result_objects(store, f"bulk/{first.run}/") == written
    (photos / "new.png").write_bytes(make_image(255))
    (photos / "cut.png").write_bytes(make_image(80))
    os.utime(photos / "cut.png", ns=(1, 1))  # whatever the clock's resolution
    third = runner.run(request_)
    assert (third.images, third.finished_before) == (first.images + 1, first.images - 1)
    batches = result_objects(store, f"bulk/{first.run}/")
    lines = b"".join(batches[key] for key in batches.keys() - written.keys()).splitlines()
    assert sorted(json.loads(line)["s3_key"] for line in lines) == ["cut.png", "new.png"]
    another = BulkRequest(request_.source, WorkflowModel(tiny_model, threshold=0.5, image_size=8))
    assert runner.run(another).finished_before == 0


def test_results_that_cannot_be_read_are_named(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore
) -> None:
    """A line that a newer version wrote is one error line that names it; nothing is classified a second time."""
    first = runner.run(request_)
    key = f"bulk/{first.run}/newer.jsonl"
    store.write("scones-output", key, b'{"outcome": "undreamt"}\n', "application/jsonl")
    with pytest.raises(ConfigurationError, match=rf"^s3://scones-output/{key}, line 1: .* update scones_ml"):
        runner.run(request_)


def test_an_interrupted_run_is_resumed(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore
) -> None:
    """After an interrupt, what was written counts: the next run does the rest, and the results are complete."""

    def interrupt(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalBulkRunner(store, batch_size=4, workers=1).run(request_, interrupt)
    assert "SCONES_OBJECT_STORE" not in os.environ
    resumed = runner.run(request_)
    assert resumed.finished_before >= 8
    assert len(outcomes(store, resumed.run)) == resumed.images


def test_what_another_process_has_finished_meanwhile_is_not_done_again(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore
) -> None:
    """A batch whose result appears while the run goes on counts as finished before, and is not written again."""
    first = LocalBulkRunner(store, batch_size=100).run(request_)
    (result,) = result_objects(store, f"bulk/{first.run}/").items()
    store.delete("scones-output", result[0])

    def appear(done: int, _total: int) -> None:
        if done == 0:
            store.write("scones-output", result[0], result[1], "application/jsonl")

    second = LocalBulkRunner(store, batch_size=100).run(request_, appear)
    assert (second.images, second.finished_before, second.outcomes) == (first.images, first.images, first.outcomes)
    assert result_objects(store, f"bulk/{first.run}/") == dict([result])


def test_a_model_that_was_trained_anew_is_loaded_anew(
    request_: BulkRequest, runner: LocalBulkRunner, store: WorkspaceObjectStore, tiny_model: Path, tmp_path: Path
) -> None:
    """Another model under the same name is another run, and it is the new one that answers, in the same process."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    request = BulkRequest(request_.source, WorkflowModel(folder, threshold=0.9, image_size=8))
    first = runner.run(request)
    graph = onnx.load(folder / "model.onnx")
    graph.producer_name = "trained anew"
    onnx.save(graph, folder / "model.onnx")
    second = runner.run(request)
    assert second.finished_before == 0
    told = [{outcome.model for outcome in outcomes(store, run).values()} - {None} for run in (first.run, second.run)]
    assert told == [{load_classifier(tiny_model).model}, {load_classifier(folder).model}]


def test_one_model_serves_all_threads(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many batches ask for the model at the same time, all get one and the same."""
    monkeypatch.setenv("SCONES_CLASSIFIER", f"onnx:{tiny_model}")
    os.utime(tiny_model / "model.onnx")  # no earlier test has loaded this one
    together = threading.Barrier(8)

    def ask(_number: int) -> object:
        together.wait(10)
        return backends.batch_classifier()

    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(ask, range(8)))
    assert all(model is models[0] for model in models)


def test_bulk_says_what_one_by_one_says(
    request_: BulkRequest,
    runner: LocalBulkRunner,
    store: WorkspaceObjectStore,
    photos: Path,
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    """For every file, bulk and the per-image state machine give one outcome and probabilities within 1e-6."""
    backend = backends.backend("local", tmp_path / "one-by-one")
    files = [(path.relative_to(photos).as_posix(), path.read_bytes()) for path in photos.rglob("*.*g")]
    refs = lifecycle.upload(backend, [(key, data) for key, data in files if not key.startswith(".")])
    single = {result.image.s3_key: result for result in lifecycle.run(backend, refs, tiny_model, 0.9)}
    bulk = outcomes(store, runner.run(request_).run)
    assert set(single) == set(bulk)
    for key, outcome in bulk.items():
        assert (outcome.outcome, outcome.label) == (single[key].outcome, single[key].label), key
        if outcome.confidence is not None:
            assert outcome.confidence == pytest.approx(single[key].confidence, abs=1e-6)


@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.sampled_from(["L", "RGB", "RGBA", "P"]),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 64),
    st.integers(1, 64),
)
@settings(max_examples=60, deadline=None)
def test_the_short_way_to_pixels_is_exact(
    kind: str, mode: str, size: tuple[int, int], image_size: int, square: int
) -> None:
    """Leaving out the PNG between normalising and stretching changes no pixel, whatever the format and sizes."""
    buffer = io.BytesIO()
    image = Image.effect_noise(size, 90).convert("RGB" if (kind, mode) in LOSING_ALPHA else mode)
    image.save(buffer, kind)
    policy = ImagePolicy(image_size=image_size)
    short = images.normalised_pixels(buffer.getvalue(), square, policy)
    assert (short == images.pixels(images.normalise(buffer.getvalue(), policy).png, square)).all()


def resources(store: DirectoryObjectStore) -> dict[str, Callable[[asl.Json], object]]:
    """The definition's Resources with the real handler, as Step Functions would call it."""

    def invoke(parameters: Any) -> object:
        assert parameters["FunctionName"] == "${ClassifyBatchFunctionArn}"
        result = load_handler("classify_batch")(parameters["Payload"], LambdaContext("classify_batch"))
        return {"Payload": result, "StatusCode": 200}

    def put(parameters: Any) -> object:
        return {"ETag": store.write("output", parameters["Key"], parameters["Body"].encode(), "application/json")}

    def listing(parameters: Any) -> object:
        found = store.list(parameters["Bucket"], parameters["Prefix"])
        return {"Contents": [{"Key": item.key, "ETag": f'"{item.etag}"', "Size": item.size} for item in found]}

    def get(parameters: Any) -> object:
        return {"Body": store.read(ImageRef(s3_bucket=parameters["Bucket"], s3_key=parameters["Key"])).data}

    return {
        "arn:aws:states:::lambda:invoke": invoke,
        "arn:aws:states:::s3:getObject": get,
        "arn:aws:states:::s3:listObjectsV2": listing,
        "arn:aws:states:::s3:putObject": put,
    }


@pytest.fixture
def stored(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryObjectStore:
    """A directory store with ten images, a broken one and a marker, and handlers that read it."""
    monkeypatch.setenv("SCONES_OBJECT_STORE", f"directory:{tmp_path}")
    monkeypatch.setenv("SCONES_CLASSIFIER", f"onnx:{tiny_model}")
    monkeypatch.setenv("SCONES_THRESHOLD", "0.9")
    store = DirectoryObjectStore(tmp_path)
    for number in range(10):
        store.write("photos", f"in/{number}.png", make_image(255 - number), "image/png")
    store.write("photos", "in/broken.png", b"GIF89a", "image/gif")
    store.write("photos", "in/list.jsonl", b"{}", "application/jsonl")
    return store


@pytest.mark.parametrize("source", ["prefix", "manifest", "list"])
def test_the_definition_runs_with_the_real_handler(stored: DirectoryObjectStore, source: ImageSource) -> None:
    """From a prefix, a manifest and a list, the same machine and the Lambda's own file write the same results."""
    items = [{"s3_key": item.key, "etag": item.etag} for item in stored.list("photos", "in/")]
    document: dict[str, Any] = {"s3_bucket": "photos", "run": "november"}
    if source == "prefix":
        document["s3_prefix"] = "in/"
    elif source == "list":
        document["images"] = items
    else:
        document["s3_key"] = "lists/november.jsonl"
        lines = "".join(json.dumps(item) + "\n" for item in items)
        stored.write("photos", "lists/november.jsonl", lines.encode(), "application/jsonl")
    machine = workflows.batch_classification(source, batch_size=5).to_text().replace("${OutputBucketName}", "output")
    for _ in range(2):
        execution = asl.run(machine, document, resources=resources(stored))
        assert execution.status == "SUCCEEDED", execution.cause
        found = [found.key for found in stored.list("output", "bulk/november/")]
        lines_ = [
            line
            for key in found
            for line in stored.read(ImageRef(s3_bucket="output", s3_key=key)).data.decode().splitlines()
        ]
        counts = [json.loads(line)["outcome"] for line in lines_]
        assert (counts.count("accepted"), counts.count("quarantined"), len(counts)) == (10, 1, 11)


@pytest.mark.parametrize("source", ["prefix", "manifest", "list"])
def test_aws_would_take_every_definition(source: ImageSource) -> None:
    """Each variant passes validation without a finding."""
    assert asl.validate(workflows.batch_classification(source)) == []


def test_failing_batches_beyond_the_tolerance_fail_the_run(
    request_: BulkRequest, runner: LocalBulkRunner, tiny_model: Path, tmp_path: Path
) -> None:
    """A model that answers nonsense fails its batches, and with them the run, by name."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    graph = onnx.load(folder / "model.onnx")
    (bias,) = (value for value in graph.graph.initializer if value.name == "bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, np.float32), "bias"))
    onnx.save(graph, folder / "model.onnx")
    request_ = BulkRequest(request_.source, WorkflowModel(folder, threshold=0.9, image_size=8))
    with pytest.raises(ExecutionFailedError, match="ExceedToleratedFailureThreshold"):
        runner.run(request_)


def test_a_throttled_batch_is_tried_again(stored: DirectoryObjectStore) -> None:
    """Throttling is retried with growing waits, and the batch succeeds in the end."""
    functions, calls, waits = resources(stored), [0], list[float]()
    real = functions["arn:aws:states:::lambda:invoke"]

    def throttled(parameters: asl.Json) -> object:
        calls[0] += 1
        if calls[0] < 3:
            raise TransientServiceError("SlowDown")
        return real(parameters)

    functions["arn:aws:states:::lambda:invoke"] = throttled
    document: Mapping[str, Any] = {"s3_bucket": "photos", "s3_prefix": "in/", "run": "r"}
    execution = asl.run(workflows.batch_classification(), document, resources=functions, sleep=waits.append, seed=1)
    assert (execution.status, calls[0], len(waits)) == ("SUCCEEDED", 3, 2)


@pytest.mark.parametrize("error", ["Sandbox.Timedout", "Lambda.Unknown", "Runtime.ExitError"])
def test_an_image_that_kills_its_function_fails_alone(stored: DirectoryObjectStore, error: str) -> None:
    """Where an image takes the function down, its batch is done image by image, and this one is named."""
    functions = resources(stored)
    real = functions["arn:aws:states:::lambda:invoke"]

    def killed(parameters: Any) -> object:
        if any(item["s3_key"] == "in/7.png" for item in parameters["Payload"]["Items"]):
            raise asl.TaskFailed(error, "killed")
        return real(parameters)

    functions["arn:aws:states:::lambda:invoke"] = killed
    machine = workflows.batch_classification(batch_size=5).to_text().replace("${OutputBucketName}", "output")
    execution = asl.run(machine, {"s3_bucket": "photos", "s3_prefix": "in/", "run": "r"}, resources=functions)
    assert execution.status == "SUCCEEDED", execution.cause
    keys = [found.key for found in stored.list("output", "bulk/r/")]
    lines = b"".join(stored.read(ImageRef(s3_bucket="output", s3_key=key)).data for key in keys).splitlines()
    assert len({json.loads(line)["s3_key"] for line in lines}) == len(lines) == 10
    (written,) = [found.key for found in stored.list("output", "bulk-runs/") if "/SUCCEEDED_" in found.key]
    children = json.loads(stored.read(ImageRef(s3_bucket="output", s3_key=written)).data)
    alone = next(reports for child in children if isinstance(reports := json.loads(child["Output"]), list))
    assert {"counts": {"failed": 1}, "image": "in/7.png", "reason": error} in alone


def test_a_prefix_in_s3_is_read_where_it_is(
    moto_url: str, request_: BulkRequest, runner: LocalBulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``s3://bucket/prefix`` is listed and read from S3; the results stay in the workspace."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bulk-photos")
    for number in range(6):
        s3.put_object(Bucket="bulk-photos", Key=f"2026/my photo+{number}.png", Body=make_image(255))
    s3.put_object(Bucket="bulk-photos", Key="2026/", Body=b"")
    s3.put_object(Bucket="bulk-photos", Key="2025/old.png", Body=make_image(0))
    backends._object_store.cache_clear()
    result = runner.run(BulkRequest("s3://bulk-photos/2026/", request_.model))
    backends._object_store.cache_clear()
    assert (result.images, result.outcomes) == (6, {"accepted": 6})


def test_an_image_refused_by_its_size_keeps_its_version(
    moto_url: str, request_: BulkRequest, runner: LocalBulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bucket with versions, what is too large to be read has the image_id of its version, as any other image."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
        "SCONES_MAX_IMAGE_BYTES": "2000",
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="versioned-photos")
    s3.put_bucket_versioning(Bucket="versioned-photos", VersioningConfiguration={"Status": "Enabled"})
    put = {
        key: s3.put_object(Bucket="versioned-photos", Key=key, Body=body)
        for key, body in {"a.png": make_image(255), "b.png": make_image(255) + b"0" * 2_000}.items()
    }
    backends._object_store.cache_clear()
    result = runner.run(BulkRequest("s3://versioned-photos/", request_.model))
    backends._object_store.cache_clear()
    assert result.outcomes == {"accepted": 1, "quarantined": 1}
    found = outcomes(runner._store, result.run).values()
    assert {one.s3_key: one.version_id for one in found} == {key: one["VersionId"] for key, one in put.items()}


def test_a_bulk_run_loads_its_model_once(
    request_: BulkRequest, runner: LocalBulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check beforehand, the run's name and the handler share one model."""
    loaded: list[Path] = []

    def load(path: Path) -> OnnxClassifier:
        loaded.append(path)
        return load_classifier(path)

    monkeypatch.setattr(shared, "load_classifier", load)
    shared._loaded.cache_clear()
    runner.check(request_)
    runner.run(request_)
    assert len(loaded) == 1


def test_sources_that_are_none_say_so(tmp_path: Path, request_: BulkRequest, runner: LocalBulkRunner) -> None:
    """No folder, no bucket and nothing in it are one clear line each."""
    with pytest.raises(ConfigurationError, match="there is no folder"):
        runner.check(BulkRequest(str(tmp_path / "gone"), request_.model))
    with pytest.raises(ConfigurationError, match="is not s3://bucket/prefix"):
        runner.check(BulkRequest("s3://", request_.model))
    with pytest.raises(InvalidImageError, match="s3://scones-input/nothing/ holds no images"):
        runner.run(BulkRequest("s3://scones-input/nothing/", request_.model))


def test_a_folder_is_read_and_never_left_or_changed(photos: Path, tmp_path: Path) -> None:
    """Keys never lead out of the folder, a changed file is noticed, and nothing is written or deleted."""
    (tmp_path / "secret.png").write_bytes(make_image(7))
    store = FolderObjectStore(photos)
    for key in ("../secret.png", str(tmp_path / "secret.png"), "a#b/../../secret.png", "gone.png", "a#b"):
        with pytest.raises(ImageNotFoundError):
            store.read(ImageRef(s3_bucket=store.bucket, s3_key=key))
    with pytest.raises(ImageNotFoundError, match="has changed"):
        store.read(ImageRef(s3_bucket=store.bucket, s3_key="tall.jpg", etag="old"))
    with pytest.raises(ConfigurationError, match="read only"):
        store.write(store.bucket, "x", b"", "")
    with pytest.raises(ConfigurationError, match="read only"):
        store.delete(store.bucket, "tall.jpg")
    assert list(store.list("another")) == []


def test_a_replaced_model_in_the_store_is_noticed(
    stored: DirectoryObjectStore, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm function keeps its model by the archive's etag: the same one is not read again, a new one is."""
    import tarfile

    def archive(labels: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            for path in sorted(tiny_model.iterdir()):
                data = path.read_bytes().replace(b"motorcycle", labels.encode())
                entry = tarfile.TarInfo(path.name)
                entry.size = len(data)
                file.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    monkeypatch.setenv("SCONES_CLASSIFIER", "onnx:s3://models/model.tar.gz")
    backends._versions.clear()
    stored.write("models", "model.tar.gz", archive("motorcycle"), "application/gzip")
    first = backends.classifier(lambda: 0.0)
    assert first.labels == ("bicycle", "motorcycle")
    stored.write("models", "model.tar.gz", archive("motorbike"), "application/gzip")
    assert backends.classifier(lambda: 59.0) is first
    second = backends.classifier(lambda: 120.0)
    assert second.labels == ("bicycle", "motorbike")
    assert backends.classifier(lambda: 180.0) is second
