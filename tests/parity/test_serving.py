"""Our model package under AWS's own toolkit and model server, the programs that run in its inference containers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scones_ml.inference.model import load_classifier
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.plans import Ledger, Run
from scones_ml.ports import DeploymentRequest
from scones_ml.sagemaker.model_package import pack_model

pytest.importorskip("sagemaker_inference", reason="needs sagemaker-inference and Java 17: make parity-serving")
# The toolkit writes the server's settings to /etc, which is its container's, not this machine's.
START = """
import sys
from sagemaker_inference import model_server
model_server.MMS_CONFIG_FILE = sys.argv[1]
model_server.start_model_server()
"""
START_SECONDS = 120


def make_image(seed: int, kind: str, size: int = 24) -> bytes:
    noise = np.random.default_rng(seed)
    pixels = (noise.random((size, size, 3)) * noise.integers(1, 256, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def ask(url: str, body: bytes, content_type: str) -> list[float]:
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        return list(json.loads(answer.read()))


@pytest.fixture(scope="module")
def container(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The package, unpacked where SageMaker would, served by multi-model-server."""
    if shutil.which("java") is None:
        pytest.skip("multi-model-server needs Java 17")
    base = tmp_path_factory.mktemp("ml")
    with tarfile.open(fileobj=io.BytesIO(pack_model(tiny_model).data)) as archive:
        archive.extractall(base / "model", filter="data")
    port = free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",  # the requirements are met: nothing is downloaded
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }
    environment.pop("PYTHONPATH", None)
    url = f"http://127.0.0.1:{port}"
    with (base / "log").open("wb") as log:
        command = [sys.executable, "-c", START, str(base / "mms.properties")]
        server = subprocess.Popen(command, cwd=base, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait(url, server, base / "log")
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


def free_port() -> int:
    """A port that nobody has; multi-model-server knows none from 32767 on."""
    for port in range(18_080, 32_767):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    pytest.skip("no port below 32767 is free")


def wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/ping", timeout=5).close()
            return
        except urllib.error.HTTPError as exc:
            exc.close()
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(log.read_text()[-3_000:])


@pytest.mark.parametrize(
    ("kind", "content_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("PNG", "application/x-image")]
)
def test_three_ways_to_serve_agree(
    container: str, tiny_model: Path, tmp_path: Path, kind: str, content_type: str
) -> None:
    """AWS's container, our own server and the model in this process say the same within 1e-6, for every image."""
    deployer = LocalDeployer(tmp_path / "endpoints", tmp_path / "captures", Ledger(tmp_path / "ledger"), Run.new())
    ours = deployer.deploy(DeploymentRequest("parity", tiny_model))
    model = load_classifier(tiny_model)
    try:
        for seed in range(20):
            data = make_image(seed, kind)
            expected = model.predict(data)
            assert ask(container, data, content_type) == pytest.approx(expected, abs=1e-6)
            assert ask(ours.url, data, content_type) == pytest.approx(expected, abs=1e-6)
    finally:
        deployer.remove("parity")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [(b"<html>", "image/png", 400), (make_image(0, "PNG")[:80], "image/png", 400), (b"1,2", "text/csv", 415)],
    ids=["html", "truncated", "csv"],
)
def test_what_cannot_be_classified(container: str, body: bytes, content_type: str, status: int) -> None:
    """A broken image is the caller's error in AWS's container too, and the container goes on."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(container, body, content_type)
    caught.value.close()
    assert caught.value.code == status
    assert len(ask(container, make_image(1, "PNG"), "image/png")) == 2


def test_the_package_brings_its_own_library(tiny_model: Path, tmp_path: Path) -> None:
    """What the container imports is the package's own copy of this library, whatever else is installed."""
    with tarfile.open(fileobj=io.BytesIO(pack_model(tiny_model).data)) as archive:
        archive.extractall(tmp_path, filter="data")
    code = "import inference, scones_ml.inference.model as model; print(model.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "code"))
