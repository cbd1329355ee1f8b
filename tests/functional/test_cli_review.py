"""``scones review`` at the command line: what it says at the start, at the end, and when it cannot start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from scones_ml.cli import main
from scones_ml.dataset.synthetic import draw_png
from scones_ml.events import FilteredImage
from scones_ml.local.store import DirectoryObjectStore

LABELS = ("bicycle", "motorcycle")
CALL = [sys.executable, "-c", "import sys; from scones_ml.cli import main; sys.exit(main(sys.argv[1:]))", "review"]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubtful: Callable[..., FilteredImage]) -> Path:
    """A workspace with two doubtful images, in the folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    store = DirectoryObjectStore(tmp_path / ".scones" / "buckets")
    for number, inferences in enumerate(((0.6, 0.4), (0.3, 0.7))):
        doubtful(store, f"in/{number}.png", draw_png("bicycle", 0, number), inferences, LABELS)
    return tmp_path


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command; returns it with the address that it prints."""
    process = subprocess.Popen([*CALL, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line):
            return process, match[0]
    raise AssertionError(f"no address, exit code {process.wait()}")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_one_line(queue: Path, sign: signal.Signals) -> None:
    """The address is printed once the page answers; at Ctrl-C one line sums up, and the exit code is 0."""
    process, url = start("--reviewer", "ann")
    with urllib.request.urlopen(url, timeout=20) as page:
        image = re.search(r"picture/(\w+)", page.read().decode())
    assert image is not None
    form = urllib.request.Request(url + "answer", f"image={image[1]}&label=bicycle".encode(), method="POST")
    form.add_header("Origin", "/".join(url.split("/")[:3]))
    with urllib.request.urlopen(form, timeout=20):
        pass
    process.send_signal(sign)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "1 answer by ann: 1 bicycle, 1 left; .scones/reviews/answers.jsonl\n")
    assert "Traceback" not in errors


def test_json_is_one_document_at_the_end(queue: Path) -> None:
    """With --json standard output is one JSON document."""
    process, _ = start("--reviewer", "ann", "--json")
    process.send_signal(signal.SIGINT)
    assert json.loads(process.communicate(timeout=20)[0]) == {
        "answers": os.path.join(".scones", "reviews", "answers.jsonl"),  # noqa: PTH118
        "reviewer": "ann",
        "given": {},
        "total": 2,
        "answered": 0,
        "skipped": 0,
        "lost": [],
        "left": 2,
        "conflicts": 0,
        "of_other_classes": 0,
    }


def test_a_review_does_not_make_a_workspace_ours(queue: Path) -> None:
    """Buckets that were there without a marker are reviewed, and stay without one: clean-up may not remove them."""
    process, _ = start("--reviewer", "ann")
    assert not (queue / ".scones" / "workspace.json").exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_nothing_to_review_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty queue starts no server, says where it looked, and makes nothing."""
    monkeypatch.chdir(tmp_path)
    assert main(["review"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == (
        "nothing to review in s3://scones-output/outcomes/review/ and s3://scones-output/bulk/\n"
    )


def test_a_finished_queue_says_so(queue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When every image has its answer, no server starts either."""
    from scones_ml.review.annotations import AnnotationFile
    from scones_ml.review.queue import read_queue
    from scones_ml.review.session import ReviewSession

    read = read_queue(DirectoryObjectStore(Path(".scones/buckets")), "scones-output")
    for image in read.images:
        ReviewSession(read, AnnotationFile(Path(".scones/reviews/answers.jsonl")), "ann").annotate(image, "bicycle")
    assert main(["review"]) == 0
    assert "all 2 have an answer" in capsys.readouterr().out


def test_what_a_run_doubts_is_queued_with_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`scones run` leaves doubtful images where the review finds them, and says which model doubted."""
    from PIL import Image

    from scones_ml.inference.model import load_classifier
    from scones_ml.review.queue import read_queue

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8), (130, 0, 0)).save("doubtful.png")
    assert main(["run", "doubtful.png", "--model", str(tiny_model)]) == 0
    assert f"next: scones review --model {tiny_model}\n" in capsys.readouterr().err
    (image,) = read_queue(DirectoryObjectStore(Path(".scones/buckets")), "scones-output").images
    assert (image.s3_key, image.model) == ("doubtful.png", load_classifier(tiny_model).model)


@pytest.fixture
def in_bulk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """A folder whose images `scones run --bulk` has read where they are: two doubtful, a sure and a broken one."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    for name, red in (("sure", 0), ("doubtful 100%", 120), ("doubtful#1", 130)):
        Image.new("RGB", (8, 8), (red, 0, 0)).save(f"my photos/{name}.png")
    Path("my photos/broken.png").write_bytes(b"<html>")
    assert main(["run", "my photos", "--bulk", "--model", str(tiny_model)]) == 0
    return tmp_path / "my photos"


def test_doubtful_images_of_a_bulk_run_are_reviewed(
    in_bulk: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of a folder are shown from there, `label-next` names them, and what was answered teaches."""
    from scones_ml.inference.model import load_classifier

    (run,) = Path(".scones/buckets/scones-output/bulk").iterdir()
    process, url = start(f"s3://scones-output/bulk/{run.name}/", "--reviewer", "ann", "--model", str(tiny_model))
    for label in LABELS:
        with urllib.request.urlopen(url, timeout=20) as page:
            image = re.search(r"picture/(\w+)", page.read().decode())
        assert image is not None
        with urllib.request.urlopen(f"{url}picture/{image[1]}", timeout=20) as picture:
            assert picture.read(4) == b"\x89PNG"
        form = urllib.request.Request(url + "answer", f"image={image[1]}&label={label}".encode(), method="POST")
        form.add_header("Origin", "/".join(url.split("/")[:3]))
        if label == "motorcycle":
            assert main(["label-next", "9", "--model", str(tiny_model), "--json"]) == 0
            (wanted,) = json.loads(capsys.readouterr().out)
            assert Path(wanted["name"]).parent == in_bulk
        with urllib.request.urlopen(form, timeout=20):
            pass
    process.send_signal(signal.SIGINT)
    assert "2 answers by ann: 1 bicycle, 1 motorcycle, 0 left" in process.communicate(timeout=20)[0]
    answers = Path(".scones/reviews/answers.jsonl")
    assert {json.loads(line)["model"] for line in answers.read_text().splitlines()} == {
        load_classifier(tiny_model).model
    }
    assert main(["stage", str(answers), "data", "--json"]) == 1
    assert "bicycle" in capsys.readouterr().err, "read, and too few"


def test_a_folder_that_is_gone_keeps_nobody_waiting(
    in_bulk: Path, tiny_model: Path, doubtful: Callable[..., FilteredImage]
) -> None:
    """Images of a folder that was moved away since are passed over with their paths; the others are shown."""
    store = DirectoryObjectStore(Path(".scones/buckets"))
    image = doubtful(store, "a.png", draw_png("bicycle", 0, 1), (0.9, 0.1), LABELS)
    in_bulk.rename("elsewhere")
    process, url = start("--model", str(tiny_model), "--json")
    with urllib.request.urlopen(url, timeout=20) as page:
        assert f"picture/{image.image_id}" in page.read().decode()
    process.send_signal(signal.SIGINT)
    lost = json.loads(process.communicate(timeout=20)[0])["lost"]
    assert {found["image"] for found in lost} == {f"{in_bulk}/doubtful 100%.png", f"{in_bulk}/doubtful#1.png"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["bucket/prefix"], "'bucket/prefix' is not s3://bucket/prefix"),
        (["--classes", "bicycle"], "at least two"),
        (["--classes", "bicycle,bicycle"], "at least two"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_start_is_one_line(
    queue: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    """A source, class names or a model that are none are named in one line, with exit code 1."""
    assert main(["review", *arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert reason in lines[0]


def test_a_taken_port_is_named(queue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another server has is named, with what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["review", "--port", str(port)]) == 1
    assert f"port {port} on 127.0.0.1 is not available" in capsys.readouterr().err


@pytest.mark.parametrize("source", [["s3://elsewhere"], ["--on", "aws"]])
def test_the_queue_may_be_in_s3(
    source: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moto_url: str,
    doubtful: Callable[..., FilteredImage],
) -> None:
    """Outcomes, single ones and those of bulk runs, and images are read from S3; answers stay on this machine."""
    import boto3

    from scones_ml.aws.store import S3ObjectStore

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
        "SCONES_INPUT_BUCKET": "scones-input",
        "SCONES_OUTPUT_BUCKET": "scones-output",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    s3 = boto3.client("s3")
    for bucket in ("scones-input", "scones-output", "elsewhere"):
        s3.create_bucket(Bucket=bucket)
    image = doubtful(S3ObjectStore(s3), "in/0.png", draw_png("bicycle", 0, 0), (0.6, 0.4), LABELS)
    line = json.dumps(image.to_event() | {"outcome": "review"}).encode()
    s3.put_object(Bucket="elsewhere", Key="bulk/november/0cc1.jsonl", Body=line)
    process, url = start(*source, "--classes", "bicycle,motorcycle")
    with urllib.request.urlopen(url, timeout=20) as page:
        shown = re.search(r"picture/(\w+)", page.read().decode())
    assert shown is not None
    with urllib.request.urlopen(f"{url}picture/{shown[1]}", timeout=20) as picture:
        assert picture.read(4) == b"\x89PNG"
    process.send_signal(signal.SIGINT)
    assert "1 left" in process.communicate(timeout=20)[0]
