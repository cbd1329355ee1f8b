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
    from tests.models import write_brightness_model

    return write_brightness_model(tmp_path_factory.mktemp("model"))
