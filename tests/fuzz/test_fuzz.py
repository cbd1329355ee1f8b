"""A moment of `make fuzz` for each target."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
TARGETS = ("archives", "backbones", "captures", "cards", "events", "images", "manifests", "recordio", "torch-files")


@pytest.mark.skipif(sys.platform == "win32", reason="inputs are read in forks")
@pytest.mark.parametrize("target", TARGETS)
def test_a_moment_finds_nothing(target: str, tmp_path: Path) -> None:
    """Damaged input, a second of it, gives answers and errors of ours, and nothing else."""
    command = [sys.executable, str(RUN), target, "--seconds", "1", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings (seed 0)" in done.stdout


def test_every_target_is_tried() -> None:
    """The targets here are those of the command, and an unknown one is refused with their names."""
    done = subprocess.run([sys.executable, str(RUN), "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(target in done.stderr for target in TARGETS)


def test_a_finding_is_saved_and_read_again(tmp_path: Path) -> None:
    """An exception that is none of ours is a finding: printed once, saved, and raised again by the printed command."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(RUN.parent)!r})\n"
        "import run, targets\n"
        "def read(data):\n"
        "    if b'x' in data: raise ZeroDivisionError('x')\n"
        "    return 'read'\n"
        "def change(data, others, random): return data\n"
        "targets.TARGETS['events'] = lambda: targets.Target((b'abcdef', b'xyz'), change, read)\n"
        "sys.exit(run.main())\n"
    )
    command = [sys.executable, str(broken), "events", "--seconds", "0.5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "1 findings (seed 1)" in done.stdout
    (saved,) = (tmp_path / "build" / "fuzz").iterdir()
    assert saved.read_bytes() == b"xyz"
    assert f"again: python tests/fuzz/run.py events build/fuzz/{saved.name}" in done.stdout
