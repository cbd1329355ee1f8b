"""Plan, record, execute, proof, on this machine: what each verb says that it will do, and what cleanup leaves."""

from __future__ import annotations

import io
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import dataset, lifecycle
from scones_ml.claims import MARKER, claimed
from scones_ml.cli import main
from scones_ml.cli.plans import cost_line, dollars
from scones_ml.dataset import Synthetic
from scones_ml.errors import ConfigurationError, TransientServiceError
from scones_ml.lifecycle.demo import DemoRequest, plan_demo
from scones_ml.local.backend import LocalBackend
from scones_ml.local.store import DirectoryObjectStore
from scones_ml.plans import Change, Entry, Ledger, Plan, Run, execute, mark_workspace
from scones_ml.ports import DeploymentRequest, TrainingRequest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty drawn images, staged."""
    staged = tmp_path_factory.mktemp("staged") / "data"
    dataset.stage(Synthetic(per_class=20, size=32), staged)
    return staged


def make_image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (255, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_verb_says_what_it_would_make(folder: Path, data: Path, tiny_model: Path) -> None:
    """The plans of stage, train, deploy and run are the resources that they make, in order."""
    backend = LocalBackend(folder)
    assert lifecycle.plan_stage(Path("data")) == Plan(
        "stage", "local", (Change("create", "data set", str(folder / "data"), "checked and split images"),)
    )
    assert lifecycle.plan_train(backend, TrainingRequest(data, Path("model"))) == Plan(
        "train", "local", (Change("create", "model", str(folder / "model"), f"trained on {data}"),)
    )
    assert lifecycle.plan_deploy(backend, DeploymentRequest("bikes", tiny_model)) == Plan(
        "deploy", "local", (Change("create", "endpoint", "bikes", f"answers requests with {tiny_model}"),)
    )
    assert [change.name for change in lifecycle.plan_run(backend).changes] == [
        "s3://scones-input/",
        "s3://scones-output/",
    ]
    assert lifecycle.plan_upload("s3://bucket/bikes", "eu-west-1") == Plan(
        "stage",
        "aws:eu-west-1",
        (Change("create", "objects", "s3://bucket/bikes/", "the data set, for training", "s3:PutObject"),),
    )


def test_the_demo_removes_what_costs_or_is_in_the_way(folder: Path) -> None:
    """The demo's plan makes six things and removes three of them, last made first; its results stay."""
    changes = plan_demo(LocalBackend(folder), DemoRequest(folder)).changes
    made = [(change.kind, change.name) for change in changes if change.action == "create"]
    removed = [(change.kind, change.name) for change in changes if change.action == "delete"]
    assert [kind for kind, _ in made] == ["data set", "model", "endpoint", "objects", "objects", "report"]
    assert removed == [made[4], made[3], made[2]]


_RUN = r"\d{8}-\d{6}-[0-9a-f]{6}"
ON_AWS = ["train --on aws", "deploy --on aws", "run --on aws", "cleanup --on aws"]


@pytest.mark.parametrize("verb", ["stage", "train", "deploy", "run", "run --bulk", "demo", "cleanup", *ON_AWS])
def test_a_dry_run_does_nothing(
    folder: Path,
    data: Path,
    tiny_model: Path,
    verb: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --dry-run every verb prints its plan, needs no credentials, and leaves no file at all."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    arguments = {
        "stage": ["stage", str(data), "s3://bucket/bikes"],
        "train": ["train", str(data)],
        "deploy": ["deploy", str(tiny_model)],
        "run": ["run", str(data), "--model", str(tiny_model)],
        "run --bulk": ["run", str(data), "--bulk", "--model", str(tiny_model)],
        "demo": ["demo"],
        "cleanup": ["cleanup"],
        "train --on aws": ["train", str(data), "--on", "aws"],
        "deploy --on aws": ["deploy", str(tiny_model), "--on", "aws"],
        "run --on aws": ["run", str(data), "--on", "aws"],
        "cleanup --on aws": ["cleanup", "--on", "aws"],
    }[verb]
    assert main([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "nothing was done" in shown.err
    assert main([*arguments, "--dry-run", "--json"]) == 0
    (first, *_) = json.loads(capsys.readouterr().out)
    assert first["verb"] == verb.partition(" ")[0]
    for change in first["changes"]:
        assert re.sub(_RUN, "RUN", change["name"]) in re.sub(_RUN, "RUN", shown.out)
    assert files_in(folder) == []


def test_bad_input_is_refused_before_the_plan(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says what would fail: a model that is none, a data set that is none, a duration that is none."""
    assert main(["deploy", "nowhere", "--dry-run"]) == 1
    assert main(["train", "nowhere", "--dry-run"]) == 1
    assert main(["deploy", "nowhere", "--ttl", "soon"]) == 1
    words = capsys.readouterr().err
    assert "scones train" in words
    assert "scones stage" in words
    assert "--ttl 'soon': give it as 30s, 5m, 2h or 7d" in words


def test_prices_are_dated(folder: Path) -> None:
    """A cost says by the hour, by the month and as of when; an unknown price is said to be unknown."""
    assert cost_line(0.23, "aws:us-east-1") == (
        "$0.23 an hour, $167.90 a month; list prices as of 2026-08, requests and storage not counted"
    )
    assert "not known" in cost_line(None, "aws:us-east-1")
    assert cost_line(0.23, "aws:mars-1") == "$0.23 an hour, $167.90 a month"
    assert cost_line(0.0, "local") == "on this machine: costs nothing"
    assert [dollars(amount) for amount in (0.0, 0.115, 12.0, 0.00002, None)] == [
        "$0.00",
        "$0.115",
        "$12.00",
        "$0.00002",
        "unknown",
    ]


def test_cleanup_of_one_run_leaves_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--run removes what this run made, newest first, and nothing else; an unknown run is named."""
    first, second = Run("1"), Run("2")
    mark_workspace(folder / ".scones")
    ledger = LocalBackend(folder / ".scones").ledger
    for run, bucket in ((first, "a"), (second, "b"), (first, "c")):
        LocalBackend(folder / ".scones").store.write(bucket, "x", b"1", "")
        change = Change("create", "objects", f"s3://{bucket}/", "")
        execute(Plan("run", "local", (change,)), lambda _: None, ledger, run)
    backend = LocalBackend(folder / ".scones")
    plan = lifecycle.plan_cleanup(backend, run="1")
    assert [change.name for change in plan.changes] == ["s3://c/", "s3://a/"]
    assert main(["cleanup", "--run", "1"]) == 0
    assert capsys.readouterr().out == "0 resources left\n"
    assert list(DirectoryObjectStore(folder / ".scones" / "buckets").buckets()) == ["b"]
    assert main(["cleanup", "--run", "3"]) == 1
    assert "there is no run '3' in" in capsys.readouterr().err


def test_cleanup_touches_nothing_that_is_not_ours(folder: Path, tiny_model: Path) -> None:
    """Results stay, a data set that is whole too, and so does every file that nobody's record names."""
    dataset.stage(Synthetic(per_class=20, size=32), folder / "data")
    backend = LocalBackend(folder / ".scones")
    execute(lifecycle.plan_stage(folder / "data"), lambda _: None, backend.ledger, backend.current_run)
    for kind, name in (("model", "model"), ("data set", "data"), ("report", "report.html")):
        half_made = Change("create", kind, str(folder / name), "")
        with pytest.raises(ZeroDivisionError):
            execute(Plan("train", "local", (half_made,)), lambda _: 1 / 0, backend.ledger, backend.current_run)
    (folder / "model").mkdir()
    with claimed(folder / "model", folder / ".scones"):
        pass
    for name in ("notes.txt", "training.log", ".model.onnx.part"):
        (folder / "model" / name).write_text("mine")
    (folder / ".scones" / "captures").mkdir()
    (folder / ".scones" / "captures" / "a.jsonl").write_text("{}")
    before = set(files_in(folder))
    assert main(["cleanup"]) == 0
    assert before - set(files_in(folder)) == {f"model/{MARKER}", "model/training.log", "model/.model.onnx.part"}


def test_a_leftover_is_named_with_its_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be removed is printed with the reason, and the exit code is 1; the rest is removed all the same."""
    record = folder / ".scones" / "endpoints" / "bikes.json"
    mark_workspace(folder / ".scones")
    record.parent.mkdir()
    record.write_text("{broken")
    lifecycle.upload(LocalBackend(folder / ".scones"), [("a.png", make_image())])
    assert main(["cleanup"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("endpoint bikes: ")
    assert "is not an endpoint's record" in lines[0]
    assert lines[1:] == ["1 resource left"]
    assert main(["cleanup", "--json"]) == 1
    (left,) = json.loads(capsys.readouterr().out)["resources_left"]
    assert (left["kind"], left["name"], left["dollars_per_hour"]) == ("endpoint", "bikes", 0.0)


def test_what_is_refused_for_now_is_tried_again(folder: Path) -> None:
    """Cleanup waits ever longer while a removal is refused for now, and gives up after three quarters of an hour."""
    backend = LocalBackend(folder)
    lifecycle.upload(backend, [("a.png", make_image())])
    remove, refusals, waits = backend.inventory.remove, 5, list[float]()

    def busy(change: Change) -> None:
        if len(waits) < refusals:
            raise TransientServiceError("endpoint is being updated")
        remove(change)

    backend.inventory.remove = busy  # type: ignore[method-assign]
    assert lifecycle.cleanup(backend, pause=waits.append) == ()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    lifecycle.upload(backend, [("a.png", make_image())])
    refusals, waits[:] = 10_000, []
    (left,) = lifecycle.cleanup(backend, pause=waits.append)
    assert left.reason == "endpoint is being updated"
    assert 2700 <= sum(waits) < 2760


def test_the_ledger_tells_who_made_what_while_it_is_deleted(tmp_path: Path) -> None:
    """A deletion that failed does not change whose a resource is, so that --run finds it again."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    made, removing = Run("made"), Run("removing")
    change = Change("create", "endpoint", "a", "", "", 0.5)
    execute(Plan("deploy", "local", (change,)), lambda _: None, ledger, made)
    with pytest.raises(ConfigurationError):
        execute(Plan("cleanup", "local", (Change("delete", "endpoint", "a", ""),)), refuse, ledger, removing)
    (found,) = ledger.resources()
    assert (found.run, found.state, found.dollars_per_hour) == ("made", "deleting", 0.5)


def refuse(change: Change) -> None:
    raise ConfigurationError(change.name)


def test_status_tells_what_runs_and_until_when(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """status lists what exists with its run and the end of its time, and nothing once it was cleaned up."""
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no resources\n"
    assert main(["deploy", str(tiny_model), "--ttl", "2h"]) == 0
    (folder / "a.png").write_bytes(make_image())
    assert main(["run", "a.png"]) == 0
    capsys.readouterr()
    try:
        assert main(["status"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["what", "objects", "objects", "endpoint", "on"]
        assert "in 2 h" in lines[3]
        assert main(["status", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [row["name"] for row in document["resources"]] == ["s3://scones-output/", "s3://scones-input/", "scones"]
        run = document["resources"][2]["run"]
        assert document["dollars_per_hour"] == document["dollars_so_far"] == 0.0
    finally:
        assert main(["cleanup", "--run", run]) == 0
    assert "scones" not in [one.name for one in lifecycle.resources(LocalBackend(folder / ".scones"))]


def test_status_names_workspaces_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the wrong folder, status tells of workspaces above and beside it that have something on record."""
    here = tmp_path / "above" / "here"
    for folder, resources in ((here.parent, 2), (here.parent / "my photos", 1), (here.parent / "empty", 0)):
        changes = tuple(Change("create", "endpoint", f"e{number}", "") for number in range(resources))
        ledger = LocalBackend(folder / ".scones").ledger
        execute(Plan("deploy", "local", changes), lambda _: None, ledger, Run("1"))
    here.mkdir()
    monkeypatch.chdir(here)
    assert main(["status"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "another workspace has 2 resources on record: `scones status --workspace ../.scones`",
        "another workspace has 1 resource on record: `scones status --workspace '../my photos/.scones'`",
    ]
    assert main(["status", "--json"]) == 0
    nearby = {"../.scones": 2, "../my photos/.scones": 1}
    assert json.loads(capsys.readouterr().out)["other_workspaces"] == nearby


def test_a_plan_leaves_out_places_without_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the workspace has something to remove, nothing is said of its demo, which has not."""
    ledger = LocalBackend(folder / ".scones").ledger
    data = folder / "data"
    (folder / ".data.0a1b2c3d.partial").mkdir()
    with pytest.raises(ZeroDivisionError):
        execute(lifecycle.plan_stage(data), lambda _: 1 / 0, ledger, Run("1"))
    assert main(["cleanup", "--dry-run"]) == 0
    assert "nothing to do" not in capsys.readouterr().out


def test_what_is_gone_has_cost_something_too(tmp_path: Path) -> None:
    """The sum so far counts each resource from its making to its deletion, and what has no price not at all."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    start = datetime(2026, 11, 25, tzinfo=UTC)
    for hours, state, name, price in (
        (0, "creating", "a", 0.5),
        (1, "creating", "b", None),
        (2, "creating", "c", 2.0),
        (3, "deleted", "a", 0.5),
    ):
        entry = Entry(start + timedelta(hours=hours), "1", state, "local", "endpoint", name, price)  # type: ignore[arg-type]
        ledger.append(entry)
    assert lifecycle.spent(LocalBackend(tmp_path), start + timedelta(hours=4)) == 3 * 0.5 + 2 * 2.0


def test_what_is_elsewhere_is_mentioned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who cleans up this machine is told of what the ledger holds on AWS."""
    change = Change("create", "endpoint", "scones", "", "", 0.5)
    ledger = LocalBackend(folder / ".scones").ledger
    execute(Plan("deploy", "aws:eu-west-1", (change,)), lambda _: None, ledger, Run("1"))
    for verb in ("cleanup", "status"):
        assert main([verb]) == 0
        assert "1 more on record in eu-west-1: scones status --on aws" in capsys.readouterr().err


def test_a_deployment_that_failed_is_not_there(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endpoint that did not come up and was taken down again is no unfinished business."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["deploy", str(tiny_model), "--port", str(taken.getsockname()[1])]) == 1
    capsys.readouterr()
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no resources\n"


def test_a_refused_staging_is_no_unfinished_business(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A staging that was refused left nothing, so status names nothing; what a killed one left is named and goes."""
    assert main(["stage", "synthetic", "data", "--per-class", "20"]) == 0
    assert main(["stage", "data", "data"]) == 1
    assert main(["stage", "nowhere", "other"]) == 1
    capsys.readouterr()
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no resources\n"
    left = folder / ".other.0a1b2c3d.partial"
    left.mkdir()
    assert main(["status", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["resources"]
    assert (row["kind"], row["name"], row["state"]) == ("data set", str(folder / "other"), "creating")
    assert main(["cleanup"]) == 0
    assert not left.exists()
    assert (folder / "data" / "dataset.json").is_file()


def test_a_damaged_ledger_is_told_of(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of the record that cannot be read may hide a resource: status and cleanup say so, and keep the file."""
    ledger = folder / ".scones" / "ledger.jsonl"
    ledger.parent.mkdir()
    ledger.write_bytes(b"\xff\x00 no JSON\n{}\n")
    for verb in ("status", "cleanup"):
        assert main([verb]) == 0
        assert "2 lines say nothing" in capsys.readouterr().err
    assert ledger.read_bytes().startswith(b"\xff\x00 no JSON\n{}\n")
    ledger.unlink()
    assert main(["status"]) == 0
    assert "nothing, harmless" not in capsys.readouterr().err


def test_what_a_newer_version_made_is_not_passed_over(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a line of a newer format on record no verb says that nothing is left, removes anything or makes more."""
    (folder / "a.png").write_bytes(make_image())
    assert main(["run", "a.png", "--model", str(tiny_model)]) == 0
    with (folder / ".scones" / "ledger.jsonl").open("a") as file:
        file.write('{"format": 3, "made_by": "scones_ml 0.9.0"}\n')
    before = {path: path.read_bytes() for path in (folder / ".scones").rglob("*") if path.is_file()}
    capsys.readouterr()
    for command in (["cleanup"], ["cleanup", "--dry-run"], ["status"], ["deploy", str(tiny_model)]):
        assert main(command) == 1, command
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.splitlines()[-1].endswith(
            "ledger.jsonl: made by scones_ml 0.9.0 (format 3): update scones_ml to read it"
        )
    assert before == {path: path.read_bytes() for path in (folder / ".scones").rglob("*") if path.is_file()}
    assert main(["doctor"]) == 1
    assert "update scones_ml" in capsys.readouterr().out


def test_what_makes_something_marks_the_workspace(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs that only look leave no marker, nor does a plan; the first that makes something does."""
    (folder / "a.png").write_bytes(make_image())
    run = ["run", "a.png", "--model", str(tiny_model)]
    for command in (["status"], ["cleanup"], [*run, "--dry-run"]):
        assert main(command) == 0, command
        assert not (folder / ".scones").exists()
    assert main(run) == 0
    marker = (folder / ".scones" / "workspace.json").read_text()
    assert json.loads(marker)["format"] == 2
    assert main(["cleanup"]) == 0
    assert (folder / ".scones" / "workspace.json").read_text() == marker
