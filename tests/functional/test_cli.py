"""The ``scones`` command: what it prints, what it returns, and what it says of bad input."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scones_ml.cli import main
from scones_ml.cli.context import Backends
from scones_ml.local.backend import LocalBackend
from scones_ml.local.store import DirectoryObjectStore


def write_image(path: Path, red: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.effect_noise((32, 32), 60).convert("RGB").point(lambda value: (value + red) % 256).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(folder: Path) -> Path:
    """Twenty images of each of two classes."""
    for name in ("bicycle", "motorcycle"):
        for number in range(20):
            write_image(folder / "photos" / name / f"{number}.png", number * 7)
    return folder / "photos"


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, backends: Backends | None = None) -> str:
    """Run a command that must fail with exit code 1 and one line, and return that line."""
    assert main(arguments, backends) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("scones: ")
    return lines[0].removeprefix("scones: ")


def test_stage_shows_what_it_made(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of class folders becomes a data set; the table counts it, and the next command is named."""
    assert main(["stage", "photos", "data"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].split() == ["class", "train", "validation", "calibration", "test"]
    assert "next: scones train data" in captured.err
    assert (photos.parent / "data" / "dataset.json").is_file()


def test_json_is_one_document_on_standard_output(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, standard output is one JSON document and nothing else."""
    assert main(["stage", "photos", "data", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["classes"] == ["bicycle", "motorcycle"]
    assert sum(sum(split.values()) for split in document["counts"].values()) == 40


def test_stage_to_s3_and_back(
    photos: Path, capsys: pytest.CaptureFixture[str], moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set goes to an S3 prefix, a second time nothing is written again, and the prefix is a source itself."""
    import boto3

    from scones_ml import backends

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto_url,
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="staging")
    backends._object_store.cache_clear()
    try:
        assert main(["stage", "photos", "s3://staging/bikes"]) == 0
        assert "0 were there" in capsys.readouterr().err
        assert main(["stage", "photos", "s3://staging/bikes"]) == 0
        assert " 0 objects written" in capsys.readouterr().err
        assert main(["stage", "s3://staging/bikes", "again", "--json"]) == 0
        assert sum(sum(split.values()) for split in json.loads(capsys.readouterr().out)["counts"].values()) == 40
    finally:
        backends._object_store.cache_clear()


def test_bad_sources_get_one_clear_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing and empty folders, one class only, an empty class and unknown classes are named with the remedy."""
    root = photos.parent
    assert "nowhere" in complaint(capsys, "stage", "nowhere", "data")
    (root / "empty").mkdir()
    assert "empty" in complaint(capsys, "stage", "empty", "data")
    assert "motorcycle" in complaint(capsys, "stage", "photos", "data", "--classes", "bicycle,motorcycel")
    assert "give two or more" in complaint(capsys, "stage", "photos", "data", "--classes", "bicycle")
    (photos / "truck").mkdir()
    assert "truck" in complaint(capsys, "stage", "photos", "data")
    assert not (root / "data").exists()


def test_unreadable_images_are_listed_and_skipped(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A broken image is left out by name; the rest is staged."""
    (photos / "bicycle" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert main(["stage", "photos", "data"]) == 0
    captured = capsys.readouterr()
    assert "left out: " in captured.err
    assert "broken.png" in captured.err


def test_what_was_left_out_is_told_by_kind(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images that were left out are grouped by reason, other files are counted by kind; no name forges a line."""
    for number in range(5):
        (photos / "bicycle" / f"cut{number}.png").write_bytes(b"more")
    (photos / "bicycle" / "a\n\x1b[31m\u202eb.jpg").write_bytes(b"none")
    (photos / "bicycle" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"none")
    for name in ("cover.jpg", "notes.txt", ".DS_Store", "bicycle/clip.mp4", "bicycle/labels.csv", "bicycle/Thumbs.db"):
        (photos / name).write_bytes(b"\0")
    assert main(["stage", "photos", "data"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert lines.pop(0) == "models will see each image at 32 x 32 pixels, the size for thumbnails"
    assert lines[0] == "left out: 7 images, listed in data/dataset.json"
    assert lines[1].startswith("      7  unreadable  bicycle/cut0.png and 4 more: ")
    assert lines[2].startswith("                     bicycle/a\\n\\x1b[31m\\u202eb.jpg and 1 more: ")
    assert lines[3:] == [
        "ignored: 6",
        "      2  hidden and system files",
        "      1  images outside class folders",
        "      1  lists and manifests",
        "      1  notes and documents",
        "      1  videos",
        "next: scones train data",
    ]
    assert main(["stage", "photos", "data", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ignored"], document["ignored_by_kind"]["videos"]) == (6, 1)


def test_names_of_any_bytes_are_shown_escaped(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder whose name is no UTF-8, with a control character in it, becomes a class that can be told and typed."""
    (photos / "bicycle").rename(photos / os.fsdecode(b"v\xe9lo\x1b"))
    assert main(["stage", "photos", "data"]) == 0
    assert "v\\xe9lo\\x1b" in capsys.readouterr().out
    assert main(["stage", "photos", "data", "--json", "--classes", "motorcycle,v\\xe9lo\\x1b"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["motorcycle", "v\\xe9lo\\x1b"]
    assert "no\\udc80\\nwhere" in complaint(capsys, "stage", "no\\udc80\nwhere", "new")


def test_what_is_replaced_is_said_and_asked(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Staging over a data set says so; on a terminal it asks first, and no leaves the earlier one in place."""
    replaced = "data will be replaced: 40 images from photos"
    assert main(["stage", "photos", "data", "--seed", "1"]) == 0
    assert replaced not in capsys.readouterr().err
    before = Path("data/dataset.json").read_bytes()
    for answer, options, code in (("n\n", [], 1), ("n\n", ["--yes"], 0), ("y\n", [], 0)):
        stream = io.StringIO(answer)
        stream.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", stream)
        assert main(["stage", "photos", "data", "--seed", "2", *options]) == code
        assert replaced in capsys.readouterr().err
        assert (Path("data/dataset.json").read_bytes() == before) == (code == 1)


def test_stage_groups(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--group-by says how many images were kept together; a pattern that is none is one line."""
    assert main(["stage", "photos", "data", "--group-by", "[01]$|^([0-9])"]) == 0
    assert "kept together: 40 images of 10 groups, by --group-by" in capsys.readouterr().err
    assert main(["stage", "photos", "data", "--group-by", "[0-4]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept_together"]["named_groups"] == 5
    assert "not a column or regular expression" in complaint(capsys, "stage", "photos", "new", "--group-by", "(")
    assert "nothing to group by" in complaint(capsys, "stage", "photos", "new", "--group-by", "veh")


def test_stage_as_recordio(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--format recordio adds a file for each split, whose names the last lines tell; the data set trains as before."""
    assert main(["stage", "photos", "data", "--format", "recordio"]) == 0
    assert "data/train.rec and data/validation.rec" in capsys.readouterr().err
    assert sorted(path.name for path in (photos.parent / "data").glob("*.rec")) == [
        "calibration.rec",
        "test.rec",
        "train.rec",
        "validation.rec",
    ]
    assert main(["stage", "data/train.rec", "again", "--classes", "bicycle,motorcycle", "--json"]) == 0
    first = json.loads((photos.parent / "data" / "dataset.json").read_text())
    again = json.loads(capsys.readouterr().out)
    assert again["counts"] == first["counts"]


def test_stage_chooses_a_label_attribute(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a manifest has several label attributes, --label-attribute says which."""
    rows = [
        {"path": f"{name}/{number}.png", "first": name, "second": "ab"[number % 2]}
        for name in ("bicycle", "motorcycle")
        for number in range(20)
    ]
    (photos / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "first, second" in complaint(capsys, "stage", "photos/a.jsonl", "data")
    assert main(["stage", "photos/a.jsonl", "data", "--label-attribute", "second", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["a", "b"]


def test_evaluate_writes_a_page(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--html leaves one page with the answer, the errors as images, the bill and who the model is."""
    for name, red in (("bicycle", 40), ("motorcycle", 215)):
        for number in range(20):
            path = folder / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            odd = 255 - red if number % 3 == 0 else red
            Image.new("RGB", (20, 20), (odd, 10 * number, 0)).save(path)
    assert main(["stage", "photos", "data", "--image-size", "8"]) == 0
    assert main(["evaluate", str(tiny_model), "data", "--html", "out/page.html"]) == 0
    assert "the report is out/page.html" in capsys.readouterr().err
    page = (folder / "out" / "page.html").read_text(encoding="utf-8")
    for told in ("Most confident errors", "Least confident right predictions", "batch-transform-packed", "set by hand"):
        assert told in page, told
    assert page.count("data:image/png;base64,") >= 6
    assert "leave --split out" in complaint(
        capsys, "evaluate", str(tiny_model), "data", "--split", "validation", "--html", "page.html"
    )


def test_run_loads_a_model_and_shows_where_images_went(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images, an awkward name and a broken file go through the state machine; the table names each outcome."""
    for name, red in (("dark.png", 0), ("bright.png", 255), ("my photo+1.png", 128)):
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), (red, 0, 0)).save(buffer, "PNG")
        (folder / name).write_bytes(buffer.getvalue())
    (folder / "page.png").write_text("<html>")
    paths = ["dark.png", "bright.png", "my photo+1.png", "page.png"]
    assert main(["run", *paths, "--model", str(tiny_model), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["image"]["s3_key"] for result in results] == paths
    assert [result["outcome"] for result in results] == ["accepted", "accepted", "review", "quarantined"]
    assert [result["label"] for result in results][:2] == ["bicycle", "motorcycle"]
    assert "not an image" in results[3]["reason"]
    outcomes = sorted(found.key for found in LocalBackend(folder / ".scones").store.list("scones-output"))
    ids = [(result["outcome"], result["image"]["image_id"]) for result in results]
    assert outcomes == sorted(f"outcomes/{outcome}/{image_id}.json" for outcome, image_id in ids)
    assert main(["run", *paths, "--model", str(tiny_model)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_files_of_one_name_are_told_apart(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files of the same name are two images, shown with their paths; the same file twice is one."""
    for place in ("monday", "tuesday"):
        write_image(folder / place / "1.png", 200)
    write_image(folder / "2.png", 10)
    paths = ["monday/1.png", "tuesday/1.png", "2.png", str(folder / "2.png")]
    assert main(["run", *paths, "--model", str(tiny_model), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    keys = [result["image"]["s3_key"] for result in results]
    assert [key.removeprefix(folder.as_posix().lstrip("/") + "/") for key in keys] == paths[:3]
    assert all(result["outcome"] in ("accepted", "review") for result in results)


def test_running_twice_writes_the_same_outcomes(folder: Path, tiny_model: Path) -> None:
    """The same object version always writes the same key: a second run adds nothing."""
    write_image(folder / "a.png", 3)
    for _ in range(2):
        assert main(["run", "a.png", "--model", str(tiny_model)]) == 0
    assert len(list(LocalBackend(folder / ".scones").store.list("scones-output"))) == 1


def test_bulk_resumes_where_it_was_stopped(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is classified in batches; a second run finds everything finished, a new image is done alone."""
    for number in range(5):
        write_image(folder / "inbox" / f"{number}.png", number * 40)
    (folder / "inbox" / "page.png").write_text("<html>")

    def bulk() -> dict[str, object]:
        assert main(["run", "inbox", "--bulk", "--model", str(tiny_model), "--json"]) == 0
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    first, second = bulk(), bulk()
    assert (first["images"], first["finished_before"]) == (6, 0)
    assert (second["images"], second["finished_before"]) == (6, 6)
    assert first["outcomes"] == second["outcomes"]
    write_image(folder / "inbox" / "new.png", 7)
    assert bulk()["finished_before"] == 6


def test_a_load_reports_latency_and_outcomes(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A steady stream of random images is measured: throughput, latency quantiles, outcomes."""
    write_image(folder / "a.png", 3)
    command = ["run", "a.png", "--model", str(tiny_model), "--rate", "50", "--duration", "0.4s"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == sum(report["outcomes"].values()) == 20
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["max"]
    assert main(command) == 0
    assert "latency p99" in capsys.readouterr().out


def test_a_bulk_run_that_is_refused_leaves_no_trace(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there, and a model that is not given, are refused before anything is recorded."""
    assert "there is no folder gone" in complaint(capsys, "run", "gone", "--bulk", "--model", str(tiny_model))
    assert "give --model MODEL" in complaint(capsys, "run", str(folder), "--bulk")
    assert not (folder / ".scones").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bulk"], "give --model"),
        (["--bulk", "--rate", "5"], "give one of them"),
        (["--rate", "5", "--duration", "soon", "--model", "m"], "--duration 'soon'"),
        (["other", "--bulk", "--model", "m"], "takes one folder"),
    ],
)
def test_ways_to_run_that_do_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    """Options that contradict each other are named with the remedy."""
    assert words in complaint(capsys, "run", "inbox", *options)


def test_deploy_run_cleanup_through_an_endpoint(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A deployed endpoint serves later commands until cleanup proves that nothing is left."""
    write_image(folder / "a.png", 3)
    assert main(["deploy", str(tiny_model)]) == 0
    try:
        assert main(["run", "a.png"]) == 0
        assert list((folder / ".scones" / "captures").rglob("*.jsonl"))
        assert "there is no endpoint 'other'" in complaint_line(capsys, "run", "a.png", "--endpoint", "other")
    finally:
        capsys.readouterr()
        assert main(["cleanup", "--yes"]) == 0
    said = capsys.readouterr()
    assert said.out == "0 resources left\n"
    assert said.err == "cleanup removes 1 endpoint, 1 image, 1 of them not reviewed yet\n"
    assert "no endpoint is running" in complaint(capsys, "run", "a.png")


@pytest.mark.skipif(sys.platform == "darwin", reason="file names there are UTF-8")
def test_a_workspace_in_a_folder_of_any_name(folder: Path, tiny_model: Path) -> None:
    """A path that is not UTF-8 keeps no endpoint from being asked and removed."""
    write_image(folder / "a.png", 3)
    workspace = ("--workspace", os.fsdecode(b"caf\xe9"))
    assert main(["deploy", str(tiny_model), *workspace]) == 0
    assert main(["run", "a.png", *workspace]) == 0
    assert main(["cleanup", "--yes", *workspace]) == 0


def test_a_server_is_known_by_its_lock(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a damaged record status still says that its server runs, and cleanup ends the server."""
    assert main(["deploy", str(tiny_model)]) == 0
    Path(".scones/endpoints/scones.json").write_text("{")
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "there" in said
    assert "not running" not in said
    assert main(["cleanup"]) == 0
    assert capsys.readouterr().out == "0 resources left\n"
    assert not Path(".scones/endpoints").exists()


def test_a_run_ends_with_its_endpoint(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is gone is one line, at once, and the images that were not sent are counted."""
    for number in range(3):
        write_image(folder / "in" / f"{number}.png", 3)
    assert main(["deploy", str(tiny_model)]) == 0
    (record,) = Path(".scones/endpoints").glob("*.json")
    record.write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:9", record.read_text()))  # nothing listens there
    capsys.readouterr()
    assert main(["run", "in"]) == 1
    *_, unsent, error = capsys.readouterr().err.splitlines()
    assert main(["cleanup", "--yes"]) == 0
    assert unsent == "2 of 3 images failed: in/1.png, in/2.png: not sent; the same command tries them again"
    assert error.startswith("scones: endpoint scones does not answer: ")


@pytest.mark.parametrize("verb", ["status", "cleanup", "review", "monitor", "label-next"])
def test_a_workspace_that_is_no_folder(verb: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb refuses a file as its workspace in one line with the remedy."""
    line = "/dev/null is not a folder: choose another --workspace"
    assert complaint(capsys, verb, "--workspace", "/dev/null") == line


def complaint_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    return complaint(capsys, *arguments)


def test_model_and_data_in_the_wrong_order_are_told_apart(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data set where a model belongs is named as what it is, and so is a folder that is not staged yet."""
    assert main(["stage", "photos", "my data"]) == 0
    capsys.readouterr()
    said = complaint(capsys, "evaluate", "my data", "model")
    assert said.endswith("holds no model.json: it is a data set, train on it with `scones train 'my data'`")
    Path("my photos").mkdir()
    assert "run `scones stage 'my photos' DATA` first" in complaint(capsys, "train", "my photos")


def test_bad_models_and_images_get_one_clear_line(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing model, one without labels, a missing image and a wrong threshold are named with the remedy."""
    write_image(folder / "a.png", 3)
    assert "scones train" in complaint(capsys, "deploy", "nowhere")
    (folder / "broken").mkdir()
    (folder / "broken" / "model.json").write_text('{"input_size": 8}')
    assert "labels" in complaint(capsys, "run", "a.png", "--model", "broken")
    assert not list(folder.glob(".scones/buckets/**/a.png"))  # told before any image is sent
    for device in (["run", "a.png"], ["run", ".", "--bulk"]):
        assert "/dev/zero" in complaint(capsys, *device, "--model", "/dev/zero")
    assert "gone.png" in complaint(capsys, "run", "gone.png", "--model", str(tiny_model))
    assert "--threshold is 2: give a number above 0 and at most 1" in complaint(
        capsys, "run", "a.png", "--model", str(tiny_model), "--threshold", "2"
    )
    assert "scones stage" in complaint(capsys, "train", "nowhere")
    assert "scones stage" in complaint(capsys, "evaluate", str(tiny_model), "nowhere")


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing argument and an unknown verb are usage errors."""
    assert main(["stage"]) == 2
    assert main(["nothing"]) == 2
    assert main(["train", "data", "--preset", "slow"]) == 2
    assert main(["deploy", "model", "--on", "mars"]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("scones ")


@pytest.mark.parametrize("verb", ["demo", "train"])
def test_ctrl_c_ends_at_once_and_leaves_no_process(photos: Path, verb: str) -> None:
    """Interrupted while it trains, a command says so, exits with 130, keeps finished stages, leaves no process."""
    if verb == "train":
        assert main(["stage", "photos", "data"]) == 0
        command = ["train", "data", "--epochs", "5000"]
        log = photos.parent / ".scones" / "model" / "training.log"
    else:
        command = ["demo"]
        log = photos.parent / ".scones" / "demo" / "model" / "training.log"
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; from scones_ml.cli import main; sys.exit(main())", *command],
        cwd=photos.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (log.exists() and re.search(r"(Epoch|Features)\[", log.read_text())) and time.monotonic() < deadline:
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)  # the process is watched from outside: nothing else tells
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "scones: interrupted; what was finished is kept"
    assert "Traceback" not in errors
    assert not (log.parent / "model.onnx").exists()
    assert processes_in(log.parent) == []
    if verb == "demo":
        assert (photos.parent / ".scones" / "demo" / "data" / "dataset.json").is_file()


def processes_in(folder: Path) -> list[str]:
    """Command lines of training processes that write to a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"SM_MODEL_DIR={folder}".encode() in environment:
            found.append(entry.name)
    return found


def test_a_full_disk_is_one_clear_line(
    folder: Path, tiny_model: Path, only: Callable[[LocalBackend], Backends], capsys: pytest.CaptureFixture[str]
) -> None:
    """When nothing more can be written, the message says what could not be written, and why."""
    write_image(folder / "a.png", 3)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    backend = LocalBackend(folder / ".scones")
    backend.store = DirectoryObjectStore(folder / ".scones" / "buckets", full)
    line = complaint(capsys, "run", "a.png", "--model", str(tiny_model), backends=only(backend))
    assert "No space left on device" in line
    assert "free some space" in line
