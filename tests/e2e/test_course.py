"""The course's notebook in this library: it runs, and its page tells of what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from scones_ml.cli.app import app

ROOT = Path(__file__).parents[2]
COURSE = (ROOT / "examples" / "course.py").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
CELLS = re.findall(r"^# %% (\d+)\. ([^:,\n]+)", COURSE, re.MULTILINE)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the script says, on few images and for two epochs."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "course.py"), "--per-class", "40", "--epochs", "2"],
        cwd=tmp_path_factory.mktemp("course"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_twelve_cells_run_and_leave_nothing(printed: list[str]) -> None:
    """From drawn images to an empty workspace, here and offline; every request of the endpoint was captured."""
    assert len(CELLS) == 12
    assert printed[-1] == "0 resources left"
    assert any(re.fullmatch(r"outcomes \{.*\}", line) for line in printed)
    assert "captured 14 requests, shown in .scones/course/captures.html" in printed
    assert "an old event True" in printed
    assert "state machine 18 states, 0 findings" in printed


def test_the_page_tells_of_every_cell() -> None:
    """The page's table has a row for each cell of the script, under its name."""
    rows = re.findall(r"^\| (\d+)\. ([^|,]+?)(?:,[^|]*)? \|", PAGE, re.MULTILINE)
    assert rows == [(number, name.strip()) for number, name in CELLS]


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
