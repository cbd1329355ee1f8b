"""Training jobs as SageMaker and the local trainer run them: a process, an environment, two folders."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.inference.model import load_classifier
from scones_ml.training import __main__ as program

# As documented for SageMaker's built-in image classification algorithm.
TRAIN_ACCURACY = r"Epoch\[(\d+)\] Train-accuracy=(\S+)"
VALIDATION_ACCURACY = r"Epoch\[(\d+)\] Validation-accuracy=(\S+)"
TIME_COST = r"Epoch\[(\d+)\] Time cost=(\S+)"


def draw(root: Path, classes: dict[str, int], size: int = 16) -> Path:
    """A folder of class folders: noise, brighter from class to class."""
    random = np.random.default_rng(0)
    for shade, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise = random.integers(0, 100, (size, size, 3)) + 70 * shade
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged data set of three classes, 30 images each."""
    source = draw(tmp_path_factory.mktemp("source") / "pictures", {"car": 30, "tram": 30, "van": 30})
    return dataset.stage(source, tmp_path_factory.mktemp("staged") / "data", image_size=16).dataset.root


def environment(data: Path, out: Path) -> dict[str, str]:
    """What a script-mode container finds in its environment."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SM_CHANNEL_TRAINING": str(data),
        "SM_MODEL_DIR": str(out / "model"),
        "SM_OUTPUT_DATA_DIR": str(out / "output"),
    }


def train(data: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    command = [sys.executable, "-m", "scones_ml.training", *arguments]
    return subprocess.run(command, env=environment(data, out), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def finished(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A job that ran to its end with more threads than there are, and its output folder."""
    out = tmp_path_factory.mktemp("job")
    return train(staged, out, "--epochs", "3", "--seed", "5", "--threads", "4096"), out


def test_a_job_leaves_a_model_and_a_history(
    finished: tuple[subprocess.CompletedProcess[str], Path], staged: Path
) -> None:
    """A job writes the model's three files and history.json, nothing else, and the model can be loaded and asked."""
    process, out = finished
    assert process.returncode == 0, process.stderr
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == ["model/model.json", "model/model.onnx", "model/weights.npz", "output/history.json"]
    classifier, data = load_classifier(out / "model"), dataset.load(staged)
    assert classifier.labels == ("car", "tram", "van")
    assert (classifier.card.input_size, classifier.card.seed, classifier.card.epochs) == (16, 5, 3)
    assert (classifier.card.dataset_hash, classifier.card.preset) == (data.hash, "fast")
    probabilities = classifier.predict_batch(data.arrays("test")[0])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert [entry["epoch"] for entry in json.loads((out / "output" / "history.json").read_text())] == [0, 1, 2]


def test_the_card_reports_the_test_split_and_the_choice_of_threshold(
    finished: tuple[subprocess.CompletedProcess[str], Path], staged: Path
) -> None:
    """The card's figures are those of the served graph on test; what is held back is too little for one use each."""
    classifier, data = load_classifier(finished[1] / "model"), dataset.load(staged)
    images, labels = data.arrays("test")
    right = int((classifier.predict_batch(images).argmax(1) == labels).sum())
    figures = classifier.card.metrics["test"]
    assert isinstance(figures, dict)
    assert (figures["correct"], figures["images"]) == (right, len(labels))
    held = len(data.split("validation")) + len(data.split("calibration"))
    assert classifier.card.threshold_choice["labels"] == held
    assert classifier.card.threshold_choice["threshold"] == classifier.card.threshold


def test_metric_lines_are_what_sagemaker_reads(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """The first lines name recipe and epochs; every epoch prints its three figures in the documented form."""
    first, second, *_ = (output := finished[0].stdout).splitlines()
    assert first == "Recipe: scratch; thumbnails, 16 pixels on the shorter side"
    assert re.search(r"\bepochs=3\b", second)
    for pattern in (TRAIN_ACCURACY, VALIDATION_ACCURACY, TIME_COST):
        found = re.findall(pattern, output)
        assert [int(number) for number, _ in found] == [0, 1, 2]
        assert all(float(value) >= 0 for _, value in found)


def test_threads_are_clamped_to_the_cores_at_hand(finished: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """More threads than the process may use are refused with one line, and the card says what was taken."""
    process, out = finished
    available = len(os.sched_getaffinity(0))
    assert process.stderr == f"--threads 4096 exceeds the {available} available to this process: using {available}\n"
    assert load_classifier(out / "model").card.threads == available


def test_the_same_seed_and_threads_give_the_same_model(
    finished: tuple[subprocess.CompletedProcess[str], Path],
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process with the same seed and threads writes the same files, byte for byte."""
    _, out = finished
    assert in_process(staged, tmp_path, monkeypatch, "--epochs", "3", "--seed", "5", "--threads", "4096") == 0
    for file in ("model/model.onnx", "model/model.json", "model/weights.npz", "output/history.json"):
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes()


def test_a_job_goes_on_from_a_model(
    finished: tuple[subprocess.CompletedProcess[str], Path],
    staged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model in the channel ``model``, as a folder or as SageMaker's archive, is what training starts from."""
    channel, graph = tmp_path / "channel", (finished[1] / "model" / "model.onnx").read_bytes()
    channel.mkdir()
    with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
        for file in (finished[1] / "model").iterdir():
            archive.add(file, file.name)
    cards, graphs = [], []
    for number, start in enumerate((finished[1] / "model", channel)):
        out = tmp_path / str(number)
        monkeypatch.setenv("SM_CHANNEL_MODEL", str(start))
        assert in_process(staged, out, monkeypatch, "--epochs", "1", "--seed", "5") == 0
        cards.append(load_classifier(out / "model").card)
        graphs.append((out / "model" / "model.onnx").read_bytes())
    assert cards[0].base_model == hashlib.sha256(graph).hexdigest()
    assert cards[0] == cards[1]
    assert graphs[0] == graphs[1] != graph


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_job_leaves_nothing(staged: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A job that is stopped exits with 130 without a word, and no file is left."""
    command = [sys.executable, "-m", "scones_ml.training", "--epochs", "100000"]
    process = subprocess.Popen(
        command, env=environment(staged, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if re.match(TIME_COST, line):
                break
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_killed_job_goes_on_from_its_checkpoint(
    staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in the middle and started again, a job goes on and ends with an undisturbed job's files, byte for byte."""
    options = ("--epochs", "30", "--seed", "5", "--threads", "1")
    assert in_process(staged, tmp_path / "undisturbed", monkeypatch, *options) == 0
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    command = [sys.executable, "-m", "scones_ml.training", *options]
    spot = environment(staged, tmp_path / "spot")
    with subprocess.Popen(command, env=spot, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("Epoch[5]"))  # 0 to 4 have been kept
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "spot").exists()
    capsys.readouterr()
    assert in_process(staged, tmp_path / "spot", monkeypatch, *options) == 0
    said = capsys.readouterr().out
    done = (
        int(found[1]) if (found := re.search(r"^Resuming from .*: (\d+) epochs are done$", said, re.MULTILINE)) else 0
    )
    assert 5 <= done < 30
    assert [int(number) for number, _ in re.findall(TIME_COST, said)] == list(range(done, 30))
    for file in ("model/model.onnx", "model/model.json", "model/weights.npz", "output/history.json"):
        assert (tmp_path / "spot" / file).read_bytes() == (tmp_path / "undisturbed" / file).read_bytes()


def in_process(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the program in this process, where starting is cheap."""
    for name, value in environment(data, out).items():
        if name.startswith("SM_"):
            monkeypatch.setenv(name, value)
    return program.main([*arguments])


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Put back the handler that the program installs."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def one_line(text: str) -> str:
    """The only line of an error message."""
    (line,) = text.splitlines()
    return line


def test_a_missing_channel_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A channel that is not there is named, with exit code 1."""
    assert in_process(tmp_path / "nowhere", tmp_path, monkeypatch) == 1
    message = one_line(capsys.readouterr().err)
    assert message.startswith("error: ")
    assert str(tmp_path / "nowhere") in message


def test_a_folder_that_was_not_staged_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images without a manifest get the command that stages them."""
    source = draw(tmp_path / "raw", {"a": 1, "b": 1})
    assert in_process(source, tmp_path, monkeypatch) == 1
    assert "scones stage" in one_line(capsys.readouterr().err)


def test_no_images_left_to_train_on_is_one_line(
    tmp_path: Path, staged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class whose images are all held out is named."""
    root = tmp_path / "data"
    root.mkdir()
    data = dataset.load(staged)
    kept = [record for record in data.records if (record.split, record.class_name) != ("train", "tram")]
    (root / "manifest.jsonl").write_text(
        "".join(
            json.dumps({"path": r.path, "label": r.label, "class": r.class_name, "split": r.split, "sha256": r.sha256})
            + "\n"
            for r in kept
        )
    )
    card = json.loads((staged / "dataset.json").read_text())
    card["hash"] = dataset.records.dataset_hash(data.classes, kept)
    (root / "dataset.json").write_text(json.dumps(card))
    for split in dataset.SPLITS:
        (root / split).symlink_to(staged / split)
    assert in_process(root, tmp_path, monkeypatch) == 1
    assert "no training images of tram" in one_line(capsys.readouterr().err)


def test_failures_are_written_where_sagemaker_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a training container the line on standard error is also the job's failure reason."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    (tmp_path / "output").mkdir()
    assert in_process(tmp_path / "nowhere", tmp_path, monkeypatch) == 1
    assert f"error: {(tmp_path / 'output/failure').read_text()}" == capsys.readouterr().err


def test_a_model_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, staged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When one file cannot be written, none is: the model of an earlier job stays whole."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.onnx").write_bytes(b"old")
    (tmp_path / "output").write_text("a file where a folder should be")
    assert in_process(staged, tmp_path, monkeypatch, "--epochs", "1") == 1
    assert "output" in one_line(capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == {"model.onnx": b"old"}


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--target-precision", "1.5"], ["--preset", "slow"]])
def test_wrong_hyperparameters_are_usage_errors(arguments: list[str]) -> None:
    """Values out of range end with exit code 2 before anything is read."""
    with pytest.raises(SystemExit) as exit_:
        program.main(arguments)
    assert exit_.value.code == 2


def test_the_package_is_importable_without_torch() -> None:
    """What describes a training job does not load what runs it."""
    code = "import sys, scones_ml.training, scones_ml.training.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
