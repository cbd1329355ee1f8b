"""The account of the functional tests, for the promises that implementations on AWS keep too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _account() -> object:
    """The functional tests' own conftest, which is no package's module."""
    path = Path(__file__).parents[1] / "functional" / "conftest.py"
    spec = importlib.util.spec_from_file_location("functional_account", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.aws


aws = _account()
