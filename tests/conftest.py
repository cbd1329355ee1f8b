"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


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
        if name.startswith(("AWS_", "SCONES_")) and name != "SCONES_TEST_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


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
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says "motorcycle" the more, the brighter a picture's red is: built by hand, in milliseconds."""
    return _write_brightness_model(tmp_path_factory.mktemp("model"))


def _write_brightness_model(folder: Path, threshold: float | None = 0.9) -> Path:
    """Write a model whose P(motorcycle) is the sigmoid of the mean red, from -6 at black to +6 at full red."""
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
    weights = np.zeros((3, 2), np.float32)
    weights[0] = (-6 / 255, 6 / 255)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([3, -3], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    (folder / MODEL_GRAPH).write_bytes(model.SerializeToString())
    card = ModelCard(labels=("bicycle", "motorcycle"), input_size=8, threshold=threshold)
    (folder / MODEL_CARD).write_text(card.model_dump_json())
    return folder
