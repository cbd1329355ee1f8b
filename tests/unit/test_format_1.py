"""What version 0.1.0 wrote is read: ``tests/fixtures/0.1.0`` holds a model, data sets and a workspace that it made."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from scones_ml import dataset, lifecycle
from scones_ml.captures import Capture, objects_by_inference_id, read_captures
from scones_ml.dataset.annotated import is_annotations
from scones_ml.evaluation import ThresholdChoice
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.inference.model import load_classifier, read_card, write_card
from scones_ml.local.backend import LocalBackend
from scones_ml.monitoring import read_reference
from scones_ml.ports import Endpoint
from scones_ml.review.annotations import Annotation, Undo, read_annotations
from scones_ml.review.queue import read_queue

FIXTURES = Path(__file__).parents[1] / "fixtures" / "0.1.0"
WORKSPACE = FIXTURES / "workspace"
LABELS = ("bicycle", "motorcycle")
THRESHOLD = 0.8059774041175842
FIRST = "add7f6818aca144c1880decfe96c099296d9e3a99a44eb209f5dde3c1299acb4"
SECOND = "b42b915db9c673880d3ff22b3ef4a8e6efd888161cb81c1655a0854751e53c18"
BASE_MODEL = "1bb756abefe5e826e03a2b213809e25e90aeb7d0c2fa0fe6ce969388ebfcdbde"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of the workspace that may be changed."""
    return shutil.copytree(WORKSPACE, tmp_path / "workspace")


def model_sha256() -> str:
    """Of the model's graph, 64 hex digits."""
    return load_classifier(FIXTURES / "model").sha256


def stored(backend: LocalBackend, key: str) -> ImageRef:
    """An image of the input bucket, at the version that is there."""
    return backend.store.read(ImageRef(s3_bucket="scones-input", s3_key=key)).ref


def test_a_model_classifies() -> None:
    """A model answers with its labels, and its card says how it was trained and how its threshold was chosen."""
    model = load_classifier(FIXTURES / "model")
    red = (WORKSPACE / "buckets" / "scones-input" / "inbox" / "4.png").read_bytes()
    assert model.predict(red) == pytest.approx((0.003, 0.997), abs=0.001)
    card = model.card
    assert (card.labels, card.input_size, card.threshold) == (LABELS, 16, THRESHOLD)
    assert (card.dataset_hash, card.base_model, card.library_version) == (FIRST, BASE_MODEL, "0.1.0")
    assert (card.preset, card.epochs, card.seed, card.temperature) == ("fast", 1, 0, pytest.approx(0.05))
    assert card.metrics["test"]["accuracy"]["value"] == 1.0  # type: ignore[index]
    choice = ThresholdChoice.from_json(card.threshold_choice)
    assert (choice.threshold, choice.rule, choice.labels, choice.accepted) == (THRESHOLD, "coverage", 2, 1)


def test_a_model_can_be_trained_on() -> None:
    """The weights of a model give the network that they were saved from."""
    from scones_ml.training.weights import initial

    start = initial(FIXTURES / "model", LABELS[::-1], 16, (4, 4, 4))
    assert start.network.head.weight.tolist() == [[4.0, 5.0, 6.0, 7.0], [0.0, 1.0, 2.0, 3.0]]
    assert start.mean.tolist() == [100.0, 90.0, 80.0]
    assert start.deviation.tolist() == [50.0, 60.0, 70.0]


def test_a_card_is_written_in_the_newest_format(tmp_path: Path) -> None:
    """A card that is read and written again says the same under the new names."""
    model = shutil.copytree(FIXTURES / "model", tmp_path / "model")
    before = json.loads((model / "model.json").read_text())
    write_card(model, read_card(model))
    after = json.loads((model / "model.json").read_text())
    assert before.pop("started_from") == BASE_MODEL
    assert after == before | {
        "format": 2,
        "base_model": BASE_MODEL,
        "policy": 1,
        "fit": None,
        "counts": {},
        "larger": 0,
        "trained_on": ["train"],
        "recipe": "scratch",
        "recipe_reason": "",
        "backbone": {},
    }


def test_a_data_set_is_whole() -> None:
    """A staged data set has its classes, splits, hash and pixels."""
    data = dataset.load(FIXTURES / "data")
    assert (data.classes, data.hash, data.seed, data.image_size) == (LABELS, FIRST, 0, 16)
    assert {split: list(counts.values()) for split, counts in data.counts().items()} == {
        "train": [6, 6],
        "validation": [1, 1],
        "calibration": [1, 1],
        "test": [2, 2],
    }
    assert data.extended_from == ()
    pixels, labels = data.arrays("test")
    assert pixels.shape == (4, 16, 16, 3)
    assert labels.tolist() == [0, 0, 1, 1]
    assert np.median(pixels, axis=(1, 2))[:, 1:].tolist() == [[90.0, 160.0]] * 4


def test_a_data_set_names_those_that_it_was_extended_from() -> None:
    """A data set that grew by answers still names the earlier ones, and a model of those has not seen what it tests."""
    data = dataset.load(FIXTURES / "grown-twice")
    assert data.extended_from == (FIRST, SECOND)
    assert len(data.split("train")) == 14
    assert {record.sha256 for record in data.split("test")} == {
        record.sha256 for record in dataset.load(FIXTURES / "data").split("test")
    }
    assert not lifecycle.may_have_seen(FIXTURES / "model", FIXTURES / "grown-twice")


def test_the_ledger_names_what_was_made() -> None:
    """The ledger says what may exist, where, in which state, at what price and until when."""
    ledger = LocalBackend(WORKSPACE).ledger
    found = {(one.place, one.kind, one.name): one for one in ledger.resources()}
    assert {identity: one.state for identity, one in found.items()} == {
        ("aws:us-east-1", "endpoint", "bikes"): "creating",
        ("aws:us-east-1", "model", "bikes-1"): "created",
        ("local", "data set", "/home/ann/project/again"): "created",
        ("local", "data set", "/home/ann/project/data"): "created",
        ("local", "data set", "/home/ann/project/grown"): "created",
        ("local", "endpoint", "bikes"): "created",
        ("local", "model", "/home/ann/project/first"): "created",
        ("local", "model", "/home/ann/project/model"): "created",
        ("local", "objects", "s3://scones-input/"): "created",
        ("local", "objects", "s3://scones-output/"): "created",
    }
    endpoint = found["aws:us-east-1", "endpoint", "bikes"]
    assert (endpoint.run, endpoint.dollars_per_hour) == ("20261128-010739-285a31", 0.115)
    assert endpoint.since == datetime(2026, 11, 28, 1, 7, 39, 759455, UTC)
    assert endpoint.expires == datetime(2026, 11, 28, 9, 7, 39, 757959, UTC)
    assert found["local", "model", "/home/ann/project/model"].expires is None
    assert ledger.unreadable() == 0


def test_a_running_endpoint_is_found_by_its_record(workspace: Path) -> None:
    """The record of an endpoint says where it answers, while the process runs that writes its errors to the log."""
    arguments = ["-c", "input('ready\\n')", "-m", "scones_ml.inference", "model", "--name", "bikes"]
    log = (workspace / "endpoints" / "bikes.log").open("wb")
    with (
        log,
        subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as server,
    ):
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        record = workspace / "endpoints" / "bikes.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"pid": server.pid}))
        found = LocalBackend(workspace).deployer.endpoints()
        server.communicate(b"\n")
    url, captures = "http://127.0.0.1:41387", ".scones/captures/bikes"
    assert found == [Endpoint("bikes", url, LABELS, 16, THRESHOLD, captures)]
    assert LocalBackend(workspace).deployer.recorded() == ["bikes"]


def test_a_running_endpoint_is_ended(workspace: Path) -> None:
    """Cleanup ends the server of an earlier version that its log proves, and no other one."""
    log = (workspace / "endpoints" / "bikes.log").open("wb")
    record = workspace / "endpoints" / "bikes.json"
    with log, subprocess.Popen(["sleep", "60"], stderr=log) as server:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"pid": server.pid}))
        threading.Thread(target=server.wait).start()
        LocalBackend(workspace).deployer.remove("bikes")
        assert server.wait() == -signal.SIGTERM
    assert not record.exists()


def test_captures_join_their_images() -> None:
    """Every captured request has its answer, its latency, and the identity of an image in the input bucket."""
    rows = list(read_captures(str(WORKSPACE / "captures")))
    captured = [row for row in rows if isinstance(row, Capture)]
    assert len(captured) == len(rows) == 5
    images = objects_by_inference_id(LocalBackend(WORKSPACE).store, "scones-input")
    answers = {images[str(row.inference_id)].s3_key: row.probabilities() for row in captured}
    assert answers["inbox/4.png"] == pytest.approx((0.003, 0.997), abs=0.001)
    assert sorted(answers) == [f"inbox/{number}.png" for number in range(5)]
    assert all(row.latency_ms() is not None for row in captured)
    assert {row.inference_time.date().isoformat() for row in captured} == {"2026-11-28"}


def test_outcomes_wait_for_review() -> None:
    """The review queue holds what single and bulk runs left to review, the least sure first, and nothing is odd."""
    backend = LocalBackend(WORKSPACE)
    queue = read_queue(backend.store, backend.buckets.output)
    assert queue.passed_over == ()
    assert [(image.ref.uri, image.label, round(image.confidence, 3)) for image in queue.images] == [
        ("s3://scones-input/inbox/2.png", "bicycle", 0.518),
        ("/home/ann/project/lot/2.png", "motorcycle", 0.518),
        ("s3://scones-input/inbox/3.png", "motorcycle", 0.529),
        ("/home/ann/project/lot/1.png", "bicycle", 0.587),
        ("s3://scones-input/inbox/1.png", "bicycle", 0.783),
    ]
    assert {(image.threshold, image.accepted) for image in queue.images} == {(THRESHOLD, False)}
    assert {image.model for image in queue.images} == {"endpoint:bikes", f"sha256:{model_sha256()}"}
    assert queue.images[0].image_id == stored(backend, "inbox/2.png").image_id


def test_bulk_results_say_what_became_of_each_image() -> None:
    """Every line of a bulk run's results is an outcome, the reason of a broken image included."""
    (file,) = (WORKSPACE / "buckets" / "scones-output" / "bulk").rglob("*.jsonl")
    outcomes = [ImageOutcome.model_validate_json(line) for line in file.read_text().splitlines()]
    assert {found.s3_key: (found.outcome, found.label) for found in outcomes} == {
        "0.png": ("accepted", "bicycle"),
        "1.png": ("review", "bicycle"),
        "2.png": ("review", "motorcycle"),
        "3.png": ("accepted", "motorcycle"),
        "broken.png": ("quarantined", None),
    }
    assert [found.error for found in outcomes if found.error] == ["InvalidImageError"]


def test_answers_hold() -> None:
    """Of the answers those that were not undone hold, and an image in dispute has no label."""
    reviews = read_annotations(WORKSPACE / "reviews" / "answers.jsonl")
    assert [type(line) for line in reviews.lines] == [Annotation, Annotation, Undo, Annotation, Annotation, Annotation]
    assert reviews.skipped == 0
    assert [(verdict.image.uri, verdict.label) for verdict in reviews.verdicts] == [
        ("s3://scones-input/inbox/2.png", "motorcycle"),
        ("/home/ann/project/lot/2.png", "bicycle"),
        ("s3://scones-input/inbox/3.png", None),
    ]
    assert is_annotations(WORKSPACE / "reviews" / "answers.jsonl")


def test_a_reference_says_what_is_normal() -> None:
    """A stored reference for monitoring holds the model's identity and its histograms."""
    reference = read_reference(FIXTURES / "reference.json")
    assert (reference.labels, reference.threshold, reference.images) == (LABELS, THRESHOLD, 2)
    assert (reference.model_sha256, reference.dataset_hash) == (model_sha256(), FIRST)
    assert reference.predicted == (1, 1)
    assert reference.histogram("confidence").nonzero()[0].tolist() == [180, 205]
    assert reference.histogram("brightness").nonzero()[0].tolist() == [199, 222]


def test_a_workspace_is_cleaned_up(workspace: Path) -> None:
    """Once adopted, cleanup removes endpoint and objects, keeps the results; what is on AWS stays on record."""
    backend = LocalBackend(workspace)
    (left,) = lifecycle.cleanup(backend)
    assert left.kind == "workspace"
    assert "scones cleanup --adopt" in left.reason
    assert {(one.kind, one.name) for one in lifecycle.resources(backend)} == {
        ("endpoint", "bikes"),
        ("objects", "s3://scones-input/"),
        ("objects", "s3://scones-output/"),
    }
    lifecycle.adopt(backend)
    assert lifecycle.cleanup(backend) == ()
    assert sorted(path.name for path in workspace.iterdir()) == [
        "captures",
        "ledger.jsonl",
        "reviews",
        "workspace.json",
    ]
    assert [one.name for one in backend.ledger.resources() if one.place != "local"] == ["bikes", "bikes-1"]
