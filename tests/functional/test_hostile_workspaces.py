"""Workspaces and ledgers that lie: whatever they say, clean-up on this machine touches nothing of anybody else's.

One generator writes all of them. Every file, folder and link outside the workspace, and every process, is there
before and after, unchanged; of a workspace without our marker nothing is gone either.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scones_ml import lifecycle
from scones_ml.claims import claimed
from scones_ml.cli import main
from scones_ml.local.backend import LocalBackend
from scones_ml.plans import mark_workspace, recorded

STATES = ("creating", "created", "deleting", "deleted", "gone", "", None, 5)
PLACES = ("local", "local", "local", "local", "aws:us-east-1", "aws:mars-1", "mars", "", None)
KINDS = (
    *("endpoint", "objects", "data set", "model", "report"),
    *("object", "endpoint config", "training job", "transform job", "scaling target", "scaling policy", "alarm"),
    *("log group", "stack", "spaceship", "", None, ["endpoint"], {"a": 1}),
)
LINES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[" * 5_000,
    b'{"kind":' * 3_000,
    b"\xff\xfe\x00",
    b'{"name": "\\ud800"}',
    b'{"name": "a", "name": "b"}',
    b'{"kind": 1e999}',
    b'{"format": 1}',
    b"\x1b[2J\x07",
    b'{"time": "2026-11-2',
    b'"' + b"x" * 1_000_000 + b'"',
)
RUN = "20261128-010730-143861"


@dataclass(frozen=True)
class Hostile:
    """What the generator made.

    Attributes:
        workspace: that is cleaned up.
        marked: whether it bears our marker in its own folder, so that what is in it may go.
        bystanders: folders that nothing may be gone from, nor added to, nor changed in.
    """

    workspace: Path
    marked: bool
    bystanders: tuple[Path, ...]


def hostile(seed: int, root: Path, pids: Sequence[int]) -> Hostile:
    """Write a workspace that lies, and what it lies about.

    Args:
        seed: of everything random.
        root: an empty folder.
        pids: numbers of processes that are somebody else's.
    """
    chance = random.Random(seed)
    victim, other = root / "victim", root / "other"
    write_victim(victim)
    write_other(other, pids, chance)
    project = root / "project"
    project.mkdir()
    (project / "notes.txt").write_text("mine")
    workspace, marked = choose_workspace(chance, project, victim, other)
    if not workspace.is_symlink() and workspace.is_relative_to(project):
        fill(chance, workspace, victim, other, pids)
        write_ledger(chance, workspace, victim, other)
    return Hostile(workspace, marked, (victim, other, project))


def write_victim(folder: Path) -> None:
    """A project that knows nothing of us, and has files that are called like ours."""
    for name in (
        *("buckets/a/photo.png", "buckets/b.txt", "endpoints/bikes.json", "endpoints/bikes.log", "endpoints/x.part"),
        *("server.log", "server.json", "report.part", "report.html", "buckets.lock", "endpoints/bikes.running"),
        *("model/training.log", "model/.model.onnx.part", "model/training.lock", "whole/model.json"),
        *("data/dataset.json", ".data.0a1b2c3d.partial/keep", ".data.0a1b2c3d.old/keep", ".new.0a1b2c3d.partial/new/a"),
        *("demo/ledger.jsonl", "demo/buckets/c/d", "locks/x", "captures/a.jsonl", "reviews/answers.jsonl"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} of the victim")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(folder / "data")


def write_other(folder: Path, pids: Sequence[int], chance: random.Random) -> None:
    """Another workspace of the same person, with all that clean-up removes there."""
    workspace = folder / ".scones"
    mark_workspace(workspace)
    backend = LocalBackend(workspace)
    backend.store.write("scones-input", "inbox/a.png", b"image", "image/png")
    for name in ("model", "data"):
        (folder / name).mkdir()
    with claimed(folder / "model", workspace):
        (folder / "model" / "training.log").write_text("Epoch[0]")
    partial = folder / ".data.0a1b2c3d.partial"
    (partial / "old").mkdir(parents=True)
    with claimed(partial, workspace):
        (partial / "old" / "dataset.json").write_text("{}")
    write_record(workspace / "endpoints", "bikes", chance.choice(pids), folder)
    plan = lifecycle.plan_run(backend)
    for change in plan.changes:
        with recorded(change, plan.place, backend.ledger, backend.current_run):
            pass


def write_record(records: Path, name: str, pid: object, captures: Path) -> None:
    """An endpoint's record, as it is written or was by an earlier version."""
    records.mkdir(parents=True, exist_ok=True)
    endpoint = {
        "name": name,
        "url": "http://127.0.0.1:9",
        "labels": ["a", "b"],
        "image_size": 32,
        "threshold": 0.5,
        "captures": str(captures),
    }
    for form in ({"pid": pid, "endpoint": endpoint}, {"format": 2, "pid": pid, "endpoint": endpoint}):
        (records / f"{name}.json").write_text(json.dumps(form))
        name += "-2"
    (records / f"{name}.log").write_text("log")


def choose_workspace(chance: random.Random, project: Path, victim: Path, other: Path) -> tuple[Path, bool]:
    """The folder that is cleaned up, and whether it is really ours."""
    kind = chance.randrange(10)
    workspace = project / ".scones"
    if kind == 0:
        workspace.symlink_to(other / ".scones")  # the whole of it
        return workspace, False
    if kind == 1:
        return victim, False  # a project of its own, by `--workspace .`
    if kind == 2:
        workspace.mkdir()  # no marker
        return workspace, False
    if kind == 3:
        workspace.mkdir()  # somebody else's file, or a link to a real marker
        if chance.random() < 0.5:
            (workspace / "workspace.json").symlink_to(other / ".scones" / "workspace.json")
        else:
            (workspace / "workspace.json").write_text(
                chance.choice(['{"made_by": "vscode"}', "[]", "", '{"format": 2}'])
            )
        return workspace, False
    if kind == 4:
        shutil.copytree(other / ".scones", workspace, symlinks=True)
        return workspace, True
    mark_workspace(workspace)
    return workspace, True


def fill(chance: random.Random, workspace: Path, victim: Path, other: Path, pids: Sequence[int]) -> None:
    """What may be in a workspace: buckets, records, links at every level, names that are none."""
    for part, inside in (("buckets", "scones-input"), ("endpoints", "bikes.json"), ("demo", "ledger.jsonl")):
        how = chance.randrange(4)
        if (workspace / part).exists() or how == 0:
            continue
        if how == 1:
            (workspace / part).symlink_to(chance.choice([victim / part, other / ".scones" / part, other / ".scones"]))
        elif part == "buckets":
            deep = workspace / part / inside / chance.choice(["inbox", "a" * 200, "%2E%2E", "caf\udce9"])
            deep.mkdir(parents=True)
            (deep / "photo.png").write_bytes(b"image")
            (deep / "out").symlink_to(chance.choice([victim, victim / "buckets", other, Path("/")]))
            (workspace / part / chance.choice(["linked", "a", "b"])).symlink_to(victim / "buckets" / "a")
            (workspace / part / chance.choice(["%", "caf\udce9", "%zz", "..%2F"])).mkdir()
        elif part == "endpoints":
            number = chance.choice([*pids, os.getpid(), os.getppid(), 1, 0, -1, 2**70, "1", None])
            write_record(workspace / part, chance.choice(["bikes", "scones", "a.b", "-x"]), number, victim)
            for name in ("vans.json", "vans.log", "vans.part", "vans.running", "vans.lock", "caf\udce9.json"):
                if chance.random() < 0.3:
                    (workspace / part / name).symlink_to(victim / "server.log")
    if chance.random() < 0.3:
        with contextlib.suppress(FileExistsError):
            (workspace / chance.choice(["report.part", "buckets.lock", "reviews", "captures"])).symlink_to(victim)


def write_ledger(chance: random.Random, workspace: Path, victim: Path, other: Path) -> None:
    """Lines that name everybody else's things, and lines that are none."""
    path = workspace / "ledger.jsonl"
    if chance.random() < 0.1 and not path.exists():
        path.symlink_to(victim / "server.log")
        return
    with path.open("ab") as file:
        for _ in range(chance.randrange(1, 40)):
            line = chance.choice(LINES) if chance.random() < 0.2 else forged(chance, workspace, victim, other)
            file.write(line + chance.choice([b"\n", b"\n", b"\n", b"\r\n", b"\n\n"]))


def forged(chance: random.Random, workspace: Path, victim: Path, other: Path) -> bytes:
    """A line as ours are, with a name that is not; half of them as good as any."""
    if chance.random() < 0.5:
        kind = chance.choice(KINDS[:5])
        folder = chance.choice([victim, other, Path(f"{workspace}/../../victim")])
        path = chance.choice(["model", "data", "new", "whole", "report.html", "empty", "link", "nowhere/at/all"])
        name = chance.choice(["s3://scones-input/", "s3://a/"]) if kind == "objects" else f"{folder}/{path}"
        name = chance.choice(["bikes", "scones", "vans"]) if kind == "endpoint" else name
        times = {"time": "2026-11-28T01:07:30+00:00", "expires": None}
        line = {"run": RUN, "state": "creating", "place": "local", "kind": kind, "name": name, "dollars_per_hour": 0.0}
        return json.dumps(times | line).encode()
    place = chance.choice([victim, other, other / ".scones", workspace, workspace / ".." / ".." / "victim"])
    leaf = chance.choice(
        [
            *("server", "endpoints/bikes", "model", "data", "new", "report.html", "report", "empty", "link", "buckets"),
            *(
                "",
                "..",
                "../victim/model",
                "whole",
                "a\x1b[2J\nb",
                "\u202eexe",
                "x" * 3_000,
                "nowhere/at/all",
                ".scones",
            ),
        ]
    )
    names = [
        *(f"{place}/{leaf}", leaf, f"../../{leaf}", f"s3://{leaf}/", "s3://foreign/", "s3://../", "s3:///", "/", "."),
        *(
            "s3://scones-input/",
            "bikes",
            "scones",
            "../endpoints/bikes",
            "bikes/../../victim/server",
            f"file://{place}",
        ),
    ]
    document = {
        "time": chance.choice([datetime.now(UTC).isoformat(), "2026-11-28T01:07:30+00:00", "soon", 5]),
        "run": chance.choice([RUN, RUN, "\x1b[31m", ""]),
        "state": chance.choice(STATES[:3]) if chance.random() < 0.8 else chance.choice(STATES),
        "place": chance.choice(PLACES),
        "kind": chance.choice(KINDS[:5]) if chance.random() < 0.7 else chance.choice(KINDS),
        "name": chance.choice(names),
        "dollars_per_hour": chance.choice([0.0, 0.0, None, "free"]),
        "expires": chance.choice([None, None, "2020-01-01T00:00:00+00:00", "never"]),
    }
    if chance.random() < 0.5:
        document["format"] = 2
    return json.dumps(document).encode()


def contents(folder: Path) -> dict[str, object]:
    """Everything in a folder: what each thing is, and what it holds."""
    found: dict[str, object] = {}
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                found[str(path)] = path.readlink()
            elif stat.S_ISREG(status.st_mode):
                found[str(path)] = status.st_mtime_ns, path.read_bytes()
            else:
                found[str(path)] = status.st_mode
    return found


@pytest.fixture(scope="module")
def bystanders() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of other people, some of which look like servers of ours."""
    sleep = "import sys; sys.stdin.read()"
    ours = ("-m", "scones_ml.inference", "model", "--confirm", "--name", "bikes", "--port", "0")
    commands = [(), ours, (*ours[:5], "scones", *ours[6:])]
    started = [
        subprocess.Popen([sys.executable, "-c", sleep, *more], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for more in commands
    ]
    yield started
    for process in started:
        process.communicate()


def check_nothing_foreign_is_touched(seed: int, root: Path, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Build one, clean it up in every way there is, and compare."""
    made = hostile(seed, root, [process.pid for process in processes])
    before = {folder: contents(folder) for folder in made.bystanders}
    for arguments in (["status"], ["cleanup", "--dry-run"], ["cleanup", "--yes"], ["cleanup", "--yes", "--run", RUN]):
        code = main([*arguments, "--workspace", str(made.workspace)])
        assert code in (0, 1), (seed, arguments, code)
    for folder, known in before.items():
        now = contents(folder)
        may_go = str(made.workspace) + os.sep
        gone = {
            path for path in known if now.get(path) != known[path] and not (made.marked and path.startswith(may_go))
        }
        added = {path for path in now if path not in known and not path.startswith(may_go)}
        assert not gone, (seed, sorted(gone))
        assert not added, (seed, sorted(added))
    assert all(process.poll() is None for process in processes), seed


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk: what is written is compared, not its safety."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("seed", range(60))
def test_nothing_foreign_is_touched(
    seed: int, tmp_path: Path, bystanders: list[subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Cleaning up a workspace that lies leaves every file and process of others alone, and says so on clean lines."""
    check_nothing_foreign_is_touched(seed, tmp_path, bystanders)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert all(line.isprintable() for line in (said.out + said.err).splitlines()), seed


@pytest.mark.reliability
@pytest.mark.usefixtures("_quick")
def test_nothing_foreign_is_touched_500_times(
    tmp_path: Path, bystanders: list[subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Five hundred workspaces that lie, and not one file or process of others is touched."""
    for seed in range(1_000, 1_500):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_nothing_foreign_is_touched(seed, folder, bystanders)
        shutil.rmtree(folder)
        capsys.readouterr()
