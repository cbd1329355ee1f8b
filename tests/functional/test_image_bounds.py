"""What reading an image costs at most: the benchmark, on a sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "image_bounds.py"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
def test_reading_stays_within_its_bounds() -> None:
    """Hostile files among them, each kind of a sample takes at most 200 MB and 2 s, and is judged rightly."""
    command = [sys.executable, str(SCRIPT), "--sample"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 do not hold" in done.stdout
