"""The example that closes the loop, on a tenth of a tenth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "close_the_loop.py"


def test_the_loop_closes(tmp_path: Path) -> None:
    """From drawn images, answers that were asked for and answers by chance both make models; the table shows them."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--scale", "0.1", "--answers", "100", "--epochs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, head, *rows = done.stdout.splitlines()
    assert re.fullmatch(r"10 labels, 80 photographs waiting, of which \d+ doubtful; judged on 10 others a seed", first)
    assert head.split() == ["labels", "label-next", "by", "chance", "difference"]
    assert [row.split()[0] for row in rows] == ["10", "20"]
    assert all(re.fullmatch(r"\s*\d+(\s+[+-]?\d+\.\d%){3}", row) for row in rows)
