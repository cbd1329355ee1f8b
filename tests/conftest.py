"""Fixtures for every test."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from scones_ml.events import FilteredImage, ImageRef
from scones_ml.ports import Backend, ObjectStore, Progress, Steps, TrainingRequest, no_progress, no_steps

if TYPE_CHECKING:
    from scones_ml.cli.context import Backends
    from scones_ml.local.backend import LocalBackend
    from scones_ml.plans import Run


hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is no fault of the code
hypothesis.settings.load_profile("any machine")

_ROOT = Path(__file__).parents[1]
_HELD = pytest.StashKey[dict[str, tuple[int, int]]]()
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # of ONNX Runtime, which some tests import before a fixture is at work
set_hypothesis_home_dir(_ROOT / ".hypothesis")  # wherever a test works: what failed once is tried again


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what the checkout holds: the tests leave it so."""
    if not hasattr(session.config, "workerinput"):
        session.stash[_HELD] = _beside("checkout").snapshot(_ROOT)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test wrote into the checkout."""
    if _HELD not in session.stash:
        return
    checkout = _beside("checkout")
    if left := checkout.left_behind(session.stash[_HELD], checkout.snapshot(_ROOT)):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.ensure_newline()
        reporter.write_line(f"ERROR: written into the checkout meanwhile, by a test or by you: {', '.join(left[:20])}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no tool that it starts, writes into the home folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def _working_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, one a test."""
    base = tmp_path_factory.mktemp("working")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _working_folder(_working_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty folder: what a command leaves in its default workspace goes there."""
    folder = next(_working_folders)
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photographs, captures and recordings, named by SCONES_TEST_DATA."""
    folder = os.environ.get("SCONES_TEST_DATA")
    if not folder:
        pytest.skip("SCONES_TEST_DATA is not set: it names the folder of real photographs and recordings")
    return Path(folder).resolve()


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees an account, a region or a setting of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SCONES_")) and not name.startswith("SCONES_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    # Sessions remember the credentials of an earlier test: boto3's, which tests use, and our own.
    if boto3 := sys.modules.get("boto3"):
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    if clients := sys.modules.get("scones_ml.aws.clients"):
        clients.session.cache_clear()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A server that plays AWS on loopback, in a thread of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def doubtful() -> Callable[..., FilteredImage]:
    """Writes an image and what the workflow leaves of one that a person is to decide."""
    return _write_doubtful


def _write_doubtful(
    store: ObjectStore, key: str, data: bytes, inferences: tuple[float, ...], labels: tuple[str, ...]
) -> FilteredImage:
    ref = ImageRef(s3_bucket="scones-input", s3_key=key)
    ref = ref.model_copy(update={"etag": store.write(ref.s3_bucket, key, data, "image/png")})
    confidence = max(inferences)
    image = FilteredImage(
        **ref.model_dump(),
        image_id=ref.image_id,
        inferences=inferences,
        label=labels[inferences.index(confidence)],
        confidence=confidence,
        model="sha256:c41f",
        threshold=0.9,
        accepted=False,
    )
    outcome = json.dumps(image.to_event() | {"outcome": "review"})
    store.write("scones-output", f"outcomes/review/{image.image_id}.json", outcome.encode(), "application/json")
    return image


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says "motorcycle" the more, the brighter an image's red is: built by hand, in milliseconds."""
    return _write_brightness_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a model like `tiny_model` of other classes, by their names; some call no image by the third and later."""
    return lambda *labels, **facts: _write_brightness_model(tmp_path_factory.mktemp("other"), labels, **facts)


def _write_brightness_model(
    folder: Path, labels: tuple[str, ...] = ("bicycle", "motorcycle"), threshold: float | None = 0.9, slope: float = 6
) -> Path:
    """Write a model whose P of the second class is the sigmoid of the mean red, from -slope at black to full red."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from scones_ml.inference.model import MODEL_CARD, MODEL_GRAPH, ModelCard

    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = np.zeros((3, len(labels)), np.float32)
    weights[0, :2] = (-slope / 255, slope / 255)
    bias = np.full(len(labels), -9, np.float32)  # of classes that no image is taken for
    bias[:2] = (slope / 2, -slope / 2)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(labels)])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    (folder / MODEL_GRAPH).write_bytes(model.SerializeToString())
    card = ModelCard(labels=labels, input_size=8, threshold=threshold)
    (folder / MODEL_CARD).write_text(card.model_dump_json())
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A headless Chromium, see `browser.py`; the tests that need one are skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: pages are tested in a browser where there is one")
    running = _beside("browser").Browser(program, tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: a folder that outlives the tests where SCONES_TEST_ARTEFACTS names one."""
    named = os.environ.get("SCONES_TEST_ARTEFACTS")
    return Path(named).resolve() if named else tmp_path_factory.mktemp("artefacts")


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def instant_backend(tmp_path: Path, tiny_model: Path) -> LocalBackend:
    """A local backend whose trainer hands out the tiny model, and remembers what it was asked and taught with."""
    from scones_ml.local.backend import LocalBackend

    backend = LocalBackend(tmp_path / "workspace")
    backend.trainer = _InstantTrainer(tiny_model)  # type: ignore[assignment]
    return backend


@pytest.fixture(scope="session")
def only() -> Callable[[Backend], Backends]:
    """Makes what ``main`` takes for its backends: whatever ``--on`` names, it is this one."""
    return _OneBackend


@dataclass(frozen=True)
class _OneBackend:
    one: Backend

    def backend(self, name: str, workspace: Path, run: Run | None = None) -> Backend:
        return self.one

    planner = backend


class _InstantTrainer:
    """A Trainer that takes no time.

    Attributes:
        requests: what it was asked for.
        taught: the digests of the images of each training.
    """

    def __init__(self, model: Path) -> None:
        self.requests: list[TrainingRequest] = []
        self.taught: list[set[str]] = []
        self._model = model

    def train(self, request: TrainingRequest, progress: Progress = no_progress, steps: Steps = no_steps) -> None:
        from scones_ml import dataset

        self.requests.append(request)
        self.taught.append({record.sha256 for record in dataset.load(request.data).split("train")})
        shutil.copytree(self._model, request.model)
        progress(1, 1)
