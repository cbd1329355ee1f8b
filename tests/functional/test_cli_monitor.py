"""``scones monitor``: what it prints, what it returns, what it says of bad input."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset, lifecycle
from scones_ml.captures import Capture, CaptureWriter, Payload
from scones_ml.cli import main
from scones_ml.events import ImageRef, image_id
from scones_ml.inference.model import load_classifier
from scones_ml.local.backend import LocalBackend
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.ports import DeploymentRequest
from scones_ml.review.annotations import NONE_OF_THESE, Annotation, AnnotationFile

NOW = datetime.now(UTC).replace(microsecond=0)


def png(red: int, seed: int) -> bytes:
    """A noisy image; the tiny model tells the classes apart by its red."""
    noise = np.random.default_rng(seed).normal(red, 25, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def data(tmp_path: Path, tiny_model: Path) -> Path:
    """A staged data set of the tiny model's classes, with 60 calibration images; the working folder is empty."""
    size = load_classifier(tiny_model).card.input_size
    for number, name in enumerate(("bicycle", "motorcycle")):
        for n in range(300):
            path = tmp_path / "photos" / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(90 + 60 * number + n % 20, 1000 * number + n))
    dataset.stage(tmp_path / "photos", tmp_path / "data", image_size=size)
    return tmp_path / "data"


def capture_stream(folder: Path, model: Path, count: int, darker_from: int | None = None) -> Path:
    """Requests of one a minute until now, as the endpoint keeps them; images may grow darker on the way."""
    classifier, writer = load_classifier(model), CaptureWriter(folder, "bikes")
    for n in range(count):
        dark = 50 if darker_from is not None and n >= darker_from else 0
        image = png(90 + 60 * (n % 2) + n % 20 - dark, 9000 + n)
        time = NOW - timedelta(minutes=count - n)
        answer = json.dumps(classifier.predict(image)).encode()
        inference_id = image_id("in", f"{n}.png", "etag")
        writer.write(
            Capture(str(n), time, Payload("image/png", image), Payload("application/json", answer), inference_id),
            time,
        )
    return folder


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with exit code 1 and one line, and return that line."""
    assert main(["monitor", *arguments]) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    return lines[0].removeprefix("scones: ")


def test_the_real_captures_as_one_document(test_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of real captures is one JSON document with all 23 records and nothing skipped."""
    assert main(["monitor", str(test_data / "captured"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["skipped"]) == (23, 0)
    assert sum(row["count"] for row in document["classes"]) == 23


def test_without_a_model_classes_go_by_number(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Captures hold no class names: without a model the numbers are shown, and where names come from is said."""
    folder = capture_stream(tmp_path / "captures", tiny_model, 4)
    assert main(["monitor", str(folder)]) == 0
    captured = capsys.readouterr()
    assert "predicted class 0" in captured.out
    assert "--model gives names and threshold" in captured.err
    assert main(["monitor", str(folder), "--model", str(tiny_model)]) == 0
    captured = capsys.readouterr()
    assert "predicted bicycle" in captured.out
    assert "--model gives" not in captured.err


def test_a_stream_like_the_reference_passes(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --fail-on-drift the exit code is 0 while nothing has changed; the table shows reference and evidence."""
    folder = capture_stream(tmp_path / "captures", tiny_model, 300)
    arguments = ["monitor", str(folder), "--model", str(tiny_model), "--data", str(data), "--fail-on-drift"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "review rate" in captured.out
    assert "alarm since" not in captured.out
    assert "no alarm" in captured.err


def test_drift_is_exit_code_3_when_asked_for(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Darker images from record 200 on: 3 with --fail-on-drift and 0 without, the same from a stored reference."""
    folder = str(capture_stream(tmp_path / "captures", tiny_model, 500, darker_from=200))
    stored = str(tmp_path / "reference.json")
    built = ["--model", str(tiny_model), "--data", str(data)]
    assert main(["monitor", folder, *built, "--save-reference", stored, "--fail-on-drift", "--json"]) == 3
    one = json.loads(capsys.readouterr().out)
    assert main(["monitor", folder, "--reference", stored, "--json"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert one["drift"] == other["drift"]
    (alarm,) = (figure for figure in one["drift"]["figures"] if figure["name"] == "brightness")
    assert 200 < alarm["first_alarm"]["record"] < 400
    assert main(["monitor", folder, "--reference", stored, "--html", str(tmp_path / "pages" / "a.html")]) == 0
    page = (tmp_path / "pages" / "a.html").read_text(encoding="utf-8")
    assert "<h1>Drift: " in page
    assert page.count("images five") == 1, "a stored reference has no images"
    assert main(["monitor", folder, *built, "--html", str(tmp_path / "b.html")]) == 0
    page = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert page.count("images five") == 2
    assert page.count('alt="labelled ') == 5


def test_none_of_these_is_out_of_scope(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of captured images that reviewers agree on, those that show no class are counted."""
    folder = str(capture_stream(tmp_path / "captures", tiny_model, 8))
    file = AnnotationFile(tmp_path / "work" / "reviews" / "answers.jsonl")
    said = [(0, "ann", NONE_OF_THESE), (1, "ann", "bicycle"), (2, "ann", NONE_OF_THESE), (2, "bob", "bicycle")]
    for n, reviewer, label in [*said, (99, "ann", NONE_OF_THESE)]:
        image = ImageRef(s3_bucket="in", s3_key=f"{n}.png", etag="etag")
        file.append(
            Annotation(
                *(f"{n} {reviewer}", NOW, reviewer, image.image_id, image, label, None, "bicycle", 0.6, 0.9),
            )
        )
    arguments = ["monitor", folder, "--model", str(tiny_model), "--workspace", str(tmp_path / "work")]
    assert main(arguments) == 0
    assert "1 of 2 reviewed images show none of the classes" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["out_of_scope"]
    assert (found["reviewed"], found["count"], found["share"]["value"]) == (2, 1, 0.5)
    assert main(["monitor", folder, "--json", "--workspace", str(tmp_path / "empty")]) == 0
    assert json.loads(capsys.readouterr().out)["out_of_scope"] is None
    assert "no review answers" in complaint(capsys, folder, "--answers", str(tmp_path / "nowhere.jsonl"))


def test_since_leaves_out_what_is_older(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An age, a time without a zone (UTC) and a date all work."""
    folder = str(capture_stream(tmp_path / "captures", tiny_model, 90))

    def records(since: str) -> int:
        assert main(["monitor", folder, "--json", "--since", since]) == 0
        return int(json.loads(capsys.readouterr().out)["records"])

    assert 0 < records("60m") <= 60
    assert records("7d") == 90
    assert records(f"{NOW - timedelta(minutes=10):%Y-%m-%dT%H:%M:%S}") == 10
    assert records("2020-01-01") == 90


def test_an_endpoints_own_captures_are_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a deployed endpoint keeps of the workflow's requests joins the objects that they were about."""
    backend = LocalBackend(tmp_path / "ws")
    endpoint = lifecycle.deploy(backend, DeploymentRequest("bikes", tiny_model))
    try:
        refs = lifecycle.upload(backend, [(f"{n}.png", png(60 + 20 * n, n)) for n in range(6)])
        assert len(list(lifecycle.run(backend, refs, endpoint))) == 6
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SCONES_OBJECT_STORE", f"directory:{tmp_path / 'ws' / 'buckets'}")
            objects = f"s3://{backend.buckets.input}"
            assert main(["monitor", endpoint.captures, "--objects", objects, "--json"]) == 0
    finally:
        backend.deployer.remove("bikes")
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["joined"]) == (6, 6)
    assert {row["object"] for row in document["least_sure"]} == {ref.uri for ref in refs}


def test_captures_come_from_a_store_too(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3://BUCKET/PREFIX is read through the store that SCONES_OBJECT_STORE names, beside files and folders."""
    folder = capture_stream(tmp_path / "captures", tiny_model, 5)
    (file,) = list(folder.rglob("*.jsonl"))[:1]
    monkeypatch.setenv("SCONES_OBJECT_STORE", f"directory:{tmp_path / 'buckets'}")
    store = DirectoryObjectStore(tmp_path / "buckets")
    store.write("b", "captures/1.jsonl", file.read_bytes() + b"{cut", "application/jsonl")
    assert main(["monitor", "s3://b/captures", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["skipped"]) == (2 * len(file.read_bytes().splitlines()), 1)
    assert document["skipped_lines"][0]["file"] == "s3://b/captures/1.jsonl"


def test_bad_input_is_one_clear_line(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing paths, empty folders, unreadable files, wrong options and other classes are named with the remedy."""
    folder = str(capture_stream(tmp_path / "captures", tiny_model, 3))
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{}\n{")
    assert "there is no file or folder nowhere" in complaint(capsys, "nowhere")
    assert "empty holds no capture files" in complaint(capsys, str(tmp_path / "empty"))
    assert "broken.jsonl:1: not a capture record" in complaint(capsys, str(broken))
    assert "is not a reference" in complaint(capsys, folder, "--reference", str(broken))
    assert "there is no reference" in complaint(capsys, folder, "--reference", "none.json")
    assert "--data needs --model" in complaint(capsys, folder, "--data", str(data))
    assert "--fail-on-drift needs a reference" in complaint(capsys, folder, "--fail-on-drift")
    assert "--save-reference needs" in complaint(capsys, folder, "--save-reference", str(tmp_path / "r.json"))
    assert "--since 'tomorrow'" in complaint(capsys, folder, "--since", "tomorrow")
    assert "from before --since" in complaint(capsys, folder, "--since", "2999-01-01")
    assert "--threshold is 2: give a number above 0 and at most 1" in complaint(capsys, folder, "--threshold", "2")
    assert "--objects: 'bucket' is not s3://bucket/prefix" in complaint(capsys, folder, "--objects", "bucket")
    both = (folder, "--reference", "r.json", "--data", str(data))
    assert "give one of them" in complaint(capsys, *both)


def test_a_reference_of_other_classes_is_named(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stored reference whose classes are not the model's cannot be used."""
    folder = str(capture_stream(tmp_path / "captures", tiny_model, 3))
    stored = tmp_path / "reference.json"
    built = ["--model", str(tiny_model), "--data", str(data), "--save-reference", str(stored)]
    assert main(["monitor", folder, *built]) == 0
    capsys.readouterr()
    stored.write_text(stored.read_text().replace("motorcycle", "truck"))
    said = complaint(capsys, folder, "--model", str(tiny_model), "--reference", str(stored))
    assert said == "the reference has other classes: bicycle, truck; the model has bicycle, motorcycle"
