"""The README keeps its word."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import typer.main

from scones_ml.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_is_the_one_that_runs() -> None:
    """The README shows examples/life_cycle.py, line for line."""
    _, shown = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert (ROOT / "examples" / "life_cycle.py").read_text(encoding="utf-8").endswith(shown)


def test_the_example_runs(tmp_path: Path) -> None:
    """It stages, trains, evaluates and sends the test images through the workflow, each of which has a place."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "life_cycle.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^accuracy +\d+\.\d% .* of 40 images$", done.stdout, re.MULTILINE)
    assert re.search(r"^40 images: \d+ (accepted|review)", done.stdout, re.MULTILINE)
    assert done.stderr == "", "without a terminal there is no progress"


def test_it_is_short() -> None:
    """A newcomer reads fewer than 150 lines, and is told where it has not run and how it is installed."""
    assert len(README.splitlines()) < 150
    assert "never run on a live AWS account" in README.partition("\n## ")[0]
    assert "pip install '.[local]'" in README
    assert "pip install scones-ml" not in README, "it is not published"


def test_the_table_names_every_command() -> None:
    """Every verb of the command line is in the README's table, and no other."""
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `scones ([\w-]+)", README, re.MULTILINE)) == verbs


def test_committed_definitions_are_fresh() -> None:
    """``python -m scones_ml.workflows --check workflows`` finds nothing stale."""
    subprocess.run([sys.executable, "-m", "scones_ml.workflows", "--check", "workflows"], cwd=ROOT, check=True)
