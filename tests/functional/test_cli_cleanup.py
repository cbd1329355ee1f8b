"""``scones cleanup`` on this machine: what it says and asks, and whose things it takes."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scones_ml import dataset, lifecycle
from scones_ml.captures import CaptureWriter, NotCaptured
from scones_ml.claims import MARKER, claimed
from scones_ml.cli import main
from scones_ml.cli.cleaning import in_words
from scones_ml.dataset.synthetic import draw_png
from scones_ml.errors import ConfigurationError
from scones_ml.events import FilteredImage
from scones_ml.lifecycle import Takings
from scones_ml.local.backend import LocalBackend
from scones_ml.local.endpoint import LocalDeployer
from scones_ml.plans import Change, Plan, execute, mark_workspace, recorded
from scones_ml.review.annotations import Annotation, AnnotationFile

LABELS = ("bicycle", "motorcycle")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reviews(folder: Path, doubtful: Callable[..., FilteredImage]) -> list[FilteredImage]:
    """Two images that were uploaded and left to a review, in the workspace."""
    mark_workspace(Path(".scones"))
    backend = LocalBackend(Path(".scones"))
    return [
        doubtful(backend.store, f"in/{number}.png", draw_png("bicycle", 0, number), (0.6, 0.4), LABELS)
        for number in range(2)
    ]


class Terminal(io.StringIO):
    """A person at the keyboard."""

    def isatty(self) -> bool:
        return True


def test_unreviewed_images_go_only_when_asked_for(
    reviews: list[FilteredImage], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, cleanup says what it would remove and refuses in one line; with --yes it goes on."""
    assert main(["cleanup"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "cleanup removes 2 images, 2 of them not reviewed yet",
        "scones: 2 images not reviewed yet (answers in files of --answers are not counted): `scones review` shows "
        "what waits; --yes removes it anyway",
    ]
    assert said.out == ""
    assert len(list(Path(".scones/buckets").iterdir())) == 2
    assert main(["cleanup", "--yes"]) == 0
    assert capsys.readouterr().out == "0 resources left\n"
    assert not Path(".scones/buckets").exists()


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_asked(
    reviews: list[FilteredImage], answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the answer decides."""
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    assert main(["cleanup"]) == (0 if answer == "y" else 1)
    assert Path(".scones/buckets").exists() == (answer == "n")


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (Takings({"endpoint": 1}, images=280, unreviewed=100), "1 endpoint, 280 images, 100 of them not reviewed yet"),
        (Takings({}, outcomes=3, unreviewed=2), "3 outcomes, 2 of them not reviewed yet"),
        (Takings({}, images=1, unreviewed=4), "1 image, outcomes of 4 not reviewed yet"),
        (Takings({"unfinished model": 2}), "2 unfinished models"),
        (Takings({}), ""),
    ],
)
def test_what_goes_is_counted_in_words(taken: Takings, words: str) -> None:
    """Images that lie elsewhere, and only their outcomes here, are not counted among the images that go."""
    assert in_words([taken]) == words


def test_what_was_reviewed_needs_no_question(reviews: list[FilteredImage], capsys: pytest.CaptureFixture[str]) -> None:
    """Images that have an answer are not counted, and the answers stay."""
    file = AnnotationFile(Path(".scones/reviews/answers.jsonl"))
    for number, image in enumerate(reviews):
        file.append(Annotation.to(image, "bicycle", id=str(number), time=datetime.now(UTC), reviewer="ann"))
    assert main(["cleanup"]) == 0
    assert "cleanup removes 2 images\n" in capsys.readouterr().err
    assert len(file.read().verdicts) == 2


def test_a_workspace_without_a_marker_is_adopted_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it goes before --adopt has listed what would, and was told that it is ours."""
    backend = LocalBackend(Path(".scones"))
    backend.store.write("scones-input", "a.png", b"image", "image/png")
    for command in (["cleanup"], ["cleanup", "--yes"]):
        assert main(command) == 1
        out = capsys.readouterr().out.splitlines()
        assert len(out) == 2
        assert out[0].startswith("workspace .scones: ")
        assert "scones cleanup --adopt" in out[0]
    assert main(["cleanup", "--adopt"]) == 1
    said = capsys.readouterr()
    assert "objects s3://scones-input/" in said.out
    assert "--yes" in said.err
    assert not Path(".scones/workspace.json").exists()
    assert main(["cleanup", "--adopt", "--yes"]) == 0
    assert Path(".scones/buckets/scones-input").exists()
    assert main(["cleanup"]) == 0
    assert not Path(".scones/buckets").exists()
    capsys.readouterr()
    assert main(["cleanup", "--adopt"]) == 0
    assert "nothing to adopt" in capsys.readouterr().out


def test_a_project_with_folders_called_like_ours_stays_its_own(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that works in somebody's folder does not make ours what was in it before."""
    (folder / "buckets" / "mine").mkdir(parents=True)
    (folder / "buckets" / "mine" / "photo.png").write_bytes(draw_png("bicycle", 0, 1))
    assert main(["run", "buckets/mine/photo.png", "--model", str(tiny_model), "--workspace", "."]) == 0
    assert main(["cleanup", "--yes", "--workspace", "."]) == 1
    assert (folder / "buckets" / "mine" / "photo.png").exists()
    assert not (folder / "workspace.json").exists()


def test_a_plan_names_its_workspaces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the workspace and the demo in it both lose something, each table says whose it is; else there is one."""
    for number, workspace in enumerate(map(Path, (".scones", ".scones/demo"))):
        mark_workspace(workspace)
        LocalBackend(workspace).store.write("scones-input", "a.png", b"image", "image/png")
        assert main(["cleanup", "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert "nothing to do" not in said
        assert [line for line in said.splitlines() if line.startswith("in ")] == ["in .scones:", "in .scones/demo:"][
            : 2 * number
        ]


def test_status_tells_of_lost_captures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of requests that were answered and not recorded status shows the latest, and where all are counted."""
    mark_workspace(Path(".scones"))
    writer = CaptureWriter(Path(".scones/captures"), "bikes")
    for hour in (9, 10):
        time = datetime(2026, 11, 28, hour, tzinfo=UTC)
        writer.write_not_captured(NotCaptured(hour, time, time, "No space left on device"), time)
    assert main(["status"]) == 0
    assert capsys.readouterr().err.startswith(
        "10 requests were not captured from 2026-11-28T10:00:00Z to 2026-11-28T10:00:00Z: No space left on device; "
        "all of them: scones monitor .scones/captures\n"
    )


def test_one_failure_keeps_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of the system while one thing is removed is its reason to stay; the rest goes, in the demo, too."""
    for workspace in (Path(".scones"), Path(".scones/demo")):
        mark_workspace(workspace)
        LocalBackend(workspace).store.write("scones-input", "a.png", b"image", "image/png")
    (folder / ".scones" / "endpoints").mkdir()
    (folder / ".scones" / "endpoints" / "bikes.log").write_text("")

    def refuse(self: LocalDeployer, name: str) -> None:
        raise PermissionError(13, "Permission denied", "bikes.log")

    monkeypatch.setattr(LocalDeployer, "remove", refuse)
    assert main(["cleanup"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "endpoint bikes: bikes.log: Permission denied",
        "1 resource left",
    ]
    assert not list(folder.rglob("buckets"))


def test_a_training_that_goes_on_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a living command works on stays, and is named; it goes when the command was killed."""
    backend = LocalBackend(Path(".scones"))
    model = folder / "model"
    model.mkdir()
    plan = Plan("train", "local", (Change("create", "model", str(model), ""),))
    with recorded(plan.changes[0], "local", backend.ledger, backend.current_run):
        with claimed(model, Path(".scones")):
            (model / "training.log").write_text("Epoch[0]")
            assert main(["cleanup"]) == 1
            assert "a command is using it" in capsys.readouterr().out
            assert (model / "training.log").exists()
        assert main(["cleanup"]) == 0
    assert not model.exists()


def test_what_another_workspace_left_is_not_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copied ledger names what the first workspace left: the copy leaves it alone, the first one removes it."""
    backend = LocalBackend(Path(".scones"))
    data = folder / "data"
    with pytest.raises(ZeroDivisionError):
        execute(lifecycle.plan_stage(data), lambda _: 1 / 0, backend.ledger, backend.current_run)
    partial = folder / ".data.0a1b2c3d.partial"
    (partial / "old").mkdir(parents=True)
    with claimed(partial, Path(".scones")):
        (partial / "old" / "dataset.json").write_text("{}")
    shutil.copytree(".scones", "copy")
    assert main(["cleanup", "--workspace", "copy"]) == 0
    said = capsys.readouterr()
    assert f"data set {data} is kept: not ours" in said.err
    assert (partial / MARKER).exists()
    assert main(["cleanup"]) == 0
    assert not partial.exists()
    assert (data / "dataset.json").exists()  # the data set that was being replaced is back


def test_lines_that_say_nothing_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of a ledger that name no resource of ours are counted, and keep cleanup from nothing."""
    mark_workspace(Path(".scones"))
    line = {"time": "2026-11-28T01:07:30+00:00", "run": "1", "state": "creating", "place": "local", "expires": None}
    names = {"endpoint": "../server", "model": "model", "spaceship": "x", "objects": "bucket", "report": "/a\0b"}
    lines = [json.dumps(line | {"kind": kind, "name": name}) for kind, name in names.items()]
    Path(".scones/ledger.jsonl").write_text("\n".join(lines) + "\n")
    assert main(["cleanup"]) == 0
    said = capsys.readouterr()
    assert said.out == "0 resources left\n"
    assert "5 lines say nothing" in said.err


def test_no_ledger_is_written_through_a_link(folder: Path, tiny_model: Path) -> None:
    """A ledger that is a link to somebody's file is refused before anything is made, and the file stays as it is."""
    (folder / "mine.txt").write_text("mine")
    mark_workspace(Path(".scones"))
    Path(".scones/ledger.jsonl").symlink_to(folder / "mine.txt")
    with (
        pytest.raises(ConfigurationError, match="it is a link"),
        lifecycle.recording(LocalBackend(Path(".scones")), lifecycle.plan_stage(folder / "data")),
    ):
        dataset.stage(dataset.Synthetic(per_class=8, size=32), folder / "data")
    assert main(["cleanup"]) == 1
    assert (folder / "mine.txt").read_text() == "mine"
