"""Every image that was asked for has one outcome: unreadable, endless, vanished and oddly named files included."""

from __future__ import annotations

import io
import json
import os
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scones_ml import backends, lifecycle
from scones_ml.cli import main
from scones_ml.errors import ConfigurationError, ExecutionFailedError
from scones_ml.events import ImageOutcome, ImageRef
from scones_ml.events.models import UNDECIDED
from scones_ml.local.bulk import LocalBulkRunner
from scones_ml.local.workspace import FolderObjectStore, WorkspaceObjectStore
from scones_ml.ports import Backend, BulkRequest, BulkResult, StoredObject, WorkflowModel
from scones_ml.review.queue import read_queue
from scones_ml.testing import MemoryObjectStore

LATIN_1 = os.fsdecode("café.png".encode("latin-1"))
SHIFT_JIS = os.fsdecode("写真.png".encode("shift-jis"))
HUGE = 3_000_000_000


def make_image(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


MAKERS: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    "good": ("accepted", lambda path: path.write_bytes(make_image(255))),
    "doubtful": ("review", lambda path: path.write_bytes(make_image(128))),
    "broken": ("quarantined", lambda path: path.write_bytes(b"<html>")),
    "cut": ("quarantined", lambda path: path.write_bytes(make_image(9)[:50])),
    "empty": ("quarantined", lambda path: path.touch()),
    "huge": ("quarantined", write_sparse),
    "pipe": ("failed", os.mkfifo),
    "loop": ("failed", lambda path: path.symlink_to(path.name)),
    "dangling": ("dropped", lambda path: path.symlink_to("nowhere")),
}
"""What a file is, and where it goes; ``failed`` for what cannot be read."""


def bulk(folder: Path, workspace: Path, model: Path, threshold: float = 0.9) -> BulkResult:
    store = WorkspaceObjectStore(workspace / "buckets")
    request = BulkRequest(str(folder), WorkflowModel(model, threshold, image_size=8))
    return LocalBulkRunner(store, batch_size=3).run(request)


def lines(workspace: Path, result: BulkResult) -> list[ImageOutcome]:
    store = WorkspaceObjectStore(workspace / "buckets")
    keys = [found.key for found in store.list("scones-output", f"bulk/{result.run}/")]
    data = b"".join(store.read(ImageRef(s3_bucket="scones-output", s3_key=key)).data for key in keys)
    return [ImageOutcome.model_validate_json(line) for line in data.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one file of each kind, in the folder to work in."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for kind, (_, make) in MAKERS.items():
        make(photos / f"{kind}.png")
    return photos


@given(st.lists(st.sampled_from(sorted(MAKERS)), min_size=1, max_size=10), st.sets(st.integers(0, 9)))
@settings(max_examples=25)
def test_any_mix_of_files_is_reconciled_in_bulk(tiny_model: Path, kinds: list[str], mended: set[int]) -> None:
    """Whatever lies in a folder, each file has one outcome; a second run tries what failed or was gone alone."""
    with tempfile.TemporaryDirectory() as scratch:
        photos, workspace = Path(scratch, "photos"), Path(scratch, "workspace")
        photos.mkdir()
        for number, kind in enumerate(kinds):
            MAKERS[kind][1](photos / f"{number}.png")
        expected = [MAKERS[kind][0] for kind in kinds]
        first = bulk(photos, workspace, tiny_model)
        assert first.outcomes == Counter(expected)
        assert {one.s3_key: one.outcome for one in lines(workspace, first)} == {
            f"{number}.png": outcome for number, outcome in enumerate(expected)
        }
        assert len(lines(workspace, first)) == len(kinds)
        for number in mended & {number for number, outcome in enumerate(expected) if outcome == "failed"}:
            (photos / f"{number}.png").unlink()
            (photos / f"{number}.png").write_bytes(make_image(255))
            expected[number] = "accepted"
        second = bulk(photos, workspace, tiny_model)
        assert second.finished_before == len(kinds) - sum(first.outcomes.get(one, 0) for one in UNDECIDED)
        assert second.outcomes == Counter(expected)
        assert Counter(one.s3_key for one in lines(workspace, second)) == dict.fromkeys(
            [f"{number}.png" for number in range(len(kinds))], 1
        )


def test_bulk_names_what_failed(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read ends nothing: the rest has its outcome, the command names it, and exits with 1."""
    command = ["run", "photos", "--bulk", "--model", str(tiny_model), "--threshold", "0.9", "--json"]
    assert main(command) == 1
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["outcomes"] == Counter(outcome for outcome, _ in MAKERS.values())
    (line,) = [line for line in shown.err.splitlines() if "failed" in line]
    for told in ("2 of 9 images failed", "pipe.png", "is not a regular file", "loop.png", "tries them again"):
        assert told in line, line
    for name in ("pipe.png", "loop.png"):
        (folder / name).unlink()
    assert main(command) == 0


def test_run_shows_every_file(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One by one, each file has the outcome that bulk gives to it, and a failed one makes the exit code 1."""
    assert main(["run", "photos", "--model", str(tiny_model), "--threshold", "0.9", "--json"]) == 1
    shown = capsys.readouterr()
    found = {result["image"]["s3_key"]: result["outcome"] or "failed" for result in json.loads(shown.out)}
    assert found == {f"photos/{kind}.png": outcome for kind, (outcome, _) in MAKERS.items()}
    assert shown.err.splitlines()[-1].startswith("scones: 2 of 9 images failed: ")
    assert main(["run", "photos/good.png", "photos/cut.png", "--model", str(tiny_model)]) == 0


def test_a_load_draws_from_what_can_be_read(folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A steady load runs with the files that can be sent, and the others are named at the end."""
    command = ["run", "photos", "--model", str(tiny_model), "--rate", "100", "--duration", "0.1s", "--json"]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["images"] == 10
    assert "photos/pipe.png: UnreadableImageError: it is not a regular file" in shown.err


@pytest.mark.parametrize("option", [[], ["--bulk"]])
def test_a_huge_file_is_refused_unread(
    folder: Path, tiny_model: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of 3 GB is refused by its size: no more memory is taken than without it."""
    for kind in MAKERS.keys() - {"huge", "good"}:
        (folder / f"{kind}.png").unlink()
    tracemalloc.start()
    try:
        assert main(["run", "photos", *option, "--model", str(tiny_model), "--threshold", "0.9"]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000
    assert "1 quarantined" in capsys.readouterr().err


def test_files_are_sent_one_at_a_time(folder: Path, tiny_model: Path) -> None:
    """Files of 60 MB altogether are never in memory at once."""
    for kind in MAKERS:
        (folder / f"{kind}.png").unlink()
    for number in range(30):
        (folder / f"{number}.png").write_bytes(make_image(number) + bytes(2_000_000))
    main(["run", "photos/0.png", "--model", str(tiny_model)])  # what is imported stays
    tracemalloc.start()
    try:
        assert main(["run", "photos", "--model", str(tiny_model), "--threshold", "0.9"]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_a_file_that_vanishes_is_dropped(tmp_path: Path, tiny_model: Path) -> None:
    """What is gone between its listing and its turn is one dropped image."""
    backend = backends.backend("local", tmp_path / "workspace")
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(make_image(255))

    def vanishing() -> Iterator[lifecycle.ImageFile]:
        for path in paths:
            if path.name == "1.png":
                path.unlink()
            yield lifecycle.ImageFile(path.name, path)

    results = list(lifecycle.run_files(backend, vanishing(), tiny_model))
    assert {result.image.s3_key: result.outcome for result in results} == {
        "0.png": "accepted",
        "1.png": "dropped",
        "2.png": "accepted",
    }


def test_names_in_other_encodings(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latin-1 and Shift-JIS names, in folders of such names, are run by their bytes and shown escaped, everywhere."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / os.fsdecode(b"d\xe9p\xf4t")
    photos.mkdir()
    names = [LATIN_1, SHIFT_JIS, "plain.png", "evil\x1b[2J\n.png", "caf\\xe9.png"]
    for number, name in enumerate(names):
        (photos / name).write_bytes(make_image(120 + number))
    model = ["--model", str(tiny_model)]
    for command in (
        ["run", str(photos), *model],
        ["run", str(photos / LATIN_1), *model],
        ["run", str(photos), "--bulk", *model],
        ["run", str(photos), "--rate", "50", "--duration", "0.1s", *model],
        ["label-next", "9", str(photos), *model],
    ):
        assert main(command) == 0, command


def test_odd_names_are_shown_escaped(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """No control character and no undecodable byte of a name reaches the terminal, in results or in errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in (LATIN_1, "evil\x1b[2J.png"):
        os.mkfifo(tmp_path / "photos" / name)
    for option in ([], ["--bulk"], ["--json"]):
        assert main(["run", "photos", *option, "--model", str(tiny_model)]) == 1
        shown = b"".join(capfdbinary.readouterr())
        assert shown.replace(b"\n", b"").decode().isprintable()
        assert rb"caf\xe9.png" in shown.replace(b"\\\\", b"\\")


def test_another_threshold_leaves_an_image_in_one_place(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run of the same version replaces the outcome of the first, whichever place it was in."""
    store = backends.backend("local", folder.parent / ".scones").store
    for threshold, place in (("0.5", "accepted"), ("1.0", "review"), ("0.5", "accepted")):
        assert main(["run", "photos/good.png", "--model", str(tiny_model), "--threshold", threshold]) == 0
        (found,) = store.list("scones-output")
        assert found.key.startswith(f"outcomes/{place}/")


def test_of_two_outcomes_the_later_counts(tiny_model: Path, tmp_path: Path) -> None:
    """The queue leaves out what a later run accepted, whatever is run again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(make_image(255))
    backend = backends.backend("local", tmp_path / "workspace")
    waiting = []
    for threshold in (1.0, 0.5, 1.0, 0.5):
        bulk(photos, tmp_path / "workspace", tiny_model, threshold)
        waiting.append(len(read_queue(backend.store, "scones-output").images))
    assert waiting == [1, 0, 0, 0]  # what is finished is not done again


def test_an_outcome_that_a_crash_left_behind_does_not_count(tiny_model: Path, doubtful: Callable[..., object]) -> None:
    """Where the old outcome is still there, as on AWS, the reader takes the one that was written later."""
    store = MemoryObjectStore()
    image = doubtful(store, "a.png", make_image(255), (0.1, 0.9), ("bicycle", "motorcycle"))
    name = f"{image.image_id}.json"  # type: ignore[attr-defined]
    assert len(read_queue(store, "scones-output").images) == 1
    store.write("scones-output", f"outcomes/accepted/{name}", b"{}", "application/json")
    assert read_queue(store, "scones-output").images == ()
    doubtful(store, "a.png", make_image(255), (0.1, 0.9), ("bicycle", "motorcycle"))
    assert len(read_queue(store, "scones-output").images) == 1


@pytest.mark.parametrize("option", [[], ["--bulk"], ["--rate", "5"]])
def test_a_missing_model_is_one_line(
    folder: Path, tiny_model: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its graph a model stops the command before any image is sent: one line, not one for each image."""
    (folder.parent / "model").mkdir()
    (folder.parent / "model" / "model.json").write_bytes((tiny_model / "model.json").read_bytes())
    assert main(["run", "photos", *option, "--model", "model"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert "holds no model.onnx" in shown.err
    assert not (folder.parent / ".scones").exists()


def test_a_model_that_goes_ends_the_run(tmp_path: Path, tiny_model: Path) -> None:
    """A system's fault in the middle ends the run: what was done is kept, the rest is not sent."""
    model = tmp_path / "model"
    model.mkdir()
    for path in tiny_model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    files = []
    for number in range(5):
        files.append(lifecycle.ImageFile(f"{number}.png", tmp_path / f"{number}.png"))
        files[-1].path.write_bytes(make_image(255))
    backend: Backend = backends.backend("local", tmp_path / "workspace")
    results = []

    def run() -> None:
        for result in lifecycle.run_files(backend, files, model):
            results.append(result.outcome)
            (model / "model.json").unlink(missing_ok=True)

    with pytest.raises(ConfigurationError, match="model"):
        run()
    assert results == ["accepted", None]


def test_a_bulk_run_whose_store_is_lost_says_why(tmp_path: Path, tiny_model: Path, folder: Path) -> None:
    """A fault of the system fails its batches: the run names the images and the reason in one line."""
    with pytest.raises(
        ExecutionFailedError, match=r"^States\.ExceedToleratedFailureThreshold: 9 of 9 images failed: .*"
    ):
        LocalBulkRunner(WorkspaceObjectStore(tmp_path / "buckets"), batch_size=3).run(
            BulkRequest(str(folder), WorkflowModel(tiny_model, 0.9, image_size=0))
        )


def test_a_folder_that_cannot_be_listed_is_named(
    folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without permission stands in the listing as what cannot be read, and the rest is classified."""
    (folder / "locked").mkdir()
    (folder / "locked" / "a.png").write_bytes(make_image(1))
    scandir, opened = os.scandir, os.open

    def refused(call: Callable[..., object]) -> Callable[..., object]:
        def act(path: object, *arguments: object, **options: object) -> object:
            if str(path).endswith("locked"):
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *arguments, **options)

        return act

    monkeypatch.setattr(os, "scandir", refused(scandir))
    monkeypatch.setattr(os, "open", refused(opened))
    result = bulk(folder, tmp_path / "workspace", tiny_model)
    assert result.images == len(MAKERS) + 1
    assert "Permission denied" in result.failed["locked"]


def test_an_unreadable_file_fails_alone(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file without permission among many: all others have their outcome (this machine may be root's: a fake)."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(20):
        (photos / f"{number:02}.png").write_bytes(make_image(255))
    real = FolderObjectStore.read

    def read(store: FolderObjectStore, ref: ImageRef, limit: int | None = None) -> StoredObject:
        if ref.s3_key == "07.png":
            raise PermissionError(13, "Permission denied")
        if ref.s3_key == "11.png":
            raise MemoryError
        return real(store, ref, limit)

    monkeypatch.setattr(FolderObjectStore, "read", read)
    result = bulk(photos, tmp_path / "workspace", tiny_model)
    assert result.outcomes == {"accepted": 18, "failed": 2}
    assert result.failed == {"07.png": "PermissionError: [Errno 13] Permission denied", "11.png": "MemoryError"}
    monkeypatch.undo()
    assert bulk(photos, tmp_path / "workspace", tiny_model).outcomes == {"accepted": 20}


def test_class_names_with_commas_run_through_an_endpoint(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class name is whatever it is called: an endpoint of such classes answers with it."""
    card = json.loads((tiny_model / "model.json").read_text()) | {"labels": ["bicycle", "bus, [coach]"]}
    (folder.parent / "model").mkdir()
    (folder.parent / "model" / "model.json").write_text(json.dumps(card))
    (folder.parent / "model" / "model.onnx").write_bytes((tiny_model / "model.onnx").read_bytes())
    assert main(["deploy", "model"]) == 0
    try:
        capsys.readouterr()
        assert main(["run", "photos/good.png", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["label"] == "bus, [coach]"
    finally:
        main(["cleanup"])
