"""Killed before any change that it makes, a verb leaves nothing that the same verb or cleanup does not set right.

The change is what the interpreter's own audit events say: a file opened for writing, renamed or removed, a folder made
or removed, a process started or signalled. A verb runs in a fork of a server process that has everything imported, and
is killed (SIGKILL) right before its n-th change, for every third n until it gets through, and under `make reliability`
for every n.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import dataset
from scones_ml.cli import main
from scones_ml.cli.app import VERBS
from scones_ml.cli.terminal import StageLines
from scones_ml.lifecycle.demo import DemoRequest, run_demo
from scones_ml.local.backend import LocalBackend
from scones_ml.plans import Entry, Ledger
from scones_ml.ports import TrainingRequest

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *sorted({f"scones_ml.cli.{verb.target.partition(':')[0]}" for verb in VERBS.values()}),
        *("scones_ml.dataset.staging", "scones_ml.lifecycle.demo", "scones_ml.local.backend", "scones_ml.local.bulk"),
        *("scones_ml.local.workflow", "numpy", "onnxruntime", "PIL.Image", "aws_lambda_powertools", __name__),
    ]
)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.kill", "subprocess.Popen"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _die_before(change: int, folder: Path) -> None:
    """Have this process killed right before its n-th change; of many like ones in a row the first counts."""
    seen = 0
    last = ("", "")

    def hook(event: str, details: tuple[object, ...]) -> None:
        nonlocal seen, last
        path = Path(str(details[0])).absolute() if details and isinstance(details[0], str | Path) else folder
        writes = event == "open" and bool(int(str(details[2])) & _WRITING) and path.is_relative_to(folder)
        if writes or event in _CHANGES:
            kind = event, str(path.parent)
            seen += kind != last
            last = kind
            if seen == change:
                signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(hook)


class _Trained:
    """A trainer that is done at once: the model was trained before."""

    def __init__(self, model: Path) -> None:
        self._model = model

    def train(self, request: TrainingRequest, progress: object = None, steps: object = None) -> None:
        shutil.copytree(self._model, request.model, dirs_exist_ok=True)


def _demo(folder: Path, model: Path, line: int) -> None:
    """The demo, killed right before its n-th line in the ledger."""
    backend = LocalBackend(folder)
    backend.trainer = _Trained(model)  # type: ignore[assignment]
    append, written = Ledger.append, 0

    def counted(self: Ledger, entry: Entry) -> None:
        nonlocal written
        written += 1
        if written == line:
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, entry)

    Ledger.append = counted  # type: ignore[method-assign]
    run_demo(backend, DemoRequest(folder, images=2, per_class=12), StageLines())


def _verb(arguments: list[str], folder: Path, change: int) -> None:
    os.chdir(folder)
    out = os.open(folder.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if change:
        _die_before(change, folder)
    sys.exit(main(arguments))


def run(folder: Path, *arguments: str, die_before: int = 0) -> tuple[int, str]:
    """Run a command in a process of its own; its exit code (-9 when it was killed) and what it printed."""
    child = _FORKS.Process(target=_verb, args=(list(arguments), folder, die_before))
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode, folder.with_suffix(".out").read_text()


def killed_everywhere(folder: Path, every: int, *arguments: str, first: int = 1) -> Iterator[int]:
    """Kill a command before its first change and every so many further ones, in the folder as the caller left it."""
    for change in range(first, 200, every):
        code, said = run(folder, *arguments, die_before=change)
        if code != -signal.SIGKILL:
            assert code == 0, said
            print(f"{arguments[0]}: {(change - first) // every} kill points")  # noqa: T201 - pytest -rP shows it
            return
        yield change
    raise AssertionError("it never gets through")


def processes(folder: Path) -> list[str]:
    """Command lines of the processes that were started for a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                variables = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"\0scones_ml." in command and bytes(folder) in command + variables:
                found.append(command.replace(b"\0", b" ").decode())
    return found


def files(folder: Path) -> set[str]:
    """All files and folders below a folder but for the ledger and the workspace's marker."""
    kept = ("ledger.jsonl", "workspace.json")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name not in kept}


def wait_for(condition: Callable[[], bool]) -> bool:
    """A process that was told to end needs a moment."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def nothing_left(folder: Path) -> bool:
    code, said = run(folder, "cleanup", "--yes")
    proven = "is kept: " not in said and said.splitlines()[-1] == "0 resources left"
    return code == 0 and proven and wait_for(lambda: not processes(folder))


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Iterator[Path]:
    """A folder with a model in it, and an image."""
    place = tmp_path / "work"
    place.mkdir()
    shutil.copytree(tiny_model, place / "tiny")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (255, 0, 0)).save(buffer, "PNG")
    (place / "a.png").write_bytes(buffer.getvalue())
    yield place
    for endpoint in LocalBackend(place / ".scones").deployer.endpoints():
        LocalBackend(place / ".scones").deployer.remove(endpoint.name)


@pytest.fixture(params=[3, pytest.param(1, marks=pytest.mark.reliability)], ids=["some", "all"])
def every(request: pytest.FixtureRequest) -> int:
    """How many changes apart the kills are."""
    return int(request.param)


def test_deploy(folder: Path, every: int) -> None:
    """A deployment killed anywhere is cleaned up; and one tried again instead serves with exactly one process."""
    before = files(folder)
    for change in killed_everywhere(folder, every, "deploy", "tiny"):
        if change % 2:
            code, said = run(folder, "deploy", "tiny", "--json")
            assert code == 0, (change, said)
            with urllib.request.urlopen(json.loads(said)["url"] + "/ping", timeout=10) as answer:
                assert answer.status == 200
            assert wait_for(lambda: len(processes(folder)) == 1), change
        assert nothing_left(folder), change
        assert files(folder) - {".scones"} == before, change


def test_run(folder: Path, every: int) -> None:
    """What a run killed anywhere wrote is cleaned up; tried again instead, it ends as if it had never been killed."""
    command = ["run", "a.png", "--model", "tiny"]
    before = files(folder)
    assert run(folder, *command)[0] == 0
    whole = files(folder)
    assert nothing_left(folder)
    for change in killed_everywhere(folder, every, *command):
        if change % 2:
            assert run(folder, *command)[0] == 0
            assert {name for name in files(folder) if "%tmp-" not in name} == whole, change
        assert nothing_left(folder), change
        assert files(folder) - {".scones"} == before, change


def test_bulk(folder: Path, every: int) -> None:
    """A bulk run killed anywhere resumes to the same results, and is cleaned up."""
    (folder / "inbox").mkdir()
    shutil.copy(folder / "a.png", folder / "inbox")
    command = ["run", "inbox", "--bulk", "--model", "tiny"]
    before = files(folder)
    for change in killed_everywhere(folder, every, *command):
        if change % 4 == 1:
            code, said = run(folder, *command, "--json")
            assert code == 0
            assert json.loads(said)["images"] == 1
        assert nothing_left(folder), change
        assert files(folder) - {".scones"} == before, change


@pytest.mark.parametrize("earlier", [False, True])
def test_stage(folder: Path, every: int, earlier: bool) -> None:
    """A staging killed anywhere leaves what was there before or the whole new data set, and nothing half-made."""
    for name in ("bicycle", "motorcycle"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.effect_noise((16, 16), 80).save(folder / "photos" / name / f"{number}.png")
    command = ["stage", "photos", "data", "--seed", "7"]
    if earlier:
        assert run(folder, "stage", "photos", "data", "--seed", "1")[0] == 0
        shutil.copytree(folder / "data", folder.parent / "earlier")
    before = files(folder) - {".scones"}
    assert run(folder, *command)[0] == 0
    whole = files(folder) - {".scones"}
    # What is made before the new data set takes its place is made in either case.
    for change in killed_everywhere(folder, every, *command, first=28 if earlier else 1):
        if change % 2:
            assert run(folder, *command)[0] == 0
            assert files(folder) - {".scones"} == whole, change
        assert nothing_left(folder), change
        assert files(folder) - {".scones"} in (before, whole), change
        shutil.rmtree(folder / "data", ignore_errors=True)
        if earlier:
            shutil.copytree(folder.parent / "earlier", folder / "data")


def test_train(folder: Path, every: int) -> None:
    """A training killed anywhere leaves no process and no half-made model; tried again, it leaves a whole one."""
    dataset.stage(dataset.Synthetic(per_class=8, size=32), folder / "data")
    command = ["train", "data", "--epochs", "1", "--model", "model"]
    before = files(folder)
    for change in killed_everywhere(folder, every, *command):
        assert nothing_left(folder), change
        made = files(folder) - {".scones"} - before
        assert not made or {"model/model.onnx", "model/model.json"} <= made, change


def test_a_training_ends_with_whoever_waits_for_it(folder: Path) -> None:
    """Clean-up leaves a training that goes on; when its command is killed, it ends by itself and leaves no model."""
    dataset.stage(dataset.Synthetic(per_class=8, size=32), folder / "data")
    command = _FORKS.Process(
        target=_verb, args=(["train", "data", "--epochs", "100000", "--model", "model"], folder, 0)
    )
    command.start()
    log = folder / "model" / "training.log"
    assert wait_for(lambda: log.exists() and "Epoch[" in log.read_text())
    assert processes(folder)
    code, said = run(folder, "cleanup")
    assert (code, said.splitlines()[-1]) == (1, "1 resource left")
    assert f"is being trained by process {command.pid}: try again when it has ended" in said
    assert log.exists()
    command.kill()
    assert wait_for(lambda: not processes(folder))
    assert nothing_left(folder)
    assert not (folder / "model").exists()


def test_demo(tmp_path: Path) -> None:
    """Of a demo killed while it serves, runs or cleans up, cleanup leaves the data set and the model alone."""
    folder = tmp_path / "work" / ".scones" / "demo"
    data = dataset.stage(dataset.Synthetic(per_class=12, size=32), tmp_path / "data").dataset
    LocalBackend(tmp_path).trainer.train(TrainingRequest(data.root, tmp_path / "model", epochs=1))
    for line, at in {4: "creating endpoint", 7: "created objects", 13: "deleted objects"}.items():
        child = _FORKS.Process(target=_demo, args=(folder, tmp_path / "model", line))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        entry = list(LocalBackend(folder).ledger.entries())[-1]
        assert f"{entry.state} {entry.kind}" == at
        assert nothing_left(tmp_path / "work"), at
        left = {name.partition("/")[0] for name in files(folder)}
        assert left <= {"data", "model", "captures"}, at


@pytest.mark.parametrize("made", ["endpoint", "objects"])
def test_cleanup(folder: Path, every: int, made: str) -> None:
    """A cleanup killed anywhere forgets nothing: the next one removes the rest."""
    command = ["deploy", "tiny"] if made == "endpoint" else ["run", "a.png", "--model", "tiny"]
    before = files(folder)
    assert run(folder, *command)[0] == 0
    for change in killed_everywhere(folder, every, "cleanup"):
        assert nothing_left(folder), change
        assert files(folder) - {".scones"} == before, change
        assert run(folder, *command)[0] == 0


@pytest.mark.reliability
@pytest.mark.parametrize(
    "command",
    [
        "stage photos data",
        "train data --epochs 1 --model model",
        "deploy tiny",
        "run a.png --model tiny",
        "run a.png --endpoint asked",
        "run photos --bulk --model tiny",
        "evaluate tiny staged",
        "label-next 2 photos --model tiny",
        "status",
        "cleanup",
    ],
)
def test_killed_at_random_moments(folder: Path, command: str) -> None:
    """Each verb is killed 20 times at any moment; the same one then does its work, and clean-up leaves nothing."""
    for name in ("bicycle", "motorcycle"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(6):
            Image.effect_noise((16, 16), 80).save(folder / "photos" / name / f"{number}.png")
    dataset.stage(folder / "photos", folder / "staged", image_size=8)
    dataset.stage(dataset.Synthetic(per_class=8, size=32), folder / "data")
    before = files(folder)
    needs_one = command in ("cleanup", "status") or "asked" in command
    asked = ["deploy", "tiny", "--name", "asked"] if needs_one else ["status"]
    assert run(folder, *asked)[0] == 0
    started = time.monotonic()
    code, said = run(folder, *command.split())
    seconds = time.monotonic() - started
    assert code == 0, said
    made = files(folder) | before
    draw = random.Random(command)
    for kill in range(20):
        assert run(folder, *asked)[0] == 0
        child = _FORKS.Process(target=_verb, args=(command.split(), folder, 0))
        child.start()
        moment = draw.uniform(0, seconds)
        time.sleep(moment)
        child.kill()
        child.join()
        if kill % 4 == 0:
            code, said = run(folder, *command.split())
            assert code == 0 or "next" in said or "scones deploy" in said, (moment, said)
        assert nothing_left(folder), moment
        left = {name for name in files(folder) if not name.startswith(".scones")}
        assert left <= made, moment
        assert before - left <= {name for name in before if name.startswith(("data", "staged"))}, moment
