"""What holds the checkout unchanged by its tests, and what gives each test a folder of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkout() -> ModuleType:
    """The module that the tests' hooks use."""
    spec = importlib.util.spec_from_file_location("checkout", ROOT / "tests" / "checkout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_new_or_written_by_commands_is_named(checkout: ModuleType, tmp_path: Path) -> None:
    """New files and a ledger that grew are named; an edited source and a tool's cache are not."""
    for name in ("source.py", ".scones/ledger.jsonl", ".venv/lib.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")
    before = checkout.snapshot(tmp_path)
    assert checkout.left_behind(before, checkout.snapshot(tmp_path)) == []
    for name in ("source.py", ".scones/ledger.jsonl", ".venv/lib.py", "report.html"):
        (tmp_path / name).write_text("more")
    assert checkout.left_behind(before, checkout.snapshot(tmp_path)) == [".scones/ledger.jsonl", "report.html"]


def test_a_test_works_in_a_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The working folder is empty, and it and the home folder are temporary: what a command leaves goes there."""
    temporary = tmp_path_factory.getbasetemp().resolve()
    assert Path.cwd().resolve().is_relative_to(temporary)
    assert Path.home().resolve().is_relative_to(temporary)
    assert list(Path().iterdir()) == []
