"""What training on features takes of memory: the benchmark, whole where time allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_memory.py"


@pytest.mark.reliability
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("part", ["extractor", "head-10", "head-1000"])
def test_training_stays_within_500_megabytes(part: str) -> None:
    """5,000 images through the backbone and 100,000 feature vectors through the head take at most 500 MB."""
    command = [sys.executable, str(SCRIPT), "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")
