"""``scones label-next``: from a folder, and from what waits for review."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from scones_ml import lifecycle
from scones_ml.cli import main
from scones_ml.events import ImageRef
from scones_ml.lifecycle.label_next import label_next
from scones_ml.local.backend import LocalBackend
from scones_ml.review.annotations import Annotation, AnnotationFile
from scones_ml.testing import MemoryObjectStore


def write(path: Path, red: int, blue: int = 0) -> bytes:
    """An image whose red decides what the tiny model says, and whose upper half's blue decides how it looks."""
    image = Image.new("RGB", (8, 8), (red, 0, 0))
    image.paste((red, 0, blue), (0, 0, 8, 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox of sure, doubtful and broken images; two of the doubtful ones are all but the same."""
    monkeypatch.chdir(tmp_path)
    for name, red, blue in [
        ("sure-bicycle", 0, 250),
        ("sure-motorcycle", 255, 0),
        ("doubtful-dark", 127, 10),
        ("doubtful-dark-again", 127, 12),
        ("doubtful-bright", 129, 250),
    ]:
        write(tmp_path / "inbox" / f"{name}.png", red, blue)
    (tmp_path / "inbox" / "broken.png").write_bytes(b"no image")
    return tmp_path


def chosen(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [found["image"]["s3_key"].rpartition("/")[2] for found in json.loads(capsys.readouterr().out)]


def test_doubtful_and_different_from_a_folder(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two are asked for: one of the two that are alike, and the other doubtful one; broken files are passed over."""
    assert main(["label-next", "2", "inbox", "--model", str(tiny_model), "--json"]) == 0
    names = chosen(capsys)
    assert "doubtful-bright.png" in names
    assert len({"doubtful-dark.png", "doubtful-dark-again.png"} & set(names)) == 1
    assert main(["label-next", "9", "inbox", "--model", str(tiny_model)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].split() == ["image", "label", "confidence"]
    assert len(captured.out.splitlines()) == 6
    assert "inbox/doubtful-bright.png " in captured.out
    assert "5 of 6 images" in captured.err


def test_the_review_queue_without_what_is_answered(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a source it chooses from what was left to review; what a reviewer has answered is left out."""
    backend = LocalBackend(folder / ".scones")
    files = [(path.name, path.read_bytes()) for path in sorted((folder / "inbox").glob("*.png"))]
    refs = lifecycle.upload(backend, files)
    assert sum(result.outcome == "review" for result in lifecycle.run(backend, refs, tiny_model)) == 3
    answered = next(ref for ref in refs if ref.s3_key == "doubtful-bright.png")
    answer = Annotation(
        "1", datetime.now(UTC), "ann", answered.image_id, answered, "bicycle", None, "bicycle", 0.5, 0.9
    )
    AnnotationFile(folder / ".scones" / "reviews" / "answers.jsonl").append(answer)
    assert main(["label-next", "5", "--model", str(tiny_model), "--json"]) == 0
    assert set(chosen(capsys)) == {"doubtful-dark.png", "doubtful-dark-again.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2",), "there are no images in the review queue: run some with `scones run`"),
        (("2", "nowhere"), "there is no folder nowhere"),
        (("2", "nothing"), "there are no images in nothing: give a folder of images"),
        (("2", "inbox", "--model", "no-model"), "the model no-model does not exist"),
    ],
)
def test_what_is_not_there_is_one_line(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """An empty queue, no such folder and no such model end with exit code 1 and one line."""
    (folder / "nothing").mkdir()
    model = () if "--model" in arguments else ("--model", str(tiny_model))
    assert main(["label-next", *arguments, *model]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_the_order_of_images_does_not_matter(tiny_model: Path, tmp_path: Path) -> None:
    """The same images in another order are chosen in the same order."""
    objects = {("photos", f"{n}.png"): write(tmp_path / "p.png", 100 + n, n * 9 % 250) for n in range(20)}
    store = MemoryObjectStore(objects)
    refs = [ImageRef(s3_bucket=bucket, s3_key=key) for bucket, key in objects]
    first = label_next(tiny_model, store, refs, 5)
    assert label_next(tiny_model, store, refs[::-1], 5) == first
    assert len({found.image.s3_key for found in first}) == 5
