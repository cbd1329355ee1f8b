"""The course's notebook in this library: it runs, its outputs are those that are committed, and its page fits it."""

from __future__ import annotations

import importlib.util
import re
import time
from pathlib import Path
from types import ModuleType

import pytest
import typer.main
from typer.core import TyperGroup

from scones_ml.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def notebook() -> ModuleType:
    """tests/notebook.py, which executes the notebook."""
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "tests" / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_shows_what_is_committed(
    notebook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs offline in less than 90 s, leaves no resource, and says what the committed outputs say."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = (tmp_path / "work").resolve()
    folder.mkdir()
    started = time.monotonic()
    found = notebook.code_cells(notebook.execute(folder))
    assert time.monotonic() - started < 90
    for cell, committed in zip(found, notebook.code_cells(notebook.read()), strict=True):
        said, meant = notebook.words(cell), notebook.words(committed)
        assert NUMBER.sub("#", said) == NUMBER.sub("#", meant), "if this is meant: python tests/notebook.py"
        numbers = [float(number) for number in NUMBER.findall(meant)]
        assert [float(number) for number in NUMBER.findall(said)] == pytest.approx(numbers, rel=0.02, abs=0.02)
    assert notebook.words(found[-1]).endswith("0 resources left")


def test_the_committed_notebook_is_small_and_of_no_machine(notebook: ModuleType) -> None:
    """Below 1 MB, each output below 200 KB and without a script, no error, no path of a machine, short cells."""
    assert notebook.NOTEBOOK.stat().st_size < 1_000_000
    for cell in notebook.code_cells(notebook.read()):
        assert len(cell.source.splitlines()) <= 14
        assert cell.execution_count
        for output in cell.outputs:
            shown = str(output)
            assert len(shown) < 200_000
            assert output.output_type != "error"
            assert not re.search(r"<script|/home/|/tmp/|/Users/", shown)


def test_the_page_tells_of_every_step(notebook: ModuleType) -> None:
    """The page's table has a row for each step of the notebook, under its name."""
    steps = re.findall(r"^## (\d+\. .+)$", "\n".join(cell.source for cell in notebook.read().cells), re.MULTILINE)
    assert len(steps) == 10
    assert re.findall(r"^\| (\d+\. [^|]+?) \|", PAGE, re.MULTILINE) == steps


def test_every_command_on_the_page_exists() -> None:
    """Each `scones` line names a verb of the command line, and options that the verb has."""
    commands = typer.main.get_command(app)
    assert isinstance(commands, TyperGroup)
    lines = re.findall(r"`scones ([^`]+)`", PAGE)
    assert len(lines) > 12
    for line in lines:
        verb, *rest = line.split()
        command = commands.commands[verb]
        if isinstance(command, TyperGroup):
            command = command.commands[rest[0]]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", line)) <= known, line
