"""Our source archive under AWS's own container toolkit, sagemaker-training: the program that runs in its containers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.inference.model import load_classifier
from scones_ml.sagemaker.hyperparameters import ScriptMode
from scones_ml.sagemaker.training_source import pack

pytest.importorskip("sagemaker_training", reason="needs sagemaker-training: make parity-training")
TRAIN = Path(sys.executable).parent / "train"


def prepare(base: Path, hyperparameters: ScriptMode, *channels: str) -> Path:
    """The folder that SageMaker mounts at /opt/ml."""
    noise = np.random.default_rng(0)
    for label, name in enumerate(("bicycle", "motorcycle")):
        (base / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = noise.integers(100 * label, 100 * label + 100, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(base / "pictures" / name / f"{number}.png")
    dataset.stage(base / "pictures", base / "staged", image_size=16)
    shutil.copytree(base / "staged", base / "ml/input/data/training")
    (base / "source.tar.gz").write_bytes(pack())
    sent = hyperparameters.to_request() | {"sagemaker_submit_directory": json.dumps(str(base / "source.tar.gz"))}
    hosts = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
    for folder in ("input/config", "model", "output"):  # which the real container always has
        (base / "ml" / folder).mkdir()
    read = {name: {"TrainingInputMode": "File"} for name in ("training", *channels)}
    for name, document in {"hyperparameters": sent, "resourceconfig": hosts, "inputdataconfig": read}.items():
        (base / "ml/input/config" / f"{name}.json").write_text(json.dumps(document))
    return base / "ml"


def run(base: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"}
    return subprocess.run([TRAIN], cwd=base, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_toolkit_trains_our_archive(tmp_path: Path) -> None:
    """The toolkit unpacks the archive, passes every hyperparameter as an option and reports success with a model."""
    base = prepare(tmp_path, ScriptMode(source="s3://b/s.tar.gz", epochs=2, seed=3, threads=1, device="cpu"))
    done = run(base)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Epoch[1] Train-accuracy=" in done.stdout
    assert (base / "output/success").exists()
    card = load_classifier(base / "model").card
    assert (card.epochs, card.seed, card.labels) == (2, 3, ("bicycle", "motorcycle"))


def test_the_toolkit_goes_on(tmp_path: Path) -> None:
    """A job that is started again goes on from its checkpoint; a later job from the model in its channel ``model``."""
    told = ScriptMode(source="s3://b/s.tar.gz", epochs=2, seed=3, threads=1, device="cpu")
    base = prepare(tmp_path / "first", told)
    (base / "checkpoints").mkdir()
    assert "Resuming from" not in run(base).stdout
    assert "2 epochs are done" in run(base).stdout
    graph = (base / "model/model.onnx").read_bytes()
    later = prepare(tmp_path / "later", told, "model")
    (later / "input/data/model").mkdir()
    with tarfile.open(later / "input/data/model/model.tar.gz", "w:gz") as archive:
        archive.add(base / "model", ".")
    done = run(later)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_classifier(later / "model").card.base_model == hashlib.sha256(graph).hexdigest()


def test_the_toolkit_reports_our_failure(tmp_path: Path) -> None:
    """A job that cannot run fails with our exit code, and its one line is the reason that SageMaker gives."""
    base = prepare(tmp_path, ScriptMode(source="s3://b/s.tar.gz", epochs=1, threads=1, device="cpu"))
    (base / "input/data/training/dataset.json").unlink()
    done = run(base)
    assert done.returncode == 1, done.stderr[-1500:]
    (reason,) = (base / "output/failure").read_text().splitlines()
    assert "is not a staged data set" in reason
    assert f"error: {reason}" in done.stdout + done.stderr
