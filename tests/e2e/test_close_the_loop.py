"""The example that closes the loop, on a tenth of a tenth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "close_the_loop.py"


def test_the_loop_closes(tmp_path: Path) -> None:
    """From drawn images, chosen labels and random ones both make models; the table shows them."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--scale", "0.1", "--answers", "100", "--epochs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, head, *rows = done.stdout.splitlines()
    assert re.fullmatch(
        r"10 labels, 80 photographs without a label, of which \d+ sent to review; tested on 10 per seed", first
    )
    assert head.split() == ["labels", "label-next", "at", "random", "difference"]
    assert [row.split()[0] for row in rows] == ["10", "20"]
    assert all(re.fullmatch(r"\s*\d+(\s+[+-]?\d+\.\d%){3}", row) for row in rows)
