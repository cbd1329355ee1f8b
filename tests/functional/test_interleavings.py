"""Commands at once in one workspace end as some order of them, one after the other, would.

Each interleaving draws its commands and when they start from a seed; commands run in forks of a server process that
has everything imported, endpoints as processes of their own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from scones_ml.cli import main
from scones_ml.local.backend import LocalBackend
from scones_ml.locks import holder_of

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("scones_ml.cli.deploy", "scones_ml.cli.resources", "scones_ml.cli.run", "scones_ml.local.backend"),
        *("scones_ml.local.workflow", "scones_ml.lifecycle", "numpy", "onnxruntime", "PIL.Image", "boto3"),
        *("aws_lambda_powertools", __name__),
    ]
)
COMMANDS = {
    "deploy": ["deploy", "tiny", "--json"],
    "deploy another": ["deploy", "tiny", "--name", "other", "--json"],
    "cleanup": ["cleanup", "--yes"],
    "run": ["run", "a.png", "--endpoint", "scones", "--json"],
    "run with a model": ["run", "a.png", "--model", "tiny", "--json"],
    "status": ["status"],
}
LOSES = (
    "being deployed or removed by process ",
    "is in use by a run, process ",
    "a run is in progress in ",
    "is being removed by process ",
    "are being removed by process ",
    "no endpoint is running",
    "there is no endpoint 'scones'",
    "made again while we cleaned up",
)
"""What a command may say that exits 1: who was there before it, or that nothing is there to be asked."""


def _command(arguments: Sequence[str], folder: Path, out: Path, seconds: float) -> None:
    os.chdir(folder)
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    time.sleep(seconds)
    sys.exit(main(arguments))


def at_once(folder: Path, commands: Sequence[tuple[str, float]]) -> list[tuple[str, int, str]]:
    """Run commands side by side, each from its own time in seconds on; name, exit code and what each said."""
    children = []
    for number, (name, seconds) in enumerate(commands):
        out = folder.with_name(f"{folder.name}.{number}.out")
        child = _FORKS.Process(target=_command, args=(COMMANDS[name], folder, out, seconds))
        child.start()
        children.append((name, child, out))
    ended = []
    for name, child, out in children:
        child.join(120)
        assert child.exitcode is not None, name
        ended.append((name, child.exitcode, out.read_text()))
    return ended


def servers(folder: Path) -> Counter[str]:
    """Names of the endpoints that processes of a folder serve, each as often as it is served."""
    found: Counter[str] = Counter()
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        words = line.decode(errors="replace").split("\0")
        if "scones_ml.inference" in words and any(word.startswith(f"{folder}/") for word in words):
            found[words[words.index("--name") + 1]] += 1
    return found


def look(folder: Path, ended: Sequence[tuple[str, int, str]]) -> None:
    """Every command has won or lost in one line, and the records say what runs."""
    for name, code, said in ended:
        assert code in (0, 1), said
        assert "Traceback" not in said, said
        assert code == 0 or any(words in said for words in LOSES), (name, said)
        if name.startswith("run") and code == 0:
            assert [result["outcome"] for result in json.loads(said)] == ["accepted"], said
    endpoints = {endpoint.name: endpoint for endpoint in LocalBackend(folder / ".scones").deployer.endpoints()}
    assert servers(folder) == Counter(list(endpoints)), ended
    for endpoint in endpoints.values():
        with urllib.request.urlopen(f"{endpoint.url}/ping", timeout=20) as answer:
            assert answer.status == 200


def assert_nothing_left(folder: Path) -> None:
    """Clean-up says that nothing is left."""
    ((_, code, said),) = at_once(folder, [("cleanup", 0.0)])
    assert (code, said.splitlines()[-1]) == (0, "0 resources left"), said


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Iterator[Path]:
    """A folder with a model and an image in it; whatever a test leaves running there is ended."""
    place = tmp_path / "work"
    place.mkdir()
    shutil.copytree(tiny_model, place / "tiny")
    Image.new("RGB", (20, 20)).save(place / "a.png")
    yield place
    at_once(place, [("cleanup", 0.0)])


def interleave(folder: Path, seed: int) -> None:
    """Some commands at once, then all looked at, then clean-up."""
    draw = random.Random(seed)
    names = ["deploy", *draw.choices(list(COMMANDS), k=draw.randint(2, 4))]
    commands = [(name, draw.choice([0.0, 0.01, draw.uniform(0, 1.5)])) for name in names]
    print(f"seed {seed}: {commands}")  # noqa: T201 - pytest shows it when it fails
    look(folder, at_once(folder, commands))
    assert_nothing_left(folder)
    assert not servers(folder)
    left = {path.relative_to(folder / ".scones").as_posix() for path in (folder / ".scones").rglob("*")}
    assert {name for name in left if not name.startswith("captures")} == {"ledger.jsonl", "workspace.json"}


@pytest.mark.parametrize("seed", range(10))
def test_commands_at_once(folder: Path, seed: int) -> None:
    """Of deploys, clean-ups, runs and looks at once each wins or loses in one line, and clean-up leaves no process."""
    interleave(folder, seed)


@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(10, 200))
def test_many_commands_at_once(folder: Path, seed: int) -> None:
    """So it is with 190 more."""
    interleave(folder, seed)


def test_two_deployments_at_once(folder: Path) -> None:
    """Of two deployments under one name at once one server is left, which answers, and the loser says who won."""
    ended = at_once(folder, [("deploy", 0.0), ("deploy", 0.0)])
    look(folder, ended)
    assert servers(folder) == {"scones": 1}
    assert 0 in [code for _, code, _ in ended]


def test_a_deployment_killed_before_its_record(folder: Path) -> None:
    """A server whose deployment is killed before it is on record ends by itself, and clean-up finds nothing running."""
    child = _FORKS.Process(target=_command, args=(COMMANDS["deploy"], folder, folder.with_suffix(".out"), 0.0))
    child.start()
    running = folder / ".scones" / "endpoints" / "scones.running"
    deadline = time.monotonic() + 30
    while holder_of(running) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    child.kill()
    child.join()
    assert_nothing_left(folder)
    while servers(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not servers(folder)
