"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photographs, captures and recordings, named by SCONES_TEST_DATA."""
    folder = os.environ.get("SCONES_TEST_DATA")
    if not folder:
        pytest.skip("SCONES_TEST_DATA is not set: it names the folder of real photographs and recordings")
    return Path(folder).resolve()
